"""Linear DAG scoring against the libraries a user would pick instead.

    python scripts/bench_linear.py equal_variance     raw columns, one noise variance
    python scripts/bench_linear.py gaussian           standardised, unequal variances
    python scripts/bench_linear.py nongaussian        standardised, four noises
    python scripts/bench_linear.py hard               tables that break assumptions
    python scripts/bench_linear.py bootstrap          calibration of edge confidence

Data are simulated: linear, weights of .5 to 2 in absolute value, noise of standard
deviation 1 (equal_variance) or .5 to 2, n = 1000. Rivals run in the same go on the
same data, in environments of their own (`scripts/rivals.py`); the slow ones on as
many seeds as `--rival-seeds` says. SHD counts a reversal, and an undirected edge in
place of a directed one, once. Figures are medians over seeds. Warm seconds are wall
seconds of a fit whose program is compiled; compile seconds are what the first fit of
a shape takes on top.
"""

import argparse
import resource
import statistics
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import rivals

import causaljax
from causaljax import simulate
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.metrics import shd

GRAPHS = {"ER2": simulate.erdos_renyi, "SF2": simulate.scale_free}
NUM_ROWS = 1000


class Study(NamedTuple):
    """One kind of data, the settings to fit it with, and what to compare."""

    noises: tuple[str, ...]
    data: dict[str, Any]  # of simulate_linear
    settings: dict[str, Any]  # estimators by name
    rivals: tuple[str, ...]
    measure: str  # "SHD" of graphs or "CPDAG SHD" of equivalence classes


UNEQUAL = {"noise_scale": (0.5, 2.0), "scaling": "standardised"}
# The descent's other forms: a concave price and several starts.
CONCAVE = {
    "noise": "gaussian",
    "l1": 0.1,
    "concavity": 0.3,
    "threshold": 0.05,
}
STUDIES = {
    "equal_variance": Study(
        noises=("gaussian",),
        data={},
        settings={
            acyclicity: causaljax.ContinuousDAG(acyclicity=acyclicity)
            for acyclicity in ("logdet", "spectral", "expm")
        },
        rivals=("dagma",),
        measure="SHD",
    ),
    "gaussian": Study(
        noises=("gaussian",),
        data=UNEQUAL,
        settings={
            "gaussian": causaljax.LinearDAG(noise="gaussian"),
            "auto": causaljax.LinearDAG(),
            "descent": causaljax.ContinuousDAG(noise="gaussian"),
            "concave": causaljax.ContinuousDAG(**CONCAVE),
            "4 starts": causaljax.ContinuousDAG(**CONCAVE, start_scale=0.1, n_starts=4),
        },
        rivals=("flop", "boss", "dagma"),
        measure="CPDAG SHD",
    ),
    "nongaussian": Study(
        noises=("exponential", "gumbel", "uniform", "laplace"),
        data=UNEQUAL,
        settings={
            "nongaussian": causaljax.LinearDAG(noise="nongaussian"),
            "auto": causaljax.LinearDAG(),
        },
        rivals=("direct_lingam", "flop"),
        measure="SHD",
    ),
}


def simulated(family, num_variables, noise, data, seed):
    """(table [n, d], true graph [d, d]) as numpy arrays."""
    graph_key, data_key = jax.random.split(jax.random.key(seed))
    graph = GRAPHS[family](graph_key, num_variables, 2)
    problem, truth = simulate.simulate_linear(
        data_key, graph, NUM_ROWS, noise=noise, **data
    )
    return np.asarray(problem.x), np.asarray(truth.graph)


def fitted(table, model):
    """(graph, its class, warm seconds, compile seconds)."""

    def fit():
        start = time.perf_counter()
        model.fit(table)
        answer = model.adjacency_.to_numpy(), model.cpdag_.to_numpy()
        return *answer, time.perf_counter() - start

    *_, first = fit()
    graph, cpdag, warm = fit()
    return graph, cpdag, warm, first - warm


def rivalled(table, name, threads):
    """Likewise of a rival, without compile seconds."""
    result = rivals.run(name, table, threads=threads)
    is_dag = not (result.graph & result.graph.T).any()
    cpdag = np.asarray(dag_to_cpdag(result.graph)) if is_dag else result.graph
    return result.graph, cpdag, result.seconds, None


def distance(measure, truth, graph, cpdag):
    """SHD of the graph as claimed, or of the class."""
    if measure == "SHD":
        return int(shd(truth, graph))
    return int(shd(dag_to_cpdag(truth), cpdag))


def compare(study, options):
    """Prints the table of a study."""
    layout = "{:12} {:4} {:>4} {:14} {:>6} {:24} {:>5} {:>8} {:>8}"
    print(study.measure, "of each seed and its median; F1 of directed edges")
    header = ("noise", "data", "d", "method", "median", "each", "F1", "warm s")
    print(layout.format(*header, "compile"), flush=True)
    for size in options.sizes:
        for family in options.graphs:
            for noise in options.noises or study.noises:
                cases = [
                    simulated(family, size, noise, study.data, seed)
                    for seed in range(options.first, options.first + options.seeds)
                ]
                empty = np.zeros((size, size), int)
                methods: dict[str, Any] = {
                    "empty graph": lambda _, e=empty: (e, e, 0.0, None)
                }
                for name in options.settings or study.settings:
                    setting = study.settings[name]
                    methods[name] = lambda t, s=setting: fitted(t, s)
                for name in study.rivals if options.rivals is None else options.rivals:
                    methods[f"* {name}"] = lambda t, r=name: rivalled(
                        t, r, options.threads
                    )
                for name, method in methods.items():
                    few = cases[: options.rival_seeds] if "*" in name else cases
                    row = summary(study.measure, method, few)
                    print(layout.format(noise, family, size, name, *row), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.2f} GiB")


def summary(measure, method, cases):
    """The figures of a row, as text."""
    distances, scores, warm, compiling = [], [], [], []
    for table, truth in cases:
        graph, cpdag, seconds, compile_seconds = method(table)
        distances.append(distance(measure, truth, graph, cpdag))
        hits, found, real = (truth & (graph > 0)).sum(), graph.sum(), truth.sum()
        scores.append(2 * hits / (found + real))
        warm.append(seconds)
        compiling.append(compile_seconds)
    return (
        f"{statistics.median(distances):g}",
        " ".join(map(str, distances)),
        f"{statistics.median(scores):.2f}",
        f"{statistics.median(warm):.2f}",
        "" if compiling[0] is None else f"{max(compiling):.1f}",
    )


def hard_tables(seed):
    """(name, table, true graph) of tables that break what the method assumes."""
    rng = np.random.default_rng(seed)
    normal, truth = simulated("ER2", 20, "gaussian", UNEQUAL, seed)
    heavy, heavy_truth = simulated("ER2", 20, "student_t", UNEQUAL, seed)
    outliers = normal.copy()
    outliers[rng.choice(len(normal), len(normal) // 20, replace=False)] *= 10
    cells = normal.copy()
    hit = rng.random(cells.shape) < 0.05
    cells[hit] += rng.choice([-10, 10], hit.sum())
    collinear = normal.copy()
    collinear[:, 1] = collinear[:, 0] + 1e-4 * rng.normal(size=len(normal))
    wide, wide_truth = simulated("ER2", 100, "gaussian", UNEQUAL, seed)
    yield "n = 1000, Gaussian", normal, truth
    yield "n = 50", normal[:50], truth
    yield "n = 50, d = 100", wide[:50], wide_truth
    yield "Student-t noise, 3 degrees", heavy, heavy_truth
    yield "5 % of rows times 10", outliers, truth
    yield "5 % of cells off by 10 sd", cells, truth
    yield "a column is nearly another", collinear, truth


def survive(options):
    """Prints what becomes of hard tables."""
    layout = "{:28} {:>4} {:>10} {:>5} {:>6} {:>11} {:>7}  {}"
    print(
        layout.format("table", "seed", "CPDAG SHD", "true", "edges", "noise", "s", "")
    )
    for seed in range(options.first, options.first + options.seeds):
        for name, table, truth in hard_tables(seed):
            model = causaljax.LinearDAG()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                start = time.perf_counter()
                try:
                    model.fit(table)
                except ValueError as error:
                    print(f"{name:28} {seed:4} ValueError: {error}")
                    continue
                seconds = time.perf_counter() - start
            finite = np.isfinite(model.weights_.to_numpy()).all()
            notes = [str(warning.message)[:40] for warning in caught]
            row = (
                distance("CPDAG SHD", truth, None, model.cpdag_.to_numpy()),
                truth.sum(),
                model.adjacency_.to_numpy().sum(),
                model.info_["noise"],
                f"{seconds:.1f}",
                "; ".join(notes[:1]) if finite else "NOT FINITE",
            )
            print(layout.format(name, seed, *row), flush=True)


def calibrate(options):
    """Prints and draws how often edges of a confidence are true."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    probabilities, truths, seconds = [], [], []
    model = causaljax.LinearDAG(noise="auto", n_bootstrap=options.replicates)
    for seed in range(options.first, options.first + options.tables):
        noise = ("gaussian", *STUDIES["nongaussian"].noises)[seed % 5]
        family = list(GRAPHS)[seed % 2]
        table, truth = simulated(family, 20, noise, UNEQUAL, seed)
        start = time.perf_counter()
        model.fit(table)
        seconds.append(time.perf_counter() - start)
        off_diagonal = ~np.eye(20, dtype=bool)
        probabilities.append(model.edge_probabilities_.to_numpy()[off_diagonal])
        truths.append(truth[off_diagonal])
    stated, true = np.concatenate(probabilities), np.concatenate(truths)
    bins = np.clip((stated * 10).astype(int), 0, 9)
    counts = np.bincount(bins, minlength=10)
    mean_stated = np.bincount(bins, stated, 10) / np.maximum(counts, 1)
    mean_true = np.bincount(bins, true, 10) / np.maximum(counts, 1)
    gaps = np.abs(mean_stated - mean_true)
    sure = stated > 0  # pairs that no replicate joined flatter every method
    sure_counts = np.bincount(bins[sure], minlength=10)
    sure_stated = np.bincount(bins[sure], stated[sure], 10) / np.maximum(sure_counts, 1)
    sure_true = np.bincount(bins[sure], true[sure], 10) / np.maximum(sure_counts, 1)
    print("stated  true  pairs")
    for row in zip(mean_stated, mean_true, counts, strict=True):
        print("{:6.2f} {:5.2f} {:6d}".format(*row))
    print(f"expected calibration error {np.sum(gaps * counts) / counts.sum():.3f}")
    sure_error = np.sum(np.abs(sure_stated - sure_true) * sure_counts) / sure.sum()
    print(f"  over pairs with a stated probability above 0: {sure_error:.3f}")
    warm = statistics.median(seconds[1:])
    print(f"{options.replicates} replicates, d = 20: {warm:.1f} s warm")

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    shown = counts > 0
    axes.plot(mean_stated[shown], mean_true[shown], "o-")
    for x, y, count in zip(
        mean_stated[shown], mean_true[shown], counts[shown], strict=True
    ):
        axes.annotate(str(count), (x, y), textcoords="offset points", xytext=(6, -12))
    axes.set(
        xlabel="stated probability of a directed edge",
        ylabel="share of true edges",
        title=f"{options.tables} tables, {options.replicates} replicates each",
    )
    options.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out / "calibration.png", dpi=120)
    print(f"wrote {options.out / 'calibration.png'}")


def main():
    """Runs one study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=[*STUDIES, "hard", "bootstrap"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=list(GRAPHS))
    parser.add_argument("--noises", nargs="+", choices=simulate.NOISE)
    parser.add_argument("--settings", nargs="+", help="some of the study's settings")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--rivals", nargs="*", help="some of the study's rivals")
    parser.add_argument("--rival-seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the rivals")
    parser.add_argument("--tables", type=int, default=50, help="of bootstrap")
    parser.add_argument("--replicates", type=int, default=100, help="of bootstrap")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"causaljax {causaljax.__version__}, jax {jax.__version__}, {device}")
    if options.study == "bootstrap":
        calibrate(options)
    elif options.study == "hard":
        survive(options)
    else:
        compare(STUDIES[options.study], options)


if __name__ == "__main__":
    main()
