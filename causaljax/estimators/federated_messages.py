"""What clients and the server of federated CD-NOD send each other.

Every client describes its columns (``ClientSummary``), the server makes one scale of
that (``Agreement``), and every client sends sums in that scale (``ClientSums``). All of
them may be files.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from causaljax.kernels.constraint import federated
from causaljax.tables import model_files

VERSION = 1
"""Of what messages hold and mean."""

_LABELS = (str, int, float)  # what classes are called; booleans are whole numbers
_MOST_WAVES = 50  # more are a mistake, or an attempt to learn of single rows
_HUGE = 1e60  # standard deviations, whose squares are far from overflow


class Message:
    """What is sent, as a file: safetensors with a JSON header and a checksum."""

    _what: ClassVar[str]

    def save(self, path: str | Path) -> None:
        """Writes the message to a file, whole or not at all; never pickle.

        Raises:
          ValueError: naming the path that cannot be written.
        """
        state = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # pyrefly: ignore [bad-argument-type]
        }
        about = {"causaljax": sys.modules["causaljax"].__version__}
        model_files.write_model(path, type(self), state, about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a message that ``save`` wrote. Nothing of the file is executed.

        Raises:
          ValueError: naming the file, if it is missing, damaged, of another version, or
            something else.
        """
        kind, state = model_files.read_model(path)
        if kind is not cls:
            raise ValueError(f"{path}: holds a {kind.__name__}, not {cls._what}")
        if state.get("version") != VERSION:
            raise ValueError(
                f"{path}: is of version {state.get('version')!r}, and this causaljax "
                f"reads version {VERSION}: use one version of causaljax everywhere"
            )
        try:
            message = cls(**state)
            message._check()
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"{path}: is not {cls._what} ({error})") from None
        return message

    def _check(self):
        """Raises ValueError or TypeError if contents do not fit together."""


def _check_numbers(array, shape, what, *, least=-np.inf, most=np.inf):
    if not isinstance(array, np.ndarray) or array.dtype != np.float64:
        raise TypeError(f"{what} holds no float64 numbers")
    if array.shape != shape:
        raise ValueError(f"{what} has shape {array.shape}, not {shape}")
    if not (np.isfinite(array) & (array >= least) & (array <= most)).all():
        raise ValueError(f"{what} holds a number that is not finite or out of range")


def _check_names(names):
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError("names are no different texts")


def _check_levels(levels, d):
    cells = [level for own in levels for level in own]
    if len(levels) != d or not all(isinstance(level, _LABELS) for level in cells):
        raise ValueError("levels are no classes of the columns")


def check_waves(num_waves: Any) -> None:
    """Raises ValueError unless it is a small whole number."""
    whole = isinstance(num_waves, int) and not isinstance(num_waves, bool)
    if not whole or not 0 <= num_waves <= _MOST_WAVES:
        raise ValueError(
            f"num_waves must be a whole number from 0 to {_MOST_WAVES}, not "
            f"{num_waves!r}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientSummary(Message):
    """The first message of a client: its columns, each by itself."""

    _what: ClassVar[str] = "the summary of a client"

    client: str
    columns: tuple[str, ...]  # d of them
    levels: tuple[tuple, ...]  # of d columns the classes, sorted; () for numbers
    rows: int  # without gaps
    mean: np.ndarray  # [d] float64, of numbers; 0 for classes
    variance: np.ndarray  # [d] float64, likewise
    noise: float
    version: int = VERSION

    def _check(self):
        d = len(self.columns)
        _check_names((self.client,))
        _check_names(self.columns)
        _check_levels(self.levels, d)
        if not isinstance(self.rows, int) or self.rows < 1:
            raise ValueError("there are no rows")
        _check_numbers(self.mean, (d,), "mean")
        _check_numbers(self.variance, (d,), "variance", least=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement(Message):
    """The message of the server: one scale for all clients.

    Numbers are counted in ``scales`` from ``means``. The waves of a number u are
    sin(k pi u / 5) and cos(k pi u / 5), k up to ``num_waves``.
    """

    _what: ClassVar[str] = "an agreement"

    clients: tuple[str, ...]
    columns: tuple[str, ...]  # d of them, in the order of the first client
    levels: tuple[tuple, ...]  # of d columns the classes of all clients; () for numbers
    means: np.ndarray  # [d] float64
    scales: np.ndarray  # [d] float64
    num_waves: int
    version: int = VERSION

    @property
    def layout(self) -> federated.Layout:
        """Which columns of numbers are summed."""
        return federated.Layout(tuple(map(len, self.levels)), self.num_waves)

    @property
    def digest(self) -> str:
        """Of all that sums depend on: equal for equal agreements, to the last bit."""
        content = [
            self.version,
            self.num_waves,
            *map(list, (self.clients, self.columns)),
        ]
        levels = [
            [[type(level).__name__, level] for level in own] for own in self.levels
        ]
        numbers = [self.means.tobytes().hex(), self.scales.tobytes().hex()]
        text = json.dumps([content, levels, numbers])
        return hashlib.sha256(text.encode()).hexdigest()

    def _check(self):
        d = len(self.columns)
        _check_names(self.clients)
        _check_names(self.columns)
        _check_levels(self.levels, d)
        check_waves(self.num_waves)
        _check_numbers(self.means, (d,), "means")
        _check_numbers(self.scales, (d,), "scales", least=np.finfo(float).tiny)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientSums(Message):
    """The second message of a client: sums over its rows, in the scale agreed on.

    Means and central moments stand for the sums, and keep more digits.
    """

    _what: ClassVar[str] = "the sums of a client"

    client: str
    agreement: str  # the digest of
    rows: int
    mean: np.ndarray  # [c] float64, of the c columns that the agreement makes
    products: np.ndarray  # [c (c + 1) / 2] float64, covariances, row after row
    fourth: np.ndarray  # [d] float64, fourth central moments of numbers
    noise: float
    version: int = VERSION

    @property
    def num_numbers(self) -> int:
        """How many numbers are sent."""
        return 1 + len(self.mean) + len(self.products) + len(self.fourth)

    def _check(self):
        c = len(self.mean)
        _check_names((self.client, self.agreement))
        if not isinstance(self.rows, int) or self.rows < 1:
            raise ValueError("there are no rows")
        _check_numbers(self.mean, (c,), "mean", least=-_HUGE, most=_HUGE)
        size = (c * (c + 1) // 2,)
        _check_numbers(self.products, size, "products", least=-_HUGE, most=_HUGE)
        _check_numbers(self.fourth, (len(self.fourth),), "fourth", least=0, most=_HUGE)


def sorted_levels(levels: Iterable[Any]) -> tuple[Any, ...]:
    """Classes in an order that does not depend on who has them."""
    return tuple(sorted(levels, key=lambda level: (type(level).__name__, level)))


def check_same_columns(
    one: str, columns: Iterable[str], other: str, others: Iterable[str]
) -> None:
    """Raises ValueError if a client has other columns."""
    missing = [name for name in others if name not in columns]
    more = [name for name in columns if name not in others]
    if missing or more:
        raise ValueError(
            f"client {one!r} lacks the columns {missing} of {other} and has {more} "
            "besides: give all clients the same columns (columns=)"
        )


def check_same_kind(
    name: str, one: str, is_class: bool, other: str, others_class: bool
) -> None:
    """Raises ValueError if a column is one of classes here and of numbers there."""
    if is_class != others_class:
        kinds = [
            "classes" if given else "numbers" for given in (is_class, others_class)
        ]
        raise ValueError(
            f"column {name!r} holds {kinds[0]} at client {one!r} and {kinds[1]} at "
            f"{other}: say by kinds= how to read it, everywhere the same"
        )
