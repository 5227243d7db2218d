"""How often posterior intervals of total effects hold the truth, on simulated tables.

    python scripts/posterior_effects.py [--tables 100] [--rows 100] [--fast]

Tables are of a linear Gaussian model, x_j = sum_i w_ij x_i + e_j, of 5 columns whose
pairs are joined with probability 0.5 along a random order; weights are from .3 to 1 of
either sign, standard deviations of the noise from .5 to 1.5. Columns are standardised
inside. Intervals are of ``probabilistic.averaged_effects`` with 400 draws:

- "known": all draws have the true graph;
- "sampled": each has a graph from the exact posterior over all DAGs, by the BGe score
  and all DAGs alike before. Members of a class have one score, so the intervals are
  wider.

"effects" are of pairs with a directed path in the true graph, "none" of the others:
their effect is 0, which a known graph tells without an error. Where graphs are drawn,
intervals promise their level for all pairs together: where most graphs have no path,
an effect is taken for 0, as most often it is.
"""

import argparse
import time

import jax
import numpy as np

from causaljax.core.types import make_problem
from causaljax.graphs import modular
from causaljax.probabilistic import averaged_effects
from causaljax.scores import parent_sets

COLUMNS, DRAWS = 5, 400


def simulate(seed, num_rows):
    """A table ``[n, d]`` and its weights ``[d, d]``."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(COLUMNS)
    upper = np.triu(rng.random((COLUMNS, COLUMNS)) < 0.5, 1)
    sizes = rng.uniform(0.3, 1, upper.shape) * rng.choice([-1, 1], upper.shape)
    weights = np.zeros_like(sizes)
    weights[np.ix_(order, order)] = upper * sizes
    noise = rng.normal(size=(num_rows, COLUMNS)) * rng.uniform(0.5, 1.5, COLUMNS)
    return noise @ np.linalg.inv(np.eye(COLUMNS) - weights), weights


log_weights = jax.jit(
    lambda problem: parent_sets.all_log_weights(problem, parent_sets.Config())
)
sample_dags = jax.jit(modular.sample_dags, static_argnums=2)


def sampled_graphs(seed, x):
    """Draws from the exact posterior over all DAGs, ``[s, d, d]`` bool."""
    with jax.enable_x64(True):
        problem = make_problem((x - x.mean(axis=0)) / x.std(axis=0))
        key = jax.random.key(seed)
        return np.asarray(sample_dags(key, log_weights(problem), DRAWS))


def measure(graphs_of, num_tables, num_rows, level):
    """Whether intervals hold the truth, and how wide they are, of all pairs."""
    rows = []
    for seed in range(num_tables):
        x, weights = simulate(seed, num_rows)
        truth = np.linalg.inv(np.eye(COLUMNS) - weights)
        graphs = graphs_of(seed, x, weights)
        for i in range(COLUMNS):
            for j in range(COLUMNS):
                if i == j:
                    continue
                key = jax.random.key(10**6 + 100 * seed + COLUMNS * i + j)
                found = averaged_effects(key, graphs, x, i, j, level=level)
                low, high = found.interval
                holds = low - 1e-9 <= truth[i, j] <= high + 1e-9
                error = abs(found.mean - truth[i, j])
                is_effect = abs(truth[i, j]) > 1e-12
                rows.append((seed, is_effect, holds, high - low, error))
    return np.array(rows, float)


def main():
    """Prints a row for each source of graphs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--fast", action="store_true", help="10 tables")
    options = parser.parse_args()
    tables = 10 if options.fast else options.tables
    sources = {
        "known": lambda seed, x, weights: np.repeat(weights[None] != 0, DRAWS, axis=0),
        "sampled": lambda seed, x, weights: sampled_graphs(seed, x),
    }
    print(
        f"{tables} tables of {options.rows} rows and {COLUMNS} columns, "
        f"{100 * options.level:g} % intervals"
    )
    print("| graphs | pairs | number | hold the truth | mean width | mean error | s |")
    print("|---|---|---|---|---|---|---|")
    for name, graphs_of in sources.items():
        start = time.perf_counter()
        rows = measure(graphs_of, tables, options.rows, options.level)
        seconds = time.perf_counter() - start
        parts = {"effects": rows[:, 1] == 1, "none": rows[:, 1] == 0}
        for what, chosen in (parts | {"all": rows[:, 1] >= 0}).items():
            part = rows[chosen]
            holds, width, error = part[:, 2:].mean(axis=0)
            print(
                f"| {name} | {what} | {len(part)} | {100 * holds:.1f} % | {width:.3f} "
                f"| {error:.3f} | {seconds:.1f} |"
            )


if __name__ == "__main__":
    main()
