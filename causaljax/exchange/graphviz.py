"""DOT of Graphviz and the text of DAGitty, which descends from it."""

import re

from causaljax.exchange.source import Source, marked, refuse_names
from causaljax.tables import edges as edge_tables

_ATTRIBUTES = {
    edge_tables.DIRECTED: "",
    edge_tables.PARTLY_DIRECTED: " [dir=both, arrowtail=odot]",
    edge_tables.UNTOLD: " [dir=both, arrowtail=odot, arrowhead=odot]",
    edge_tables.UNDIRECTED: " [dir=none]",
    edge_tables.HALF_UNDIRECTED: " [arrowhead=odot]",
    edge_tables.CONFOUNDED: " [dir=both, style=dashed]",
}
_ARROWS = {
    edge_tables.DIRECTED: "->",
    edge_tables.PARTLY_DIRECTED: "@->",
    edge_tables.UNTOLD: "@-@",
    edge_tables.UNDIRECTED: "--",
    edge_tables.HALF_UNDIRECTED: "--@",
    edge_tables.CONFOUNDED: "<->",
}


def to_dot(source: Source) -> str:
    """The graph in the DOT language of Graphviz.

    Holds all marks, as ``dir=none`` and ``dir=both``, no probabilities. Circles are
    ``arrowhead=odot`` and ``arrowtail=odot``.

    Args:
      source: a fitted estimator or a networkx graph.

    Raises:
      ValueError: for a name that Graphviz reads as another: with a zero byte, with %
        at its start, or with an odd number of backslashes before a quote, a line's end
        or its own end.

    Example:
      >>> import networkx as nx
      >>> print(to_dot(nx.DiGraph([("rain", "wet grass")])), end="")
      digraph {
        "rain";
        "wet grass";
        "rain" -> "wet grass";
      }
    """
    edges, names = marked(source)
    refuse_names(names, "DOT", _fits_dot)
    lines = [f"  {_quoted(name)}{_label(name)};" for name in names]
    lines += [
        f"  {_quoted(source)} -> {_quoted(target)}{_ATTRIBUTES[mark]};"
        for source, target, mark in _edges(edges)
    ]
    return "\n".join(["digraph {", *lines, "}", ""])


def to_dagitty(source: Source) -> str:
    """The graph as text of DAGitty, for its page and its package for R.

    Holds all marks, no probabilities: ``->``, ``--`` and ``<->``, and with a circle
    ``@->``, ``@-@`` and ``--@``. Its kind is ``pag`` if there is a circle, else
    ``pdag`` if there is an edge ``---``, else ``dag``.

    Args:
      source: a fitted estimator or a networkx graph.

    Raises:
      ValueError: for a name with a control character such as a line's end, or with a
        backslash at its end.
    """
    edges, names = marked(source)
    refuse_names(names, "DAGitty", _fits_dagitty)
    kind = "pdag" if (edges["mark"] == edge_tables.UNDIRECTED).any() else "dag"
    kind = "pag" if edges["mark"].isin(edge_tables.CIRCLED).any() else kind
    lines = [f"  {_quoted(name)}" for name in names]
    lines += [
        f"  {_quoted(source)} {_ARROWS[mark]} {_quoted(target)}"
        for source, target, mark in _edges(edges)
    ]
    return "\n".join([f"{kind} {{", *lines, "}", ""])


def _edges(edges):
    return zip(edges["source"], edges["target"], edges["mark"], strict=True)


def _quoted(name):
    return '"' + name.replace('"', '\\"') + '"'


def _label(name):
    """What shows a name as it is: Graphviz reads escapes and entities in it."""
    if not re.search(r"[\\&\n\r]", name):
        return ""
    shown = name.replace("\\", "\\\\").replace("&", "&amp;").replace("\r", "")
    return " [label=" + _quoted(shown).replace("\n", "\\n") + "]"


def _fits_dot(name):
    cut = r'\0|\A%|(?<!\\)(\\\\)*\\(["\r\n]|\Z)'
    return not re.search(cut, name)


def _fits_dagitty(name):
    return not re.search(r"[\x00-\x1f\x7f]|\\\Z", name)
