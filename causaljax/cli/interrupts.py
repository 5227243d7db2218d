"""Ctrl-C on the command line: heard within seconds, whatever runs.

Python hears of a signal between two of its own steps, and a compiler's step may take
half a minute. So the signal is kept from the threads of Python and of jax, and a thread
that does nothing else waits for it.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended."""

_GRACE = 2.0  # seconds in which the main thread may end by itself
_shielded = threading.RLock()


@contextlib.contextmanager
def prompt_interrupts() -> Iterator[None]:
    """Within, Ctrl-C raises KeyboardInterrupt, or ends the process if that takes long.

    In the main thread of systems that know ``sigwait``; elsewhere nothing changes.
    """
    able = hasattr(signal, "sigwait") and hasattr(signal, "pthread_sigmask")
    if not able or threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted, done = {signal.SIGINT}, threading.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)

    def wait():
        signal.sigwait(wanted)
        if done.is_set():
            return
        with _shielded:
            _thread.interrupt_main()
        if not done.wait(_GRACE):
            os.write(2, b"causaljax: interrupted\n")
            os._exit(INTERRUPTED)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        done.set()
        if waiting.is_alive():
            signal.pthread_kill(waiting.ident or 0, signal.SIGINT)  # lets it go
            waiting.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Within, Ctrl-C waits: for writing that must not stop half-way."""
    with _shielded:
        yield


def leave(code: int) -> None:
    """Ends the process; at once where it was interrupted.

    Threads of jax may then be at work still, and a normal end would take away what
    they work on.
    """
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
