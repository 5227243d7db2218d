"""Graphs for other programs, and theirs for this one.

A graph is a ``networkx.DiGraph`` as ``estimator.graph_`` is one
(``tables.edges.to_networkx``). ``write_graph`` and ``read_graph`` know a format by the
ending of a file; ``to_...`` make the text or the object itself. What a format cannot
hold is refused by name. Modules load on first use.
"""

import pkgutil
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from causaljax.exchange.dags import iter_dags as iter_dags
    from causaljax.exchange.files import read_graph as read_graph
    from causaljax.exchange.files import write_graph as write_graph
    from causaljax.exchange.graphviz import to_dagitty as to_dagitty
    from causaljax.exchange.graphviz import to_dot as to_dot
    from causaljax.exchange.mermaid import to_mermaid as to_mermaid
    from causaljax.exchange.networkx_formats import to_gml as to_gml
    from causaljax.exchange.networkx_formats import to_graphml as to_graphml
    from causaljax.exchange.networkx_formats import to_json as to_json
    from causaljax.exchange.packages import to_causal_learn as to_causal_learn
    from causaljax.exchange.packages import to_dowhy as to_dowhy
    from causaljax.exchange.packages import to_pgmpy as to_pgmpy

_HOME = {
    "dags": ["iter_dags"],
    "files": ["read_graph", "write_graph"],
    "graphviz": ["to_dagitty", "to_dot"],
    "mermaid": ["to_mermaid"],
    "networkx_formats": ["to_gml", "to_graphml", "to_json"],
    "packages": ["to_causal_learn", "to_dowhy", "to_pgmpy"],
}
"""Names that can be had from the package itself, by the module they live in."""

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES, _HOME)
