"""Reading ahead: the next film is decoded while the last one is segmented."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items in the same order; the next one is read in another thread while the caller works on this one.

    >>> list(one_ahead(iter("film")))
    ['f', 'i', 'l', 'm']
    """
    end = object()
    with ThreadPoolExecutor(1, "read ahead") as reader:
        coming = reader.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, items, end)
            yield item  # type: ignore[misc]
            # Do not keep it in memory beside the next one.
            del item
