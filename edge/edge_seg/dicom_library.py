"""Loads pydicom, which threads share, in an order that is safe."""

from __future__ import annotations


def load_pydicom() -> None:
    """Import pydicom whole; call where a thread may be the first to need it, before its modules, or a package on it.

    A thread that imports `pydicom.uid` first holds that module and waits for the package. If another thread is at that
    moment importing the package, it waits for the module. Python ends such a deadlock by handing out modules that have
    run in part (`importlib._bootstrap`), and then every film looks unreadable. The package comes first here, always.
    """
    import pydicom  # noqa: F401
