"""How often the intervals of ``effect`` hold the true effect, on simulated tables.

    python scripts/bench_effects.py [--tables 100] [--methods amortized linear ...]

Tables have 7 columns and 800 rows of a linear model, x_j = sum_i w_ij x_i + e_j, of 1.5
edges a column, weights from .4 to 1.2 of either sign, and noise that is normal, uniform
or Laplace. Six pairs of each table are asked about, up to three with an effect and the
rest without one, by 90 % intervals:

- "given": regression on the adjustment set of the true graph;
- "amortized": ``AmortizedDAG``, over sampled graphs;
- "linear": ``LinearDAG(n_bootstrap=50)``, over refits;
- "alone": ``LinearDAG()``, in the one graph found.
"""

import argparse
import json
import sys
import time
import warnings

import numpy as np
import pandas as pd

from causaljax import AmortizedDAG, LinearDAG
from causaljax.effects import estimation, question

COLUMNS, ROWS, LEVEL, PAIRS = 7, 800, 0.9, 3
NOISES = ("normal", "uniform", "laplace")
GIVEN = "given"
METHODS = {
    "amortized": lambda: AmortizedDAG(progress=False),
    "linear": lambda: LinearDAG(n_bootstrap=50, progress=False),
    "alone": lambda: LinearDAG(progress=False),
}


def simulate(seed):
    """A table, its weights ``[d, d]``, and the name of its noise."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(COLUMNS)
    upper = np.triu(rng.random((COLUMNS, COLUMNS)) < 3 / (COLUMNS - 1), 1)
    sizes = rng.uniform(0.4, 1.2, upper.shape) * rng.choice([-1, 1], upper.shape)
    weights = np.zeros_like(sizes)
    weights[np.ix_(order, order)] = upper * sizes
    noise = NOISES[seed % len(NOISES)]
    draw = {
        "normal": rng.standard_normal,
        "uniform": lambda shape: rng.uniform(-1, 1, shape) * 3**0.5,
        "laplace": lambda shape: rng.laplace(0, 0.5**0.5, shape),
    }[noise]
    rows = draw((ROWS, COLUMNS)) @ np.linalg.inv(np.eye(COLUMNS) - weights)
    names = [f"x{k}" for k in range(COLUMNS)]
    return pd.DataFrame(rows, columns=names), weights, noise


def pairs_of(weights, seed):
    """Pairs of places to ask about, and the true total effects."""
    rng = np.random.default_rng([seed, 1])
    total = np.linalg.inv(np.eye(COLUMNS) - weights) - np.eye(COLUMNS)
    pairs = [(i, j) for i in range(COLUMNS) for j in range(COLUMNS) if i != j]
    rng.shuffle(pairs)
    reach = {pair: abs(total[tuple(pair)]) > 1e-12 for pair in map(tuple, pairs)}
    some = [pair for pair in reach if reach[pair]][:PAIRS]
    none = [pair for pair in reach if not reach[pair]][: 2 * PAIRS - len(some)]
    return [(pair, float(total[pair])) for pair in some + none]


def answers(method, table, weights, pairs):
    """The effects that a method finds."""
    if method == GIVEN:
        names = list(table)
        graphs = estimation.Graphs(weights != 0, weights != 0, None, (), "")
        rows = estimation.Table(
            names,
            table.to_numpy(),
            np.zeros(table.shape, bool),
            [0] * COLUMNS,
        )
        for (i, j), _ in pairs:
            asked = question.Question(i, j, None, None, None, None, "", "", ())
            yield estimation.estimate(asked, rows, graphs, LEVEL)
        return
    model = METHODS[method]().fit(table)
    for (i, j), _ in pairs:
        yield model.effect(f"x{i}", f"x{j}", table, level=LEVEL)


def measure(method, num_tables):
    """One row for each effect that was asked about."""
    rows, start = [], time.perf_counter()
    for seed in range(num_tables):
        spent = time.perf_counter() - start
        print(f"{method}: {seed} tables, {spent:.0f} s", end="\r", file=sys.stderr)
        table, weights, noise = simulate(seed)
        pairs = pairs_of(weights, seed)
        found = answers(method, table, weights, pairs)
        for (_, truth), effect in zip(pairs, found, strict=True):
            row = {"table": seed, "noise": noise, "truth": truth}
            if effect.estimate is not None and effect.interval is not None:
                low, high = effect.interval
                row |= {
                    "covers": low - 1e-9 <= truth <= high + 1e-9,
                    "width": high - low,
                    "error": abs(effect.estimate - truth),
                }
            rows.append(row)
    return pd.DataFrame(rows)


def main():
    """Prints a line of JSON for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=100)
    methods = [GIVEN, *METHODS]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for method in options.methods:
        start = time.perf_counter()
        rows = measure(method, options.tables)
        known = rows.dropna(subset="covers")
        some, none = known[known.truth != 0], known[known.truth == 0]
        first = some.groupby("table").head(1)
        found = {
            "method": method,
            "tables": options.tables,
            "coverage": round(float(known.covers.mean()), 3),
            "coverage_of_effects": round(float(some.covers.mean()), 3),
            "coverage_of_one_effect_a_table": round(float(first.covers.mean()), 3),
            "coverage_of_none": round(float(none.covers.mean()), 3),
            "by_noise": {
                name: round(float(part.covers.mean()), 3)
                for name, part in some.groupby("noise")
            },
            "identified": round(len(known) / len(rows), 3),
            "mean_width_of_effects": round(float(some.width.mean()), 3),
            "mean_error_of_effects": round(float(some.error.mean()), 3),
            "seconds": round(time.perf_counter() - start, 1),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
