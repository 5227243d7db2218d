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
    asked, done = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    # Python's handler waits for the compiler to return; a byte in a pipe does not.
    source, sink = os.pipe()
    os.set_blocking(sink, False)

    def watch():
        while number := os.read(source, 1):
            if number[0] == signal.SIGTERM:
                asked.set()
                if not done.wait(_GRACE):
                    os.write(2, b"causaljax: told to stop by SIGTERM\n")
                    os._exit(PREEMPTED)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    wakes = signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    try:
        yield asked.is_set
    finally:
        done.set()
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGTERM, before)
        os.close(sink)
        watching.join()
        os.close(source)
