"""What must stay off standard error, whichever threads are at work."""

from __future__ import annotations

import threading
import warnings

from edge_seg.quiet import warnings_ignored


def test_no_warning_is_told_while_another_thread_leaves() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with warnings_ignored():
            inside.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        thread.start()
        assert inside.wait(60)
        with warnings_ignored():
            leave.set()
            thread.join()
            warnings.warn("Invalid value for VR PN: Doe^John", stacklevel=1)
        assert not told
        warnings.warn("of something else", stacklevel=1)
    assert [str(one.message) for one in told] == ["of something else"]
