"""The command-line reference, `docs/reference/cli.md`, made from the output of `--help`.

python -m edge_seg_lab.cli_reference docs/reference/cli.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from edge_seg.cli.main import cli

_WIDTH = 100

_HEAD = """\
# The command line

What `edge-seg --help` and `edge-seg COMMAND --help` print, made by
`python -m edge_seg_lab.cli_reference docs/reference/cli.md`. Research use only, not for diagnosis.
"""


def reference() -> str:
    """The page as Markdown."""
    parts = [_HEAD, *_sections("edge-seg", cli, None)]
    return "\n".join(parts)


def _sections(name: str, command: click.Command, parent: click.Context | None) -> list[str]:
    """A command's help, followed by that of its subcommands."""
    context = command.make_context(name, ["--help"], parent, resilient_parsing=True)
    # The same on any terminal, since a test compares it.
    context.terminal_width = context.max_content_width = _WIDTH
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    found = [f"## {context.command_path}\n\n```\n{text}\n```\n"]
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            assert below is not None
            found += _sections(verb, below, context)
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
