"""The version of the package, alone in a file so that building needs no dependency."""

__version__ = "0.1.0"
