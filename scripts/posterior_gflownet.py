"""Edge probabilities of DAG-GFlowNet against exact ones, table by table.

    python scripts/posterior_gflownet.py [--variables 5] [--rows 100] [--tables 10]
        [--steps N] [--hidden N] [--graphs N]

Linear Gaussian tables of Erdos-Renyi graphs, of one and two edges a variable in turn,
standardised; BGe scores and a uniform prior of DAGs. `largest` and `mean` are of the
absolute errors of the probabilities of all ordered pairs; `weighted` is the largest
error of the same graphs with their importance weights, and `drawn` that of as many
graphs drawn from the exact posterior. `balance` is the mean absolute error of the
detailed balance, in nats, and `ess` the effective sample size in percent of the graphs.
The first fit compiles.
"""

import argparse
import time

import jax
import numpy as np

from causaljax.core.run import run
from causaljax.graphs import modular
from causaljax.kernels import gflownet
from causaljax.scores.parent_sets import all_log_weights
from causaljax.simulate import erdos_renyi, simulate_linear


def exact(key, problem, config):
    """Edge probabilities, and the shares of edges in graphs drawn exactly."""

    @jax.jit
    def sums(problem):
        weights = all_log_weights(problem, config)
        edges = modular.edge_probabilities(modular.parent_set_probabilities(weights))
        drawn = modular.sample_dags(key, weights, config.num_graphs)
        return edges, drawn.mean(axis=0)

    with jax.enable_x64(True):
        double = problem._replace(
            x=np.asarray(problem.x, np.float64),
            weight=np.asarray(problem.weight, np.float64),
        )
        return jax.tree.map(np.asarray, sums(double))


def main():
    """Prints a line a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variables", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--tables", type=int, default=10)
    default = gflownet.Config()
    parser.add_argument("--steps", type=int, default=default.num_steps)
    parser.add_argument("--hidden", type=int, default=default.hidden)
    parser.add_argument("--graphs", type=int, default=default.num_graphs)
    options = parser.parse_args()
    config = gflownet.Config(
        num_steps=options.steps, hidden=options.hidden, num_graphs=options.graphs
    )
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {config}")
    print("table edges largest   mean  unweighted  drawn balance   ess seconds")
    for number in range(options.tables):
        graph_key, key = jax.random.split(jax.random.key(number))
        graph = erdos_renyi(graph_key, options.variables, 1.0 + number % 2)
        problem, _ = simulate_linear(key, graph, options.rows, scaling="standardised")
        begin = time.perf_counter()
        posterior, _ = run(gflownet.KERNEL, jax.random.key(0), problem, config)
        found = np.asarray(posterior.edge_prob)
        seconds = time.perf_counter() - begin
        truth, drawn = exact(jax.random.key(1), problem, config)
        error, extra = np.abs(found - truth), posterior.extra
        plain = np.abs(np.asarray(posterior.graphs).mean(axis=0) - truth).max()
        ess = 100 * float(extra["effective_sample_size"]) / options.graphs
        print(
            f"{number:5d} {int(graph.sum()):5d} {error.max():7.4f} {error.mean():6.4f} "
            f"{plain:8.4f} {np.abs(drawn - truth).max():7.4f} "
            f"{float(extra['balance_error']):7.4f} {ess:5.1f} {seconds:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
