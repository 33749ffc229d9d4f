"""Loggers, one per subpackage, silent until enabled."""

from __future__ import annotations

import logging

# Without a handler Python prints warnings to standard error on its own.
logging.getLogger("edge_seg").addHandler(logging.NullHandler())


def room_logger(module: str) -> logging.Logger:
    """The logger of the subpackage that a module is in.

    Messages name films by UID or number only: file names and DICOM texts may hold a patient's name.

    Args:
        module: `__name__` of the caller.

    >>> room_logger("edge_seg.sources.cameras.camera").name
    'edge_seg.sources'
    """
    return logging.getLogger(".".join(module.split(".")[:2]))


def reason_of(error: BaseException) -> str:
    """The system's words for an error, or else its kind; its own text may hold a file name.

    >>> reason_of(OSError(28, "No space left on device", "DOE_John.png")), reason_of(ValueError("DOE^John"))
    ('No space left on device', 'ValueError')
    """
    told = (one.strerror for one in (error, error.__cause__) if isinstance(one, OSError))
    return next(filter(None, told), type(error).__name__)


def log_to_standard_error(level: str) -> None:
    """Print the package's log messages.

    Args:
        level: the lowest level to print, `debug`, `info`, `warning` or `error`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("edge_seg")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
