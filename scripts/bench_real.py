"""Tables of the world, and of networks fitted to it, for `bench_amortized.py`.

Sachs is shipped with the package. The rest comes from folders that the caller names:
`tuebingen_pairs` (50 cause-effect pairs with weights), `bnlearn_networks` (Gaussian
networks fitted to gene expression and wheat, from which tables are drawn) and
`cmu_real_tabular` (tables whose columns are known to come in an order of time); what
is not there is left out.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
import pandas as pd

from causaljax.tables import datasets

_TIERED = ("airfoil-self-noise", "auto-mpg", "pima-diabetes", "wine-quality")


class Real(NamedTuple):
    """A table and the graph behind it."""

    name: str
    table: pd.DataFrame
    interventions: pd.Series | None
    truth: pd.DataFrame  # [d, d] 0/1


class Tiered(NamedTuple):
    """A table and how early its columns come."""

    name: str
    table: pd.DataFrame
    tier: np.ndarray  # [d] int, -1 where unknown


def _found(folders, name):
    """The first file of this name, None if there is none."""
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def known_graphs(folders: list[Path], num_rows: int = 1000) -> Iterator[Real]:
    """Sachs, observational and with its targets, and the Gaussian networks."""
    sachs = datasets.load_sachs()
    yield Real(
        "Sachs, 853 rows", sachs.observational.transform("log"), None, sachs.truth
    )
    told = sachs.condition != 2
    yield Real(
        "Sachs, with targets",
        sachs.data[told].transform("log"),
        sachs.interventions[told],
        sachs.truth,
    )
    for name in ("ecoli70", "magic-niab"):
        if path := _found(folders, f"bnlearn_networks/{name}.json"):
            yield _gaussian_network(name, json.loads(path.read_text()), num_rows)


def _gaussian_network(name, network, num_rows):
    rng = np.random.default_rng(0)
    nodes = network["nodes"]
    truth = pd.DataFrame(0, index=nodes, columns=nodes)
    for cause, effect in network["arcs"]:
        truth.loc[cause, effect] = 1
    table = pd.DataFrame(0.0, index=range(num_rows), columns=nodes)
    graph = nx.from_pandas_adjacency(truth, create_using=nx.DiGraph)
    for node in nx.topological_sort(graph):
        cpd = network["cpds"][node]
        column = rng.normal(0, np.sqrt(cpd["variance"][0]), num_rows)
        for parent, (coefficient,) in cpd["coefficients"].items():
            column += coefficient * (1 if parent == "(Intercept)" else table[parent])
        table[node] = column
    return Real(f"{name}, drawn", table, None, truth)


def pairs(folders: list[Path], most_rows: int = 1000) -> list[tuple]:
    """Pairs of one cause and one effect: `[n, 2]` with the cause first, and weights."""
    path = _found(folders, "tuebingen_pairs/pairs.zip")
    if path is None:
        return []
    rng = np.random.default_rng(0)
    known = pd.read_csv(path.parent / "pairmeta.csv").set_index("pair")
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            meta = known.loc[int(name.removeprefix("pair").removesuffix(".csv"))]
            if meta["kind"] != "scalar":
                continue
            with archive.open(name) as file:
                table = pd.read_csv(file).to_numpy(float)
            table = table[np.isfinite(table).all(axis=1)]
            if meta["direction"] == "Y->X":
                table = table[:, ::-1]
            few = rng.permutation(len(table))[:most_rows]
            found.append((table[few], float(meta["weight"])))
    return found


def tiered(folders: list[Path], most_rows: int = 2000) -> Iterator[Tiered]:
    """Tables with an order of time among their columns."""
    rng = np.random.default_rng(0)
    for name in _TIERED:
        path = _found(folders, f"cmu_real_tabular/{name}.csv.gz")
        if path is None:
            continue
        table = pd.read_csv(path).select_dtypes("number").dropna()
        table = table.iloc[rng.permutation(len(table))[:most_rows]]
        (knowledge,) = path.parent.glob(f"{name}__*.txt")
        early = {}
        for line in knowledge.read_text().splitlines():
            if found := re.match(r"(\d+)\*?\s+(.*)", line):
                early |= dict.fromkeys(found[2].split(), int(found[1]))
        tier = [early.get(column.replace(" ", "_"), -1) for column in table.columns]
        yield Tiered(name, table.reset_index(drop=True), np.array(tier))
