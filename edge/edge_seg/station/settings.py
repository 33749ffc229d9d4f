"""Declares each setting once, with its key, type, limits, option and help, and checks its values."""

# No `from __future__ import annotations`: `Settings` reads the types of settings from the annotations.
import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, get_args, get_origin

from edge_seg.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """For type checkers only; Python 3.10 has none."""
        return lambda cls: cls


Values: TypeAlias = Mapping[str, Mapping[str, object]]
"""Given settings, by group and name."""

ARGUMENTS = "FILE|FOLDER|GLOB"
"""Stands in for an option: the setting takes the positional arguments of the command line."""

_NAMES_OF_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
}


class Setting(NamedTuple):
    """How a setting is given.

    Attributes:
        option: on the command line; `ARGUMENTS`, or empty if it has none there.
        help: what it does.
        metavar: placeholder for its value in help.
        choices: the values it takes.
        least: the smallest value it takes.
        above: values must be larger than this.
        separated: on the command line, the values form one word, separated by commas.
        environment: variable that sets it; the command line wins.
        secret: a file that holds it must be readable by its owner only.
        shown_default: what help shows as the default, if not the value itself.
    """

    option: str
    help: str
    metavar: str | None = None
    choices: tuple[Any, ...] = ()
    least: float | None = None
    above: float | None = None
    separated: bool = False
    environment: str | None = None
    secret: bool = False
    shown_default: str | None = None


def setting(default: Any, option: str, help: str, **more: Any) -> Any:
    """A field of a group: its default, and how it is given; see `Setting`."""
    made = Setting(option, help, **more)
    return field(default=default, repr=not made.secret, metadata={"setting": made})


@dataclass_transform(frozen_default=True)
class Group:
    """Subclasses become frozen dataclasses at their first instance: that takes time, and help creates none."""

    def __new__(cls, *_: object, **__: object) -> "Self":
        """Create an instance; the first makes the class a dataclass."""
        if "__dataclass_fields__" not in cls.__dict__:
            dataclass(frozen=True)(cls)
        return super().__new__(cls)


class Settings(Group):
    """A group of settings; its fields are checked on creation.

    Attributes:
        group: its name in the file.
        keys: its settings, in the order of the fields.
    """

    group: ClassVar[str]
    keys: ClassVar[tuple["Key", ...]]

    def __init_subclass__(cls, group: str) -> None:
        cls.group = group
        cls.keys = tuple(_key(group, name, hint, vars(cls)[name]) for name, hint in cls.__annotations__.items())

    def __post_init__(self) -> None:
        for key in self.keys:
            object.__setattr__(self, key.name, key.checked(getattr(self, key.name)))


class Key(NamedTuple):
    """A setting with its place and type.

    Attributes:
        group, name: of the setting; in the file, its key is `group.name`.
        default: of the setting.
        kind: type of the value, or of each value of a list.
        many: whether it is a list.
        setting: how it is given.
    """

    group: str
    name: str
    default: Any
    kind: type
    many: bool
    setting: Setting

    def checked(self, value: object) -> object:
        """The value, converted to its type.

        Raises:
            UsageError: it has the wrong type or is out of range.
        """
        if self.many:
            if isinstance(value, str) or not isinstance(value, list | tuple):
                raise self._wrong(value, f"a list, each value {_NAMES_OF_KINDS[self.kind]}")
            return tuple(self._one(each) for each in value)
        return None if value is None and self.default is None else self._one(value)

    def _one(self, value: object) -> object:
        setting = self.setting
        if self.kind is float and type(value) is int:
            value = float(value)
        elif self.kind is Path and isinstance(value, str) and value:
            value = Path(value)
        if not isinstance(value, self.kind) or (self.kind is int and isinstance(value, bool)):
            raise self._wrong(value, _NAMES_OF_KINDS[self.kind])
        if isinstance(value, str) and (not value or not value.isprintable()):
            raise self._wrong(value, "text of printable characters")
        if setting.choices and value not in setting.choices:
            raise self._wrong(value, f"one of {', '.join(map(str, setting.choices))}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if setting.least is not None and not (setting.least <= value < math.inf):
                raise self._wrong(value, f"{setting.least:g} or more")
            if setting.above is not None and not (setting.above < value < math.inf):
                raise self._wrong(value, f"more than {setting.above:g}")
        return value

    def _wrong(self, value: object, wanted: str) -> UsageError:
        but = "" if self.setting.secret else f", not {value!r:.60}"
        return UsageError(f"{self.group}.{self.name}: give {wanted}{but}")


def _key(group: str, name: str, hint: Any, declared: Field[Any]) -> Key:
    kind = next(part for part in (*get_args(hint), hint) if part not in (NoneType, Ellipsis))
    many = get_origin(hint) is tuple
    return Key(group, name, declared.default, kind, many, declared.metadata["setting"])
