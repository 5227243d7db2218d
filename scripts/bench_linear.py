"""Linear DAG scoring against the library a user would pick instead.

    python scripts/bench_linear.py                        everything, about an hour
    python scripts/bench_linear.py --sizes 20 --seeds 1   a quick look

Data are simulated: linear, Gaussian noise of one variance, columns as generated,
weights of .5 to 2 in absolute value. Rivals run in the same go on the same data, in
environments of their own (`scripts/rivals.py`). SHD counts a reversal once; figures
are medians over seeds. Warm seconds are wall seconds of a fit whose program is
compiled; compile seconds are what the first fit of a shape takes on top.
"""

import argparse
import resource
import statistics
import time

import jax
import numpy as np
import rivals

import causaljax
from causaljax import simulate
from causaljax.evaluation import compare_graphs

GRAPHS = {"ER2": simulate.erdos_renyi, "SF2": simulate.scale_free}
NUM_ROWS = 1000


def simulated(family: str, num_variables: int, seed: int):
    """(table [n, d], true graph [d, d]) as numpy arrays."""
    graph_key, data_key = jax.random.split(jax.random.key(seed))
    graph = GRAPHS[family](graph_key, num_variables, 2)
    problem, truth = simulate.simulate_linear(data_key, graph, NUM_ROWS)
    return np.asarray(problem.x), np.asarray(truth.graph)


def ours(table, options):
    """(graph, warm seconds, compile seconds)."""
    model = causaljax.LinearDAG(noise="equal_variance", **options)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        model.fit(table)
        seconds.append(time.perf_counter() - start)
    return model.adjacency_.to_numpy(), seconds[1], seconds[0] - seconds[1]


def theirs(table, name, threads):
    """(graph, seconds, None)."""
    result = rivals.run(name, table, threads=threads)
    return result.graph, result.seconds, None


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=list(GRAPHS))
    parser.add_argument("--acyclicity", nargs="+", default=["logdet"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rivals", nargs="*", default=["dagma"])
    parser.add_argument("--threads", type=int, default=2, help="of the rivals")
    options = parser.parse_args()

    methods = {
        "empty graph": lambda table: (np.zeros((table.shape[1],) * 2, int), 0.0, None),
    }
    for name in options.acyclicity:
        methods[f"LinearDAG {name}"] = lambda table, name=name: ours(
            table, {"acyclicity": name}
        )
    for name in options.rivals:
        methods[name] = lambda table, name=name: theirs(table, name, options.threads)

    device = jax.devices()[0].device_kind
    print(f"causaljax {causaljax.__version__}, jax {jax.__version__}, {device}")
    header = ("data", "d", "method", "SHD", "each", "F1", "SID", "warm s", "compile s")
    layout = "{:5} {:>4} {:20} {:>5} {:24} {:>5} {:>6} {:>8} {:>9}"
    print(layout.format(*header), flush=True)
    for size in options.sizes:
        for family in options.graphs:
            cases = [simulated(family, size, seed) for seed in range(options.seeds)]
            for name, method in methods.items():
                scores, warm, compiling = [], [], []
                for table, truth in cases:
                    graph, seconds, compile_seconds = method(table)
                    scores.append(compare_graphs(truth, graph))
                    warm.append(seconds)
                    compiling.append(compile_seconds)
                shds = [score["shd"] for score in scores]
                first = "" if compiling[0] is None else f"{max(compiling):.1f}"
                print(
                    layout.format(
                        family,
                        size,
                        name,
                        f"{statistics.median(shds):g}",
                        " ".join(f"{shd:g}" for shd in shds),
                        f"{statistics.median(s['f1'] for s in scores):.2f}",
                        f"{statistics.median(s['sid'] for s in scores):g}",
                        f"{statistics.median(warm):.2f}",
                        first,
                    ),
                    flush=True,
                )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
