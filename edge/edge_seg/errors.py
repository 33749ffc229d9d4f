"""Every error this package raises on purpose, and the exit code the command gives it.

    EdgeSegError            1
    ├── UsageError          2   the request itself makes no sense
    ├── InputError          3   a film cannot be read or is not a film we segment
    ├── ModelError          4   a model file is missing, damaged or unsuitable
    ├── DeviceError         5   a runtime, delegate or camera is missing or fails
    └── OutputError         6   a result cannot be written

The message of each is one line: what is wrong, then what to do about it.
"""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class EdgeSegError(Exception):
    """Base of all errors that edge-seg raises on purpose."""

    exit_code = 1


class UsageError(EdgeSegError):
    """The request itself makes no sense (wrong options, nothing to do)."""

    exit_code = 2


class InputError(EdgeSegError):
    """A film or data set cannot be read, or is not one that can be segmented."""

    exit_code = 3


class ModelError(EdgeSegError):
    """A model file is missing, damaged or unsuitable."""

    exit_code = 4


class DeviceError(EdgeSegError):
    """A runtime, delegate or camera is missing or fails."""

    exit_code = 5


class OutputError(EdgeSegError):
    """A result cannot be written."""

    exit_code = 6
