"""Adjustment sets: what to hold fixed so that an association is an effect."""

import networkx as nx
import numpy as np


def reachable(graph: np.ndarray) -> np.ndarray:
    """``[d, d]`` bool, True where a directed path leads from row to column, or none.

    Every variable reaches itself.
    """
    found = np.asarray(graph, bool) | np.eye(len(graph), dtype=bool)
    while True:
        steps = found.astype(np.float32)  # which is multiplied faster than bool is
        longer = steps @ steps > 0
        if (longer == found).all():
            return found
        found = longer


def on_causal_paths(graph: np.ndarray, cause: int, outcome: int) -> np.ndarray:
    """``[d]`` bool, variables on directed paths from cause to outcome, but the cause.

    The outcome is one of them if there is such a path.
    """
    reach = reachable(graph)
    found = reach[cause] & reach[:, outcome]
    found[cause] = False
    return found


def _reached(graph, members) -> np.ndarray:
    """``[d]`` bool, what members of a set ``[d]`` reach, themselves among it."""
    return np.logical_or.reduce(reachable(graph)[members], axis=0)


def optimal_set(graph: np.ndarray, cause: int, outcome: int) -> frozenset[int] | None:
    """The adjustment set of least asymptotic variance, where no cause is hidden.

        O = pa(cn) minus (de(cn) and the cause)

    cn are the variables ``on_causal_paths``, de those that they reach. Of all valid
    sets a linear regression on this one has the least asymptotic variance.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      cause: its place.
      outcome: its place.

    Returns:
      The set; None if no directed path leads from the cause to the outcome, so that
      the effect is 0 whatever the table holds.

    Source: Henckel, Perkovic and Maathuis 2022, "Graphical criteria for efficient total
    effect estimation via adjustment in causal linear models", definition 3.12.

    Example:
      >>> graph = np.zeros((4, 4), bool)  # 0 -> 1 -> 2 <- 3, and 3 -> 1
      >>> graph[[0, 1, 3, 3], [1, 2, 2, 1]] = True
      >>> sorted(optimal_set(graph, 1, 2))
      [3]
    """
    graph = np.asarray(graph, bool)
    between = on_causal_paths(graph, cause, outcome)
    if not between.any():
        return None
    parents = np.logical_or.reduce(graph[:, between], axis=1)
    found = parents & ~_reached(graph, between)
    found[cause] = False
    return frozenset(np.flatnonzero(found).tolist())


def is_valid(
    graph: np.ndarray,
    cause: int,
    outcome: int,
    given: frozenset[int],
    hidden: np.ndarray | None = None,
) -> bool:
    """Whether holding a set fixed leaves causal paths alone open, and all of them.

    The set must hold no variable that a causal path's members reach, and must separate
    cause and outcome where the first edges of causal paths are taken out.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      cause: its place.
      outcome: its place.
      given: the set.
      hidden: ``[d, d]`` bool, symmetric, pairs with a hidden common cause; or None.

    Source: Shpitser, VanderWeele and Robins 2010; Perkovic et al. 2018, "Complete
    graphical characterization and construction of adjustment sets in Markov equivalence
    classes of ancestral graphs", definition 55.
    """
    graph = np.array(graph, bool)
    between = on_causal_paths(graph, cause, outcome)
    after = _reached(graph, between)
    if any(after[k] or k == cause for k in given):
        return False
    graph[cause, between] = False
    network = nx.DiGraph(graph)
    if hidden is not None:
        for i, j in np.argwhere(np.triu(hidden, 1)).tolist():
            network.add_edges_from([((i, j), i), ((i, j), j)])
    return nx.is_d_separator(network, {cause}, {outcome}, set(given))


def adjustment_set(
    graph: np.ndarray, cause: int, outcome: int, hidden: np.ndarray | None = None
) -> frozenset[int] | None:
    """A valid adjustment set, if there is one.

    Without hidden causes it is the ``optimal_set``; with them that one if it is valid,
    else all ancestors of cause and outcome that no causal path's member reaches: this
    is valid if any set is.

    Args:
      graph: ``[d, d]`` bool, acyclic, with a directed path from cause to outcome.
      cause: its place.
      outcome: its place.
      hidden: as in ``is_valid``.

    Returns:
      The set; None if no set is valid.

    Source: van der Zander, Liskiewicz and Textor 2014, "Constructing separators and
    adjustment sets in ancestral graphs", theorem 2.
    """
    best = optimal_set(graph, cause, outcome)
    if hidden is None or not hidden.any() or best is None:
        return best
    reach = reachable(graph)
    after = _reached(graph, on_causal_paths(graph, cause, outcome))
    before = (reach[:, cause] | reach[:, outcome]) & ~after
    before[cause] = False
    for given in (best, frozenset(np.flatnonzero(before).tolist())):
        if is_valid(graph, cause, outcome, given, hidden):
            return given
    return None
