"""Why a job stops before its end: SIGTERM, or a disk that takes nothing more."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from causaljax.tables.errors import CodedError

PREEMPTED = 75
"""The exit code of a process that was told to stop and has kept its work."""

_GRACE = 20.0  # seconds in which a compilation or a chunk of steps may end


class JobStopped(CodedError):
    """The job cannot go on; no task is to blame."""


class Preempted(JobStopped):
    """SIGTERM was heard, and the state of the fit in progress is kept."""

    def __init__(self):
        super().__init__(
            "preempted", "told to stop by SIGTERM; start again to go on from here"
        )


class Unwritable(JobStopped):
    """Results cannot be kept."""


@contextlib.contextmanager
def hearing_sigterm() -> Iterator[Callable[[], bool]]:
    """Within, SIGTERM is noted; gives a function that says whether there was one.

    A process that does not stop by itself within 20 s, as its compiler is at work,
    ends at once: all tasks that were done are on disk. In other threads than the main
    one signals cannot be heard.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    timer = threading.Timer(_GRACE, lambda: os._exit(PREEMPTED))
    timer.daemon = True

    def hear(number, frame):
        del number, frame
        if not asked.is_set():
            asked.set()
            timer.start()

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield asked.is_set
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
