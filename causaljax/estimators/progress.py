"""Progress bars of fits: what is done, whether it compiles, how long it may take."""

import sys
import threading
import time
from typing import Any, Self

import jax

_DELAY = 1.0  # seconds; shorter fits show nothing
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"  # compiling begins
_COMPILED = "/jax/core/compile/backend_compile_duration"  # and ends


class Progress:
    """A bar on the terminal that lasts as long as its ``with`` block.

    It says so while jax compiles a program. The time left is estimated from the steps
    that have been taken, and shown only for a stage whose number of steps is known.
    Nothing is shown in the first second.

    Args:
      title: what is fitted.
      wanted: True, False, or None for a bar if the standard error stream is a
        terminal.
    """

    def __init__(self, title: str, wanted: bool | None):
        self._title = title
        self._wanted = sys.stderr.isatty() if wanted is None else bool(wanted)
        self._stage = ""
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._wanted:
            self._bar = _make_bar()
            self._timer = threading.Timer(_DELAY, self._bar.start)
            self._timer.daemon = True
            self._timer.start()
            jax.monitoring.register_event_duration_secs_listener(self._heard)
            self.stage("")
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._bar is not None:
            jax.monitoring.unregister_event_duration_listener(self._heard)
            self._timer.cancel()
            self._timer.join()
            self._bar.stop()
            self._bar = None

    def stage(self, name: str, num_steps: int | None = None) -> None:
        """Begins a stage of so many steps, or of a number that nobody knows."""
        self._stage = name
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._text(), total=num_steps)

    def steps(self, completed: int) -> None:
        """Tells how many steps of the stage have been taken."""
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)

    def _text(self, *doing):
        return ": ".join(word for word in (self._title, self._stage, *doing) if word)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        del duration_secs, kwargs
        if event in (_LOWERED, _COMPILED):
            doing = ["compiling"] if event == _LOWERED else []
            self._bar.update(self._task, description=self._text(*doing))


def _make_bar():
    from rich import progress
    from rich.console import Console
    from rich.table import Column
    from rich.text import Text

    begun = time.monotonic()

    class Times(progress.ProgressColumn):
        """The time since the fit began, and about how long the stage still takes."""

        def render(self, task):
            text = _clock(time.monotonic() - begun)
            left = task.time_remaining
            if task.total is not None and left is not None and not task.finished:
                text += f", about {_clock(left)} left"
            return Text(text, no_wrap=True)

    return progress.Progress(
        progress.TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        progress.BarColumn(bar_width=16),
        Times(),
        console=Console(stderr=True),
        transient=True,
    )


def _clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}:{seconds:02d}"
