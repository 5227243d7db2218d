"""Between DataFrames and arrays: validation, names, scales, prior knowledge.

Mistakes in a table are found here, before anything compiles, with the way to mend them.
"""

import dataclasses
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from causaljax.core.problem import pad_rows, padded_size, take_variables
from causaljax.core.types import Kind, Problem, Whole, make_problem
from causaljax.tables import checks, notices
from causaljax.tables.kinds import (
    DATES,
    Column,
    LeftOut,
    asked_kinds,
    code_column,
    read_column,
)
from causaljax.tables.knowledge import Knowledge, edge_masks, position
from causaljax.tables.scan import Scan

_CONSTANT = 1e-12  # sd below which, in units of the largest entry, a column is flat
_UNTOUCHED = {"", "none", "control", "observational", "idle", "nothing"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """What the arrays leave out: names, and the units the columns came in.

    ``x = (cells - means) / scales``; scales are 1 where nothing was standardised.
    """

    names: tuple[str, ...]  # d of them
    means: np.ndarray  # [d] float64
    scales: np.ndarray  # [d] float64
    regimes: tuple = ()  # labels by their codes
    kinds: tuple[Kind, ...] = ()  # d of them
    # d of them: classes by their codes; () where cells stand as they are, numbers and
    # booleans
    levels: tuple[tuple, ...] = ()
    # How each column of the table was read, in the table's order; of JSON's types.
    described: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()  # columns of the table that are no variables
    ranges: np.ndarray | None = None  # [d, 2] float64, least and greatest cell
    scan: Scan | None = None  # of the table, where the problem is a sample
    # [d, 2] float64, third and fourth standardised moments of all its rows
    shape: np.ndarray | None = None


def to_problem(
    table: Any,
    *,
    interventions: Any = None,
    regimes: Any = None,
    knowledge: Knowledge | Mapping[str, Any] | None = None,
    kinds: Mapping[Any, str] | None = None,
    columns: Sequence[Hashable] | None = None,
    weight: np.ndarray | None = None,
    standardise: bool = True,
    lenient: bool = False,
    pooled: bool = False,
    scan: Scan | None = None,
) -> tuple[Problem, Columns]:
    """Turns a table and what is known about it into arrays.

    ``kinds.read_column`` says how a column is read. ``x`` holds numbers, and of classes
    the codes.

    Args:
      table: DataFrame of pandas, polars or pyarrow, or array, of n >= 2 rows and
        d >= 2 columns, NaN where a cell is missing; not modified.
      interventions: which cells were set from outside: a bool frame of the table's
        shape, or for each row a column name, a list of them, or None (NaN).
      regimes: one label a row, NaN or None where unknown.
      knowledge: a ``Knowledge`` or a dict of its fields.
      kinds: "continuous", "count", "ordinal", "binary" or "categorical" for columns
        that are not to be read by their cells alone.
      columns: those to take; if left out, all but dates, free text and identifiers.
      weight: ``[n]``, above 0, how many rows each row stands for; 1 if left out.
      standardise: divide each column by its standard deviation. Columns are
        centred in any case.
      lenient: let columns without variation pass.
      pooled: say nothing of rows far out, which regimes nobody recorded explain.
      scan: of a longer table, whose sample the table is. Kinds, gaps and ranges are
        those of all rows; so are means and scales, and the problem's ``whole``, unless
        a cell is missing.

    Returns:
      ``(problem, columns)``; the problem's ``x`` is float64 and 0 where a cell is
      missing; kernels of single precision narrow it. Rows of weight 0 follow those of
      the table up to ``core.problem.padded_size``, so that tables of similar length
      share compiled programs. All arrays are numpy's.

    Raises:
      ValueError: naming the column, row or edge and the fix.
      TypeError: if the table is sparse or an entry is not a number.

    Warns:
      UserWarning: if columns are left out, and of what ``checks`` finds.
    """
    read = _read(table, kinds=kinds, columns=columns, weight=weight, scan=scan)
    names = read.names
    found = [f"{name!r} ({why})" for name, why in read.left_out.items() if why]
    if found:
        notices.warn(
            f"left out: {', '.join(found)}; columns= (--columns) takes the ones it "
            "names, kinds= (--kinds) says how to read one",
            stacklevel=4,
        )
    values = np.stack([column.values for column in read.columns], axis=1)
    whole = None
    if scan is not None:
        _judge_scan(scan, names)
        whole = scan.whole(names, [column.levels for column in read.columns])
    _judge_finite(values, names, gaps=True)
    observed = np.isfinite(values)
    large = np.nanmax(np.abs(values), axis=0)
    # Without it sums and squares of large numbers overflow.
    exponent = np.frexp(large)[1]
    scaled = np.ldexp(values, -exponent)
    centre, spread = _moments(scaled, weight)
    if whole is not None:
        centre = np.ldexp(whole.mean, -exponent)
        spread = np.ldexp(np.sqrt(whole.covariance.diagonal()), -exponent)
    means, scales = np.ldexp(centre, exponent), np.ldexp(spread, exponent)
    constant = scales <= _CONSTANT * large
    _judge_constant(read, constant, lenient)
    scales[constant] = spread[constant] = 1
    centred = np.where(constant | ~observed, 0, scaled - centre)
    scores = centred / spread
    intervened = _taken(interventions, read, len(values))
    for doubt in checks.doubts(
        values,
        [column.kind for column in read.columns],
        names,
        few=[column.few for column in read.columns],
        untouched=~intervened.any(axis=1),
        pooled=pooled,
        in_order=not pooled and regimes is None and not intervened.any(),
        head=values if scan is None else _head(scan, read),
    ):
        notices.warn(doubt, stacklevel=4)
    varying, own = np.flatnonzero(~constant), scores
    if whole is not None:  # which the sample's own deviations are not quite
        own, spread = scores - scores.mean(axis=0), scores.std(axis=0)
        varying = np.flatnonzero(spread > 0)
        own = own / np.where(spread > 0, spread, 1)
    for doubt in checks.dependent_columns(
        own[:, varying], tuple(names[k] for k in varying)
    ):
        notices.warn(doubt, stacklevel=4)
    if not standardise:
        scales, scores = np.ones_like(scales), np.ldexp(centred, exponent)

    for k in np.flatnonzero(intervened.all(axis=0)):
        notices.warn(
            f"column {names[k]!r} is intervened on in every row: the data say nothing "
            "about its causes",
            stacklevel=4,
        )
    allowed, required = edge_masks(
        knowledge,
        names,
        {name: _lost(why) for name, why in read.left_out.items()},
    )
    regime, labels = _regimes(regimes, len(values))
    n, d = values.shape
    arrays: dict[str, Any] = {
        "x": scores,
        "observed": observed,
        "intervened": intervened,
        "regime": np.full(n, -1, np.int32) if regime is None else regime,
        "weight": np.ones(n) if weight is None else np.asarray(weight, np.float64),
        "allowed": allowed & ~np.eye(d, dtype=bool),
        "required": required,
        "kind": np.array([column.kind for column in read.columns], np.int8),
    }
    if scan is not None and whole is not None:
        arrays["whole"] = Whole(
            rows=np.float64(scan.rows),
            covariance=whole.covariance / scales / scales[:, None],
        )
    named = Columns(
        names=names,
        means=means,
        scales=scales,
        regimes=labels,
        kinds=tuple(column.kind for column in read.columns),
        levels=tuple(column.levels for column in read.columns),
        described=_described(read, values, scan),
        left_out=tuple(read.left_out),
        ranges=_ranges(read, values, scan),
        scan=scan,
        shape=None if whole is None else whole.shape,
    )
    return pad_rows(Problem(**arrays), padded_size(n)), named


def to_rows(table: Any, columns: Columns, *, interventions: Any = None) -> Problem:
    """Turns rows into arrays in the units of a fit that is there already.

    Nothing is learned from them, so there may be one, and what would make a graph
    doubtful (few rows, columns that do not vary or depend on others) is no matter.

    Args:
      table: as ``to_problem`` takes it, of one row or more.
      columns: those of the fit.
      interventions: as ``to_problem`` takes it.

    Returns:
      The problem, without regimes and knowledge; padded as by ``to_problem``.

    Raises:
      ValueError: as ``to_problem``, or if the columns are not those of the fit.
    """
    values, hit = _cells(table, columns, interventions)
    _judge_finite(values, columns.names, gaps=False)
    problem = make_problem(
        (values - columns.means) / columns.scales,
        intervened=hit,
        kind=np.array(columns.kinds),
    )
    return pad_rows(problem, padded_size(len(values)))


def to_cells(
    table: Any, columns: Columns, *, interventions: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads rows as a fit has read its table, in the units of the table.

    Args:
      table: as ``to_problem`` takes it, of one row or more.
      columns: those of the fit.
      interventions: as ``to_problem`` takes it.

    Returns:
      ``[n, d]`` float64, codes for classes, NaN where a cell is missing; and ``[n, d]``
      bool, the cells that were set from outside.

    Raises:
      ValueError: as ``to_rows``, but for gaps.
    """
    values, hit = _cells(table, columns, interventions)
    _judge_finite(values, columns.names, gaps=True)
    return values, hit


def _cells(table, columns, interventions):
    """As ``to_cells``, with cells that are not finite."""
    series, all_names = _series(table)
    _check_size(table, series, least_rows=1)
    kept = [name for name in all_names if name not in columns.left_out]
    if tuple(kept) != columns.names:
        raise ValueError(
            f"X has the columns {list(all_names)}: give those of fit in their order, "
            f"{list(columns.names)}"
        )
    read, wrong = [], []
    for name, levels in zip(kept, columns.levels, strict=True):
        try:
            read.append(code_column(series[all_names.index(name)], levels))
        except ValueError as error:
            wrong.append(f"column {name!r} {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    values = np.stack(read, axis=1)
    hit = _intervened(interventions, (len(values), len(all_names)), all_names)
    return values, hit[:, [all_names.index(name) for name in kept]]


def sort_variables(
    problem: Problem, columns: Columns
) -> tuple[Problem, Columns, np.ndarray]:
    """Sorts variables by properties of the data, whatever the order of the columns.

    Where graphs tie, a method's answer may depend on the order of the variables. They
    are sorted by their third standardised moments, then by the fourth, then by their
    values, so only copies of a column can change places.

    Args:
      problem: of ``to_problem``, its arrays numpy's.
      columns: of the same.

    Returns:
      Problem and columns in that order, and ``[d]`` int, the place there of each
      column of the table.
    """
    mass = np.where(problem.observed, problem.weight[:, None], 0).astype(np.float64)
    values = np.where(mass > 0, problem.x, 0).astype(np.float64)
    total = mass.sum(axis=0)
    total = np.where(total > 0, total, 1)
    centred = np.where(mass > 0, values - (mass * values).sum(axis=0) / total, 0)
    scale = np.sqrt((mass * centred**2).sum(axis=0) / total)
    scores = centred / np.where(scale > 0, scale, 1)
    third, fourth = ((mass * scores**k).sum(axis=0) / total for k in (3, 4))
    if columns.shape is not None:
        third, fourth = columns.shape.T
    # Rounding must not decide, as it changes with the units.
    keys = [
        (round(third[k], 9), round(fourth[k], 9), values[:, k].tobytes())
        for k in range(len(total))
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    sorted_columns = dataclasses.replace(
        columns,
        names=tuple(columns.names[k] for k in order),
        means=columns.means[order],
        scales=columns.scales[order],
        kinds=tuple(columns.kinds[k] for k in order),
        levels=tuple(columns.levels[k] for k in order),
        ranges=None if columns.ranges is None else columns.ranges[order],
        shape=None if columns.shape is None else columns.shape[order],
    )
    return take_variables(problem, order), sorted_columns, np.argsort(order)


def to_frame(matrix: Any, columns: Columns) -> pd.DataFrame:
    """A ``[d, d]`` matrix as a DataFrame, causes as rows and effects as columns."""
    return pd.DataFrame(
        np.array(matrix),
        index=pd.Index(columns.names, name="from"),
        columns=pd.Index(columns.names, name="to"),
    )


def as_pandas(table: Any) -> Any:
    """A frame of polars, pyarrow and others as one of pandas, names as they were.

    Args:
      table: anything; what is no frame, and what is of pandas, comes back as it is.

    Raises:
      ValueError: if names occur more than once.
    """
    if isinstance(table, pd.DataFrame):
        return table
    native = nw.from_native(table, eager_only=True, pass_through=True)
    if not isinstance(native, nw.DataFrame):
        return table
    return pd.DataFrame({name: _as_series(native[name]) for name in native.columns})


def _as_series(column):
    """A column of narwhals as one of pandas."""
    if column.dtype.is_numeric():
        return column.cast(nw.Float64).to_numpy()
    cells = column.to_list()
    if column.dtype == nw.Boolean:
        return pd.array(cells, dtype="boolean")
    if column.dtype == nw.Enum:
        order = column.cat.get_categories().to_list()
        return pd.Categorical(cells, categories=order, ordered=True)
    if column.dtype == nw.Categorical:
        return pd.Categorical(cells)
    return pd.Series(cells, dtype=None if cells else object)


def take_rows(
    table: Any, sample_weight: Any, interventions: Any, regimes: Any
) -> tuple[Any, np.ndarray, Any, Any]:
    """The rows of a table that have a weight.

    Args:
      table: DataFrame of pandas, or array.
      sample_weight: ``[n]`` numbers of at least 0.
      interventions: as ``to_problem`` takes them.
      regimes: likewise.

    Returns:
      ``(table, weight, interventions, regimes)`` without the rows of weight 0.

    Raises:
      ValueError: if weights are no numbers, negative, all 0, or not one a row.

    Warns:
      UserWarning: if weights that are not whole sum to another number than that of the
        rows.
    """
    if not isinstance(table, pd.DataFrame):
        table = np.atleast_1d(np.asarray(table))
    n = len(table)
    try:
        weight = np.asarray(sample_weight, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "sample_weight holds cells that are no numbers: give one number a row"
        ) from None
    if weight.shape != (n,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}, the table has {n} rows: give one "
            "number a row"
        )
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong):
        raise ValueError(
            f"sample_weight holds {weight[wrong[0]]} (row {wrong[0]}): give finite "
            "numbers of at least 0"
        )
    kept = np.flatnonzero(weight > 0)
    if not len(kept):
        raise ValueError("sample_weight is zero in every row: give some rows a weight")
    weight = weight[kept]
    total = weight.sum()
    if (weight != np.round(weight)).any() and abs(total / len(kept) - 1) > 0.01:
        notices.warn(
            f"sample_weight sums to {total:.6g} for {len(kept)} rows: a row of weight 2"
            " counts as two rows; divide weights of a survey by their mean",
            stacklevel=4,
        )
    if isinstance(table, pd.DataFrame):
        table = table.iloc[kept]
    else:
        table = np.asarray(table)[kept]
    return (
        table,
        weight,
        _taken_rows(interventions, kept, n),
        _taken_rows(regimes, kept, n),
    )


def _taken_rows(entries, kept, n):
    if isinstance(entries, pd.DataFrame | pd.Series):
        return entries.iloc[kept] if len(entries) == n else entries
    if isinstance(entries, np.ndarray):
        return entries[kept] if len(entries) == n else entries
    if entries is None:
        return None
    entries = list(entries)
    return [entries[k] for k in kept] if len(entries) == n else entries


class _Read(NamedTuple):
    """The columns that are variables, and the others."""

    names: tuple[str, ...]
    columns: list[Column]
    all_names: tuple[str, ...]
    left_out: dict[str, str]  # why, by name
    asked: frozenset[str]  # whose kinds the user gave


def _series(table):
    """The columns of a table one by one, and their names."""
    if hasattr(table, "toarray"):
        raise TypeError("sparse tables are not supported; pass table.toarray()")
    table = as_pandas(table)
    if isinstance(table, pd.DataFrame):
        names = tuple(str(name) for name in table.columns)
        _reject_duplicates(names)
        return [table.iloc[:, k].rename(names[k]) for k in range(len(names))], names
    array = np.asarray(table)
    if np.iscomplexobj(array):
        raise ValueError("Complex data not supported; pass real numbers")
    if array.ndim != 2:
        raise ValueError(
            f"expected a table with rows and columns, got {array.ndim} "
            "dimension(s). Reshape your data: one row a sample"
        )
    names = tuple(f"x{k}" for k in range(array.shape[1]))
    values = array.astype(np.float64)
    return [pd.Series(values[:, k], name=names[k]) for k in range(len(names))], names


def _read(table, kinds=None, columns=None, weight=None, scan=None):
    series, names = _series(table)
    asked = asked_kinds(kinds, names)
    chosen = _chosen(columns, names)
    _check_size(table, series, least_rows=2)
    # The columns of an array have no names by which they could be told apart.
    given = columns is not None or not hasattr(table, "columns")
    left_out = {name: "" for name in names if name not in chosen}
    read, kept, wrong = [], [], []
    for name in chosen:
        cells, mass, sampled = series[names.index(name)], weight, slice(None)
        if scan is not None:
            cells, sampled, mass = scan.column(name)
        try:
            column = read_column(
                cells, asked=asked.get(name), chosen=given, weight=mass
            )
        except ValueError as error:
            wrong.append(f"column {name!r} {error}")
            continue
        if isinstance(column, LeftOut):
            left_out[name] = column.reason
        else:
            kept.append(name)
            read.append(column._replace(values=column.values[sampled]))
    if wrong:
        raise ValueError("; ".join(wrong))
    if len(kept) < 2:
        found = [f"{name!r} ({why})" for name, why in left_out.items() if why]
        raise ValueError(
            f"{len(kept)} of {len(names)} columns are variables; left out: "
            f"{', '.join(found)}; give at least 2, or say by kinds= (--kinds) how to "
            "read these"
        )
    return _Read(tuple(kept), read, names, left_out, frozenset(asked))


def _lost(why):
    """What to do for a statement to name a column that is left out."""
    if not why:
        return "columns= (--columns) does not name: add it there or remove it here"
    mend = "say by kinds= (--kinds) how to read it"
    mend = "convert it to numbers" if why == DATES else mend
    return f"is left out ({why}): {mend}, or remove it here"


def _chosen(columns, names):
    """The columns to look at, by name and in the order asked for."""
    if columns is None:
        return list(names)
    if isinstance(columns, str):
        raise ValueError(f"columns must be a list of names, not {columns!r}")
    chosen = [names[position(name, list(names), "columns")] for name in columns]
    _reject_duplicates(tuple(chosen))
    if len(chosen) < 2:
        raise ValueError(f"columns names {chosen}: name at least 2")
    return chosen


def _check_size(table, series, least_rows):
    shape = (len(series[0]) if series else len(table), len(series))
    for count, least, word, what in (
        (shape[0], least_rows, "sample", "row" if least_rows == 1 else "rows"),
        (shape[1], 2, "feature", "columns"),
    ):
        if count < least:
            raise ValueError(
                f"found {count} {word}(s) (shape={shape}) while a minimum of "
                f"{least} is required: give at least {least} {what}"
            )


def _moments(values, weight):
    """Mean and standard deviation of the cells that are there, ``[d]`` each."""
    if weight is None:
        return np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    known = ~np.isnan(values)
    share = np.where(known, np.asarray(weight, np.float64)[:, None], 0)
    share /= share.sum(axis=0)
    mean = (share * np.where(known, values, 0)).sum(axis=0)
    squares = np.where(known, values - mean, 0) ** 2
    return mean, np.sqrt((share * squares).sum(axis=0))


def _judge_finite(values, names, gaps):
    """Names all columns with cells that are no numbers, where that is an error."""
    missing, infinite = np.isnan(values), np.isinf(values)
    for k in np.flatnonzero(missing.all(axis=0) & gaps):
        raise ValueError(f"column {names[k]!r} holds no value at all: drop it")
    wrong = infinite if gaps else missing | infinite
    found = []
    for k in np.flatnonzero(wrong.any(axis=0)):
        counts = [(missing[:, k].sum(), "NaN"), (infinite[:, k].sum(), "inf")]
        held = " and ".join(f"{count} {what}" for count, what in counts if count)
        row = int(wrong[:, k].argmax())
        found.append(f"column {names[k]!r} holds {held} (first in row {row})")
    _refuse_columns(found)


def _refuse_columns(found):
    """An error of what was found wrong in columns, if anything was."""
    if found:
        these = "the column" if len(found) == 1 else "these columns"
        raise ValueError(
            f"{'; '.join(found)}: drop these rows, fill them in or drop {these}"
        )


def _judge_scan(scan, names):
    """As ``_judge_finite``, of all rows; and of values that no sampled row has."""
    found = []
    for name in names:
        count, row = scan.infinite(name)
        if count:
            found.append(f"column {name!r} holds {count} inf (first in row {row})")
        elif scan.sample[name].isna().all() and scan.gaps(name) < scan.rows:
            known = scan.rows - scan.gaps(name)
            found.append(f"column {name!r} has values in {known} rows alone")
    _refuse_columns(found)


def _head(scan, read):
    """The first rows of the columns that are variables, as numbers."""
    cells = [
        code_column(scan.head[name], column.levels)
        for name, column in zip(read.names, read.columns, strict=True)
    ]
    return np.stack(cells, axis=1)


def _judge_constant(read, constant, lenient):
    found = []
    for k in np.flatnonzero(constant):
        column = read.columns[k]
        cell = column.values[~np.isnan(column.values)][0]
        shown = repr(column.levels[int(cell)]) if column.levels else f"{cell:g}"
        found.append(f"column {read.names[k]!r} is constant ({shown} in every row)")
    if not found:
        return
    what = "it has neither causes nor effects here; drop it"
    if len(found) > 1:
        what = "they have neither causes nor effects here; drop them"
    words = f"{'; '.join(found)}: {what}"
    if not lenient:
        raise ValueError(words)
    notices.warn(words, stacklevel=5)


def _described(read, values, scan):
    """How each column was read, by JSON's types."""
    rows = []
    for name in read.all_names:
        if name in read.names:
            k = read.names.index(name)
            column, cells = read.columns[k], values[:, k]
            known = cells[~np.isnan(cells)]
            gaps, distinct = len(cells) - len(known), len(np.unique(known))
            if scan is not None:
                gaps, counts = scan.gaps(name), scan.counts(name)
                distinct = distinct if counts is None else len(counts)
            note = "whole numbers of few values" if column.few else ""
            rows.append(
                {
                    "name": name,
                    "kind": column.kind.name.lower(),
                    "distinct": distinct,
                    "gaps": gaps,
                    "classes": [str(level) for level in column.levels],
                    "note": "as asked for" if name in read.asked else note,
                }
            )
        elif read.left_out[name]:
            rows.append({"name": name, "kind": "left out", "note": read.left_out[name]})
    return tuple(rows)


def _ranges(read, values, scan):
    """The least and the greatest cell of each column, ``[d, 2]``."""
    ranges = np.stack([np.nanmin(values, axis=0), np.nanmax(values, axis=0)], axis=1)
    if scan is not None:
        for k, (name, column) in enumerate(zip(read.names, read.columns, strict=True)):
            levels = len(column.levels)
            ranges[k] = (0, levels - 1) if levels else scan.range(name)
    return ranges


def _reject_duplicates(names):
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"column name {twice[0]!r} occurs {names.count(twice[0])} times: give each "
            "column a name of its own"
        )


def _taken(interventions, read, n):
    """What was set from outside, of the columns that are variables."""
    shape = getattr(interventions, "shape", ())
    if len(shape) == 2 and shape[1] == len(read.names):
        return _intervened(interventions, (n, len(read.names)), read.names)
    hit = _intervened(interventions, (n, len(read.all_names)), read.all_names)
    lost = [name for name in read.left_out if hit[:, read.all_names.index(name)].any()]
    if lost:
        notices.warn(
            f"interventions on {lost}, which are left out, count as none", stacklevel=5
        )
    return hit[:, [read.all_names.index(name) for name in read.names]]


def _intervened(interventions, shape, names):
    n = shape[0]
    if interventions is None:
        return np.zeros(shape, bool)
    if isinstance(interventions, pd.DataFrame):
        given = tuple(str(name) for name in interventions.columns)
        _reject_duplicates(given)
        for name in given:
            position(name, names, "interventions")
        if len(given) != len(names):
            missing = sorted(set(names) - set(given))
            raise ValueError(f"interventions lack the columns {missing}: add them")
        interventions = interventions.iloc[:, [given.index(name) for name in names]]
    if isinstance(interventions, pd.DataFrame | np.ndarray) and interventions.ndim == 2:
        mask = np.asarray(interventions)
        if mask.shape != shape or not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"interventions have shape {mask.shape} and type {mask.dtype}; give a "
                f"table of True and False of shape {shape}, or one name a row"
            )
        return mask.astype(bool)
    rows = list(interventions)
    if len(rows) != n:
        raise ValueError(
            f"interventions have {len(rows)} entries, the table has {n} rows: give one "
            "entry a row, None where nothing was intervened on"
        )
    mask = np.zeros(shape, bool)
    for row, targets in enumerate(rows):
        for target in _targets(targets):
            where = f"interventions, row {row},"
            _explain_target(target, names, where)
            mask[row, position(target, names, where)] = True
    return mask


def _explain_target(target, names, where):
    """Speaks of what a target may mean that is no column."""
    if not isinstance(target, str) or target in names:
        return
    if target.strip().lower() in _UNTOUCHED:
        raise ValueError(
            f"{where} names an unknown column {target!r}: a row in which nothing was "
            "set has None, in a file an empty cell"
        )
    parts = [part.strip() for part in re.split("[,;|+&/ ]", target) if part.strip()]
    if len(parts) > 1 and all(part in names for part in parts):
        raise ValueError(
            f"{where} names an unknown column {target!r}: give several targets as a "
            f"list, {parts}, in a file separated by ';'"
        )


def _targets(entry):
    if isinstance(entry, Iterable) and not isinstance(entry, str):
        return list(entry)
    return [] if entry is None or pd.isna(entry) else [entry]


def _regimes(regimes, n):
    if regimes is None:
        return None, ()
    labels = list(regimes)
    if len(labels) != n:
        raise ValueError(
            f"regimes have {len(labels)} entries, the table has {n} rows: give one "
            "label a row, None where it is unknown"
        )
    codes, found = pd.factorize(pd.Series(labels, dtype=object))  # -1 is unknown
    return codes.astype(np.int32), tuple(found)
