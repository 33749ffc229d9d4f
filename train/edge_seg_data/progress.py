"""Progress of long reads on standard error: one line on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time

import click

_REFRESH_S = 0.2
_LINE_S = 5.0
_FIRST_S = 1.0


class ProgressLine:
    """Shows the current task, how far it has got, and the time left."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._what, self._start, self._shown = "", 0.0, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Record that `done` of `total` are done."""
        now = time.monotonic()
        if what != self._what or done == 1:
            self._what, self._start, self._shown = what, now, now - _LINE_S + _FIRST_S
        if now - self._shown < (_REFRESH_S if self._terminal else _LINE_S) and not (self._terminal and done == total):
            return
        self._shown = now
        left = (now - self._start) / done * (total - done)
        text = f"{what}: {done} of {total}, {int(left) // 60}:{int(left) % 60:02d} left"
        if self._terminal:
            click.echo(f"\r\x1b[2K{text}" + ("\n" if done == total else ""), nl=False, err=True)
        else:
            click.echo(text, err=True)
