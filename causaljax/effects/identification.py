"""Whether a graph with open directions and hidden causes tells an effect."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from causaljax.effects.adjustment import adjustment_set, on_causal_paths, reachable

_MOST_OPEN = 12  # edges of open direction at the cause


class Possibility(NamedTuple):
    """What one reading of the open edges at the cause says of an effect."""

    causes: frozenset[int]  # the variables that are causes of the cause
    reaches: bool  # whether a directed path leads from cause to outcome
    given: frozenset[int] | None  # the adjustment set; None if there is none
    between: frozenset[int]  # variables on the directed paths, and the outcome


class Identification(NamedTuple):
    """Whether, and by what, a graph tells an effect.

    ``possible`` has one entry for each way to direct the open edges at the cause. The
    effect is identified if all of them agree and there is no ``reason`` against it.
    """

    possible: tuple[Possibility, ...]
    reason: str  # why the effect is not identified, or ""

    @property
    def identified(self) -> bool:
        """Whether one adjustment set, or the absence of paths, holds in all members."""
        return not self.reason


def identify(
    claims: np.ndarray,
    graph: np.ndarray,
    cause: int,
    outcome: int,
    names: list[str],
    hidden: np.ndarray | None = None,
) -> Identification:
    """Finds the adjustment set that all graphs of a class agree on.

    One member is looked at for each way to direct the open edges at the cause. If these
    members have one ``adjustment_set``, so have all of the class; if not, the class is
    not amenable: a path that may be causal begins with an open edge, and members differ
    in the effect. Where directions were doubted on the grounds of a test, the graphs
    that remain are no equivalence class; any acyclic way to direct the open edges then
    counts, and the set is that of the causes of the cause, which is valid whatever the
    other directions are.

    Args:
      claims: ``[d, d]`` bool, with a 1 at both places of an edge of open direction.
      graph: ``[d, d]`` bool, the one graph found, acyclic.
      cause: its place.
      outcome: its place.
      names: of the variables, for the reason.
      hidden: ``[d, d]`` bool, symmetric, pairs with a hidden common cause; or None.

    Returns:
      The identification.

    Source: Perkovic et al. 2018 (as in ``is_valid``), definition 53; Henckel, Perkovic
    and Maathuis 2022, theorem 3.13; for the members, Maathuis, Kalisch and Buehlmann
    2009, "Estimating high-dimensional intervention effects from observational data",
    and Perkovic, Kalisch and Maathuis 2017 for classes with knowledge.

    Example:
      >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
      >>> identify(chain | chain.T, chain, 0, 2, ["a", "b", "c"]).reason
      "the direction of 'a' --- 'b' is open"
    """
    claims, graph = np.asarray(claims, bool), np.asarray(graph, bool)
    if np.count_nonzero(claims[cause] & claims[:, cause]) > _MOST_OPEN:
        return Identification((), f"too many edges at {names[cause]!r} are open")
    is_class = _is_class(claims, graph)
    members = list(_members(claims, graph, cause, is_class))
    possible = []
    for member in members:
        causes = frozenset(np.flatnonzero(member[:, cause]).tolist())
        reaches = bool(reachable(member)[cause, outcome]) and outcome not in causes
        given = None
        if reaches:
            given = adjustment_set(member, cause, outcome, hidden)
            given = given if is_class else causes
        between = np.flatnonzero(on_causal_paths(member, cause, outcome))
        between = frozenset(between.tolist()) if reaches else frozenset()
        possible.append(Possibility(causes, reaches, given, between))
    answers = {(one.reaches, one.given) for one in possible}
    reason = ""
    if len(answers) > 1:
        reason = _open_edges(claims, members, cause, outcome, names)
    elif hidden is not None and any(one.reaches for one in possible):
        reason = _hidden_causes(graph, cause, outcome, names, hidden)
    return Identification(tuple(possible), reason)


def _members(claims, graph, cause, is_class) -> Iterator[np.ndarray]:
    """For each way to direct the open edges at the cause, a DAG of the class.

    Where there is no class, the other open edges stay open: directions that close no
    cycle always exist.
    """
    free = np.flatnonzero(claims[cause] & claims[:, cause])
    known = np.flatnonzero(claims[:, cause] & ~claims[cause])
    adjacent = claims | claims.T
    if is_class and not len(free):
        yield graph
        return
    for into in itertools.product((False, True), repeat=len(free)):
        into = np.array(into, bool)
        directed = claims.copy()
        directed[cause, free], directed[free, cause] = ~into, into
        if not is_class:
            if _is_acyclic(directed & ~directed.T):
                yield directed
            continue
        # A collider at the cause that the class does not have.
        causes = np.concatenate([free[into], known])
        apart = ~adjacent[np.ix_(free[into], causes)]
        apart &= free[into][:, None] != causes
        member = None if apart.any() else _extension(directed)
        if member is not None:
            yield member


def _is_class(claims, graph) -> bool:
    """Whether all colliders of the graph are claimed: it is a member of a class."""
    adjacent, directed = graph | graph.T, claims & ~claims.T
    for child in range(len(graph)):
        parents = np.flatnonzero(graph[:, child])
        apart = ~adjacent[np.ix_(parents, parents)]
        np.fill_diagonal(apart, False)
        if not directed[parents[apart.any(axis=1)], child].all():
            return False
    return True


def _is_acyclic(graph):
    reach = reachable(graph)
    return not (reach & reach.T & ~np.eye(len(graph), dtype=bool)).any()


def _extension(claims):
    """A DAG that directs the open edges without a new collider; None if there is none.

    Source: Dor and Tarsi 1992, "A simple algorithm to construct a consistent extension
    of a partially oriented graph".
    """
    rest, found = claims.copy(), claims & ~claims.T
    left = list(range(len(claims)))
    while left:
        for sink in left:
            out = rest[sink] & ~rest[:, sink]
            if out.any():
                continue
            around = rest[:, sink]
            adjacent = rest | rest.T
            joined = rest[sink]  # by open edges, as none leads out
            apart = around[None, :] & ~adjacent & ~np.eye(len(rest), dtype=bool)
            if apart[joined].any():
                continue
            found[joined, sink] = True
            rest[sink], rest[:, sink] = False, False
            left.remove(sink)
            break
        else:
            return None
    return found


def _open_edges(claims, members, cause, outcome, names):
    """Says which open edges at the cause may begin a causal path."""
    begin = [
        k
        for k in np.flatnonzero(claims[cause] & claims[:, cause]).tolist()
        if any(one[cause, k] and reachable(one)[k, outcome] for one in members)
    ]
    # In graphs of doubt an open edge may matter by what is adjusted for alone.
    begin = begin or np.flatnonzero(claims[cause] & claims[:, cause]).tolist()
    edges = " and ".join(f"{names[cause]!r} --- {names[k]!r}" for k in begin)
    verb = "are" if len(begin) > 1 else "is"
    what = "directions" if len(begin) > 1 else "direction"
    return f"the {what} of {edges} {verb} open"


def _hidden_causes(graph, cause, outcome, names, hidden):
    """Says which hidden causes leave no valid adjustment set, or ""."""
    if adjustment_set(graph, cause, outcome, hidden) is not None:
        return ""
    reach = reachable(graph)
    before = reach[:, cause] | reach[:, outcome]
    pairs = [
        (i, j)
        for i, j in np.argwhere(np.triu(hidden, 1)).tolist()
        if before[i] and before[j]
    ]
    alone = []
    for i, j in pairs:
        fewer = hidden.copy()
        fewer[i, j] = fewer[j, i] = False
        if adjustment_set(graph, cause, outcome, fewer) is not None:
            alone.append((i, j))
    shown = " and ".join(
        f"{names[i]!r} <-> {names[j]!r}" for i, j in (alone or pairs)[:3]
    )
    return (
        f"a hidden common cause is likely ({shown}), and no columns of the table close "
        "the path through it"
    )
