"""What a belief about edges does for a method, if its source is right or errs.

    python scripts/bench_prior.py [--draws 12] [--rows 300] [--method neural]
        [--mechanism additive]

Tables of 8 variables and 1.5 edges a variable. A source is asked breadth-first
(`tables.priors.ask_breadth_first`): of what it should name, each name is missing with
probability `miss`, and as many wrong names are there instead in the mean. F1 is that of
the source alone; for `neural`, of its prior in place of the candidates that data give;
of both. For `mixed` every other column is cut into three classes.
"""

import argparse
import functools
import warnings

import jax
import networkx as nx
import numpy as np
import pandas as pd

from causaljax import LinearDAG, MixedDAG, NeuralDAG, compare_graphs, simulate
from causaljax.core.run import run
from causaljax.kernels import neural
from causaljax.kernels.neural import equations
from causaljax.tables import frame, priors

_NAMES = list("abcdefgh")
_MISSES = (0.0, 0.2, 0.4)
_METHODS = {
    "linear": LinearDAG,
    "mixed": MixedDAG,
    # The graph is there before the equations.
    "neural": functools.partial(NeuralDAG, num_updates=10),
}


def source(truth, rng, miss):
    """A question whose answers err."""
    graph = nx.from_pandas_adjacency(truth, create_using=nx.DiGraph)

    def question(cause, columns, edges):
        del edges
        if cause is None:
            true = {name for name in columns if graph.in_degree(name) == 0}
        else:
            true = set(graph.successors(cause))
        false = sorted(set(columns) - true - {cause})
        chance = miss * len(true) / max(len(false), 1)
        kept = {name for name in sorted(true) if rng.random() >= miss}
        return kept | {name for name in false if rng.random() < chance}

    return question


def in_place(table, prior):
    """The graph of the kernel that is told nothing but the prior."""
    problem, columns = frame.to_problem(table)
    given = priors.edge_prior(prior, columns.names).astype("float32")
    few = equations.Config(num_updates=10)
    config = neural.Config(prior=given, equations=few)
    posterior, _ = run(neural.KERNEL, jax.random.key(0), problem, config)
    return np.asarray(posterior.graphs[0]).astype(int)


def scores(number, options):
    """F1 of one table, by what was known."""
    graph_key, key = jax.random.split(jax.random.key(number))
    graph = simulate.erdos_renyi(graph_key, len(_NAMES), 1.5)
    problem, _ = simulate.simulate(
        key, graph, options.rows, mechanism=options.mechanism
    )
    table = pd.DataFrame(np.asarray(problem.x), columns=_NAMES)
    if options.method == "mixed":
        for name in _NAMES[::2]:
            table[name] = pd.qcut(table[name], 3, labels=list("xyz"))
    truth = np.asarray(graph).astype(int)
    named = pd.DataFrame(truth, index=_NAMES, columns=_NAMES)
    rng = np.random.default_rng(number)

    def f1(found):
        return compare_graphs(truth, np.asarray(found))["f1"]

    model = _METHODS[options.method]()
    found = {"no prior": f1(model.fit(table).adjacency_)}
    for miss in _MISSES:
        prior = priors.ask_breadth_first(source(named, rng, miss), _NAMES)
        model.set_params(prior=prior)
        found[f"source alone, miss {miss}"] = f1((prior > 0.5).astype(int))
        if options.method == "neural":
            found[f"in place, miss {miss}"] = f1(in_place(table, prior))
        found[f"both, miss {miss}"] = f1(model.fit(table).adjacency_)
    return found


def main():
    """Prints the mean over tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--method", default="neural", choices=_METHODS)
    parser.add_argument("--mechanism", default="additive")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # of edges refused, columns far out
    rows = [scores(number, options) for number in range(options.draws)]
    print(pd.DataFrame(rows).mean().round(2).to_string())


if __name__ == "__main__":
    main()
