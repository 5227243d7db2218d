"""Tables too long to be held: sums over all rows, and a sample of the rows.

A table is read once, part by part. What is a function of counts, means and covariances
is exact; all else is seen in a sample of the rows, drawn without replacement: those of
the smallest keys, a row's key being a hash of its number and the seed. So nothing
depends on where parts begin.

Source: Steele, Lea and Flood 2014 (SplitMix64) for the hash.
"""

import dataclasses
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from causaljax.tables.files import read_parts
from causaljax.tables.kinds import factors
from causaljax.tables.moments import Moments, merge, moments_of

SAMPLE_ROWS = 32_768
"""Rows of a sample; docs/large_tables.md says more of the number."""

HEAD_ROWS = 2_000
"""The first rows of a table, which are kept besides: they tell of an order in time."""

_MOST_VALUES = 1_000  # distinct values of a column up to which they are counted
_MOST_CLASSES = 64  # classes of a column up to which each joins the covariance


_WORDS = {
    "numbers": "numbers",
    "text": "text",
    "classes": "classes",
    "ordered": "ordered classes",
    "other": "cells of other types",
}


class Whole(NamedTuple):
    """Moments over all rows of columns as a fit reads them, classes by their codes."""

    mean: np.ndarray  # [d] float64
    covariance: np.ndarray  # [d, d] float64
    shape: np.ndarray  # [d, 2] float64, third and fourth standardised moments


@dataclasses.dataclass
class _Column:
    """What is known of a column; rows are numbered from 0."""

    form: str = ""  # of ``kinds.Factors``; "" until a cell is seen
    order: tuple = ()
    gaps: int = 0
    infinite: int = 0
    first_infinite: int = -1
    least: float = np.inf
    most: float = -np.inf
    fractions: bool = False
    # Rows of each distinct value; None once there are too many.
    counts: dict[Any, int] | None = dataclasses.field(default_factory=dict)
    # Rows that tell how the column is to be read, and their cells: the first of each
    # distinct value, or the least, the greatest and the first fraction.
    witnesses: dict[Any, tuple[int, Any]] = dataclasses.field(default_factory=dict)
    # In the moments: of the numbers, or of each class; None if there are too many.
    place: int = -1
    places: dict[Any, int] | None = dataclasses.field(default_factory=dict)


class _Rows:
    """The rows of the smallest keys."""

    def __init__(self):
        self._parts: list[tuple[np.ndarray, np.ndarray, list[np.ndarray]]] = []
        self._waiting = 0
        self._bound = np.iinfo(np.uint64).max

    def add(self, number, keys, cells, most):
        chosen = np.flatnonzero(keys <= self._bound)
        if not len(chosen):
            return
        self._parts.append(
            (keys[chosen], number[chosen], [values[chosen] for values in cells])
        )
        self._waiting += len(chosen)
        if self._waiting > 2 * most:
            self.cut(most)

    def cut(self, most):
        """Keeps so many rows; their numbers and their cells, column by column."""
        if not self._parts:
            return np.zeros(0, int), []
        keys, number, cells = zip(*self._parts, strict=True)
        keys, number = np.concatenate(keys), np.concatenate(number)
        columns = [np.concatenate(parts) for parts in zip(*cells, strict=True)]
        if len(keys) > most:
            kept = np.argpartition(keys, most - 1)[:most]
            self._bound = keys[kept].max()
            kept = kept[np.argsort(number[kept])]
            keys, number = keys[kept], number[kept]
            columns = [values[kept] for values in columns]
        self._parts, self._waiting = [(keys, number, columns)], len(keys)
        return number, columns


def row_keys(number: np.ndarray, seed: int) -> np.ndarray:
    """Keys of rows by their numbers, uint64; no two rows share one."""
    key = number.astype(np.uint64)
    with np.errstate(over="ignore"):
        key = key + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        key = key * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            key = (key ^ (key >> np.uint64(shift))) * np.uint64(factor)
    return key ^ (key >> np.uint64(31))


def _series(values, column, index):
    if column.form in ("classes", "ordered"):
        order = list(column.order) or None
        values = pd.Categorical(values, order, ordered=column.form == "ordered")
    elif column.form in ("", "numbers"):
        values = values.astype(np.float64)
    return pd.Series(values, index=index)


class Scan:
    """What one reading of a table leaves of it.

    Args:
      parts: tables of the same columns, one after another.
      seed: of the sample.
      sample_rows: the most rows it has.
      classes: columns whose numbers are classes.

    Attributes:
      names: of the columns.
      rows: how many there are.
      sample: DataFrame of ``min(rows, sample_rows)`` rows in their order; its index
        holds their numbers.
      head: the first ``HEAD_ROWS`` rows, likewise.

    Raises:
      ValueError: naming a column whose cells are of several types.

    Example:
      >>> table = pd.DataFrame({"a": range(1000), "b": np.arange(1000) % 2})
      >>> scan = Scan([table[:300], table[300:]], sample_rows=10)
      >>> scan.rows, len(scan.sample), scan.counts("b")
      (1000, 10, {0.0: 500, 1.0: 500})
    """

    def __init__(
        self,
        parts: Iterable[pd.DataFrame],
        *,
        seed: int = 0,
        sample_rows: int = SAMPLE_ROWS,
        classes: Collection[str] = (),
    ):
        self.names: tuple[str, ...] = ()
        self.rows = 0
        self._classes = set(classes)
        self._columns: list[_Column] = []
        self._shift = np.zeros(0)  # of places in the moments
        self._scale = np.zeros(0)  # likewise, powers of two: before it is subtracted
        self._moments: Moments | None = None
        sample, head = _Rows(), _Rows()
        for part in parts:
            self._begin(part)
            if part.empty:
                continue
            cells = self._read(part)
            number = np.arange(self.rows, self.rows + len(part))
            head.add(number, number.astype(np.uint64), cells, HEAD_ROWS)
            sample.add(number, row_keys(number, seed), cells, sample_rows)
            self.rows += len(part)
        self.sample = self._table(sample.cut(sample_rows))
        self.head = self._table(head.cut(HEAD_ROWS))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names, as of a DataFrame."""
        return self.names

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and of columns."""
        return self.rows, len(self.names)

    def _begin(self, part):
        names = tuple(str(name) for name in part.columns)
        if not self.names:
            self.names = names
            self._columns = [_Column() for _ in names]
        elif names != self.names:
            raise ValueError(
                f"from row {self.rows} on the columns are {list(names)}, before they "
                f"are {list(self.names)}: give all parts the same columns"
            )

    def _read(self, part):
        """The cells of a part, column by column; all sums are brought up to date."""
        cells, rows = [], {}
        for k, column in enumerate(self._columns):
            found = factors(part.iloc[:, k], counted=column.counts is not None)
            self._agree(self.names[k], column, found)
            column.gaps += found.gaps
            if found.form == "numbers":
                self._see_numbers(column, found.values)
            if found.codes is not None:
                self._count(column, found)
                by_class = found.form != "numbers" or self.names[k] in self._classes
                if by_class and column.form:
                    rows |= self._of_classes(column, found)
            if found.form == "numbers" and self.names[k] not in self._classes:
                rows |= self._of_numbers(column, found.values)
            cells.append(found.values)
        if rows:
            columns = np.zeros((len(self._shift), len(part)))
            for place, values in rows.items():
                columns[place] = values
            columns *= self._scale[:, None]
            columns -= self._shift[:, None]
            found, before = moments_of(columns), self._moments
            self._moments = found if before is None else merge(before, found)
        return cells

    def _agree(self, name, column, found):
        """Checks that cells are what those before them are."""
        if found.gaps == len(found.values):
            return
        if column.form and column.form != found.form:
            row = self.rows + int(np.argmax(~pd.isna(found.values)))
            cell = found.values[row - self.rows]
            raise ValueError(
                f"column {name!r} holds {_WORDS[column.form]} up to row {row}, which "
                f"holds {cell!r}: make all of its cells numbers, or all of them text"
            )
        column.form, column.order = found.form, column.order or found.order

    def _see_numbers(self, column, values):
        least, most = values.min(), values.max()
        rows = None  # all
        if not (np.isfinite(least) and np.isfinite(most)):
            finite = np.isfinite(values)
            infinite = np.flatnonzero(np.isinf(values))
            if len(infinite) and not column.infinite:
                column.first_infinite = self.rows + int(infinite[0])
            column.infinite += len(infinite)
            rows, values = np.flatnonzero(finite), values[finite]
            if not len(values):
                return
            least, most = values.min(), values.max()

        def witness(what, place):
            row = self.rows + int(place if rows is None else rows[place])
            column.witnesses[what] = row, float(values[place])

        if least < column.least:
            column.least = float(least)
            witness("least", values.argmin())
        if most > column.most:
            column.most = float(most)
            witness("most", values.argmax())
        if not column.fractions:
            broken = values != np.rint(values)
            if broken.any():
                column.fractions = True
                witness("fraction", broken.argmax())

    def _count(self, column, found):
        """Counts distinct values, and keeps the first row of each."""
        if column.counts is None:
            return
        many = len(found.levels) > _MOST_VALUES
        if many or len(column.counts.keys() | found.levels) > _MOST_VALUES:
            column.counts = None
            kept = column.witnesses.items()
            column.witnesses = {of: row for of, row in kept if isinstance(of, str)}
            return
        number = np.bincount(found.codes[found.codes >= 0], minlength=len(found.levels))
        if found.levels and not column.counts.keys() >= set(found.levels):
            first = dict(zip(*np.unique(found.codes, return_index=True), strict=True))
            for code, level in enumerate(found.levels):
                if level not in column.counts:
                    column.counts[level] = 0
                    column.witnesses["first", level] = self.rows + first[code], level
        for level, count in zip(found.levels, number.tolist(), strict=True):
            column.counts[level] += count

    def _new_place(self, shift=0.0, scale=1.0):
        self._shift = np.append(self._shift, shift)
        self._scale = np.append(self._scale, scale)
        return len(self._shift) - 1

    def _of_numbers(self, column, values):
        """The numbers, by their place in the moments, whose scale and shift are set."""
        if column.gaps or column.infinite:  # then no moments are asked for
            return {}
        if column.place < 0:
            largest = max(abs(column.least), abs(column.most))
            # A power of two, so that no digit changes; it must itself be a number.
            scale = np.ldexp(1.0, -max(int(np.frexp(largest)[1]), -1000))
            column.place = self._new_place((values * scale).mean(), scale)
        return {column.place: values}

    def _of_classes(self, column, found):
        """Indicators of the classes of the cells, by their places in the moments."""
        if column.places is None or len(found.levels) > _MOST_CLASSES:
            column.places = None
            return {}
        for level in found.levels:
            if level not in column.places:
                column.places[level] = self._new_place()
        if len(column.places) > _MOST_CLASSES:
            column.places = None
            return {}
        return {
            column.places[level]: found.codes == code
            for code, level in enumerate(found.levels)
        }

    def _table(self, rows):
        number, cells = rows
        series = [
            _series(values, column, number)
            for values, column in zip(cells, self._columns, strict=False)
        ]
        table = pd.DataFrame(dict(enumerate(series)), index=number)
        return table.set_axis(list(self.names[: len(series)]), axis=1)

    def column(self, name: str) -> tuple[pd.Series, np.ndarray, np.ndarray | None]:
        """Cells that tell how a column is to be read.

        Args:
          name: of the column.

        Returns:
          The cells of the sample, and between them the first cell of each value that
          the sample lacks, or of columns of more than 1,000 values the least, the
          greatest and a fraction; ``[n]`` bool, the cells of the sample; and ``[n]``,
          numbers of rows that sum to those of each value, or None.
        """
        k = self.names.index(name)
        column, sampled = self._columns[k], self.sample.iloc[:, k]
        told = dict(column.witnesses.values())
        more = {row: told[row] for row in told.keys() - set(sampled.index)}
        values = sampled.to_numpy(float if column.form in ("", "numbers") else object)
        values = np.append(values, np.array([*more.values()], values.dtype))
        rows = np.append(sampled.index.to_numpy(), np.array([*more], int))
        order = np.argsort(rows)
        series = _series(values[order], column, rows[order]).rename(name)
        mass = None
        if column.counts is not None:
            codes, levels = pd.factorize(series)
            mass = np.zeros(len(series))
            # All on the first cell, as whole numbers sum up to the last digit.
            first = np.unique(codes, return_index=True)[1]
            for row in first[codes[first] >= 0]:
                mass[row] = column.counts[levels[codes[row]]]
        return series.reset_index(drop=True), order < len(sampled), mass

    def counts(self, name: str) -> dict[Any, int] | None:
        """The rows of each distinct value; None if there are more than 1,000."""
        return self._columns[self.names.index(name)].counts

    def range(self, name: str) -> tuple[float, float]:
        """The least and the greatest number of a column."""
        column = self._columns[self.names.index(name)]
        return column.least, column.most

    def gaps(self, name: str) -> int:
        """How many cells of a column are missing."""
        return self._columns[self.names.index(name)].gaps

    def infinite(self, name: str) -> tuple[int, int]:
        """How many cells are infinite, and the row of the first one."""
        column = self._columns[self.names.index(name)]
        return column.infinite, column.first_infinite

    def whole(self, names: Sequence[str], levels: Sequence[tuple]) -> Whole | None:
        """Moments of columns over all rows.

        Args:
          names: of the columns.
          levels: of each the classes by their codes, () where cells are numbers.

        Returns:
          The moments; None if a cell is missing or infinite, or a column has more than
          64 classes.
        """
        combined, moments = [], self._moments
        for name, codes in zip(names, levels, strict=True):
            combination = self.combination(name, {k: c for c, k in enumerate(codes)})
            if combination is None:
                return None
            combined.append(combination)
        if moments is None:
            return None
        weights, covariance = self._combined(combined), self.covariance(combined)
        spread = np.sqrt(covariance.diagonal())
        spread = np.where(spread > 0, spread, 1)
        mean, shape = weights @ moments.mean, np.zeros((len(names), 2))
        for k, (name, codes) in enumerate(zip(names, levels, strict=True)):
            column = self._columns[self.names.index(name)]
            if codes:
                counts = column.counts or {}
                mass = np.array([counts[level] for level in codes]) / self.rows
                scores = (np.arange(len(codes)) - mean[k]) / spread[k]
                shape[k] = [mass @ scores**power for power in (3, 4)]
            else:
                sums = moments.cubes, moments.fourths
                scale = self._scale[column.place]
                shape[k] = [
                    total[column.place] / self.rows / (spread[k] * scale) ** power
                    for total, power in zip(sums, (3, 4), strict=True)
                ]
                mean[k] = moments.mean[column.place] + self._shift[column.place]
                mean[k] /= scale
        return Whole(mean, covariance, shape)

    def combination(
        self, name: str, values: dict[Any, float]
    ) -> dict[int, float] | None:
        """A column, or a function of its classes, as a sum over places in the moments.

        Args:
          name: of the column.
          values: of the function by the classes; empty for the numbers themselves.

        Returns:
          Factors by place; None if the moments do not tell.
        """
        column = self._columns[self.names.index(name)]
        if column.gaps or column.infinite:
            return None
        if column.place < 0:
            if column.places is None or not values:
                return None
            return {place: values[level] for level, place in column.places.items()}
        if len(values) > 2:  # numbers that nobody said were classes
            return None
        factor = float(1 / self._scale[column.place])
        if values:  # of two numbers
            (a, of_a), (b, of_b) = values.items()
            factor *= (of_b - of_a) / (b - a)
        return {column.place: factor}

    def covariance(self, combinations: Sequence[dict[int, float]]) -> np.ndarray:
        """Covariances of what ``combination`` gives, ``[k, k]`` float64."""
        weights, moments = self._combined(combinations), self._moments
        if moments is None:
            raise ValueError("the table has no column of numbers or classes")
        return weights @ (moments.products / moments.rows) @ weights.T

    def _combined(self, combinations):
        weights = np.zeros((len(combinations), len(self._shift)))
        for row, combination in zip(weights, combinations, strict=True):
            row[[*combination]] = [*combination.values()]
        return weights


def scan_file(
    path: str | Path,
    *,
    kinds: Mapping[Any, str] | None = None,
    columns: Sequence[Hashable] | None = None,
    **form: Any,
) -> Scan:
    """Reads a file once, part by part.

    Args:
      path: a .csv, .tsv or .parquet file.
      kinds: of columns, as ``fit`` takes them.
      columns: those to read.
      **form: of a text file, as ``files.read_parts`` takes it.

    Returns:
      The scan, which ``fit`` of every estimator takes in place of a table.

    Raises:
      ValueError: naming the file, and what is wrong with it.
    """
    classes = [
        str(name)
        for name, kind in (kinds or {}).items()
        if str(kind).lower() in ("ordinal", "categorical")
    ]
    names = None if columns is None else [str(name) for name in columns]
    parts = read_parts(path, names, **form)
    return Scan(parts, classes=classes, sample_rows=SAMPLE_ROWS)
