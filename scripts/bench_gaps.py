"""What gaps cost: each method on whole tables, with gaps, and with listwise deletion.

    python scripts/bench_gaps.py [--draws 6] [--share .2] [--methods linear mixed]

Tables of 20 columns and 1,000 rows with two edges a variable; a share of the cells is
missing at random. Relations are linear for `linear`, curved for `neural` and
`amortized`; for `mixed` every other column is cut into classes. F1 is that of
`bench_discover.py`.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from bench_discover import cut, f1

import causaljax

SIZE, ROWS = 20, 1000
METHODS = {
    "linear": (lambda: causaljax.LinearDAG(noise="gaussian"), False),
    "mixed": (causaljax.MixedDAG, False),
    "neural": (causaljax.NeuralDAG, True),
    "amortized": (causaljax.AmortizedDAG, True),
}
"""Estimators, and whether relations are curved."""


def draw(seed: int, curved: bool) -> tuple[pd.DataFrame, np.ndarray]:
    """A table, and its graph ``[d, d]``."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(SIZE)
    place = np.argsort(order)
    chance = 4 / (SIZE - 1)
    graph = np.triu(rng.random((SIZE, SIZE)) < chance, 1)[np.ix_(place, place)]
    weight = rng.uniform(0.7, 1.6, graph.shape) * rng.choice([-1, 1], graph.shape)
    form = rng.integers(0, 3, graph.shape)
    x = np.zeros((ROWS, SIZE))
    for j in order:
        value = rng.normal(size=ROWS) * rng.uniform(0.4, 1)
        for i in np.flatnonzero(graph[:, j]):
            cause = x[:, i]
            bent = (np.tanh(1.5 * cause), np.sin(1.5 * cause), cause**2 - 1)
            value = value + weight[i, j] * (bent[form[i, j]] if curved else cause)
        x[:, j] = (value - value.mean()) / value.std()
    return pd.DataFrame(x, columns=[f"x{k}" for k in range(SIZE)]), graph


def score(make, table: pd.DataFrame, graph: np.ndarray) -> float:
    """F1 of a fit; 0 where there are too few rows for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = make().fit(table)
        except ValueError:
            return 0.0
    found = model.cpdag_.reindex(index=table.columns, columns=table.columns)
    return f1(graph, found.fillna(0).to_numpy())


def main() -> None:
    """Prints a line a method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--methods", nargs="*", default=[*METHODS], choices=METHODS)
    options = parser.parse_args()
    for name in options.methods:
        make, curved = METHODS[name]
        rows = []
        for seed in range(options.draws):
            table, graph = draw(seed, curved)
            if name == "mixed":
                table = cut(table, seed)
            rng = np.random.default_rng(1000 + seed)
            gaps = table.mask(rng.random(table.shape) < options.share)
            forms = (table, gaps, gaps.dropna())
            rows.append([score(make, form, graph) for form in forms])
        whole, filled, listwise = np.mean(rows, axis=0)
        print(
            f"{name:10} whole {whole:.3f}, gaps {filled:.3f}, "
            f"loss {whole - filled:.3f}, listwise deletion {listwise:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
