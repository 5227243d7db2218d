"""Graphs whose edges carry a mark at each end.

The convention, here once: ``marks[i, j]`` is the mark at j of the edge between i and j,
``Mark.NONE`` if they are not joined. So i -> j has an arrow at [i, j] and a tail at
[j, i], i <-> j has arrows at both, and i o-> j has an arrow at [i, j] and a circle at
[j, i].

Nothing here is traced: graphs with marks are small and are worked on by the host.
"""

import enum

import numpy as np


class Mark(enum.IntEnum):
    """What stands at an end of an edge."""

    NONE = 0  # no edge
    TAIL = 1
    ARROW = 2
    CIRCLE = 3  # members of the class differ: a tail in some, an arrow in others


_DRAWN = {Mark.TAIL: "--", Mark.ARROW: "<>", Mark.CIRCLE: "oo"}


def check_marks(marks: np.ndarray) -> np.ndarray:
    """Makes sure that a matrix is one of end marks.

    Args:
      marks: ``[d, d]`` int.

    Returns:
      ``[d, d]`` int8, the same.

    Raises:
      ValueError: if it is not square, holds other numbers, joins a variable with
        itself, or marks an edge at one end only.
    """
    marks = np.asarray(marks)
    if marks.ndim != 2 or marks.shape[0] != marks.shape[1]:
        raise ValueError(f"marks must have shape [d, d], not {marks.shape}")
    if not np.isin(marks, list(Mark)).all():
        raise ValueError(f"marks must be numbers from {min(Mark)} to {max(Mark)}")
    if marks.diagonal().any():
        raise ValueError("marks join a variable with itself")
    lone = (marks != 0) & (marks.T == 0)
    if lone.any():
        i, j = np.argwhere(lone)[0]
        raise ValueError(f"the edge between {i} and {j} has a mark at {j} only")
    return marks.astype(np.int8)


def from_graph(graph: np.ndarray) -> np.ndarray:
    """The marks of a directed or partially directed graph.

    Args:
      graph: ``[d, d]`` bool; an undirected edge has a 1 at both places.

    Returns:
      ``[d, d]`` int8; undirected edges have two tails.

    Example:
      >>> from_graph([[0, 1, 0], [0, 0, 1], [0, 1, 0]]).tolist()
      [[0, 2, 0], [1, 0, 1], [0, 1, 0]]
    """
    graph = np.asarray(graph, bool)
    marks = np.where(graph | graph.T, Mark.TAIL, Mark.NONE)
    marks[graph & ~graph.T] = Mark.ARROW
    return marks.astype(np.int8)


def to_graph(marks: np.ndarray) -> np.ndarray:
    """The partially directed graph of marks that are tails and arrows.

    Args:
      marks: ``[d, d]`` int.

    Returns:
      ``[d, d]`` bool; an undirected edge, of two tails, has a 1 at both places.

    Raises:
      ValueError: if an edge is bidirected or has a circle.
    """
    marks = check_marks(marks)
    odd = (marks == Mark.CIRCLE) | ((marks == Mark.ARROW) & (marks.T == Mark.ARROW))
    if odd.any():
        i, j = np.argwhere(odd | odd.T)[0]
        raise ValueError(
            f"{i} {drawn(marks, i, j)} {j} is neither a directed nor an undirected edge"
        )
    return (marks == Mark.ARROW) | ((marks == Mark.TAIL) & (marks.T == Mark.TAIL))


def drawn(marks: np.ndarray, i: int, j: int) -> str:
    """An edge as three characters: ``-->``, ``<->``, ``o->``, ``o-o``, ``---``.

    Args:
      marks: ``[d, d]`` int.
      i: the variable on the left.
      j: the variable on the right, joined with it.
    """
    return _DRAWN[Mark(marks[j, i])][0] + "-" + _DRAWN[Mark(marks[i, j])][1]


def directed(marks: np.ndarray) -> np.ndarray:
    """``[d, d]`` bool, True where i -> j."""
    return (marks == Mark.ARROW) & (marks.T == Mark.TAIL)


def unshielded_triples(joined: np.ndarray) -> np.ndarray:
    """All a - b - c of which a and c are not joined.

    Args:
      joined: ``[d, d]`` bool, symmetric.

    Returns:
      ``[t, 3]`` int, rows (a, b, c) with a < c, sorted by b, then a, then c.
    """
    middle, end = np.nonzero(joined)
    degree = np.bincount(middle, minlength=len(joined))
    # Each end of an edge with all ends of the edges of the same middle.
    number = degree[middle]
    first = np.repeat(np.arange(len(middle)), number)
    begin = (np.cumsum(degree) - degree)[middle]
    within = np.arange(len(first)) - np.repeat(np.cumsum(number) - number, number)
    a, b, c = end[first], middle[first], end[np.repeat(begin, number) + within]
    kept = (a < c) & ~joined[a, c]
    return np.stack([a[kept], b[kept], c[kept]], axis=1)
