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
    """One row for each effect that was asked about; tells of every tenth table."""
    rows, start = [], time.perf_counter()
    for seed in range(num_tables):
        table, weights, noise = simulate(seed)
        pairs = pairs_of(weights, seed)
        found = answers(method, table, weights, pairs)
        for (_, truth), effect in zip(pairs, found, strict=True):
            row = {"table": seed, "noise": noise, "truth": truth, "covers": None}
            if effect.estimate is not None and effect.interval is not None:
                low, high = effect.interval
                row |= {
                    "covers": low - 1e-9 <= truth <= high + 1e-9,
                    "width": high - low,
                    "error": abs(effect.estimate - truth),
                }
            rows.append(row)
        if (seed + 1) % 10 == 0 or seed + 1 == num_tables:
            spent = time.perf_counter() - start
            told = summary(method, pd.DataFrame(rows)) | {"seconds": round(spent, 1)}
            last = seed + 1 == num_tables
            print(json.dumps(told), file=None if last else sys.stderr, flush=True)


def summary(method, rows):
    """Shares of the intervals that hold the truth, of effects and of pairs without."""
    known = rows.dropna(subset="covers").astype({"covers": float})
    some, none = known[known.truth != 0], known[known.truth == 0]
    found = {
        "coverage": known.covers.mean(),
        "coverage_of_effects": some.covers.mean(),
        "coverage_of_one_effect_a_table": some.groupby("table").head(1).covers.mean(),
        "coverage_of_none": none.covers.mean(),
        "identified": len(known) / len(rows),
        "mean_width_of_effects": some.width.mean(),
        "mean_error_of_effects": some.error.mean(),
    }
    found |= {
        f"coverage_of_effects_{name}": part.covers.mean()
        for name, part in some.groupby("noise")
    }
    rounded = {name: round(float(value), 3) for name, value in found.items()}
    return {"method": method, "tables": int(rows.table.nunique())} | rounded


def main():
    """Prints a line of JSON for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=100)
    methods = [GIVEN, *METHODS]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for method in options.methods:
        measure(method, options.tables)


if __name__ == "__main__":
    main()
