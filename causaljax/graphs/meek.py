"""Directions that follow from others: Meek's rules on the host, with knowledge.

``causaljax.graphs.cpdag`` has what can be traced, for a DAG that is known. Here the
graph comes from a search: it may contradict itself, and triples may be undecided.
"""

import numpy as np

from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import to_graph, unshielded_triples
from causaljax.graphs.members import members


def pattern(graph: np.ndarray) -> np.ndarray:
    """A graph with its unshielded colliders directed, and all else open.

    Args:
      graph: ``[d, d]`` bool, directed or partially directed.

    Returns:
      ``[d, d]`` bool; an open edge has a 1 at both places. Of two DAGs it is the same
      if and only if they are Markov equivalent.

    Source: Verma and Pearl 1990.
    """
    graph = np.asarray(graph, bool)
    joined, told = graph | graph.T, graph & ~graph.T
    a, b, c = unshielded_triples(joined).T
    collides = told[a, b] & told[c, b]
    into = np.zeros_like(graph)
    into[a[collides], b[collides]] = into[c[collides], b[collides]] = True
    return joined & ~into.T


def completed(graph: np.ndarray) -> np.ndarray:
    """The CPDAG of a DAG, as ``graphs.cpdag.dag_to_cpdag`` gives it, on the host.

    Args:
      graph: ``[d, d]`` bool, acyclic.

    Returns:
      ``[d, d]`` bool; an undirected edge has a 1 at both places.

    Example:
      >>> completed([[0, 1, 0], [0, 0, 1], [0, 0, 0]]).astype(int).tolist()
      [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    return close(pattern(graph))


def close(
    graph: np.ndarray,
    noncolliders: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Directs the open edges whose direction follows from that of others.

    The rules look for a direction that alone makes neither a directed cycle nor a new
    unshielded collider. Only open edges are directed: what comes in directed, by a
    collider or by knowledge, goes out so. A direction is not taken if it is forbidden,
    if the rules ask for its reverse as well, or if it would close a directed cycle.
    The two latter happen where the graph contradicts itself, as one of finite data may;
    the edge then stays open.

    Args:
      graph: ``[d, d]`` bool; an open edge has a 1 at both places.
      noncolliders: ``[t, 3]`` int, unshielded triples (a, b, c) that are known to be no
        colliders at b. None is all that ``graph`` does not direct as colliders. Rules
        1, 3 and 4 say nothing of triples that are not among them.
      allowed: ``[d, d]`` bool, directions that knowledge permits; None is all.

    Returns:
      ``[d, d]`` bool.

    Source: Meek 1995, "Causal inference and causal explanation with background
    knowledge", rules R1 to R4; Colombo and Maathuis 2014 for undecided triples.

    Example:
      >>> graph = [[0, 1, 0], [0, 0, 1], [0, 1, 0]]  # 0 -> 1 - 2
      >>> close(graph).astype(int).tolist()
      [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    graph = np.array(graph, bool)
    if noncolliders is None:
        noncolliders = _noncolliders(graph)
    may = np.ones_like(graph) if allowed is None else np.asarray(allowed, bool)
    closed = _sweep(graph, noncolliders, may, careful=False)
    if _cyclic(closed & ~closed.T) and not _cyclic(graph & ~graph.T):
        closed = _sweep(graph, noncolliders, may, careful=True)
    return closed


def _sweep(graph, noncolliders, may, careful):
    graph, joined = graph.copy(), graph | graph.T
    contradicted = np.zeros_like(graph)
    a, b, c = np.concatenate([noncolliders, noncolliders[:, ::-1]]).T
    while True:
        told, loose = graph & ~graph.T, graph & graph.T
        new = np.zeros_like(graph)
        left = loose[b, c]  # triples of which the edge b - c can still be told
        a, b, c = a[left], b[left], c[left]
        # 1: a -> b - c, else a new collider at b.
        hit = told[a, b]
        new[b[hit], c[hit]] = True
        # 2: i -> k -> j, else a cycle.
        new |= loose & exists(told, told)
        # 3: b - a and b - c; where a -> k <- c, b -> k, else a new collider at b.
        pair = loose[a, b] & (a < c)
        i, j, k = a[pair], b[pair], c[pair]
        triple, sink = np.nonzero(told[i] & told[k] & loose[j])
        new[j[triple], sink] = True
        # 4: b - a and b - c; where a -> k -> c, k joined with b, b -> c likewise.
        pair = loose[a, b]
        i, j, k = a[pair], b[pair], c[pair]
        hit = (told[i] & told[:, k].T & joined[j]).any(axis=1)
        new[j[hit], k[hit]] = True
        new &= loose & may & ~contradicted
        contradicted |= new & new.T
        new &= ~contradicted
        if careful:
            closing = new & ancestors(told | new).T
            contradicted |= closing | closing.T
            new &= ~closing
        if not new.any():
            return graph
        graph &= ~new.T


def with_knowledge(
    graph: np.ndarray, allowed: np.ndarray, required: np.ndarray
) -> np.ndarray:
    """Directs the open edges whose direction is known beforehand.

    Args:
      graph: ``[d, d]`` bool; an open edge has a 1 at both places.
      allowed: ``[d, d]`` bool, False where an edge is forbidden.
      required: ``[d, d]`` bool, True where an edge is demanded; a subset of
        ``allowed``.

    Returns:
      ``[d, d]`` bool: required edges are there as required; pairs that are forbidden
      both ways are apart; an open edge forbidden one way is directed the other way.
    """
    allowed, required = np.asarray(allowed, bool), np.asarray(required, bool)
    graph = np.asarray(graph, bool)
    return (graph & allowed & ~required.T) | required


def is_cpdag(marks: np.ndarray) -> bool:
    """Whether marks are those of a Markov equivalence class of DAGs.

    Args:
      marks: ``[d, d]`` int.

    Raises:
      ValueError: if they are no matrix of end marks.

    Example:
      >>> is_cpdag([[0, 2, 0], [1, 0, 1], [0, 2, 0]])  # 0 -> 1 <- 2
      True
      >>> is_cpdag([[0, 2, 0], [1, 0, 2], [0, 1, 0]])  # 0 -> 1 -> 2
      False
    """
    try:
        graph = to_graph(marks)
    except ValueError as error:
        if "neither" in str(error):
            return False
        raise
    if next(members(graph), None) is None:
        return False
    return bool((completed(graph) == graph).all())


def exists(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``[i, j]`` True if some k has first[i, k] and second[k, j]."""
    return first.astype(np.float32) @ second.astype(np.float32) > 0


def _noncolliders(graph):
    told = graph & ~graph.T
    triples = unshielded_triples(graph | graph.T)
    a, b, c = triples.T
    return triples[~(told[a, b] & told[c, b])]


def _cyclic(graph):
    left = np.ones(len(graph), bool)
    while True:
        # Without a parent that is left, a variable is on no cycle.
        inner = left & (graph & left[:, None]).any(axis=0)
        if (inner == left).all():
            return bool(left.any())
        left = inner
