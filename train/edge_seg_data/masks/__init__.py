"""Masks as people save them: decoded to values, and the values given a meaning that holds for the whole set."""
