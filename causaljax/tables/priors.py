"""Probabilities of edges beforehand, from a matrix or from someone who is asked.

Whoever is asked, a person or a language model, is a function of the user's own; nothing
here talks to a network. ``ask_pairs`` asks of every pair of columns, d (d - 1) times,
``ask_breadth_first`` of every column, d + 1 times.

``LinearDAG`` and ``MixedDAG`` add logit(p) of each edge, in nats, to the score of a
graph (``causaljax.graphs.edge_probabilities.prior_log_odds``).

``NeuralDAG`` and ``LatentInterventionDAG`` add logit(p) to the log-odds of the edges
that a trained network and a linear search find in the table
(``causaljax.kernels.neural.candidates.informed``). Edges of more than .02 after that
are candidates; ``LatentInterventionDAG`` begins with the graph of those of more than
.5. So .5 says nothing, 0 rules an edge out, and .1 and .9 are beliefs that data can
overrule.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

PairQuestion = Callable[[str, str], float]
"""``(cause, effect)`` -> the probability that the one causes the other directly."""

Edges = tuple[tuple[str, str], ...]
EffectsQuestion = Callable[[str | None, tuple[str, ...], Edges], Iterable[str]]
"""``(cause, columns, edges)`` -> names: what the cause has direct effects on.

Where the cause is None, the question is which of the columns none of them causes. The
edges are those found so far.
"""


def edge_prior(prior: Any, names: Sequence[str]) -> np.ndarray:
    """Probabilities of edges, in the order of the columns.

    Args:
      prior: a DataFrame with the columns' names on both axes; an array ``[d, d]`` in
        the columns' order; causes as rows, the diagonal does not count. Or a
        ``PairQuestion``, which is asked as by ``ask_pairs``.
      names: of the d columns.

    Returns:
      ``[d, d]`` float64 in [0, 1].

    Raises:
      ValueError: if names, shape or numbers are wrong, with the pair.
    """
    names = list(names)
    if callable(prior):
        prior = ask_pairs(prior, names)
    if isinstance(prior, pd.DataFrame):
        named = prior.rename(index=str, columns=str)
        for axis, found in (("rows", named.index), ("columns", named.columns)):
            if sorted(found) != sorted(names):
                raise ValueError(
                    f"the {axis} of prior are {list(found)}: give those of the table, "
                    f"{names}"
                )
        prior = named.loc[names, names]
    try:
        values = np.asarray(prior, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"prior is {prior!r}: give a matrix of probabilities, causes as rows, or a "
            "function of a cause and an effect"
        ) from None
    if values.shape != (len(names),) * 2:
        raise ValueError(
            f"prior has shape {values.shape}: give a matrix of shape "
            f"{(len(names),) * 2}, causes as rows"
        )
    values = np.where(np.eye(len(names), dtype=bool), 0, values)
    for i, j in np.argwhere(~((values >= 0) & (values <= 1))):
        raise ValueError(
            f"prior holds {values[i, j]} for {names[i]!r} -> {names[j]!r}: give "
            "probabilities, numbers from 0 to 1"
        )
    return values


def ask_pairs(question: PairQuestion, names: Iterable[Any]) -> pd.DataFrame:
    """A prior from d (d - 1) questions, one for each cause and effect.

    ``prior=question`` asks the same at every fit; the DataFrame asks once.

    Args:
      question: see ``PairQuestion``. True and False are answers, too.
      names: the columns of the table.

    Returns:
      DataFrame ``[d, d]``, P(row causes column), 0 on the diagonal.

    Raises:
      ValueError: if an answer is no number from 0 to 1, with the pair.

    Example:
      >>> def question(cause, effect):
      ...     return 0.9 if cause == "age" else 0.1
      >>> ask_pairs(question, ["age", "bmi"])
           age  bmi
      age  0.0  0.9
      bmi  0.1  0.0
    """
    names = _distinct(names)
    prior = pd.DataFrame(0.0, index=names, columns=names)
    # The same questions in the same order, whatever the order of the columns.
    for cause in sorted(names):
        for effect in sorted(names):
            if cause != effect:
                prior.loc[cause, effect] = _probability(
                    question(cause, effect), f"the answer on {cause!r} -> {effect!r}"
                )
    return prior


def ask_breadth_first(
    question: EffectsQuestion,
    names: Iterable[Any],
    *,
    present: float = 0.9,
    absent: float = 0.1,
) -> pd.DataFrame:
    """A prior from d + 1 questions, asked from causes to effects.

    The first question is which columns no other causes. Then every column is visited,
    those first and what they cause behind them, and the question is what it causes.
    An edge that would close a cycle with those found so far is refused with a warning.
    What no answer leads to is visited at the end, so that all are asked about.

    Args:
      question: see ``EffectsQuestion``.
      names: the columns of the table.
      present: probability of an edge that an answer names.
      absent: probability of every other edge, of those refused, too. The defaults take
        the source to be right in nine of ten cases; what they do if it is right in six
        stands at ``causaljax.kernels.neural.candidates.informed``.

    Returns:
      DataFrame ``[d, d]``, P(row causes column), 0 on the diagonal. The edges of
      ``present`` are acyclic.

    Raises:
      ValueError: if an answer names no columns of the table, with the names.

    Source: Jiralerspong et al. 2024, "Efficient causal graph discovery using large
    language models". There the search ends with what answers lead to.

    Example:
      >>> effects = {None: ["age"], "age": ["bmi", "dose"], "bmi": [], "dose": ["bmi"]}
      >>> ask_breadth_first(lambda cause, *_: effects[cause], ["age", "bmi", "dose"])
            age  bmi  dose
      age   0.0  0.9   0.9
      bmi   0.1  0.0   0.1
      dose  0.1  0.9   0.0
    """
    names = _distinct(names)
    present, absent = (
        _probability(value, option)
        for value, option in ((present, "present"), (absent, "absent"))
    )
    columns = tuple(sorted(names))
    graph, refused, visited = nx.DiGraph(), [], set()
    graph.add_nodes_from(columns)
    queue = _answer(question, None, columns, graph)
    while len(visited) < len(columns):
        waiting = (name for name in (*queue, *columns) if name not in visited)
        cause = next(waiting)
        visited.add(cause)
        for effect in _answer(question, cause, columns, graph):
            if nx.has_path(graph, effect, cause):
                refused.append(f"{cause!r} -> {effect!r}")
            else:
                graph.add_edge(cause, effect)
                queue.append(effect)
    if refused:
        warnings.warn(
            f"{', '.join(refused)} would close a cycle with the answers before: left "
            "out",
            stacklevel=2,
        )
    prior = pd.DataFrame(absent, index=names, columns=names)
    for cause, effect in graph.edges:
        prior.loc[cause, effect] = present
    for name in names:
        prior.loc[name, name] = 0.0
    return prior


def _answer(question, cause, columns, graph):
    """The names of an answer, sorted."""
    found = question(cause, columns, tuple(graph.edges))
    asked = "which columns none causes" if cause is None else f"what {cause!r} causes"
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise ValueError(
            f"the answer to {asked} is {found!r}: give a list of names of columns"
        )
    answered = {str(name) for name in found}
    unknown = sorted(answered - set(columns))
    if unknown:
        raise ValueError(
            f"the answer to {asked} names {unknown}, which are no columns of the "
            f"table: give names out of {list(columns)}"
        )
    return sorted(answered)


def _distinct(names):
    if isinstance(names, str):
        raise ValueError(f"names is {names!r}: give the columns of the table")
    names = [str(name) for name in names]
    if len(set(names)) < len(names):
        raise ValueError(f"names holds one name twice, {names}: give each column once")
    return names


def _probability(value, what):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 <= number <= 1:
        raise ValueError(f"{what} is {value!r}: give a number from 0 to 1")
    return number
