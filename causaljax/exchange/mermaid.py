"""Mermaid text, which Markdown pages show as a picture."""

import html
import re

from causaljax.exchange.source import Source, marked, refuse_names
from causaljax.tables import edges as edge_tables

_LINKS = {
    edge_tables.DIRECTED: "-->",
    # Mermaid takes o--> for a link too, but draws no circle.
    edge_tables.PARTLY_DIRECTED: '-->|"o-#62;"|',
    edge_tables.UNTOLD: "o--o",
    edge_tables.UNDIRECTED: "---",
    edge_tables.HALF_UNDIRECTED: "--o",
    edge_tables.CONFOUNDED: "<-.->",
}


def to_mermaid(source: Source) -> str:
    """The graph as a Mermaid flowchart, from left to right.

    Names are the labels of nodes; a letter that may have a meaning of its own is
    written as a number. Holds all marks, no probabilities. An edge ``<->`` is dotted.
    An edge ``o->`` is an arrow with its mark beside it, as Mermaid has no such link.

    Args:
      source: a fitted estimator or a networkx graph.

    Raises:
      ValueError: for an empty name, or one with control characters, which a page
        cannot show.
    """
    edges, names = marked(source)
    refuse_names(names, "Mermaid", _is_shown)
    place = {name: k for k, name in enumerate(names)}
    lines = ["flowchart LR"]
    lines += [f'  n{k}["{_label(name)}"]' for name, k in place.items()]
    for source_, target, mark in zip(
        edges["source"], edges["target"], edges["mark"], strict=True
    ):
        lines.append(f"  n{place[source_]} {_LINKS[mark]} n{place[target]}")
    return "\n".join(lines) + "\n"


def _label(name):
    def escaped(found):
        letter = found.group()
        if letter.isalnum() or (ord(letter) > 127 and letter.isprintable()):
            return letter
        return f"#{ord(letter)};"

    # Mermaid removes spaces at the ends.
    return re.sub("[^A-Za-z0-9 _.]|^ | $", escaped, name)


def _is_shown(name):
    return name != "" and html.unescape(_label(name).replace("#", "&#")) == name
