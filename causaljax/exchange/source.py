"""What may be written: a fitted estimator or a graph, and names that fit a format."""

from collections.abc import Callable, Iterable
from typing import Any

import networkx as nx
import pandas as pd

from causaljax.tables.edges import from_networkx

Source = Any
"""A fitted estimator, of which ``graph_`` is taken, or a networkx graph."""


def marked(source: Source) -> tuple[pd.DataFrame, list[str]]:
    """The edge table of an estimator or a graph, and all names.

    Raises:
      ValueError: if it is neither, or as ``from_networkx``.
    """
    graph = getattr(source, "graph_", source)
    if not isinstance(graph, nx.Graph):
        raise ValueError(
            f"no graph can be had from {type(source).__name__}: give a fitted "
            "estimator or a networkx graph"
        )
    return from_networkx(graph)


def refuse_names(names: Iterable[str], form: str, holds: Callable[[str], bool]) -> None:
    """Raises ValueError by the first name that a format does not hold."""
    for name in names:
        if not (is_text(name) and holds(name)):
            raise ValueError(
                f"{form} cannot hold the name {name!r}: rename the column, or write "
                "JSON"
            )


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8: half a surrogate pair cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
