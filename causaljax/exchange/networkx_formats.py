"""JSON, GML and GraphML, which networkx writes and reads.

They hold all of a graph: marks, probabilities and weights.
"""

import io
import json
import re
from typing import Any

import networkx as nx

from causaljax.exchange.source import Source, marked, refuse_names
from causaljax.tables.edges import to_networkx

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_json(source: Source) -> str:
    """The graph as JSON in networkx's node-link form; holds every name.

    Args:
      source: a fitted estimator or a networkx graph.

    Raises:
      ValueError: as ``tables.edges.from_networkx``, for all writers of this package.
    """
    return json.dumps(nx.node_link_data(to_networkx(*marked(source)), edges="edges"))


def read_json(text: str) -> nx.Graph:
    """A graph from JSON in node-link form; its edges are "edges" or "links"."""
    found: Any = json.loads(text)
    if not isinstance(found, dict) or "nodes" not in found:
        raise ValueError('there is no "nodes" in it: node-link JSON is needed')
    return nx.node_link_graph(found, edges="edges" if "edges" in found else "links")


def to_gml(source: Source) -> str:
    """The graph as GML; names are the labels of nodes. Holds every name."""
    edges, names = marked(source)
    return "\n".join(nx.generate_gml(to_networkx(edges, names))) + "\n"


def read_gml(text: str) -> nx.Graph:
    """A graph from GML. No value is evaluated."""
    return nx.parse_gml(text)


def to_graphml(source: Source) -> str:
    """The graph as GraphML.

    Raises:
      ValueError: for a name with a letter that XML does not allow, such as a zero byte.
    """
    edges, names = marked(source)
    refuse_names(names, "GraphML", lambda name: not _NOT_XML.search(name))
    file = io.BytesIO()
    nx.write_graphml_xml(to_networkx(edges, names), file)
    return file.getvalue().decode() + "\n"


def read_graphml(text: str) -> nx.Graph:
    """A graph from GraphML. Entities of a file's own are refused."""
    if re.search("<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ValueError("it declares a document type: remove the declaration")
    return nx.read_graphml(io.BytesIO(text.encode()))
