"""Large tables: memory and time of streamed files, of many columns, and cost curves.

Each measurement runs in a process of its own, so that its peak of memory is its own.
Times are of programs that are compiled already; compiling is told apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("LinearDAG", {"noise": "gaussian"}),
    "auto": ("LinearDAG", {}),
    "mixed": ("MixedDAG", {}),
    "amortized": ("AmortizedDAG", {}),
    "continuous": ("ContinuousDAG", {}),
    "neural": ("NeuralDAG", {}),
}
"""Names of methods, with the estimators and their options."""

LARGEST = {"mixed": 64, "neural": 16, "continuous": 128, "auto": 128, "amortized": 128}
"""Columns up to which a method's cost is measured; 256 of the rest."""

ROWS = 1000, 4000, 16_000, 64_000
"""Rows at which it is measured, of 10 columns."""

CURVES = Path(__file__).parent.parent / "docs" / "pictures" / "cost_curves.json"
"""What ``curve`` measures and ``make_pictures.py --only costs`` draws."""


def make_table(
    rows: int, columns: int, *, curved: bool = False, degree: float = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A table of standardised columns in random order, and its graph.

    Equations are linear with normal noise, or sums of tanh of the causes.
    """
    rng = np.random.default_rng(seed)
    graph = np.triu(rng.random((columns, columns)) < degree / (columns - 1), 1)
    weights = graph * rng.uniform(0.5, 1.5, graph.shape)
    weights *= rng.choice([-1, 1], graph.shape)
    table = np.empty((rows, columns))
    for j in range(columns):
        causes = np.flatnonzero(graph[:, j])
        inputs = table[:, causes]
        if curved:
            inputs = np.tanh(2 * inputs + rng.normal(size=len(causes)))
        table[:, j] = inputs @ weights[causes, j] + rng.normal(size=rows)
        table[:, j] /= table[:, j].std()
    order = rng.permutation(columns)
    return table[:, order], graph[np.ix_(order, order)]


def write_parquet(path: Path, rows: int, columns: int, part: int = 500_000) -> None:
    """A file of a linear table, written part by part."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(f"x{k}", pa.float64()) for k in range(columns)])
    with parquet.ParquetWriter(path, schema) as file:
        for first in range(0, rows, part):
            # One seed has one graph; its noise goes on from part to part.
            table = _more_rows(min(part, rows - first), columns, first)
            arrays = [pa.array(column) for column in table.T]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _more_rows(rows, columns, number):
    """Rows of one linear table, from row ``number`` on."""
    rng = np.random.default_rng(0)
    graph = np.triu(rng.random((columns, columns)) < 4 / (columns - 1), 1)
    weights = graph * rng.uniform(0.5, 1.5, graph.shape)
    noise = np.random.default_rng(number + 1).normal(size=(rows, columns))
    return np.linalg.solve((np.eye(columns) - weights).T, noise.T).T


# What runs in a process of its own: each returns what it tells, of JSON's types.


def _reading(path: str) -> dict[str, Any]:
    """Nothing but reading, part by part."""
    from causaljax.tables.files import read_parts

    start = time.perf_counter()
    rows = sum(len(part) for part in read_parts(path))
    return {"rows": rows, "seconds": time.perf_counter() - start}


def _fit(method: str, data: Any, times: int = 2) -> dict[str, Any]:
    """A first fit, and a second of the same table; seconds of each."""
    import causaljax

    name, options = METHODS[method]
    seconds, model = [], None
    for _ in range(times):
        model = getattr(causaljax, name)(progress=False, **options)
        start = time.perf_counter()
        model.fit(data)
        seconds.append(time.perf_counter() - start)
    return {"first": seconds[0], "seconds": seconds[-1], "model": model}


def _streamed(method: str, path: str) -> dict[str, Any]:
    found = _fit(method, path)
    model = found.pop("model")
    return found | {"edges": len(model.edges_), "rows": model.info_["rows"]}


def _held(method: str, rows: str, columns: str, times: str = "2") -> dict[str, Any]:
    """A table in memory."""
    from causaljax.graphs.cpdag import dag_to_cpdag
    from causaljax.graphs.metrics import shd

    table, graph = make_table(int(rows), int(columns), curved=method == "neural")
    found = _fit(method, table, int(times))
    model = found.pop("model")
    found["shd"] = int(shd(graph, model.adjacency_.to_numpy()))
    cpdag = model.cpdag_.to_numpy()
    found["cpdag_shd"] = int(shd(dag_to_cpdag(graph), cpdag))
    return found | {"true_edges": int(graph.sum())}


def _pair(method: str, rows: str, columns: str, seed: str) -> dict[str, Any]:
    """Fits of both halves of a table of curved equations."""
    import causaljax
    from causaljax.graphs.metrics import shd

    number = int(rows)
    name, options = METHODS[method]
    table, graph = make_table(2 * number, int(columns), curved=True, seed=int(seed))
    found, seconds, distance = [], 0.0, 0
    for half in (table[:number], table[number:]):
        model = getattr(causaljax, name)(progress=False, **options)
        start = time.perf_counter()
        model.fit(half)
        seconds = time.perf_counter() - start
        found.append(model.edge_probabilities_.to_numpy())
        distance += int(shd(graph, model.adjacency_.to_numpy()))
    gap = float(np.abs(found[0] - found[1]).mean())
    return {"apart": gap, "seconds": seconds, "shd": distance / 2}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "reading": _reading,
    "streamed": _streamed,
    "held": _held,
    "pair": _pair,
}


def apart(task: str, *arguments: Any) -> dict[str, Any]:
    """A task in a process of its own, with its peak of memory, ``gigabytes``."""
    command = [sys.executable, __file__, task, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def stream(options: argparse.Namespace) -> None:
    """Files that are read part by part: seconds and memory beside reading alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_parquet(path, options.rows, options.columns)
        size = path.stat().st_size / 1e9
        print(f"{options.rows:,} x {options.columns} rows, {size:.2f} GB of Parquet")
        alone = apart("reading", path)
        print(f"{'':10} {'first s':>8} {'warm s':>8} {'x reading':>10} {'GB':>6}")
        print(f"{'reading':10} {'':8} {alone['seconds']:8.1f} {1:10} {_gb(alone)}")
        for method in options.methods:
            found = apart("streamed", method, path)
            ratio = found["seconds"] / alone["seconds"]
            print(
                f"{method:10} {found['first']:8.1f} {found['seconds']:8.1f} "
                f"{ratio:10.2f} {_gb(found)}",
                flush=True,
            )


def neural(options: argparse.Namespace) -> None:
    """NeuralDAG on tables in memory: accuracy, seconds and memory by rows."""
    print(f"{'rows':>10} {'seconds':>8} {'SHD':>5} {'edges':>6} {'GB':>6}")
    for rows in options.rows:
        found = apart("held", "neural", rows, options.columns, 1)
        print(
            f"{rows:10,} {found['seconds']:8.0f} {found['shd']:5} "
            f"{found['true_edges']:6} {_gb(found)}",
            flush=True,
        )


def sample(options: argparse.Namespace) -> None:
    """How far answers of disjoint samples of one table differ, by their rows."""
    print(f"{'method':10} {'rows':>8} {'warm s':>7} {'mean |dp|':>10} {'SHD':>6}")
    for method in options.methods:
        for rows in options.rows:
            told = [
                apart("pair", method, rows, options.columns, seed)
                for seed in range(options.tables)
            ]
            mean = {name: np.mean([one[name] for one in told]) for name in told[0]}
            print(
                f"{method:10} {rows:8,} {mean['seconds']:7.2f} {mean['apart']:10.4f} "
                f"{mean['shd']:6.1f}",
                flush=True,
            )


def large(options: argparse.Namespace) -> None:
    """Many columns, linear and Gaussian, beside FLOP (scripts/rivals.py)."""
    import rivals

    from causaljax.graphs.cpdag import dag_to_cpdag
    from causaljax.graphs.metrics import shd

    print(f"{'method':10} {'seconds':>8} {'CPDAG SHD':>10} {'edges':>6} {'GB':>6}")
    found = apart("held", "linear", options.rows, options.columns, 1)
    print(
        f"{'LinearDAG':10} {found['seconds']:8.0f} {found['cpdag_shd']:10} "
        f"{found['true_edges']:6} {_gb(found)}",
        flush=True,
    )
    table, graph = make_table(options.rows, options.columns)
    answer = rivals.run("flop", table)
    distance = int(shd(dag_to_cpdag(graph), answer.graph))
    print(f"{'FLOP':10} {answer.seconds:8.0f} {distance:10} {graph.sum():6}")


def curve(options: argparse.Namespace) -> None:
    """Warm seconds of each method in columns and in rows, with exponents."""
    measured = json.loads(CURVES.read_text()) if CURVES.exists() else {}
    for method in options.methods:
        largest = LARGEST.get(method, 256)
        columns = [k for k in (4, 8, 16, 32, 64, 128, 256) if k <= largest]
        grids = {
            "columns": [(k, 1000, k) for k in columns if k <= options.columns],
            "rows": [(n, n, 10) for n in ROWS if n <= options.rows],
        }
        for axis, grid in grids.items():
            sizes, seconds, memory = [], [], []
            for size, rows, width in grid:
                found = apart("held", method, rows, width)
                sizes.append(size)
                seconds.append(found["seconds"])
                memory.append(found["gigabytes"])
                print(
                    f"{method:10} {axis} {size:7,} {seconds[-1]:9.3f} s, first "
                    f"{found['first']:6.1f} s {_gb(found)} GB",
                    flush=True,
                )
            power = exponent(sizes, seconds)
            print(f"{method:10} {axis}: seconds grow with the power {power:.2f}")
            measured.setdefault(method, {})[axis] = {
                "sizes": sizes,
                "seconds": seconds,
                "gigabytes": memory,
                "exponent": power,
            }
    if options.keep:
        CURVES.write_text(json.dumps(measured, indent=1) + "\n")


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log seconds in log size over the larger half of the sizes."""
    half = -(-len(sizes) // 2) if len(sizes) > 2 else len(sizes)
    return float(np.polyfit(np.log(sizes[-half:]), np.log(seconds[-half:]), 1)[0])


def _gb(found):
    return f"{found['gigabytes']:6.2f}"


def add(commands: Any) -> None:
    """Adds the subcommands."""
    for run, name, rows, columns in (
        (stream, "stream", 5_000_000, 20),
        (large, "large", 2000, 500),
        (curve, "curve", 64_000, 256),
    ):
        parser = commands.add_parser(name, help=str(run.__doc__).partition("\n")[0])
        parser.set_defaults(run=run)
        parser.add_argument("--rows", type=int, default=rows)
        parser.add_argument("--columns", type=int, default=columns)
        if name != "large":
            few = ["linear", "auto", "mixed", "amortized"]
            parser.add_argument(
                "--methods",
                nargs="+",
                choices=METHODS,
                default=few if name == "stream" else list(METHODS),
            )
        if name == "curve":
            parser.add_argument("--keep", action="store_true", help=f"in {CURVES.name}")
    parser = commands.add_parser("sample", help=str(sample.__doc__).partition("\n")[0])
    parser.set_defaults(run=sample)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1024, 4096, 16_384, 32_768]
    )
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--tables", type=int, default=5)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["amortized", "auto"]
    )
    parser = commands.add_parser("neural", help=str(neural.__doc__).partition("\n")[0])
    parser.set_defaults(run=neural)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--columns", type=int, default=20)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    told = TASKS[sys.argv[1]](*sys.argv[2:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(told | {"gigabytes": peak}))
