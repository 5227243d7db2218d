"""The DAGs that a partially directed graph stands for, one after another.

Nothing here is traced: how many there are depends on the graph. Sets of variables are
the bits of integers.
"""

from collections.abc import Iterator

import numpy as np

from causaljax.graphs.dags import ancestors


def members(graph: np.ndarray) -> Iterator[np.ndarray]:
    """The DAGs without colliders of their own that a graph stands for.

    A DAG is a member if it joins the same pairs, keeps all directed edges, and has no
    collider a -> c <- b, a and b apart, but those that the graph has directed. The
    members of a CPDAG are its Markov equivalence class. If a graph has a member, each
    edge that Meek's four rules leave open can be directed either way. No search is in
    vain therefore, and the time from one member to the next is polynomial.

    Args:
      graph: ``[d, d]`` bool; an undirected edge has a 1 at both places.

    Returns:
      Iterator of ``[d, d]`` bool, empty if the graph stands for no DAG. Of two members,
      look at the first pair i < j, row by row, that they direct differently: the one
      with i -> j comes first.

    Source: Dor and Tarsi 1992 for whether there is one; Meek 1995 for the rules, whose
    theorem 4 says that they are complete.

    Example:
      >>> chain = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
      >>> [np.argwhere(dag).tolist() for dag in members(chain)]
      [[[0, 1], [1, 2]], [[1, 0], [1, 2]], [[1, 0], [2, 1]]]
    """
    graph = np.asarray(graph, bool)
    if graph.diagonal().any() or not _extends(graph):
        return
    told = graph & ~graph.T
    start = _Partial(
        _bits(graph | graph.T), _bits(told), _bits(told.T), _bits(graph & graph.T)
    )
    waiting = [(start, np.argwhere(told).tolist())]
    while waiting:
        partial, edges = waiting.pop()
        partial.follow(edges)
        pair = partial.first_open()
        if pair is None:
            yield partial.matrix()
        else:
            # The last that waits is taken first.
            waiting += [(partial.copy(), [pair[::-1]]), (partial, [pair])]


def extension(graph: np.ndarray) -> np.ndarray:
    """One DAG with the edges of a graph, the directed ones as they are.

    It is the first of ``members``. Where there is none, as of a graph of finite data
    that contradicts itself, open edges point at the variable of more ancestors, and may
    make colliders.

    Args:
      graph: ``[d, d]`` bool; an undirected edge has a 1 at both places, and directed
        edges make no cycle.

    Returns:
      ``[d, d]`` bool.

    Example:
      >>> square = np.roll(np.eye(4, dtype=bool), 1, axis=0)  # 0 - 3 - 2 - 1 - 0
      >>> np.argwhere(extension(square | square.T)).tolist()
      [[0, 1], [0, 3], [1, 2], [2, 3]]
    """
    graph = np.asarray(graph, bool)
    found = next(members(graph), None)
    if found is not None:
        return found
    number = ancestors(graph & ~graph.T).sum(axis=0)
    place = np.lexsort((np.arange(len(graph)), number)).argsort()
    return graph & (~graph.T | (place[:, None] < place[None]))


class _Partial:
    """A partially directed graph: children, parents and open neighbours of each."""

    def __init__(self, joined, children, parents, near):
        self.joined = joined  # children, parents and near; never changes
        self.children, self.parents, self.near = children, parents, near

    def copy(self):
        sets = self.children, self.parents, self.near
        return _Partial(self.joined, *map(list, sets))

    def first_open(self):
        for i, others in enumerate(self.near):
            later = others >> (i + 1)
            if later:
                return i, i + 1 + next(_places(later))
        return None

    def follow(self, edges):
        """Directs edges, and what Meek's four rules tell from them, and so on."""
        while edges:
            i, j = edges.pop()
            self.near[i] &= ~(1 << j)
            self.near[j] &= ~(1 << i)
            self.children[i] |= 1 << j
            self.parents[j] |= 1 << i
            # The open edges that a rule may tell from this one, the fourth the last.
            near = [(k, m) for k in (i, j) for m in _places(self.near[k])]
            near += [pair[::-1] for pair in near]
            near += [
                (k, m) for k in _places(self.near[i]) for m in _places(self.children[j])
            ]
            edges += [
                (k, m) for k, m in near if self.near[k] >> m & 1 and self.must(k, m)
            ]

    def must(self, i, j):
        """Whether a rule directs the open edge i - j to i -> j."""
        joined, into, near = self.joined, self.parents[j], self.near[i]
        if self.parents[i] & ~joined[j]:  # else a new collider at i
            return True
        if self.children[i] & into:  # else a cycle
            return True
        for k in _places(near & into):
            # k and another are open to i and point at j, but are apart.
            if near & into & ~joined[k] & ~(1 << k):
                return True
        apart = near & ~joined[j] & ~(1 << j)
        # i - l -> k -> j, where l and j are apart.
        return bool(apart) and any(
            apart & self.parents[k] for k in _places(joined[i] & into)
        )

    def matrix(self):
        d = len(self.near)
        return np.array(
            [[row >> j & 1 for j in range(d)] for row in self.children], bool
        )


def _bits(matrix):
    return [sum(1 << int(j) for j in np.flatnonzero(row)) for row in matrix]


def _places(bits):
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def _extends(graph):
    """Whether the graph has a member.

    Source: Dor and Tarsi 1992.
    """
    rest, left = graph.copy(), list(range(len(graph)))
    while left:
        joined = rest | rest.T | np.eye(len(graph), dtype=bool)
        for k in left:
            open_edges, near = rest[k] & rest[:, k], joined[k].nonzero()[0]
            is_sink = not (rest[k] & ~rest[:, k]).any()
            if is_sink and joined[np.ix_(open_edges.nonzero()[0], near)].all():
                break
        else:
            return False
        rest[k] = rest[:, k] = False
        left.remove(k)
    return True
