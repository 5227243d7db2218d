"""What is asked about an effect: columns, values and classes, checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from causaljax.core.types import Kind
from causaljax.tables.frame import Columns
from causaljax.tables.knowledge import suggest


class Question(NamedTuple):
    """An effect that is asked about, of columns by their places."""

    cause: int
    outcome: int
    # (a, b): numbers, or codes of classes; None asks for one unit of the cause
    values: tuple[float, float] | None
    outcome_code: int | None  # of the class, of an outcome of classes
    named: tuple | None  # ``values`` as they are shown
    outcome_class: Any  # of ``outcome_code``, or None
    change: str  # of the cause, in words
    unit: str  # of the estimate, in words
    cautions: tuple[str, ...]


def ask(
    columns: Columns,
    cells: np.ndarray,
    cause: str,
    outcome: str,
    values: Sequence[Any] | None,
    outcome_class: Any,
) -> Question:
    """Reads what is asked about an effect.

    Args:
      columns: of the fit.
      cells: ``[n, d]`` float, the table, codes for classes, NaN where there is a gap.
      cause: a column.
      outcome: another.
      values: (a, b) of the cause, or None.
      outcome_class: of an outcome of classes, or None.

    Returns:
      The question. Without values it is about one unit of a cause of numbers, about the
      larger of two values against the smaller, and about the rarer of two classes
      against the other; without a class about the rarer of two.

    Raises:
      ValueError: if a name is no column's, both are one, values are no pair or do not
        fit the column, or a class must be named.
    """
    names = list(columns.names)
    for name in (cause, outcome):
        if name not in names:
            raise ValueError(
                f"effect: the fit has no column {name!r}; {suggest(name, names)}"
            )
    i, j = names.index(cause), names.index(outcome)
    if i == j:
        raise ValueError(
            f"effect: {cause!r} is named twice: name a cause and an outcome"
        )
    pair = _pair(columns, cells, i, values)
    levels, cautions = columns.levels[i], []
    if pair is None:
        named, change = None, f"for one unit more of {cause!r}"
    else:
        named = tuple(levels[int(v)] if levels else float(v) for v in pair)
        shown = [repr(v) if levels else f"{v:g}" for v in named]
        change = f"from {shown[0]} to {shown[1]}"
        if not levels:
            cautions = outside(
                cause, pair, np.nanmin(cells[:, i]), np.nanmax(cells[:, i])
            )
    code = _class(columns, j, outcome_class)
    unit, label = repr(outcome), None
    if code is not None:
        label = columns.levels[j][code]
        unit = f"the probability of {outcome!r} = {label!r}"
    return Question(i, j, pair, code, named, label, change, unit, tuple(cautions))


def outside(name: str, values: Sequence[float], low: float, high: float) -> list[str]:
    """Says which values lie outside those of a column, which go from low to high."""
    return [
        f"{name!r} = {value:g} is outside the table, which has {low:g} to {high:g}: "
        "what is said of it is an extrapolation"
        for value in dict.fromkeys(values)
        if not low <= value <= high
    ]


def _pair(columns, cells, place, values) -> tuple[float, float] | None:
    """Two numbers, or codes of classes; None for one unit."""
    name, levels = columns.names[place], columns.levels[place]
    if values is not None and (isinstance(values, str) or len(values) != 2):
        raise ValueError(
            f"effect: values must be a pair (a, b) of {name!r}, not {values!r}"
        )
    if levels and values is None and len(levels) != 2:
        raise ValueError(
            f"effect: {name!r} has the classes {list(levels)}: name two of them, "
            f"values=({levels[0]!r}, {levels[1]!r})"
        )
    if levels:
        first, second = levels[:2] if values is None else values
        pair = float(_code(levels, first, name)), float(_code(levels, second, name))
    elif values is not None:
        pair = _number(values[0], name), _number(values[1], name)
    elif columns.kinds[place] == Kind.BINARY:
        known = cells[:, place][~np.isnan(cells[:, place])]
        pair = float(known.min()), float(known.max())
    else:
        return None
    if pair[0] == pair[1]:
        raise ValueError(
            f"effect: the two values of {name!r} are one: name two that differ"
        )
    return pair


def _number(value, name):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"effect: {name!r} is set to {value!r}; give a finite number")
    return number


def _class(columns, place, wanted):
    """The code of a class of the outcome; None for an outcome of numbers."""
    name, levels = columns.names[place], columns.levels[place]
    if not levels:
        if wanted is not None:
            raise ValueError(
                f"effect: outcome_class has no meaning for {name!r}, which holds "
                "numbers: leave it out"
            )
        return None
    if wanted is None and len(levels) != 2:
        raise ValueError(
            f"effect: {name!r} has the classes {list(levels)}: name the one whose "
            f"probability is asked about, outcome_class={levels[0]!r}"
        )
    return 1 if wanted is None else _code(levels, wanted, name)


def _code(levels, value, name):
    """The code of a class, named by its label or by the label's text."""
    if value in levels:
        return levels.index(value)
    texts = [str(level) for level in levels]
    if str(value) in texts:
        return texts.index(str(value))
    raise ValueError(
        f"effect: {name!r} has no class {value!r}; its classes are {list(levels)}"
    )
