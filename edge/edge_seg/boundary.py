"""One film, one boundary: whatever a film raises is that film's failure, never the run's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from edge_seg.errors import EdgeSegError, InputError, OutputError, first_line
from edge_seg.film import Failure
from edge_seg.log import room_logger

_Result = TypeVar("_Result")

_log = room_logger(__name__)


def film_boundary(name: str, source: str, work: Callable[[], _Result]) -> _Result | Failure:
    """What `work` returns, or the failure of the film that it works on.

    Native codecs raise errors outside `Exception` (pyo3's PanicException, for one), and damaged films reach recursion
    and memory limits; so everything is caught but what stops the program and what a full disk raises.

    Args:
        name, source: of the film.
        work: reads, segments, draws or writes the film.

    Raises:
        OutputError: results cannot be written, which is no fault of the film.
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
        _log.warning("a film raised %s", type(error).__name__)
        what = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
        return Failure(name, source, InputError(f"{source}: cannot be processed ({what}): look at this file elsewhere"))
