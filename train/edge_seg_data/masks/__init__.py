"""Masks as people save them: decoded to values, whose meaning is decided for the whole set."""
