"""How a column is read: as numbers, counts or classes, or not at all."""

import dataclasses
import decimal
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from causaljax.core.types import Kind
from causaljax.tables.knowledge import position

NAMES = {kind.name.lower(): kind for kind in Kind}
"""The kinds of columns by the names that a user gives them."""

DATES = "dates or times"
"""Why a column is left out that no kind can be asked for."""

_MOST_CLASSES = 20  # distinct texts up to which a column of text holds classes
_FEW_VALUES = 10  # distinct whole numbers up to which a user may mean classes
_LEAST_ROWS = 10  # below which numbers that differ in every row are no identifier
_ID_WORDS = {"id", "ids", "index", "idx", "key", "uuid", "guid", "rownames"}
_NUMBERS = (numbers.Real, decimal.Decimal, np.bool_)
_DATES = re.compile("date|time|period", re.IGNORECASE)
_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


class Column(NamedTuple):
    """One column of a table, read."""

    values: np.ndarray  # [n] float64, NaN where a cell is missing
    kind: Kind
    levels: tuple = ()  # the classes by their codes; () where cells are numbers
    few: bool = False  # whole numbers of few values, which nobody spoke of


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A column that is no variable."""

    reason: str


class _Cells(NamedTuple):
    form: str  # "numbers", "text", "classes", "ordered", "dates"
    cells: pd.Series  # float64 for numbers; else objects, NaN where missing
    order: tuple = ()  # of ordered classes


def asked_kinds(
    kinds: Mapping[Any, str] | None, names: Sequence[str]
) -> dict[str, Kind]:
    """The kinds that a user asks for, by column.

    Raises:
      ValueError: naming the column or the kind that is unknown.
    """
    if kinds is None:
        return {}
    if not isinstance(kinds, Mapping):
        raise ValueError(
            f"kinds must be a dict of columns and kinds, not {kinds!r}: give, for "
            "example, {'sex': 'categorical'}"
        )
    asked = {}
    for name, kind in kinds.items():
        column = names[position(name, list(names), "kinds")]
        if not isinstance(kind, str) or kind.lower() not in NAMES:
            raise ValueError(
                f"kinds gives column {column!r} the kind {kind!r}: give one of "
                f"{list(NAMES)}"
            )
        asked[column] = NAMES[kind.lower()]
    return asked


def read_column(
    series: pd.Series,
    *,
    asked: Kind | None = None,
    chosen: bool = False,
    weight: np.ndarray | None = None,
) -> Column | LeftOut:
    """Reads one column.

    Numbers stay numbers: two distinct values make a column binary, non-negative whole
    numbers of more than 10 values a count. Text of at most 20 distinct values, each of
    them in two rows on average, holds classes; so does what pandas calls a category or
    a boolean. Ordered classes have their order for codes, others the order of falling
    frequency, so that other names of the classes change nothing; labels decide between
    classes of one frequency.

    Args:
      series: the column; its name counts where it may be an identifier.
      asked: the kind that the user asks for.
      chosen: whether the user asks for the column.
      weight: ``[n]``, how many rows each row stands for; 1 if left out.

    Returns:
      The column; or why it is left out, which is so for dates, free text and
      identifiers unless the user asks for them.

    Raises:
      ValueError: with what follows the column's name in a message, if its cells have
        no meaning here or not the one that is asked for.
    """
    read = _cells(series)
    if read.form == "dates":
        if asked is None and not chosen:
            return LeftOut(DATES)
        raise ValueError(f"holds {DATES}: convert them to numbers or drop it")
    if read.form == "numbers":
        return _read_numbers(read.cells, str(series.name), asked, chosen, weight)
    known = read.cells.dropna()
    distinct = known.nunique()
    if read.form == "text" and asked is None:
        _reject_numbers_as_text(known)
    if asked is None and len(known):
        reason = _unread(read.form, distinct, len(known))
        if reason and chosen:
            name = str(series.name)
            raise ValueError(
                f"holds {reason}: drop it, or read it as classes by "
                f"kinds={{{name!r}: 'categorical'}}"
            )
        if reason:
            return LeftOut(reason)
    if asked in (Kind.CONTINUOUS, Kind.COUNT):
        raise ValueError(
            f"holds text or classes and is to be {asked.name.lower()}: convert it to "
            "numbers"
        )
    if asked is Kind.ORDINAL and read.form != "ordered":
        raise ValueError(
            "is to be ordinal and has no order: make it an ordered pandas Categorical, "
            "or numbers"
        )
    if asked is Kind.BINARY and distinct != 2:
        raise ValueError(f"is to be binary and has {distinct} distinct values")
    if read.form == "ordered" and asked in (None, Kind.ORDINAL):
        present = set(known)
        levels = tuple(level for level in read.order if level in present)
        kind = Kind.BINARY if distinct == 2 and asked is None else Kind.ORDINAL
    else:
        levels = _by_frequency(read.cells, weight)
        kind = Kind.BINARY if distinct == 2 and asked is None else Kind.CATEGORICAL
        kind = kind if asked is None else asked
    return Column(_coded(read.cells, levels), kind, levels)


def code_column(series: pd.Series, levels: tuple) -> np.ndarray:
    """Reads a column of new rows as a fit has read it.

    Args:
      series: the column.
      levels: of the fit's ``Column``.

    Returns:
      ``[n]`` float64, NaN where a cell is missing.

    Raises:
      ValueError: with what follows the column's name in a message, if a class is new
        or cells are no numbers.
    """
    read = _cells(series)
    if not levels:
        if read.form != "numbers":
            raise ValueError(
                f"is of type {series.dtype}, not numeric as it was in fit: convert it "
                "to numbers"
            )
        return read.cells.to_numpy()
    values = _coded(read.cells, levels)
    new = np.flatnonzero(np.isnan(values) & read.cells.notna().to_numpy())
    if len(new):
        cell = _plain(read.cells.iloc[new[0]])
        raise ValueError(
            f"holds {cell!r} (row {new[0]}), a class that fit has not seen: there are "
            f"{list(levels)}"
        )
    return values


def _cells(series):
    """The cells in one of few forms."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        cells = pd.Series(series.astype(object).to_numpy(), dtype=object)
        form = "ordered" if dtype.ordered else "classes"
        return _Cells(form, cells, tuple(categories) if dtype.ordered else ())
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError("is of type complex, not numeric: convert it to real numbers")
    if pd.api.types.is_numeric_dtype(dtype):  # booleans among them
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return _Cells("numbers", pd.Series(values))
    if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype):
        return _Cells("dates", series)
    cells = pd.Series(series.to_numpy(dtype=object, na_value=np.nan), dtype=object)
    known = cells.dropna()
    types = {type(cell) for cell in known}
    if all(issubclass(one, _NUMBERS) for one in types):
        try:
            return _Cells("numbers", cells.astype(np.float64))
        except OverflowError:
            raise ValueError(
                "holds a number beyond 1e308: replace it or drop the column"
            ) from None
    if all(issubclass(one, str) for one in types):
        blank = cells.map(lambda cell: isinstance(cell, str) and not cell.strip())
        return _Cells("text", cells.mask(blank.astype(bool), np.nan))
    if all(_DATES.search(one.__name__) for one in types):
        return _Cells("dates", cells)
    raise ValueError(
        f"holds cells of the types {sorted(one.__name__ for one in types)}: convert "
        "them to numbers or text, or drop it"
    )


class Factors(NamedTuple):
    """Cells of a part of a column, their distinct values numbered."""

    form: str  # "numbers", "text", "classes", "ordered" or "other"
    values: np.ndarray  # [n] float64 for numbers, else objects; NaN where missing
    codes: np.ndarray | None  # [n] int, places in levels; -1 where missing
    levels: list  # distinct values in the order of their first rows
    gaps: int  # missing cells
    order: tuple = ()  # of ordered classes


def factors(series: pd.Series, *, counted: bool) -> Factors:
    """Numbers the distinct values of a part of a column.

    Args:
      series: the part.
      counted: False leaves ``codes`` out where cells are numbers, which saves time.

    Returns:
      The cells, as ``read_column`` takes them; of form "other" what it leaves out or
      rejects.
    """
    numeric = pd.api.types.is_numeric_dtype(series.dtype)
    if numeric and not pd.api.types.is_complex_dtype(series.dtype):
        values = series.to_numpy(np.float64, na_value=np.nan)
        return _numbered(values, counted)
    gap = series.isna().to_numpy()
    other = Factors("other", series.astype(object).to_numpy(), None, [], gap.sum())
    try:
        codes, distinct = pd.factorize(series)
        read = _cells(pd.Series(distinct))
    except (TypeError, ValueError):  # of which ``read_column`` says more
        return other
    if read.form == "dates":
        return other
    levels = np.append(read.cells.to_numpy(), [np.nan])
    values = levels[codes]
    if read.form == "numbers":
        return _numbered(values.astype(np.float64), counted)
    blank = pd.isna(levels)
    place = np.where(blank, -1, np.cumsum(~blank) - 1)
    known = [_plain(level) for level in levels[~blank]]
    codes = place[codes]
    gaps = int((codes < 0).sum())
    return Factors(read.form, values, codes, known, gaps, read.order)


def _numbered(values, counted):
    # Only if the least cell is missing, one is.
    gaps = int(np.isnan(values).sum()) if np.isnan(values.min()) else 0
    if not counted:
        return Factors("numbers", values, None, [], gaps)
    codes, levels = pd.factorize(values)
    return Factors("numbers", values, codes, levels.tolist(), gaps)


def _read_numbers(cells, name, asked, chosen, weight):
    values = cells.to_numpy(np.float64)
    finite = values[np.isfinite(values)]
    distinct = np.unique(finite)
    whole = bool(len(distinct)) and (distinct == np.round(distinct)).all()
    if asked is Kind.COUNT and not (whole and distinct[0] >= 0):
        raise ValueError(
            "is to be a count and holds other numbers than 0, 1, 2 and so on"
        )
    if asked is Kind.BINARY and len(distinct) != 2:
        raise ValueError(f"is to be binary and has {len(distinct)} distinct values")
    if asked in (Kind.ORDINAL, Kind.CATEGORICAL):
        if not np.isfinite(values[~np.isnan(values)]).all():
            raise ValueError("holds infinite cells: replace them by NaN")
        levels = tuple(map(_plain, distinct))
        if asked is Kind.CATEGORICAL:
            levels = _by_frequency(cells, weight)
        return Column(_coded(cells, levels), asked, levels)
    if asked is not None:
        return Column(values, asked)
    identifies = whole and len(distinct) == len(values) >= _LEAST_ROWS
    if identifies and not chosen and _is_identifier(values, name):
        return LeftOut("an identifier: another whole number in every row")
    if len(distinct) == 2:
        return Column(values, Kind.BINARY)
    count = whole and distinct[0] >= 0 and len(distinct) > _FEW_VALUES
    few = whole and 2 < len(distinct) <= _FEW_VALUES
    return Column(values, Kind.COUNT if count else Kind.CONTINUOUS, few=few)


def _is_identifier(values, name):
    """Whether whole numbers, all different, run on or are called an identifier.

    Values that differ are not enough: incomes do, in a table of some hundred rows.
    """
    steps = np.diff(values)
    words = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return bool(
        (steps > 0).all()
        or (steps < 0).all()
        or np.ptp(values) == len(values) - 1
        or _ID_WORDS & set(words)
    )


def _unread(form, distinct, count):
    """Why text or classes are no variable, or None."""
    if distinct == count > 1:
        what = "text" if form == "text" else "class"
        return f"an identifier: another {what} in every row"
    if form == "text" and distinct > 1:
        if distinct > _MOST_CLASSES:
            return f"free text: {distinct} distinct values"
        if distinct > count / 2:
            return f"free text: {distinct} distinct values in {count} rows"
    return None


def _reject_numbers_as_text(known):
    distinct = known.drop_duplicates()
    if len(distinct) <= 2:
        return
    parsed = pd.to_numeric(distinct, errors="coerce")
    commas = distinct.map(lambda cell: bool(_COMMA.fullmatch(cell)))
    if (parsed.notna() | commas).all() and commas.any():
        raise ValueError(
            "holds numbers with decimal commas as text: read the file with decimal=',' "
            "(--decimal ',' on the command line)"
        )
    if len(distinct) <= _MOST_CLASSES and len(distinct) <= len(known) / 2:
        return
    if parsed.notna().all() and (parsed % 1 != 0).any():
        raise ValueError("holds numbers as text: convert it with pandas.to_numeric")
    wrong = distinct[parsed.isna()]
    if 0 < len(wrong) <= len(distinct) / 2:
        cells = known.isin(wrong)
        row = int(known.index[cells.to_numpy().argmax()])
        raise ValueError(
            f"holds text among numbers ({int(cells.sum())} cells, the first "
            f"{known.loc[row]!r} in row {row}): replace it by NaN or "
            "by numbers, or drop the column"
        )


def _by_frequency(cells, weight):
    """Classes by falling frequency, then by their labels."""
    codes, labels = pd.factorize(cells)
    weight = np.ones(len(cells)) if weight is None else weight
    mass = np.bincount(codes[codes >= 0], weight[codes >= 0], len(labels))
    plain = [_plain(label) for label in labels]
    order = sorted(range(len(plain)), key=lambda k: (-mass[k], str(plain[k])))
    return tuple(plain[k] for k in order)


def _coded(cells, levels):
    codes = {level: code for code, level in enumerate(levels)}
    pairs = zip(cells, cells.isna(), strict=True)
    coded = [np.nan if gap else codes.get(cell, np.nan) for cell, gap in pairs]
    return np.array(coded, np.float64)


def _plain(label) -> Any:
    """A label of Python's own types; whole numbers are ints."""
    label = label.item() if isinstance(label, np.generic) else label
    whole = isinstance(label, float) and label.is_integer()
    return int(label) if whole else label
