"""Two graphs as one picture."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from causaljax.plot import drawing, graphs, style
from causaljax.tables.edges import ENDS, TAIL

_SAME, _OURS, _THEIRS = "in both", "only in {0}", "only in {1}"
_OTHERWISE = "in both, as in {0}; in {1} turned or of another mark"
_LOOKS = {  # colour and pattern
    _SAME: (style.BLACK, "-"),
    _OURS: (style.BLUE, "-"),
    _THEIRS: (style.ORANGE, "--"),
    _OTHERWISE: (style.PURPLE, ":"),
}


def comparison(
    a: Any,
    b: Any,
    *,
    labels: Sequence[str] = ("the first", "the second"),
    ax: Any = None,
) -> Any:
    """Draws two graphs over the same names as one.

    Black lines are in both. Blue ones are only in ``a``, orange and dashed ones only in
    ``b``. Purple dotted ones join two names in both graphs, turned or with another
    mark, and are drawn as ``a`` has them. The legend counts them. Causes stand above
    effects as ``a`` has them.

    Args:
      a: a fitted estimator, its ``edges_``, or a 0/1 frame like its ``adjacency_``.
      b: likewise.
      labels: what the legend calls the two.
      ax: matplotlib's Axes to draw on; a new figure of a fitting size if None.

    Returns:
      The Axes.

    Raises:
      ValueError: if one of them is no graph, or names differ.
      ImportError: without the extra ``plot``.
    """
    one, other = graphs.as_edges(a, "a"), graphs.as_edges(b, "b")
    names = _common(one, other)
    ours, theirs = _claims(one.edges), _claims(other.edges)
    kinds = [
        _OURS if pair not in theirs else _SAME if claim == theirs[pair] else _OTHERWISE
        for pair, claim in ours.items()
    ]
    more = other.edges[[pair not in ours for pair in theirs]]
    kinds += [_THEIRS] * len(more)
    edges = pd.concat([one.edges, more]) if len(more) else one.edges
    lines = [
        drawing.Line(
            source, target, ENDS[mark], _LOOKS[kind][0], pattern=_LOOKS[kind][1]
        )
        for source, target, mark, kind in zip(
            edges["source"], edges["target"], edges["mark"], kinds, strict=True
        )
    ]
    legend = [
        (
            f"{kind.format(*labels)} ({kinds.count(kind)})",
            drawing.Line("", "", (TAIL, TAIL), color, pattern=pattern),
        )
        for kind, (color, pattern) in _LOOKS.items()
        if kind in kinds
    ]
    return drawing.draw(edges, names, lines, legend, ax)


def _claims(edges):
    """By pair of names, in the order of rows: the end at each of the two."""
    return {
        frozenset((source, target)): dict(
            zip((source, target), ENDS[mark], strict=True)
        )
        for source, target, mark in zip(
            edges["source"], edges["target"], edges["mark"], strict=True
        )
    }


def _common(one, other):
    """The names of two graphs, those of the first in their order."""
    names = dict.fromkeys([*one.names, *other.names])
    for what, graph in (("a", one), ("b", other)):
        lacking = sorted(names.keys() - set(graph.names), key=str)
        if lacking and graph.complete:
            raise ValueError(
                f"{what} has no column {lacking[0]!r}, which the other graph has: give "
                "two graphs over the same names"
            )
    return list(names)
