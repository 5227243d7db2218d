"""What a command says: lines for people, or one JSON object for programs."""

import contextlib
import json
import math
import platform
import sys
import warnings
from collections.abc import Generator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

import causaljax
from causaljax.reports.summary import spelled

SCHEMA_VERSION = "1.0"
"""Of the envelope: the first number changes when a reader would have to."""

_WIDEST = 100_000  # characters of a table's line


class Reply:
    """The answer to one command.

    A command says its lines and sets ``result`` and ``run``. People get the lines;
    with ``as_json`` the lines are dropped, and ``envelope`` is what is printed.

    Attributes:
      run: how the result came about, beside what the envelope adds of itself.
      result: what was found, of JSON's types.
      warned: the warnings so far.

    Args:
      as_json: whether to answer with JSON.
      command: the name of the command, or None if none was understood.
      arguments: the words of the command line.
    """

    def __init__(self, as_json: bool, command: str | None, arguments: Sequence[str]):
        self.as_json = as_json
        self.run: dict[str, Any] = {}
        self.result: Any = None
        self.warned: list[str] = []
        self._command, self._arguments = command, list(arguments)
        self._told = 0  # of the warnings

    def say(self, text: Any) -> None:
        """A line for people."""
        self._tell_warnings()
        if not self.as_json:
            print(line(text))

    def show(self, heads: Sequence[str], rows: Any, title: str | None = None) -> None:
        """A table for people, as wide as it comes: names that are cut are others'."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        self._tell_warnings()
        if self.as_json:
            return
        table = Table(*heads, title=title)
        for row in rows:
            # Nothing in the cells is markup.
            table.add_row(*(Text(line(cell)) for cell in row))
        Console(width=_WIDEST).print(table)

    def write(self, text: str) -> None:
        """Text of our own for people, as it is."""
        self._tell_warnings()
        if not self.as_json:
            print(text)

    def warn(self, message: Any) -> None:
        """A warning, told before the next line, and not if a mistake comes first."""
        self.warned.append(str(message))

    @contextlib.contextmanager
    def hearing(self) -> Generator[None]:
        """Within, what the library warns of becomes warnings of the reply."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
        for warning in caught:
            self.warn(warning.message)

    def end(self) -> None:
        """Tells what has not been told yet: warnings, or the whole as JSON."""
        self._tell_warnings()
        if self.as_json:
            self._print_envelope()

    def fail(self, error: Exception, code: str = "invalid_data") -> None:
        """Tells a mistake: in one line, or as the envelope's ``error``.

        Args:
          error: a ``CodedError``, or another.
          code: of another.
        """
        if self.as_json:
            self._print_error(
                getattr(error, "code", code),
                str(error) or type(error).__name__,
                getattr(error, "valid_options", []),
                getattr(error, "did_you_mean", None),
            )
        else:
            print(f"causaljax: error: {line(error)}", file=sys.stderr)

    def interrupted(self) -> None:
        """Tells that Ctrl-C was heard."""
        print("causaljax: interrupted", file=sys.stderr)
        if self.as_json:
            self._print_error("interrupted", "interrupted", [], None)

    def _print_error(self, code, message, valid_options, did_you_mean):
        self.result = None
        self._print_envelope(
            {
                "code": code,
                "message": message,
                "valid_options": valid_options,
                "did_you_mean": did_you_mean,
            }
        )

    def _tell_warnings(self):
        if not self.as_json:
            for message in self.warned[self._told :]:
                print(f"causaljax: warning: {line(message)}", file=sys.stderr)
        self._told = len(self.warned)

    def _print_envelope(self, error=None):
        # Only ASCII, so that no terminal, pipe or encoding changes a byte.
        print(json.dumps(plain(self.envelope(error)), indent=1, allow_nan=False))

    def envelope(self, error: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The reply as ``causaljax schema`` describes it.

        Args:
          error: its code, message, valid_options and did_you_mean, or None.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "command": self._command,
            "run": {
                "arguments": self._arguments,
                "settings": {},
                "seed": None,
                "versions": {
                    "causaljax": causaljax.__version__,
                    "jax": metadata.version("jax"),
                    "python": platform.python_version(),
                },
                "warnings": self.warned,
                **self.run,
            },
            "result": self.result,
            "error": error,
        }


def line(text: Any) -> str:
    """Text of others on one line, also what the output has no code for."""
    encoding = sys.stdout.encoding or "utf-8"
    return spelled(text).encode(encoding, "backslashreplace").decode(encoding)


def plain(value: Any) -> Any:
    """A value of JSON's types: numpy's become Python's, and what is no number null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
