"""Graphs whose edges carry a mark at each end.

The convention, here once: ``marks[i, j]`` is the mark at j of the edge between i and j,
``Mark.NONE`` if they are not joined. So i -> j has an arrow at [i, j] and a tail at
[j, i], i <-> j has arrows at both, and i o-> j has an arrow at [i, j] and a circle at
[j, i].

Nothing here is traced: graphs with marks are small and are worked on by the host.
"""

import enum

import numpy as np
from jax.typing import ArrayLike

from causaljax.graphs.dags import ancestors


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


def may_point(marks: ArrayLike) -> np.ndarray:
    """``[.., d, d]`` bool, True where the edge of i and j, if any, may be i -> j.

    Of an edge of two tails, either direction may be.

    Args:
      marks: ``[.., d, d]`` int.
    """
    marks = np.asarray(marks)
    turned = marks.swapaxes(-1, -2)
    lines = (marks == Mark.TAIL) & (turned == Mark.TAIL)
    arrow = (marks == Mark.ARROW) | (marks == Mark.CIRCLE)
    return lines | (arrow & ((turned == Mark.TAIL) | (turned == Mark.CIRCLE)))


def direction_shares(marks: ArrayLike) -> np.ndarray:
    """How many of some graphs have an edge i -> j.

    An edge that may be i -> j and need not counts half.

    Args:
      marks: ``[s, d, d]`` int.

    Returns:
      ``[d, d]`` float.

    Example:
      >>> direction_shares([[[0, 2], [1, 0]], [[0, 3], [3, 0]]]).tolist()
      [[0.0, 0.75], [0.25, 0.0]]
    """
    marks = np.asarray(marks)
    told = (marks == Mark.ARROW) & (marks.swapaxes(-1, -2) == Mark.TAIL)
    return np.where(told, 1, 0.5 * may_point(marks)).mean(axis=0)


def consensus(marks: np.ndarray) -> np.ndarray:
    """What more than half of some graphs say.

    Two variables are joined if at least half of the graphs join them. An end has a tail
    or an arrow if more than half of the graphs that join the two have it, else a
    circle.

    Args:
      marks: ``[s, d, d]`` int; an open end is a circle.

    Returns:
      ``[d, d]`` int8.

    Example:
      >>> consensus([[[0, 2], [1, 0]], [[0, 2], [3, 0]]]).tolist()  # --> and o->
      [[0, 2], [3, 0]]
    """
    marks = np.asarray(marks)
    number = (marks != Mark.NONE).sum(axis=0)
    found = np.where(2 * number >= max(len(marks), 1), Mark.CIRCLE, Mark.NONE)
    for mark in (Mark.TAIL, Mark.ARROW):
        found[(found > 0) & (2 * (marks == mark).sum(axis=0) > number)] = mark
    return found.astype(np.int8)


def without_cycles(marks: np.ndarray) -> np.ndarray:
    """Marks of which those edges say nothing more that point along a cycle.

    Marks of finite data can contradict themselves. Both ends of each edge that can
    point one way only and lies on a cycle of such edges become circles.

    Args:
      marks: ``[d, d]`` int.

    Returns:
      ``[d, d]`` int8, as ``marks`` where there is no such cycle.

    Example:
      >>> without_cycles(from_graph([[0, 1, 0], [0, 0, 1], [1, 0, 0]])).tolist()
      [[0, 3, 3], [3, 0, 3], [3, 3, 0]]
    """
    marks = check_marks(marks)
    may = may_point(marks)
    one_way = may & ~may.T
    above = ancestors(one_way)
    cyclic = one_way & above.T
    marks[cyclic | cyclic.T] = Mark.CIRCLE
    return marks
