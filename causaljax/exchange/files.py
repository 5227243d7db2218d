"""Files of graphs, their format told by the ending of the name."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import networkx as nx

from causaljax.exchange import bif, graphviz_parser
from causaljax.exchange.graphviz import to_dagitty, to_dot
from causaljax.exchange.mermaid import to_mermaid
from causaljax.exchange.networkx_formats import (
    read_gml,
    read_graphml,
    read_json,
    to_gml,
    to_graphml,
    to_json,
)
from causaljax.exchange.source import Source
from causaljax.tables.edge_lists import read_edge_list
from causaljax.tables.edges import MARKS, from_networkx, marked_edges, to_networkx

WRITERS: dict[str, Callable[[Source], str]] = {
    ".dagitty": to_dagitty,
    ".dot": to_dot,
    ".gv": to_dot,
    ".gml": to_gml,
    ".graphml": to_graphml,
    ".json": to_json,
    ".mmd": to_mermaid,
}
"""What makes the text of a file, by the ending of its name."""

_PARSERS = {
    ".bif": bif.parse,
    ".dagitty": graphviz_parser.parse,
    ".dot": graphviz_parser.parse,
    ".gv": graphviz_parser.parse,
    ".txt": graphviz_parser.parse,
}
_NETWORKX = {".gml": read_gml, ".graphml": read_graphml, ".json": read_json}
_LISTS = (".csv", ".tsv", ".parquet")


def write_graph(source: Source, path: str | Path) -> None:
    """Writes a graph to a file for another program.

    Args:
      source: a fitted estimator or a networkx graph, such as ``iter_dags`` gives.
      path: its ending is one of ``WRITERS``: .dagitty, .dot or .gv, .gml, .graphml,
        .json (networkx's node-link form), .mmd (Mermaid).

    Raises:
      ValueError: if the ending is another, if the format cannot hold a name, which is
        told, or if the file cannot be written.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ValueError(f"{path}: unknown kind of file; give one of {list(WRITERS)}")
    text = writer(source)
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{path}: cannot be written ({reason})") from None


def read_graph(path: str | Path) -> nx.DiGraph:
    """Reads a graph from a file.

    No code of a file is run. Pairs that are directed both ways are read as ``---``.
    Only names, marks, ``probability`` and ``weight`` are read.

    Args:
      path: .bif (the structure of a Bayesian network), .dagitty or .txt, .dot or .gv,
        .gml, .graphml, .json (node-link), or a list of edges: .csv, .tsv, .parquet, its
        header one of ``tables.edge_lists.HEADERS`` and a column ``mark`` if it has one;
        its other columns are left out. All but .parquet may end in .gz besides.

    Returns:
      ``networkx.DiGraph`` as ``estimator.graph_`` is one: an edge ``---`` has
      ``undirected`` set, one with a circle at an end has its mark as ``mark``, and
      pairs ``<->`` are in ``graph["confounded"]`` (``tables.edges.to_networkx``).

    Raises:
      ValueError: if the file cannot be read, or holds no such graph: directed edges
        with a cycle, an edge from a node to itself.
    """
    path = Path(path)
    zipped = path.suffix.lower() == ".gz"
    kind = (path.with_suffix("") if zipped else path).suffix.lower()
    if kind not in (*_PARSERS, *_NETWORKX, *_LISTS):
        known = [*_PARSERS, *_NETWORKX, *_LISTS]
        raise ValueError(f"{path}: unknown kind of file; give one of {known}")
    if path.is_dir() or not path.exists():
        raise ValueError(f"{path}: no such file")
    rows, names = _read_list(path) if kind in _LISTS else ([], [])
    try:
        if kind in _NETWORKX:
            found = _by_networkx(_NETWORKX[kind], _text(path, zipped))
            return to_networkx(*from_networkx(found))
        if kind in _PARSERS:
            rows, names = _PARSERS[kind](_text(path, zipped))
        return to_networkx(marked_edges(rows, names), names)
    except RecursionError:
        raise ValueError(f"{path}: its brackets are nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _by_networkx(reader, text):
    """What a reader makes of a text; how it fails on a bad one is nowhere said."""
    try:
        return reader(text)
    except (ValueError, RecursionError):
        raise
    except Exception as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"networkx cannot read it ({reason})") from None


def _text(path, zipped):
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            return file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no text of UTF-8: write it so") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be read ({error})") from None


def _read_list(path):
    rows, names = [], {}
    for edge in read_edge_list(path, None):
        if edge.mark not in MARKS:
            raise ValueError(
                f"{path}: {edge.where} has the mark {edge.mark!r}: write one of "
                f"{', '.join(MARKS)}"
            )
        if edge.kind is not None:
            raise ValueError(
                f"{path}: {edge.where} is a {edge.kind} edge, which is knowledge: read "
                "it with read_knowledge, or remove the column kind"
            )
        names |= dict.fromkeys((edge.cause, edge.effect))
        rows.append((edge.cause, edge.effect, edge.mark, {}))
    return rows, list(names)
