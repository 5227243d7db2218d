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

    It says so while jax compiles a program. The time left is estimated from the pace of
    the latest steps, without the time of compiling, and shown only for a stage whose
    number of steps is known; of a stage that has a name it is said to be of that stage.
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
        self._compiled = 0.0  # seconds
        self._pace: _Pace | None = None
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._wanted:
            self._bar = _make_bar(self._left)
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

    def stage(self, name: str, num_steps: int | None = None, more: int = 0) -> None:
        """Begins a stage.

        Args:
          name: of the stage, or "" if there is but one.
          num_steps: how many steps it has, or None if nobody knows.
          more: steps of the same kind that follow it.
        """
        self._stage = name
        self._pace = None if num_steps is None else _Pace(num_steps + more)
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._text(), total=num_steps)

    def say(self, words: str) -> None:
        """Shows a line above the bar."""
        if self._bar is not None and words:
            self._bar.console.print(f"{self._title}: {words}", markup=False)

    def steps(self, completed: int) -> None:
        """Tells how many steps of the stage have been taken."""
        if self._bar is not None:
            if self._pace is not None:
                self._pace.add(time.monotonic(), completed, self._compiled)
            self._bar.update(self._task, completed=completed)

    def _left(self):
        """What to say of the time left; "" where nobody knows."""
        left = None if self._pace is None else self._pace.left(time.monotonic())
        if left is None:
            return ""
        return f", about {_clock(left)} left{' in this stage' if self._stage else ''}"

    def _text(self, *doing):
        return ": ".join(word for word in (self._title, self._stage, *doing) if word)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        del kwargs
        if event == _COMPILED:
            self._compiled += duration_secs
        if event in (_LOWERED, _COMPILED):
            doing = ["compiling"] if event == _LOWERED else []
            self._bar.update(self._task, description=self._text(*doing))


class _Pace:
    """How fast steps are taken, and so how long the rest may take.

    Args:
      total: number of steps.
    """

    def __init__(self, total: int):
        self._total = total
        self._told: list[tuple[float, int, float]] = []  # time, steps, compiled

    def add(self, now: float, completed: int, compiled: float) -> None:
        """Steps were completed, and so many seconds spent on compiling, by now."""
        self._told.append((now, completed, compiled))

    def left(self, now: float) -> float | None:
        """Seconds; None before two parts of the steps are completed.

        By the latter half of the parts, as methods begin with steps of other kinds. A
        part that takes longer than it should does not count for less than the rest.
        """
        if len(self._told) < 2:
            return None
        then, before, compiled_then = self._told[(len(self._told) - 1) // 2]
        last, completed, compiled = self._told[-1]
        if completed <= before:
            return None
        seconds = max(last - then - (compiled - compiled_then), 0.0)
        pace = seconds / (completed - before)
        rest, part = self._total - completed, completed - self._told[-2][1]
        return max(rest * pace - (now - last), max(rest - part, 0) * pace)


def _make_bar(left):
    """A bar; ``left`` says how long it may still take."""
    from rich import progress
    from rich.console import Console
    from rich.table import Column
    from rich.text import Text

    begun = time.monotonic()

    class Times(progress.ProgressColumn):
        """The time since the fit began, and about how long it still takes."""

        def render(self, task):
            text = _clock(time.monotonic() - begun)
            return Text(text + ("" if task.finished else left()), no_wrap=True)

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
