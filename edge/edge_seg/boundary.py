"""One film, one boundary: an exception raised by a film fails that film, never the run."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_seg.errors import EdgeSegError, InputError, OutputError
from edge_seg.film import Failure
from edge_seg.log import room_logger

_Result = TypeVar("_Result")

_HERE = Path(__file__).parent

_log = room_logger(__name__)


def interrupted_by(error: BaseException) -> bool:
    """Whether an error is an interrupt, or was raised while one was being handled.

    An interrupt while the standard library releases a lock surfaces as `RuntimeError: cannot release un-acquired lock`.
    """
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)


def film_boundary(name: str, source: str, work: Callable[[], _Result]) -> _Result | Failure:
    """The result of `work`, or the failure of its film.

    Native codecs raise errors outside `Exception` (pyo3's PanicException, for one), and damaged films hit recursion
    and memory limits; so everything is caught except what stops the program and what a full disk raises.

    Args:
        name, source: of the film.
        work: reads, segments, draws or writes the film.

    Raises:
        OutputError: results cannot be written, which is not the film's fault.
        KeyboardInterrupt, SystemExit, GeneratorExit: the program is being stopped.
    """
    try:
        return work()
    except (KeyboardInterrupt, SystemExit, GeneratorExit, OutputError):
        raise
    except EdgeSegError as error:
        return Failure(name, source, error)
    except MemoryError:
        return Failure(name, source, InputError(f"{source}: too large for this machine's memory: reduce it"))
    except BaseException as error:
        if interrupted_by(error):
            raise KeyboardInterrupt from error
        what = kind_and_place(error)
        _log.warning("a film raised %s", what)
        return Failure(name, source, InputError(f"{source}: cannot be processed ({what}): look at this file elsewhere"))


def kind_and_place(error: BaseException) -> str:
    """An error's kind and our innermost line in its traceback; its own text may hold a patient's name."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames[1:] if _HERE in Path(frame.filename).parents] or list(frames)
    return f"{type(error).__name__} in {Path(ours[-1].filename).name}, line {ours[-1].lineno}"
