"""Why two columns are joined or not: what a fit leaves of its table, and the answer."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.special

from causaljax.core.types import Kind, Problem
from causaljax.tables import edges as edge_tables
from causaljax.tables.knowledge import suggest

_MOST = 1 << 22  # numbers that moments of sets of targets may take up
_CHUNK = 1 << 16  # rows at once
_FEWEST = 5  # rows of a class; those of fewer are put together
_RIDGE = 1e-9  # of variances of 1: columns that one another determine stay solvable
_LEAST = 1e-16  # of a prior's probabilities, for their log-odds
_PARTS = 3  # names that a sentence lists


class Evidence(NamedTuple):
    """Moments of a table and what was known of it, over its d columns.

    Rows are kept apart by which columns were set from outside in them (k such sets).
    A column of classes has a block of columns of indicators where the method reads
    classes; all others stand for themselves: m columns in all.
    """

    block: np.ndarray  # [m] int, the variable of each column, rising
    hit: np.ndarray  # [k, d] bool
    totals: np.ndarray  # [k, m, m] float, weight of the rows with both cells
    sums: np.ndarray  # [k, m, m] float, over these rows, of the first
    products: np.ndarray  # [k, m, m] float, over these rows
    told_apart: np.ndarray  # [d, d] bool, a row has one set from outside, one not
    allowed: np.ndarray  # [d, d] bool
    required: np.ndarray  # [d, d] bool
    prior: np.ndarray | None  # [d, d] float, of the user


def gather(
    problem: Problem,
    places: np.ndarray,
    *,
    classes: bool,
    prior: np.ndarray | None = None,
) -> Evidence:
    """Takes what ``explain`` needs from a table, so that the table need not be kept.

    Args:
      problem: its arrays numpy's.
      places: ``[d]`` int, the place in the problem of each column of the table.
      classes: whether the method reads classes as such.
      prior: ``[d, d]``, of the columns of the table, or None.

    Returns:
      The evidence, of the columns of the table. Of tables with so many sets of targets
      that it would be large it holds only rows without any.
    """
    real = problem.weight > 0
    x, weight = problem.x[real].astype(np.float64), problem.weight[real]
    observed, hit = problem.observed[real], problem.intervened[real]
    d = x.shape[1]
    whole = observed.all()
    columns, block = [], []
    for place, k in enumerate(places):
        own = x[:, k : k + 1]
        if classes and problem.kind[k] in (Kind.BINARY, Kind.CATEGORICAL):
            own = _indicators(own[:, 0])
        columns.append(own)
        block += [place] * own.shape[1]
    x, block = np.concatenate(columns, axis=1), np.array(block)
    observed, hit = observed[:, places[block]], hit[:, places]
    sets, code = np.zeros((1, d), bool), np.zeros(len(x), int)
    if hit.any():
        sets, code = np.unique(hit, axis=0, return_inverse=True)
        code = code.ravel()
    apart = (sets[:, :, None] & ~sets[:, None, :]).any(axis=0) if len(sets) > 1 else 0
    if sets.any() and len(sets) * len(block) ** 2 > _MOST:
        kept = np.asarray(~sets.any(axis=1))
        code, sets = np.where(kept[code], 0, -1), sets[kept]
    size = len(sets), len(block), len(block)
    totals, sums, products = (np.zeros(size) for _ in range(3))
    for k in range(len(sets)):
        rows = np.flatnonzero(code == k)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            w, cells = weight[part, None].astype(np.float64), x[part]
            if whole:
                totals[k] += w.sum()
                sums[k] += (w * cells).sum(axis=0)[:, None]
            else:
                there = observed[part].astype(np.float64)
                cells = cells * there
                totals[k] += (w * there).T @ there
                sums[k] += (w * cells).T @ there
            products[k] += (w * cells).T @ cells
    square = np.ix_(places, places)
    if problem.whole is not None and len(block) == d:
        totals[0], sums[0] = problem.whole.rows, 0
        products[0] = problem.whole.rows * np.asarray(problem.whole.covariance)[square]
    return Evidence(
        block=block,
        hit=sets,
        totals=totals,
        sums=sums,
        products=products,
        told_apart=np.zeros((d, d), bool) | apart | np.transpose(apart),
        allowed=np.array(problem.allowed)[square],
        required=np.array(problem.required)[square],
        prior=prior,
    )


def _indicators(codes):
    """Of all classes but the most frequent, rare ones put together: ``[n, >= 1]``."""
    values, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    kept = [k for k in np.argsort(-counts, kind="stable") if counts[k] >= _FEWEST]
    rare = [k for k in range(len(values)) if counts[k] < _FEWEST]
    groups = [[k] for k in kept]
    if rare and (counts[rare].sum() >= _FEWEST or not groups):
        groups.append(rare)
    elif rare:
        groups[-1] += rare
    found = [np.isin(place, group) for group in groups[1:]]
    return np.stack(found or [np.zeros(len(codes))], axis=1).astype(np.float64)


class Association(NamedTuple):
    """What joins two columns beside others, by a Gaussian model.

    ``nats`` is the log-likelihood ratio -n/2 log(1 - r^2), r the partial correlation;
    of blocks of classes ``n/2 log(|S_aP| |S_bP| / (|S_abP| |S_P|))``. Twice it is
    compared with chi squared of k_a k_b degrees of freedom.
    """

    correlation: float | None  # partial; None where one of the two is of classes
    nats: float
    p_value: float
    rows: float  # by weight, in which the effect was not set from outside
    widths: tuple[int, int]  # k_a, k_b: the columns of each


def association(
    evidence: Evidence, effect: int, cause: int, given: list[int]
) -> Association | None:
    """The association of two columns, the same others held fixed.

    Args:
      evidence: of the table.
      effect: a column; rows in which it was set from outside do not count.
      cause: another.
      given: further columns.

    Returns:
      None if there are too few rows.
    """
    rows = ~evidence.hit[:, effect]
    blocks = [np.flatnonzero(evidence.block == k) for k in (effect, cause, *given)]
    taken, widths = np.concatenate(blocks), (len(blocks[0]), len(blocks[1]))
    square = (slice(None), taken[:, None], taken[None, :])
    totals, sums, products = (
        array[square][rows].sum(axis=0)
        for array in (evidence.totals, evidence.sums, evidence.products)
    )
    n = totals.min(initial=np.inf)
    if not rows.any() or n <= len(taken) + 1:
        return None
    covariance = products / totals - (sums / totals) * (sums / totals).T
    sd = np.sqrt(np.maximum(np.diag(covariance), 0))
    sd[sd == 0] = 1
    correlation = covariance / np.outer(sd, sd)
    np.fill_diagonal(correlation, 1)
    if not (totals == totals[0, 0]).all():  # of gaps: pairs have rows of their own
        values, vectors = np.linalg.eigh(correlation)
        correlation = (vectors * np.maximum(values, _RIDGE)) @ vectors.T
    correlation = correlation + _RIDGE * np.eye(len(taken))
    a, b = np.arange(widths[0]), np.arange(widths[0], sum(widths))
    rest = np.arange(sum(widths), len(taken))

    def log_det(*parts):
        index = np.concatenate(parts)
        return np.linalg.slogdet(correlation[np.ix_(index, index)])[1]

    ratio = log_det(a, b, rest) + log_det(rest) - log_det(a, rest) - log_det(b, rest)
    nats = max(-n / 2 * ratio, 0.0)
    partial = None
    if widths == (1, 1):
        precision = np.linalg.inv(correlation)
        scale = np.sqrt(precision[0, 0] * precision[1, 1])
        partial = float(-precision[0, 1] / scale)
    p_value = float(scipy.special.chdtrc(widths[0] * widths[1], 2 * nats))
    return Association(partial, float(nats), p_value, float(n), widths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why there is an edge between two columns, or none; ``print`` it.

    Attributes:
      source: as asked, or for an edge its source.
      target: likewise.
      mark: of ``tables.edges.MARKS``, or "" where nothing joins the two.
      probabilities: of source -> target and of target -> source.
      meaning: what kind of numbers these are.
      confounder_probability: of a hidden common cause, where the method has one.
      knowledge: what was known beforehand, a sentence each.
      prior: of source -> target and of target -> source, or None if none was given.
      given: the parents of the one of the two that is later in the graph, without the
        other. Where no edge joins the two, they separate them in the graph, unless it
        has ends that are not told.
      association: of the two, ``given`` held fixed, by a Gaussian model; None if there
        are too few rows.
      score_gain: nats by which the method's score is better with the edge than
        without it; None where the method has no score of single edges.
      direction: what tells the direction, or why it is open; "" if nothing is known.
      sentences: all of it in words.
    """

    source: str
    target: str
    mark: str
    probabilities: tuple[float, float]
    meaning: str
    confounder_probability: float | None
    knowledge: tuple[str, ...]
    prior: tuple[float, float] | None
    given: tuple[str, ...]
    association: Association | None
    score_gain: float | None
    direction: str
    sentences: tuple[str, ...] = ()

    def __str__(self):
        return "\n".join(self.sentences)


def explain(
    evidence: Evidence,
    edges: pd.DataFrame,
    edge_prob: pd.DataFrame,
    pair: tuple[str, str],
    *,
    info: Mapping[str, Any],
    confounders: np.ndarray | None,
    price: Callable[[Mapping[str, Any], Association, str], float | None],
) -> Explanation:
    """Why there is an edge between two columns of a fit, or none.

    Args:
      evidence: of the fit's table.
      edges: the edge table.
      edge_prob: ``[d, d]``, with the names of all columns on both axes.
      pair: two of these names.
      info: ``info_`` of the fit.
      confounders: ``[d, d]`` float, P(a hidden common cause), or None.
      price: nats that an edge costs, of ``info``, the association and the effect's
        name; None where the method has no Gaussian score of it.

    Returns:
      The explanation.

    Raises:
      ValueError: if a name is no column's, or both are one.
    """
    names = [str(name) for name in edge_prob]
    for name in pair:
        if name not in names:
            raise ValueError(
                f"explain: the fit has no column {name!r}; {suggest(name, names)}"
            )
    i, j = (names.index(name) for name in pair)
    if i == j:
        raise ValueError(f"explain: {pair[0]!r} is named twice: name two columns")
    rows = edges[edges[["source", "target"]].isin(pair).all(axis=1)].to_dict("records")
    edge = rows[0] if rows else {"mark": "", "why": ""}
    if edge["mark"] not in ("", edge_tables.CONFOUNDED):
        i, j = names.index(edge["source"]), names.index(edge["target"])
        cause, effect = i, j
    else:
        order = edge_tables.order(edges, names)
        cause, effect = sorted((i, j), key=lambda k: order.index(names[k]))
    graph = edge_tables.adjacency(edges, names).to_numpy()
    given = [k for k in np.flatnonzero(graph[:, effect]).tolist() if k != cause]
    found, prior, gain = (
        association(evidence, effect, cause, given),
        evidence.prior,
        None,
    )
    if found is not None:
        cost = price(info, found, names[effect])
        gain = None if cost is None else found.nats - cost
    if gain is not None and prior is not None:
        odds = np.clip(prior[cause, effect], _LEAST, 1 - _LEAST)
        gain += float(np.log(odds) - np.log1p(-odds))
    direction = edge["why"]
    for test in info.get("directions", ()):
        if (test["cause"], test["effect"]) == (names[i], names[j]):
            direction += (
                f" (residuals: p = {test['independence_p']:.2g}; the other direction "
                f"loses {test['direction_nats']:.3g} nats)"
            )
    prob = edge_prob.to_numpy()
    return _in_words(
        Explanation(
            source=names[i],
            target=names[j],
            mark=edge["mark"],
            probabilities=(float(prob[i, j]), float(prob[j, i])),
            meaning=info["edge_probabilities"],
            confounder_probability=(
                None if confounders is None else float(confounders[i, j])
            ),
            knowledge=_knowledge_of(evidence, names, i, j),
            prior=None if prior is None else (float(prior[i, j]), float(prior[j, i])),
            given=tuple(names[k] for k in given),
            association=found,
            score_gain=gain,
            direction=direction,
        ),
        separated=not (edge["mark"] or edges["mark"].isin(edge_tables.CIRCLED).any()),
    )


def _knowledge_of(evidence, names, i, j):
    found = []
    for a, b in ((i, j), (j, i)):
        edge = f"{names[a]} {edge_tables.DIRECTED} {names[b]}"
        if evidence.required[a, b]:
            found.append(f"The knowledge given requires {edge}.")
        elif not evidence.allowed[a, b]:
            found.append(f"The knowledge given forbids {edge}.")
    return tuple(found)


def _in_words(told, *, separated):
    """The explanation with its sentences."""
    a, b = told.source, told.target
    forward, backward = told.probabilities
    said = [f"{a} {told.mark} {b}" if told.mark else f"{a} and {b}: no edge"]
    if told.mark in edge_tables.CIRCLED:
        said.append(f"{told.mark}: {edge_tables.MARKS[told.mark]}.")
    said.append(
        f"Probability ({told.meaning}) of {a} --> {b}: {forward:.2f}; "
        f"of {b} --> {a}: {backward:.2f}."
    )
    if told.confounder_probability is not None:
        said.append(
            "Probability of a common cause that is not in the table: "
            f"{told.confounder_probability:.2f}."
        )
    said += told.knowledge
    if told.prior is not None:
        first, second = told.prior
        said.append(
            f"The prior gave {a} --> {b} {first:.2g} and {b} --> {a} {second:.2g}."
        )
    said += _of_association(told, separated)
    if told.score_gain is not None:
        word = "better" if told.score_gain >= 0 else "worse"
        verb = "is" if told.mark else "would be"
        said.append(
            f"With the edge the score {verb} {abs(told.score_gain):.4g} nats {word} "
            "than without it."
        )
    if told.direction:
        said.append(f"Direction: {told.direction}.")
    return dataclasses.replace(told, sentences=tuple(said))


def _of_association(told, separated):
    found = told.association
    if found is None:
        return ["There are too few rows to measure what joins the two."]
    others = ", ".join(told.given[:_PARTS])
    more = len(told.given) - _PARTS
    others += f" and {more} more" if more > 0 else ""
    given = f"Given {others}" if others else "Given nothing else"
    size = f"a log-likelihood ratio of {found.nats:.4g} nats"
    if found.correlation is not None:
        size = f"a partial correlation of {found.correlation:.3f}"
    separates = ", which separates them in the graph," if separated else ""
    return [
        f"{given}{separates} the two have {size} (linear Gaussian model, p = "
        f"{found.p_value:.2g}, {found.rows:.4g} rows)."
    ]
