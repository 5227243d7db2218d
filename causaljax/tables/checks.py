"""What a table should make its reader doubt, a sentence each."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from causaljax.core.types import Kind

_COLLINEAR = 1e-9  # least eigenvalue of a correlation matrix that counts as 0
_COPIES = 1e-9  # distance of a correlation from 1 that counts as none
_INVOLVED = 1e-3  # coefficient of a standardised column that counts as not 0
_FAR = 6  # robust standard deviations from the median at which a cell counts as far
_MANY = 0.02  # the share of far cells in a column from which they are spoken of
_FEW_ROWS = 10  # below which no test of a relation among some columns has power
_LEVEL = 0.01  # of a test of gaps, all pairs of columns together
_RARE = 5  # rows of a class below which its relations are chance
_REPEATED = 3  # rows that share an extreme value before it looks like a code
_LAGS = 4  # standard errors of an autocorrelation, which chance does not reach
_MOST_NAMED = 20  # columns that one sentence names
_LEAST_ROWS = 20  # that an autocorrelation, or talk of rare values, needs
_MOST_LAG_ROWS = 2_000  # rows that are looked at for it


def doubts(
    values: np.ndarray,
    kinds: Sequence[Kind],
    names: tuple[str, ...],
    *,
    few: Sequence[bool],
    untouched: Any,
    pooled: bool,
    in_order: bool,
    head: np.ndarray,
) -> Iterator[str]:
    """Says what about a table makes a graph doubtful.

    Args:
      values: ``[n, d]``, the cells; NaN where missing.
      kinds: of the columns.
      names: of the columns.
      few: of the columns, whether whole numbers of few values were read as numbers.
      untouched: ``[n]`` bool, rows without interventions.
      pooled: whether regimes that nobody recorded explain rows far out.
      in_order: whether the order of the rows may be that of time.
      head: ``[m, d]``, the first rows of the table, of which values may be a sample.

    Yields:
      One line a doubt.
    """
    n, d = values.shape
    numeric = np.array([kind in (Kind.CONTINUOUS, Kind.COUNT) for kind in kinds])
    if n <= d:
        yield (
            f"the table has {n} rows for {d} columns: a graph from so few is a guess, "
            "and relations weaker than a correlation of "
            f"{_largest_by_chance(n, d):.2f}, as chance makes one, do not show; "
            "collect more rows or drop columns"
        )
    elif n < _FEW_ROWS:
        yield f"the table has {n} rows: so few show next to nothing; collect more rows"
    named = [name for name, unsure in zip(names, few, strict=True) if unsure]
    if named:
        yield (
            f"columns {_listed(named)} hold whole numbers of few values and are read "
            f"as numbers; kinds={{{named[0]!r}: 'categorical'}} reads classes"
        )
    gaps = np.isnan(values).mean(axis=0)
    empty = [f"{names[k]!r} ({gaps[k]:.0%})" for k in np.flatnonzero(gaps > 0.5)]
    if empty:
        yield (
            f"more than half of the cells are missing in {', '.join(empty)}: what is "
            "said of them rests on few rows; drop them if they are not needed"
        )
    yield from _gaps(values, names)
    calm = values[untouched & (not pooled)]
    if len(calm):
        for k, code, count, rest in _codes(calm, numeric):
            calm[calm[:, k] == code, k] = np.nan
            yield (
                f"column {names[k]!r} holds {code:g} in {count} rows, far beyond its "
                f"other cells ({rest[0]:g} to {rest[-1]:g}): if it stands for a "
                f"missing cell, replace({code:g}, nan)"
            )
        yield from _far(calm, numeric, names)
    yield from _rare(values, names)
    yield from _repeated(values, numeric)
    if in_order:
        yield from _serial(head)


def _largest_by_chance(n, d):
    """The correlation that one pair of d unrelated columns exceeds in the mean."""
    t = scipy.stats.t.isf(1 / (d * (d - 1)), max(n - 2, 1))
    return t / np.sqrt(t**2 + max(n - 2, 1))


def dependent_columns(
    standardised: np.ndarray, names: tuple[str, ...]
) -> Iterator[str]:
    """Says which columns are copies or linear combinations of others, group by group.

    Args:
      standardised: ``[n, d]``, each column of mean 0 and standard deviation 1.
      names: of the columns.

    Yields:
      One line a group of copies, of indicators that sum to one, or of columns of which
      each follows from the others.
    """
    n, d = standardised.shape
    if n <= d:  # every table this short is collinear
        return
    correlation = standardised.T @ standardised / n
    equal = np.abs(correlation) > 1 - _COPIES
    np.fill_diagonal(equal, True)  # gaps are filled with 0
    first = equal.argmax(axis=1)  # the first copy of each column
    for k in np.unique(first):
        group = [names[j] for j in np.flatnonzero(first == k)]
        if len(group) > 1:
            yield _dependent(group, "copies of each other")
    kept = np.unique(first)
    correlation = correlation[np.ix_(kept, kept)]
    with contextlib.suppress(np.linalg.LinAlgError):
        # Which there is only if no eigenvalue is as small, and costs far less.
        np.linalg.cholesky(correlation - _COLLINEAR * np.eye(len(kept)))
        return
    eigenvalues, vectors = np.linalg.eigh(correlation)
    relations = _reduced(vectors.T[eigenvalues < _COLLINEAR].copy())
    # Relations that share a column are one group: which ones they are is arbitrary.
    groups: list[tuple[set[int], int]] = []
    for relation in relations:
        members, count = set(kept[np.abs(relation) > _INVOLVED].tolist()), 1
        for other in [group for group in groups if group[0] & members]:
            groups.remove(other)
            members, count = members | other[0], count + other[1]
        groups.append((members, count))
    for members, count in sorted(groups, key=lambda group: min(group[0])):
        places = sorted(members)
        what = "linearly dependent"
        if _is_one_hot(standardised[:, places]):
            what = "indicators that sum to one, a single variable that was split"
        elif count > 1:
            what += f" by {count} relations"
        yield _dependent([names[k] for k in places], what)


def _dependent(group, what):
    return (
        f"columns {_listed(group)} are {what}: edges among them are arbitrary; drop "
        "all but the ones you mean"
    )


def _listed(names):
    """Names in one line; of many, the first ones."""
    more = len(names) - _MOST_NAMED
    return f"{names}" if more <= 0 else f"{names[:_MOST_NAMED]} and {more} more"


def _reduced(rows):
    """The reduced echelon form: relations that share no column come apart."""
    for k in range(len(rows)):
        free = np.abs(rows[k:])
        row, column = np.unravel_index(free.argmax(), free.shape)
        rows[[k, k + row]] = rows[[k + row, k]]
        rows[k] /= rows[k, column]
        others = np.arange(len(rows)) != k
        rows[others] -= np.outer(rows[others, column], rows[k])
    return rows


def _is_one_hot(columns):
    """Whether each column has two values and one, and only one, is high in each row."""
    high = columns == columns.max(axis=0)
    two = (high | (columns == columns.min(axis=0))).all()
    return bool(two and (high.sum(axis=1) == 1).all())


def _far(values, numeric, names):
    found = _far_columns(values, numeric, names)
    if found:
        far, count, name = max(found, key=lambda one: one[0])
        listed = _listed([name for _, _, name in found])
        yield (
            f"columns {listed} have more than {_MANY:.0%} of their rows further than "
            f"{_FAR} robust standard deviations from the median, column {name!r} {far} "
            f"of {count}: they can bend the graph; drop them if they are errors, or "
            "take logarithms"
        )


@np.errstate(over="ignore", invalid="ignore")
def _far_columns(values, numeric, names):
    """Far cells, cells and the name of each column that has many far ones."""
    found = []
    for k in np.flatnonzero(numeric):
        cells = values[~np.isnan(values[:, k]), k]
        distances = np.abs(cells - np.median(cells)) if len(cells) else cells
        # The standard deviation of a normal column.
        spread = 1.4826 * np.median(distances) if len(cells) else 0
        far = int((distances > _FAR * spread).sum())
        if spread > 0 and far > max(1, _MANY * len(cells)):
            found.append((far, len(cells), names[k]))
    return found


@np.errstate(over="ignore", invalid="ignore")  # of cells near the largest number
def _codes(values, numeric):
    """Repeated extremes beyond the rest, as -99 among percentages."""
    found = []
    for k in np.flatnonzero(numeric):
        cells = values[~np.isnan(values[:, k]), k]
        distinct, count = np.unique(cells, return_counts=True)
        if len(distinct) < 3:
            continue
        for place, beside in ((0, 1), (-1, -2)):
            code, rest = distinct[place], np.delete(distinct, place)
            gap = abs(code - distinct[beside])
            inside = max(rest.std(), 2 * np.diff(rest).max())
            nines = set(f"{abs(code):g}") == {"9"}
            beyond = gap > (inside if nines else 3 * np.ptp(rest))
            if _REPEATED <= count[place] < len(cells) / 2 and beyond:
                found.append((k, code, int(count[place]), rest))
    return found


def _gaps(values, names):
    """Gaps that follow other columns, and columns that are never there together."""
    missing = np.isnan(values)
    count = missing.sum(axis=0)
    d = values.shape[1]
    if not count.any():
        return
    apart = (~missing).T.astype(int) @ (~missing).astype(int) == 0
    pairs = [f"{names[i]!r} and {names[j]!r}" for i, j in np.argwhere(np.triu(apart))]
    if pairs:
        more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        yield (
            f"no row has a value of both {'; '.join(pairs[:5])}{more}: the table says "
            "nothing of edges between them"
        )
    ranks = pd.DataFrame(values).rank().to_numpy()
    least = scipy.stats.norm.isf(_LEVEL / 2 / max((count > 0).sum() * (d - 1), 1))
    found = []
    for k in np.flatnonzero(count):
        score, by = max((_difference(ranks[:, j], missing[:, k]), j) for j in range(d))
        if score > least:
            found.append(f"{names[k]!r} (with {names[by]!r})")
    if found:
        yield (
            f"gaps come with certain values of other columns: {', '.join(found[:5])}"
            f"{f' and {len(found) - 5} more' * (len(found) > 5)}. Gaps are filled as "
            "if other columns were the whole reason; where a cell is missing for its "
            "own value, as high incomes that nobody tells, edges may be wrong"
        )


def _difference(ranks, gap):
    """How far mean ranks of rows with and without a gap differ, standard errors."""
    there = ~np.isnan(ranks)
    one, other = ranks[there & gap], ranks[there & ~gap]
    if min(len(one), len(other)) < _FEW_ROWS:
        return 0.0
    variance = ranks[there].var() * (1 / len(one) + 1 / len(other))
    return abs(one.mean() - other.mean()) / np.sqrt(variance) if variance > 0 else 0.0


def _rare(values, names):
    """Columns with one value in all but a few rows."""
    found = []
    for k in range(values.shape[1]):
        cells = values[~np.isnan(values[:, k]), k]
        if len(cells) < _LEAST_ROWS:
            continue
        distinct, count = np.unique(cells, return_counts=True)
        others = len(cells) - count.max()
        if len(distinct) > 1 and others < _RARE:
            found.append(f"{names[k]!r} ({others} of {len(cells)})")
    if found:
        yield (
            f"all but a few rows share one value in {', '.join(found)}: relations of "
            "so rare an event are chance; drop the column or collect more rows"
        )


def _repeated(values, numeric):
    """Rows that are copies of others, where chance does not make copies."""
    n = len(values)
    if n < _LEAST_ROWS:
        return
    measured = 0  # distinct values of the column that has most, of fractions
    for k in np.flatnonzero(numeric):
        cells = values[~np.isnan(values[:, k]), k]
        if (cells != np.round(cells)).any():
            measured = max(measured, len(np.unique(cells)))
        if measured > n / 2:  # so are more than half of the rows distinct
            return
    distinct = n - int(pd.DataFrame(values).duplicated().sum())
    if distinct <= n / 2 and measured > 2 and measured >= distinct / 2:
        yield (
            f"only {distinct} of the {n} rows are distinct: copies make edges look "
            "surer than they are; drop_duplicates, or give sample_weight, unless the "
            "rows are independent"
        )


def _serial(values):
    """Rows that resemble the rows before them."""
    values = values[:_MOST_LAG_ROWS]
    n, d = values.shape
    if n < _LEAST_ROWS:
        return
    ranks = pd.DataFrame(values).rank().to_numpy()
    ranks = np.nan_to_num(ranks - np.nanmean(ranks, axis=0))
    variance = (ranks**2).sum(axis=0)
    lag = (ranks[1:] * ranks[:-1]).sum(axis=0) / np.where(variance > 0, variance, 1)
    serial = int((np.abs(lag) > _LAGS / np.sqrt(n)).sum())
    if serial >= d / 3:
        yield (
            f"rows resemble the rows before them in {serial} of {d} columns: if the "
            "rows are in time order, edges may be false, since every method here takes "
            "rows as independent; if somebody sorted them, ignore this"
        )
