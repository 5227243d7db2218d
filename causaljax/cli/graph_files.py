"""Graphs that the command line reads: folders of results, files, data sets."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import pandas as pd

import causaljax
from causaljax.tables import edges as edge_tables
from causaljax.tables import files
from causaljax.tables.errors import CodedError, coded, unknown

KINDS = (".csv", ".json")
_UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, OSError),
    *(csv.Error, nx.NetworkXException),
)


class ReadGraph(NamedTuple):
    """A graph and where it comes from."""

    claims: pd.DataFrame  # [d, d] of 0 and 1, an open direction with a 1 at both places
    source: str
    complete: bool  # whether columns without an edge are named, too
    edges: pd.DataFrame | None = None  # the edge table, which alone has all marks


def read_graph(path: str) -> ReadGraph:
    """Reads what a graph claims.

    Args:
      path: a folder that ``fit --out`` wrote; a .csv file of a matrix or of edges as
        in such a folder; a .json file in networkx's node-link form; or the name of a
        shipped data set, of whose true graph this is.

    Raises:
      CodedError: naming the path.
    """
    datasets, place = causaljax.tables.datasets.DATASETS, Path(path)
    if path in datasets:
        return ReadGraph(datasets[path]().truth, f"{path} (consensus graph)", True)
    if not place.exists():
        what = (
            f"{path}: no such file or folder, and no data set of that name is shipped"
        )
        raise unknown("file_not_found", what, path, list(datasets))
    edges = None
    if place.is_dir():
        folder, place = place, place / "cpdag.csv"
        if not place.exists():
            raise CodedError(
                "unreadable_graph",
                f"{path}: holds no cpdag.csv; name a folder that `causaljax fit --out` "
                "wrote",
            )
        if (folder / "edges.csv").exists():
            edges = read_graph(str(folder / "edges.csv")).edges
    if place.suffix.lower() not in KINDS:
        raise CodedError(
            "unreadable_graph",
            f"{path}: unknown kind of file; give a folder of results or one of "
            f"{list(KINDS)}",
            given=place.suffix,
            valid_options=KINDS,
        )
    with coded("unreadable_graph"):
        try:
            if place.suffix.lower() == ".json":
                claims, edges = _from_node_link(place)
                return ReadGraph(claims, path, True, edges)
            table = files.read_result(place)
        except _UNREADABLE as error:
            reason = str(error).split("\n")[0]
            raise ValueError(f"{place}: holds no graph: {reason}") from None
        if list(table.columns) == list(edge_tables.COLUMNS):
            wrong = table[~table["mark"].isin(list(edge_tables.MARKS))]
            for row in wrong.to_dict("records"):
                raise ValueError(
                    f"{place}: the edge between {row['source']!r} and "
                    f"{row['target']!r} has the mark {row['mark']!r}: write one of "
                    f"{', '.join(edge_tables.MARKS)}"
                )
            names = sorted({*table["source"], *table["target"]})
            return ReadGraph(edge_tables.claims(table, names), path, False, table)
        names = [str(name) for name in table.columns]
        if sorted(map(str, table.index)) != sorted(names):
            raise ValueError(
                f"{place}: holds no graph: rows and columns must have the same names, "
                "the rows in the first column"
            )
        if edges is not None:
            for name in {*edges["source"], *edges["target"]} - set(names):
                raise ValueError(
                    f"{path}: edges.csv names {name!r}, which cpdag.csv lacks: fit anew"
                )
    return ReadGraph(table, path, True, edges)


def _from_node_link(place):
    """The matrix and the edges of a graph in networkx's node-link form."""
    graph = nx.node_link_graph(json.loads(place.read_text("utf-8")), edges="edges")
    names = [str(name) for name in graph]
    edges, names = edge_tables.from_networkx(graph)
    return edge_tables.claims(edges, names), edges
