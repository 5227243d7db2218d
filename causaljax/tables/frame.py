"""Between DataFrames and arrays: validation, names, scales, prior knowledge.

Mistakes in a table are found here, before anything compiles, with the way to mend them.
"""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from causaljax.core.problem import pad_rows, padded_size, take_variables
from causaljax.core.types import Problem, make_problem
from causaljax.tables.knowledge import Knowledge, edge_masks, position

_COLLINEAR = 1e-9  # least eigenvalue of a correlation matrix that counts as 0
_FAR = 6  # robust standard deviations from the median at which a cell counts as far
_MANY = 0.02  # the share of far cells in a column from which they are spoken of
_CONSTANT = 1e-12  # sd below which, in units of the largest entry, a column is flat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """What the arrays leave out: names, and the units the columns came in.

    ``x = (table - means) / scales``; scales are 1 where nothing was standardised.
    """

    names: tuple[str, ...]  # d of them
    means: np.ndarray  # [d] float64
    scales: np.ndarray  # [d] float64
    regimes: tuple = ()  # labels by their codes


def to_problem(
    table: Any,
    *,
    interventions: Any = None,
    regimes: Any = None,
    knowledge: Knowledge | Mapping[str, Any] | None = None,
    standardise: bool = True,
    lenient: bool = False,
    pooled: bool = False,
) -> tuple[Problem, Columns]:
    """Turns a table and what is known about it into arrays.

    Args:
      table: DataFrame or array of n >= 2 rows and d >= 2 columns; not modified.
      interventions: which cells were set from outside: a bool frame of the table's
        shape, or for each row a column name, a list of them, or None (NaN).
      regimes: one label a row, NaN or None where unknown.
      knowledge: a ``Knowledge`` or a dict of its fields.
      standardise: divide each column by its standard deviation. Columns are
        centred in any case.
      lenient: let NaN, a missing cell, and columns without variation pass.
      pooled: say nothing of rows far out, which regimes nobody recorded explain.

    Returns:
      ``(problem, columns)``; the problem's ``x`` is float64 and 0 where a cell is
      missing; kernels of single precision narrow it. Rows of weight 0 follow those of
      the table up to ``core.problem.padded_size``, so that tables of similar length
      share compiled programs. All arrays are numpy's.

    Raises:
      ValueError: naming the column, row or edge and the fix.
      TypeError: if the table is sparse or an entry is not a number.

    Warns:
      UserWarning: if columns are copies or linear combinations of others, or a
        variable is intervened on in every row.
    """
    values, names = _numbers(table, lenient)
    observed = np.isfinite(values)
    large = np.nanmax(np.abs(values), axis=0)
    # Without it sums and squares of large numbers overflow.
    exponent = np.frexp(large)[1]
    scaled = np.ldexp(values, -exponent)
    centre, spread = np.nanmean(scaled, axis=0), np.nanstd(scaled, axis=0)
    means, scales = np.ldexp(centre, exponent), np.ldexp(spread, exponent)
    values = np.where(observed, values, means)
    constant = scales <= _CONSTANT * large
    _judge_constant(values, constant, names, lenient)
    scales[constant] = spread[constant] = 1
    centred = np.where(constant | ~observed, 0, scaled - centre)
    scores = centred / spread
    if len(values) <= len(names):
        warnings.warn(
            f"the table has {len(values)} rows for {len(names)} columns: a graph from "
            "so few is a guess; collect more rows or drop columns",
            stacklevel=3,
        )
    varying = np.flatnonzero(~constant)
    _warn_collinear(scores[:, varying], [names[k] for k in varying])
    if not standardise:
        scales, scores = np.ones_like(scales), np.ldexp(centred, exponent)

    intervened = _intervened(interventions, values.shape, names)
    _warn_far(values[~intervened.any(axis=1) & (not pooled)], names)
    for k in np.flatnonzero(intervened.all(axis=0)):
        warnings.warn(
            f"column {names[k]!r} is intervened on in every row: the data say nothing "
            "about its causes",
            stacklevel=3,
        )
    allowed, required = edge_masks(knowledge, names)
    regime, labels = _regimes(regimes, len(values))
    n, d = values.shape
    arrays: dict[str, Any] = {
        "x": scores,
        "observed": observed,
        "intervened": intervened,
        "regime": np.full(n, -1, np.int32) if regime is None else regime,
        "weight": np.ones(n),
        "allowed": allowed & ~np.eye(d, dtype=bool),
        "required": required,
        "kind": np.zeros(d, np.int8),
    }
    columns = Columns(names=names, means=means, scales=scales, regimes=labels)
    return pad_rows(Problem(**arrays), padded_size(n)), columns


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
    values, names = _numbers(table, lenient=False, least_rows=1)
    if names != columns.names:
        raise ValueError(
            f"X has the columns {list(names)}: give those of fit in their order, "
            f"{list(columns.names)}"
        )
    problem = make_problem(
        (values - columns.means) / columns.scales,
        intervened=_intervened(interventions, values.shape, names),
    )
    return pad_rows(problem, padded_size(len(values)))


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
    real = problem.observed & (problem.weight > 0)[:, None]
    values = np.where(real, problem.x, 0).astype(np.float64)
    count = np.maximum(real.sum(axis=0), 1)
    centred = np.where(real, values - values.sum(axis=0) / count, 0)
    scale = np.sqrt((centred**2).sum(axis=0) / count)
    scores = centred / np.where(scale > 0, scale, 1)
    third, fourth = ((scores**power).sum(axis=0) / count for power in (3, 4))
    # Rounding must not decide, as it changes with the units.
    keys = [
        (round(third[k], 9), round(fourth[k], 9), values[:, k].tobytes())
        for k in range(len(count))
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    sorted_columns = dataclasses.replace(
        columns,
        names=tuple(columns.names[k] for k in order),
        means=columns.means[order],
        scales=columns.scales[order],
    )
    return take_variables(problem, order), sorted_columns, np.argsort(order)


def to_frame(matrix: Any, columns: Columns) -> pd.DataFrame:
    """A ``[d, d]`` matrix as a DataFrame, causes as rows and effects as columns."""
    return pd.DataFrame(
        np.array(matrix),
        index=pd.Index(columns.names, name="from"),
        columns=pd.Index(columns.names, name="to"),
    )


def to_networkx(
    graph: Any, essential: Any, edge_prob: Any, weights: Any, columns: Columns
) -> nx.DiGraph:
    """A ``[d, d]`` graph as a DiGraph whose edges carry what is known of them.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      essential: ``[d, d]`` bool, with a 1 at both places where the direction of an
        edge of the graph is not identified; such an edge is ``undirected``.
      edge_prob: ``[d, d]`` float.
      weights: ``[d, d]`` float, or None if the method has none.
      columns: the names.

    Returns:
      ``networkx.DiGraph`` over all columns, edges with ``probability``, ``weight``
      and ``undirected``, its ``kind`` "cpdag" if an edge is undirected and "dag"
      otherwise; all of Python's own types, which every networkx writer accepts.
    """
    undirected = np.asarray(essential) & np.asarray(essential).T
    result = nx.DiGraph(kind="cpdag" if undirected.any() else "dag")
    result.add_nodes_from(columns.names)
    for i, j in np.argwhere(np.asarray(graph)):
        result.add_edge(
            columns.names[i],
            columns.names[j],
            probability=float(edge_prob[i, j]),
            **({} if weights is None else {"weight": float(weights[i, j])}),
            undirected=bool(undirected[i, j]),
        )
    return result


def _numbers(table, lenient, least_rows=2):
    """The table as ``[n, d]`` float64 with d column names; NaN only if lenient."""
    if hasattr(table, "toarray"):
        raise TypeError("sparse tables are not supported; pass table.toarray()")
    if isinstance(table, pd.DataFrame):
        names = tuple(str(name) for name in table.columns)
        _reject_duplicates(names)
        columns = [_column(table.iloc[:, k], names[k]) for k in range(len(names))]
        values = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    else:
        array = np.asarray(table)
        if np.iscomplexobj(array):
            raise ValueError("Complex data not supported; pass real numbers")
        if array.ndim != 2:
            raise ValueError(
                f"expected a table with rows and columns, got {array.ndim} "
                "dimension(s). Reshape your data: one row a sample"
            )
        values = array.astype(np.float64)
        names = tuple(f"x{k}" for k in range(array.shape[1]))
    n, d = values.shape
    for count, least, word, what in (
        (n, least_rows, "sample", "row" if least_rows == 1 else "rows"),
        (d, 2, "feature", "columns"),
    ):
        if count < least:
            raise ValueError(
                f"found {count} {word}(s) (shape={values.shape}) while a minimum of "
                f"{least} is required: give at least {least} {what}"
            )
    finite = np.isfinite(values)
    if lenient:
        for k in np.flatnonzero(np.isnan(values).all(axis=0)):
            raise ValueError(f"column {names[k]!r} holds no value at all: drop it")
        finite |= np.isnan(values)
    for k in np.flatnonzero(~finite.all(axis=0)):
        kinds = {"NaN": np.isnan(values[:, k]), "inf": np.isinf(values[:, k])}
        found = " and ".join(
            f"{m.sum()} {kind}" for kind, m in kinds.items() if m.any()
        )
        row = int(np.flatnonzero(~finite[:, k])[0])
        raise ValueError(
            f"column {names[k]!r} holds {found} (first in row {row}): drop these rows, "
            "fill them in or drop the column"
        )
    return values, names


def _column(series, name):
    numeric = pd.api.types.is_numeric_dtype(series.dtype)
    if not numeric or pd.api.types.is_complex_dtype(series.dtype):
        raise ValueError(
            f"column {name!r} is of type {series.dtype}, not numeric: convert it to "
            "numbers or drop it"
        )
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def _reject_duplicates(names):
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"column name {twice[0]!r} occurs {names.count(twice[0])} times: give each "
            "column a name of its own"
        )


def _judge_constant(values, constant, names, lenient):
    for k in np.flatnonzero(constant):
        words = (
            f"column {names[k]!r} is constant ({values[0, k]:g} in every row): it has "
            "neither causes nor effects here; drop it"
        )
        if not lenient:
            raise ValueError(words)
        warnings.warn(words, stacklevel=4)


def _warn_collinear(standardised, names):
    n, d = standardised.shape
    if n <= d:  # every table this short is collinear
        return
    eigenvalues, vectors = np.linalg.eigh(standardised.T @ standardised / n)
    for vector in vectors.T[eigenvalues < _COLLINEAR]:
        involved = [names[k] for k in np.flatnonzero(np.abs(vector) > 1e-3)]
        relation = (
            "copies of each other" if len(involved) == 2 else "linearly dependent"
        )
        warnings.warn(
            f"columns {involved} are {relation}: edges among them are arbitrary; drop "
            "all but the ones you mean",
            stacklevel=4,
        )


def _warn_far(values, names):
    if not len(values):
        return
    distances = np.abs(values - np.median(values, axis=0))
    spread = 1.4826 * np.median(distances, axis=0)  # the sd of a normal column
    far = (distances > _FAR * spread) & (spread > 0)
    many = far.mean(axis=0) > _MANY
    if many.any():
        warnings.warn(
            f"columns {[names[k] for k in np.flatnonzero(many)]} have more than "
            f"{_MANY:.0%} of their rows further than {_FAR} robust standard deviations "
            f"from the median, column {names[far.sum(axis=0).argmax()]!r} "
            f"{far.sum(axis=0).max()} of {len(values)}: they can bend the graph; drop "
            "them if they are errors, or take logarithms",
            stacklevel=4,
        )


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
            mask[row, position(target, names, f"interventions, row {row},")] = True
    return mask


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
