"""An effect from a graph and a table, with the doubt of both."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from causaljax.effects.identification import Possibility, identify
from causaljax.effects.question import Question
from causaljax.effects.regression import Fit, columns_of, indicators, regress
from causaljax.effects.result import Effect, interval


class Graphs(NamedTuple):
    """The graph found, and others that could have made the table."""

    claims: np.ndarray  # [d, d] bool, a 1 at both places of an open edge
    graph: np.ndarray  # [d, d] bool, acyclic
    hidden: np.ndarray | None  # [d, d] bool, pairs with a hidden common cause
    draws: Sequence[tuple[np.ndarray, np.ndarray]]  # (claims, graph) of each
    what: str  # these draws are, in words; "" if there are none


class Table(NamedTuple):
    """The rows that an effect is estimated from."""

    names: list[str]
    cells: np.ndarray  # [n, d] float, codes for classes, NaN where there is a gap
    hit: np.ndarray  # [n, d] bool, cells set from outside
    counts: list[int]  # of classes of each column; 0 for numbers


def estimate(
    question: Question,
    table: Table,
    graphs: Graphs,
    level: float,
    equations: Callable[[Question], Fit] | None = None,
) -> Effect:
    """The total effect of a cause, by adjustment, over graphs if there are several.

    In one graph the effect is that of a linear regression on the graph's adjustment
    set, 0 where no directed path leads from the cause to the outcome. Rows in which a
    variable on such a path was set from outside do not count. Over several graphs the
    estimate is the mean of theirs, and the interval that of the mixture of their
    distributions; a graph that leaves directions open counts with each way to direct
    them in equal shares.

    Args:
      question: what is asked.
      table: the rows.
      graphs: the graph found, which says whether the effect is identified, and draws.
      level: of the interval.
      equations: an estimate by structural equations, in place of regressions.

    Returns:
      The effect.

    Raises:
      ValueError: if the table does not allow the estimate.
    """
    if not 0 < level < 1:
        raise ValueError(
            f"effect: level must be above 0 and below 1, not {level!r}: give, for "
            "example, 0.9"
        )
    cause, outcome = question.cause, question.outcome
    found = identify(
        graphs.claims, graphs.graph, cause, outcome, table.names, graphs.hidden
    )
    said = {
        "cause": table.names[cause],
        "outcome": table.names[outcome],
        "change": question.change,
        "unit": question.unit,
        "identified": found.identified,
        "reaches": any(one.reaches for one in found.possible) or not found.possible,
        "level": level,
        "values": question.named,
        "outcome_class": question.outcome_class,
    }
    regressions = _Regressions(question, table)
    if not found.identified:
        possible: set[float] = set()
        if all(one.given is not None or not one.reaches for one in found.possible):
            possible = {regressions.fit(one)[0].estimate for one in found.possible}
        return Effect(
            **said,
            estimate=None,
            interval=None,
            reason=found.reason,
            possible=tuple(sorted(possible)),
            warnings=question.cautions,
        )
    first = found.possible[0]
    if equations is not None and first.reaches:
        fit, rows = equations(question), len(table.cells)
    else:
        fit, rows = regressions.fit(first)
    fits, weights, covers = [fit], np.ones(1), "the sampling of rows, given the graph"
    cautions, adjusted, method = list(question.cautions), None, "linear regression"
    if equations is None:
        cautions += regressions.cautions(first)
        if first.given is not None:
            adjusted = tuple(table.names[k] for k in sorted(first.given))
    if graphs.draws:
        fits, weights, covers, more = _over_draws(question, table, graphs, regressions)
        cautions += more
        method = "linear regression in each graph"
    elif not first.reaches:
        covers = "nothing: in this graph the effect is 0 whatever the rows"
        method = "the graph alone"
    elif equations is not None:
        method = "the structural equations"
    return Effect(
        **said,
        estimate=float(weights @ [one.estimate for one in fits]),
        interval=interval(fits, weights, level),
        adjusted_for=adjusted,
        method=method,
        covers=covers,
        rows=rows,
        warnings=tuple(cautions),
    )


def _over_draws(question, table, graphs, regressions):
    """Estimates in each of the draws, their weights, and what to say of them."""
    cause, outcome = question.cause, question.outcome
    fits, weights, without, lost = [], [], 0.0, 0
    for claims, graph in graphs.draws:
        one = identify(claims, graph, cause, outcome, table.names, graphs.hidden)
        known = [p for p in one.possible if p.given is not None or not p.reaches]
        if len(known) < len(one.possible) or not known:
            lost += 1
            continue
        for possibility in known:
            fits.append(regressions.fit(possibility)[0])
            weights.append(1 / len(known))
            without += (not possibility.reaches) / len(known)
    cautions, count = [], len(graphs.draws)
    if lost:
        cautions.append(
            f"in {lost} of {count} graphs the effect is not identified; they are left "
            "out"
        )
    if not fits:
        raise ValueError(
            f"effect: in none of {count} graphs is the effect of "
            f"{table.names[cause]!r} identified"
        )
    share = 1 - without / (count - lost)
    covers = (
        f"the sampling of rows and the doubt of the graph ({graphs.what}; in "
        f"{100 * share:.0f} % of them a directed path leads from cause to outcome)"
    )
    return fits, np.array(weights) / (count - lost), covers, cautions


class _Regressions:
    """Regressions of one question, each done once."""

    def __init__(self, question: Question, table: Table):
        self._question, self._table = question, table
        self._done: dict[tuple, tuple[Fit, int]] = {}

    def _key(self, possibility):
        return possibility.given, possibility.between

    def fit(self, possibility: Possibility) -> tuple[Fit, int]:
        """The estimate in a graph, and from how many rows."""
        if not possibility.reaches:
            return Fit(0.0, 0.0, 1), len(self._table.cells)
        key = self._key(possibility)
        if key not in self._done:
            self._done[key] = self._fit(possibility)
        return self._done[key]

    def cautions(self, possibility: Possibility) -> list[str]:
        """What to say of rows that do not count."""
        if not possibility.reaches:
            return []
        free, whole = self._rows(possibility)
        said = []
        for kept, what in (
            (free, "in which the outcome or a column on the way to it was set"),
            (whole | ~free, "with a gap in the columns of the regression"),
        ):
            if not kept.all():
                said.append(f"{np.count_nonzero(~kept)} rows {what} are left out")
        return said

    def _rows(self, possibility):
        """Rows in which nothing on the causal paths was set, and rows without gaps."""
        asked, table = self._question, self._table
        taken = [asked.cause, asked.outcome, *sorted(possibility.given)]
        free = ~table.hit[:, sorted(possibility.between)].any(axis=1)
        return free, ~np.isnan(table.cells[:, taken]).any(axis=1)

    def _fit(self, possibility):
        asked, table = self._question, self._table
        free, whole = self._rows(possibility)
        cells, given = table.cells[free & whole], sorted(possibility.given)
        cause = cells[:, asked.cause]
        count = table.counts[asked.cause]
        if count and asked.values is not None:  # which classes always have
            low, high = (int(code) for code in asked.values)
            treated = indicators(cause, count, base=low)
            contrast = np.zeros(count - 1)
            contrast[high - (high > low)] = 1
        else:
            change = 1.0 if asked.values is None else asked.values[1] - asked.values[0]
            treated, contrast = cause[:, None], np.array([change])
        values = cells[:, asked.outcome]
        if asked.outcome_code is not None:
            values = (values == asked.outcome_code).astype(np.float64)
        held = ", ".join(repr(table.names[k]) for k in given)
        fit = regress(
            values,
            treated,
            contrast,
            columns_of(cells, given, table.counts),
            collinear=(
                f"effect: {table.names[asked.cause]!r} does not vary as asked in the "
                "rows that count"
                + (f" once {held} is held fixed" if held else "")
                + ": ask about other values or columns"
            ),
        )
        return fit, len(cells)
