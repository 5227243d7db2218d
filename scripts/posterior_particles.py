"""Posteriors over graphs by particles (DiBS) against dibs-lib and exact sums.

    python scripts/posterior_particles.py compare    d = 20: seconds and accuracy
    python scripts/posterior_particles.py bias       d = 5: error of edges' marginals

Tables are linear and Gaussian, from Erdos-Renyi graphs with two edges a variable
(`compare`) or one (`bias`), standardised, with noise of standard deviation .5 to 2.

`compare` runs dibs-lib in an environment of its own (`scripts/rivals.py`) with the same
number of particles, steps and drawn graphs, BGe's likelihood and the same prior of
graphs. A step's seconds are the difference between a run and one of five steps, cold
seconds are all of a first run, compilation included. AUROC is that of ordered pairs by
edges' marginals, and the expected SHD that of a particle drawn by weight. Rows
"empirical" weigh particles alike, "mixture" by posterior probability.

`bias` prints the mean and the largest absolute difference to the exact marginals of
edges, a sum over all 29,281 graphs (`graphs.modular`). The row "constant" gives each
edge the mean of all marginals.
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import rivals

from causaljax import simulate
from causaljax.core import run
from causaljax.core.types import Problem
from causaljax.graphs import modular
from causaljax.graphs.metrics import auroc
from causaljax.kernels import dibs
from causaljax.reports.evaluation import expected_shd
from causaljax.scores import parent_sets

WEIGHTINGS = "empirical", "mixture"
ODDS = (4 / 19) / (1 - 4 / 19)  # dibs-lib's prior of two edges a variable, of 20


def tables(
    num_variables: int, edges: float, num_rows: int, seeds: int
) -> Iterator[tuple[Problem, np.ndarray]]:
    """Tables and the graphs they come from."""
    for seed in range(seeds):
        graph_key, table_key = jax.random.split(jax.random.key(100 + seed))
        graph = simulate.erdos_renyi(graph_key, num_variables, edges)
        problem, _ = simulate.simulate_linear(
            table_key, graph, num_rows, scaling="standardised", noise_scale=(0.5, 2.0)
        )
        yield problem, np.asarray(graph)


def fit(problem: Problem, **settings: Any) -> np.ndarray:
    """Marginals of edges by the kernel, waited for."""
    config = dibs.Config(interventional=False, **settings)
    posterior, _ = run.run(dibs.KERNEL, jax.random.key(0), problem, config)
    return np.asarray(posterior.edge_prob)


def compare(args: argparse.Namespace) -> None:
    """Seconds and accuracy, table by table."""
    size = {"num_particles": args.particles, "num_steps": args.steps}
    print(f"d = 20, {size}")
    print("rows  seed  method            cold s   s a step   AUROC  expected SHD")
    short, few = {**size, "num_steps": 5}, {}
    for num_rows in args.rows:
        for seed, (problem, truth) in enumerate(tables(20, 2, num_rows, args.seeds)):

            def show(name, cold, step, marginals, at=(num_rows, seed), truth=truth):
                area = float(auroc(truth, marginals))
                error = expected_shd(truth.astype(int), marginals)
                print(
                    f"{at[0]:4}{at[1]:6}  {name:15}{cold:9.2f}{step:11.4f}"
                    f"{area:8.3f}{error:14.1f}",
                    flush=True,
                )

            for weighting in WEIGHTINGS:
                seconds = []
                for _ in range(2):
                    begin = time.perf_counter()
                    marginals = fit(
                        problem, **size, weighting=weighting, edge_odds=ODDS
                    )
                    seconds.append(time.perf_counter() - begin)
                step = seconds[1] / args.steps
                show(weighting, seconds[0], step, marginals)
            if seed < args.rival_seeds:
                if num_rows not in few:
                    few[num_rows] = rivals.run(
                        "dibs", np.asarray(problem.x), **short
                    ).seconds
                found = rivals.run("dibs", np.asarray(problem.x), **size)
                step = (found.seconds - few[num_rows]) / (args.steps - 5)
                show(found.version, found.seconds, step, found.weights)
    empty = np.mean([truth.sum() for _, truth in tables(20, 2, 5, args.seeds)])
    print(f"the empty graph: expected SHD {empty:.1f}")


def exact(problem: Problem) -> np.ndarray:
    """Marginals of edges summed over all graphs, all of them equally probable before.

    To dibs-lib that is one edge a variable of five: it joins each pair with probability
    1/2.
    """

    @jax.jit
    def marginals(problem):
        config = parent_sets.Config(interventional=False)
        weights = parent_sets.all_log_weights(problem, config)
        return modular.edge_probabilities(modular.parent_set_probabilities(weights))

    def double(leaf):
        leaf = np.asarray(leaf)
        return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf

    with jax.enable_x64(True):
        return np.asarray(marginals(jax.tree.map(double, problem)))


def bias(args: argparse.Namespace) -> None:
    """Differences to exact marginals, means over tables."""
    off = ~np.eye(5, dtype=bool)
    size = {"num_particles": args.particles, "num_steps": args.steps}
    print(f"d = 5, {size}, {args.seeds} tables")
    print("rows  method             mean   largest")
    for num_rows in args.rows:
        errors: dict[str, list] = {}
        for problem, _ in tables(5, 1, num_rows, args.seeds):
            known = exact(problem)
            answers = {"constant": np.full((5, 5), known[off].mean())}
            for weighting in WEIGHTINGS:
                for bandwidth in (5.0, 0.0):
                    name = f"{weighting}, h {bandwidth or 'median'}"
                    answers[name] = fit(
                        problem,
                        **size,
                        weighting=weighting,
                        bandwidth=bandwidth,
                    )
            if args.rival_seeds:
                found = rivals.run(
                    "dibs", np.asarray(problem.x), edges_per_variable=1, **size
                )
                assert found.weights is not None
                answers["dibs-lib, empirical"] = found.weights
            for name, marginals in answers.items():
                wrong = np.abs(marginals - known)[off]
                errors.setdefault(name, []).append((wrong.mean(), wrong.max()))
        for name, found in errors.items():
            mean, largest = np.mean(found, axis=0)
            print(f"{num_rows:4}  {name:20}{mean:.3f}{largest:9.3f}", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["compare", "bias"])
    parser.add_argument("--particles", type=int, default=30)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, default=3, help="tables of each size")
    parser.add_argument(
        "--rival-seeds", type=int, default=1, help="dibs-lib's; 0: none"
    )
    args = parser.parse_args()
    {"compare": compare, "bias": bias}[args.command](args)


if __name__ == "__main__":
    main()
