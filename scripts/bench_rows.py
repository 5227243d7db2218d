"""More rows of one table: does the graph get no worse?

    python scripts/bench_rows.py [--draws 3] [--rows 200 1000 10000]

Two kinds of table. `hidden`: Faria, Martins and Figueiredo's generator with network
mechanisms, 5 variables, regimes unrecorded, for `LatentInterventionDAG`. `neural`:
network mechanisms, 8 variables, 2 edges a variable, for `NeuralDAG`. Rows are shuffled,
and a shorter table is the beginning of the longest. SHD counts a reversal once. "!"
marks an SHD above that of fewer rows.
"""

import argparse
import time
import warnings

import jax
import numpy as np
import pandas as pd

from causaljax import LatentInterventionDAG, NeuralDAG, simulate
from causaljax.reports.evaluation import compare_graphs

_HIDDEN, _NEURAL = 5, 8  # variables


def hidden(number, rows):
    """A table, its graph and the estimator for it."""
    problem, truth = simulate.faria_table(
        jax.random.key(number),
        mechanism="network",
        num_variables=_HIDDEN,
        num_rows=rows,
    )
    model = LatentInterventionDAG(max_regimes=2 * (_HIDDEN + 1))
    return problem.x, truth.graph, model


def neural(number, rows):
    """The same for one regime."""
    graph_key, key = jax.random.split(jax.random.key(number))
    graph = simulate.erdos_renyi(graph_key, _NEURAL, 2)
    problem, _ = simulate.simulate(key, graph, rows, mechanism="network")
    return problem.x, graph, NeuralDAG()


def main():
    """Prints a line a kind of table and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 1000, 10_000])
    parser.add_argument("--kinds", nargs="+", default=["hidden", "neural"])
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # of references and columns far out
    kinds = {"hidden": hidden, "neural": neural}
    sizes = sorted(options.rows)
    print("table draw", *(f"n={rows}" for rows in sizes), "seconds of each", sep="  ")
    for kind in options.kinds:
        for number in range(options.draws):
            x, graph, model = kinds[kind](number, sizes[-1])
            x, graph = np.asarray(x), np.asarray(graph)
            x = x[np.random.default_rng(number).permutation(len(x))]
            names = [f"x{j}" for j in range(len(graph))]
            found, seconds = [], []
            for rows in sizes:
                start = time.perf_counter()
                model.fit(pd.DataFrame(x[:rows], columns=names))
                seconds.append(time.perf_counter() - start)
                scores = compare_graphs(graph.astype(int), model.adjacency_.to_numpy())
                found.append(int(scores["shd"]))
            marks = [
                "",
                *("!" if b > a else "" for a, b in zip(found, found[1:], strict=False)),
            ]
            shown = (f"{shd}{mark}" for shd, mark in zip(found, marks, strict=True))
            times = (f"{each:.1f}" for each in seconds)
            print(kind, number, *shown, " ".join(times), sep="  ", flush=True)


if __name__ == "__main__":
    main()
