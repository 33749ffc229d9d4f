"""Command line options, made from the fields of a station's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_seg.station.config import keys
from edge_seg.station.settings import ARGUMENTS, Key, Values

_Command = TypeVar("_Command", bound=Callable[..., Any])

_LETTERS = {"--quiet": "-q", "--verbose": "-v"}


def station_options(command: _Command) -> _Command:
    """Give a command an option for each setting that has one; options not given have no value."""
    for key in reversed(keys()):
        if key.setting.option == ARGUMENTS:
            command = click.argument(_parameter(key), metavar=f"[{ARGUMENTS}]...", nargs=-1)(command)
        elif key.setting.option:
            command = _option(key)(command)
    return command


def some_station_options(*wanted: str) -> Callable[[_Command], _Command]:
    """Give a command the options of some settings (`model.name`), as `station_options` does for all."""

    def decorate(command: _Command) -> _Command:
        for key in reversed(keys()):
            if f"{key.group}.{key.name}" in wanted:
                command = _option(key)(command)
        return command

    return decorate


def given_values(parameters: dict[str, Any]) -> Values:
    """The settings that were given among a command's parameters."""
    found: dict[str, dict[str, object]] = {}
    for key in keys():
        value = parameters.get(_parameter(key))
        if value is not None and value != ():
            if key.setting.separated:
                value = tuple(word.strip() for word in value.split(",") if word.strip())
            found.setdefault(key.group, {})[key.name] = value
    return found


def _option(key: Key) -> Callable[[_Command], _Command]:
    setting = key.setting
    names = [setting.option, *filter(None, [_LETTERS.get(setting.option)])]
    text = " ".join(filter(None, [setting.help, _default(key)]))
    if key.kind is bool:
        # The off switch overrides what a file switches on.
        names[0] += f"/--no-{setting.option.removeprefix('--')}"
        return click.option(*names, _parameter(key), default=None, help=text)
    return click.option(
        *names,
        _parameter(key),
        type=_type(key),
        metavar=setting.metavar,
        multiple=key.many and not setting.separated,
        default=None,
        help=text,
    )


def _type(key: Key) -> click.ParamType:
    setting = key.setting
    if setting.choices and key.kind is str:
        return click.Choice(setting.choices)
    if key.kind is int:
        return click.INT if setting.least is None else click.IntRange(int(setting.least))
    if key.kind is float:
        strict = setting.above is not None
        return click.FloatRange(setting.above if strict else setting.least, min_open=strict)
    return click.Path(path_type=Path) if key.kind is Path else click.STRING


def _default(key: Key) -> str:
    """The default as help shows it, in click's format."""
    shown = key.setting.shown_default
    if shown is None and isinstance(key.default, tuple):
        shown = ",".join(map(str, key.default))
    elif shown is None and key.default is not None and key.default is not False:
        shown = "on" if key.default is True else str(key.default)
    return f" [default: {shown}]" if shown else ""


def _parameter(key: Key) -> str:
    return f"{key.group}_{key.name}"
