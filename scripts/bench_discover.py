"""`discover` beside each method of the package and beside rivals.

    python scripts/bench_discover.py real [FOLDER ...] [--rivals flop andrey boss pc]
    python scripts/bench_discover.py grid [--draws 3]

`real` takes Sachs and, from the folders that are named, the light tunnel, Gaussian and
discrete networks that tables are drawn from, genes of DREAM4 and the table `gsd` of
BEELINE; what is not there is left out. `grid` takes simulated tables. F1 counts an edge
without a direction half where the truth has an edge. The last lines tell on how many
tables `discover` is within .05 of the best method that its advice could have chosen.
"""

import argparse
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import bench_real
import bench_tables
import numpy as np
import pandas as pd
import rivals

import causaljax

METHODS = {
    "linear": causaljax.LinearDAG,
    "mixed": causaljax.MixedDAG,
    "amortized": causaljax.AmortizedDAG,
    "neural": causaljax.NeuralDAG,
}
DISCRETE = (
    "alarm",
    "asia",
    "cancer",
    "child",
    "earthquake",
    "insurance",
    "sachs",
    "survey",
)
CLOSE = 0.05  # of F1
_ROWS = 2000  # of a sample of a discrete network


class Table(NamedTuple):
    """A table, the graph behind it, and how its columns are meant."""

    name: str
    table: pd.DataFrame
    truth: pd.DataFrame  # [d, d] 0/1
    classes: bool = False  # whether all columns are classes


def f1(truth: np.ndarray, found: np.ndarray) -> float:
    """Of directed edges; one without a direction is half right on a true edge."""
    truth, found = truth.astype(bool), found.astype(bool)
    undirected = found & found.T
    right = (truth & found & ~undirected).sum() + (truth & undirected).sum() / 2
    edges = (found & ~undirected).sum() + undirected.sum() / 2
    return 2 * right / max(edges + truth.sum(), 1)


def real(folders: list[Path], num_samples: int) -> Iterator[Table]:
    """The tables of `real`."""
    for known in bench_real.known_graphs(folders):
        if known.interventions is None:
            yield Table(known.name, known.table, known.truth)
    if path := _found(folders, "light_tunnel/reference_10000.csv.gz"):
        table, truth = pd.read_csv(path), _edges(path.parent / "edges.csv")
        for rows in (1000, 10_000):
            name = f"light tunnel, {rows} rows"
            yield Table(name, table.iloc[:rows], _over(table, truth))
    if path := _found(folders, "beeline_gsd/gsd_2000x19.csv.gz"):
        table = pd.read_csv(path).drop(columns="pseudotime")
        yield Table("gsd", table, _over(table, _edges(path.parent / "edges.csv")))
    for number in range(1, 6):
        if path := _found(folders, f"dream4/size10_{number}_steady.csv.gz"):
            table = pd.read_csv(path).drop(columns=["kind", "target"])
            edges = _edges(path.parent / f"size10_{number}_edges.csv")
            yield Table(f"DREAM4 10, {number}", table, _over(table, edges))
    for name in DISCRETE:
        if path := _found(folders, f"bnlearn_discrete_10000/{name}.csv.gz"):
            table = pd.read_csv(path)
            truth = _over(table, _edges(path.parent / f"{name}_edges.csv"))
            for sample in range(num_samples):
                rows = table.iloc[sample * _ROWS : (sample + 1) * _ROWS]
                rows = rows.loc[:, rows.nunique() > 1].reset_index(drop=True)
                kept = truth.loc[rows.columns, rows.columns]
                yield Table(f"{name}, sample {sample}", rows, kept, classes=True)


def grid(num_draws: int) -> Iterator[Table]:
    """The tables of `grid`: kinds of relation, columns, rows; a part cut to classes."""
    for size in (10, 20):
        for rows in (300, 1000):
            for cell in bench_tables.observational("ER", size, rows):
                drawn = bench_tables.draw(cell, num_draws)
                for number in range(num_draws):
                    x, graph = drawn.problems.x[number], drawn.graphs[number]
                    names = [f"x{k}" for k in range(size)]
                    table = pd.DataFrame(x, columns=names)
                    truth = pd.DataFrame(graph.astype(int), index=names, columns=names)
                    name = f"{cell.name}, d {size}, n {rows}, draw {number}"
                    yield Table(name, table, truth)
                    yield Table(f"half in classes: {name}", cut(table, number), truth)


def cut(table, seed):
    """Every other column cut into 2 to 4 classes, as text."""
    rng = np.random.default_rng(seed)
    cut = table.copy()
    for name in table.columns[::2]:
        shares = rng.dirichlet(np.full(rng.integers(2, 5), 5.0))
        bounds = np.quantile(table[name], np.cumsum(shares)[:-1])
        codes = np.searchsorted(bounds, table[name])
        cut[name] = np.array(list("abcd"))[codes]
    return cut


def _found(folders, name):
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def _edges(path):
    return pd.read_csv(path).iloc[:, :2].astype(str)


def _over(table, edges):
    names = [str(name) for name in table.columns]
    truth = pd.DataFrame(0, index=names, columns=names)
    for cause, effect in edges.itertuples(index=False):
        if cause != effect:
            truth.loc[cause, effect] = 1
    return truth


def answers(given: Table, names: list[str]) -> dict[str, tuple[np.ndarray, float, str]]:
    """By method: the edges found, seconds, and what `discover` took."""
    kinds: Any = None
    if given.classes:
        kinds = dict.fromkeys(given.table.columns, "categorical")
    found = {}
    for name in ("discover", *names):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            try:
                if name == "discover":
                    model: Any = causaljax.discover(given.table, kinds=kinds)
                else:
                    model = METHODS[name]().fit(given.table, kinds=kinds)
            except ValueError as error:
                print(f"  {name}: {str(error)[:100]}", flush=True)
                continue
        order = [str(column) for column in given.table.columns]
        found[name] = (
            model.cpdag_.loc[order, order].to_numpy(),
            time.perf_counter() - start,
            type(model).__name__ if name == "discover" else "",
        )
    return found


def of_rivals(given: Table, names: list[str]):
    """As `answers`, of libraries in environments of their own that read the table."""
    found = {}
    codes = given.table.apply(
        lambda c: c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c)[0]
    )
    for name in names:
        rival: str = name
        options: dict[str, Any] = {}
        if name in ("pc", "boss_bdeu"):
            if not given.classes:
                continue
            rival, options["method"] = "classes", name.removesuffix("_bdeu")
        try:
            answer = rivals.run(rival, codes.to_numpy(float), timeout=300, **options)
        except Exception as error:  # a rival that fails has no graph
            print(f"  {name}: {str(error).splitlines()[0][:100]}", flush=True)
            found[name] = (np.zeros((codes.shape[1],) * 2), np.nan, "")
            continue
        found[name] = (answer.graph, answer.seconds, "")
    return found


def main() -> None:
    """Prints a line a table, means, and how close `discover` is to the best."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["real", "grid"])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--only", default="", help="of names that match this")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--rivals", nargs="*", default=[])
    options = parser.parse_args()
    if options.what == "real":
        tables = real(options.folders, options.samples)
    else:
        tables = grid(options.draws)
    scores: dict[str, dict[str, float]] = {}
    for given in tables:
        if not re.search(options.only, given.name):
            continue
        found = answers(given, options.methods) | of_rivals(given, options.rivals)
        truth = given.truth.to_numpy()
        scores[given.name] = {name: f1(truth, row[0]) for name, row in found.items()}
        cells = [
            f"{name} {scores[given.name][name]:.2f} {seconds:.1f}s {note}".strip()
            for name, (_, seconds, note) in found.items()
        ]
        print(f"{given.name}: {'; '.join(cells)}", flush=True)
    table = pd.DataFrame(scores).T
    print("mean F1:", table.mean().round(3).to_dict())
    best = table[[name for name in table if name in METHODS]].max(axis=1)
    close = table["discover"] >= best - CLOSE
    print(f"discover within {CLOSE} of the best method: {close.sum()} of {len(close)}")
    for name in table.index[~close]:
        print(f"  not: {name}, {table.loc[name, 'discover']:.2f} of {best[name]:.2f}")


if __name__ == "__main__":
    main()
