"""What a graph says about independence: d-separation and m-separation, on the host.

Sets of variables are the bits of integers.
"""

from collections.abc import Callable, Iterable

import numpy as np

from causaljax.graphs.marks import Mark, check_marks


class Separation:
    """Answers which pairs a graph separates given which sets.

    Two variables are m-connected given a set if a walk joins them on which every
    collider, a variable that two arrows meet, is in the set and no other inner variable
    is. Walks may turn back, so this is the definition by paths, where a collider may
    also have a descendant in the set. Of a DAG it is d-connection.

    Args:
      marks: ``[d, d]`` int, without circles: a DAG's (``marks.from_graph``), or those
        of an ancestral graph.
      observed: the variables that can be asked for, by their places in ``marks``, in
        the order that questions number them; None is all. Others are marginal.
      selected: variables that every question is given, by their places.

    Raises:
      ValueError: if a mark is a circle.

    Source: Richardson and Spirtes 2002, section 3.4; Pearl 1988.

    Example:
      >>> from causaljax.graphs.marks import from_graph
      >>> collider = Separation(from_graph([[0, 1, 0], [0, 0, 0], [0, 1, 0]]))
      >>> collider.separated(0, 2), collider.separated(0, 2, [1])
      (True, False)
    """

    def __init__(
        self,
        marks: np.ndarray,
        observed: Iterable[int] | None = None,
        selected: Iterable[int] = (),
    ):
        marks = check_marks(marks)
        if (marks == Mark.CIRCLE).any():
            raise ValueError("marks have circles: independence needs tails and arrows")
        d = len(marks)
        # Python's own numbers, whose bits are asked for.
        self._places = [int(k) for k in (range(d) if observed is None else observed)]
        self._always = _bits(selected)
        # Edges of v by the mark at v, then by the mark at the other end.
        self._leaving = [
            [
                [
                    _bits(np.flatnonzero((marks[:, v] == near) & (marks[v] == far)))
                    for far in (Mark.TAIL, Mark.ARROW)
                ]
                for near in (Mark.TAIL, Mark.ARROW)
            ]
            for v in range(d)
        ]
        self._known: dict[tuple[int, int], int] = {}

    def separated(self, x: int, y: int, given: Iterable[int] = ()) -> bool:
        """Whether the graph separates two variables.

        Args:
          x: one of the observed.
          y: another.
          given: observed variables, x and y not among them.
        """
        held = _bits(self._places[k] for k in given) | self._always
        return not self._connected(self._places[x], held) >> self._places[y] & 1

    def test(self) -> Callable[..., np.ndarray]:
        """A test of independence that knows the graph, as searches ask for.

        Returns:
          ``test(x [b], y [b], z [b, m], used [b, m]) -> log_p [b]``: 0 where the graph
          separates x and y given those of z that are used, minus infinity elsewhere.
        """

        def answer(x, y, z, used):
            found = np.full(len(x), -np.inf)
            for k, (i, j) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
                if i != j and self.separated(i, j, z[k][used[k]].tolist()):
                    found[k] = 0
            return found

        return answer

    def _connected(self, start, given):
        """Who is m-connected with one variable."""
        found = self._known.get((start, given))
        if found is None:
            found = self._known[start, given] = self._walk(start, given)
        return found

    def _walk(self, start, given):
        # Variables reached by an edge with a tail or an arrow at them, and those of
        # them from which no step was taken yet.
        reached, waiting = [0, 0], [1 << start, 0]
        while waiting[0] or waiting[1]:
            by_arrow = int(not waiting[0])
            bit = waiting[by_arrow] & -waiting[by_arrow]
            waiting[by_arrow] ^= bit
            inside, leaving = given & bit, self._leaving[bit.bit_length() - 1]
            if inside and not by_arrow:
                continue
            ways = []
            if not inside:
                ways.append(leaving[0])
            if by_arrow == bool(inside):  # a collider inside, or none outside
                ways.append(leaving[1])
            for way in ways:
                for mark in (0, 1):
                    new = way[mark] & ~reached[mark]
                    reached[mark] |= new
                    waiting[mark] |= new
        return reached[0] | reached[1]


def _bits(places):
    return sum(1 << int(k) for k in places)
