"""Keeps secrets typed on the command line out of the process list, which every user can read."""

from __future__ import annotations

import os
import sys

from edge_seg.address import HIDDEN, without_secrets

_OPTIONS = ("--view-token",)
_VARIABLE = "EDGE_SEG_ARGUMENTS"


def arguments_of_process() -> list[str]:
    """The arguments of this process.

    If they hold secrets, the program restarts itself in this process, with the secrets hidden in its arguments and the
    real arguments in its environment, which only its own user can read. Until then the secrets are visible for some
    milliseconds: a file or the environment is safer.
    """
    kept = os.environ.pop(_VARIABLE, None)
    if kept is not None:
        # Imported here, as below, because help does not need it.
        import json

        return [str(word) for word in json.loads(kept)]
    arguments = sys.argv[1:]
    shown = hide_secrets(arguments)
    head = sys.orig_argv[: len(sys.orig_argv) - len(arguments)]
    if shown != arguments and [*head, *arguments] == sys.orig_argv and os.name == "posix":
        import json

        os.environ[_VARIABLE] = json.dumps(arguments)
        os.execv(sys.executable, [*head, *shown])
    return arguments


def hide_secrets(arguments: list[str]) -> list[str]:
    """The arguments, with secrets hidden.

    >>> hide_secrets(["run", "--view-token", "abc", "--camera=http://nurse:abc@10.0.0.7/?pwd=abc"])
    ['run', '--view-token', '***', '--camera=http://10.0.0.7/?pwd=***']
    """
    shown = []
    for number, word in enumerate(arguments):
        option, mark, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if number and arguments[number - 1] in _OPTIONS:
            shown.append(HIDDEN)
        elif mark and option in _OPTIONS:
            shown.append(f"{option}={HIDDEN}")
        else:
            shown.append(f"{option}{mark}{without_secrets(value)}")
    return shown
