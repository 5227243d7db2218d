"""Tables that mislead: what AmortizedDAG states of them, and whether it says so.

    python scripts/bench_strange.py strange [--draws 24] [--weights FILE]
    python scripts/bench_strange.py traps

`strange` spoils tables of networks in twelve ways and prints AUROC before and after,
and the share with an `ood_score_` above 1: wanted wherever AUROC falls by more than
.1, and of plain tables in less than .02. `traps` takes pairs whose direction is easy to
mistake (the reverse stated above .9: wanted in at most .03), independent columns with a
rare event and the parts of a collider (a false link above .3: wanted in at most .05).
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from bench_methods import mark, ranking_area

import causaljax


def network_table(rng: np.random.Generator, size: int = 10, rows: int = 600) -> tuple:
    """A table of one-hidden-layer networks with additive noise, and its graph."""
    graph = np.triu(rng.random((size, size)) < 4 / (size - 1), 1)
    x = np.zeros((rows, size))
    for j in range(size):
        parents = np.flatnonzero(graph[:, j])
        x[:, j] = rng.normal(size=rows)
        if len(parents):
            hidden = np.tanh(x[:, parents] @ rng.normal(size=(len(parents), 8)))
            signal = hidden @ rng.normal(size=8)
            x[:, j] += 1.5 * signal / max(signal.std(), 1e-6)
        x[:, j] /= x[:, j].std()
    return x, graph


def _walks(x, rng):
    return np.cumsum(x, axis=0)


def _outlier(x, rng):
    x = x.copy()
    x[0] = 1e3 * rng.normal(size=x.shape[1])
    return x


def _coded(x, rng):
    """Classes of random codes, read as numbers."""
    ranks = x.argsort(axis=0).argsort(axis=0) / len(x)
    codes = np.floor(6 * ranks).astype(int)
    for j in range(x.shape[1]):
        codes[:, j] = rng.permutation(20)[:6][codes[:, j]]
    return codes.astype(float)


STRANGE: dict[str, Callable] = {
    "as drawn": lambda x, rng: x,
    "codes as numbers": _coded,
    "random walks": _walks,
    "rows repeated 25 times": lambda x, rng: np.repeat(x[: len(x) // 25], 25, axis=0),
    "one outlier": _outlier,
    "compositional": lambda x, rng: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    "trend in all columns": lambda x, rng: (
        x + 4 * np.linspace(0, 1, len(x))[:, None] * rng.choice([-1, 1], x.shape[1])
    ),
    "exponentials": lambda x, rng: np.exp(3 * x),
    "mostly zero": lambda x, rng: np.where(x > 1.5, x, 0),
    "one common factor": lambda x, rng: x + 2 * rng.normal(size=(len(x), 1)),
    "heavy measurement error": lambda x, rng: x + 1.5 * rng.normal(size=x.shape),
    "copies of columns": lambda x, rng: np.concatenate(
        [x[:, :5], x[:, :5] + 1e-3 * rng.normal(size=(len(x), 5))], axis=1
    ),
    "cauchy errors": lambda x, rng: x + 0.3 * rng.standard_cauchy(x.shape),
}


def strange(model: causaljax.AmortizedDAG, draws: int) -> None:
    """One row a kind of table."""
    print(f"{'table':26} {'AUROC':>6} {'lost':>6} {'score':>6} {'flagged':>8}")
    plain = np.nan
    for name, spoil in STRANGE.items():
        tables, graphs = [], []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x, graph = network_table(rng)
            tables.append(pd.DataFrame(spoil(x, rng)).rename(columns="x{}".format))
            graphs.append(graph)
        fitted = many(model, tables)
        areas, scores = [], []
        for one, graph in zip(fitted, graphs, strict=True):
            apart = ~np.eye(len(graph), dtype=bool)
            prob = one.edge_probabilities_.to_numpy()
            areas.append(ranking_area(graph[apart], prob[apart]))
            scores.append(one.ood_score_)
        area, flagged = float(np.nanmean(areas)), float(np.mean(np.array(scores) > 1))
        plain = area if name == "as drawn" else plain
        lost = plain - area
        bad = flagged >= 0.02 if name == "as drawn" else lost > 0.1 and flagged < 0.5
        print(
            f"{name:26} {area:6.3f} {lost:6.3f} {np.median(scores):6.2f} "
            f"{flagged:8.2f}{mark(bad)}",
            flush=True,
        )


CURVES: dict[str, Callable] = {
    "cubic": lambda x: x + 0.1 * x**3,
    "exponential": np.exp,
    "step": lambda x: (x > 0).astype(float),
    "sine": lambda x: np.sin(2 * x),
    "softplus": lambda x: np.log1p(np.exp(2 * x)),
}


def traps(model: causaljax.AmortizedDAG, draws: int) -> None:
    """Pairs, rare events and colliders."""
    for name, curve in CURVES.items():
        tables = []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=rng.choice([300, 1000, 2000]))
            signal = curve(x)
            noise = rng.uniform(0.1, 0.6) * signal.std()
            y = signal + noise * rng.normal(size=len(x))
            tables.append(pd.DataFrame({"x": x, "y": y}))
        fitted = many(model, tables)
        back = np.array([one.edge_probabilities_.loc["y", "x"] for one in fitted])
        forth = np.array([one.edge_probabilities_.loc["x", "y"] for one in fitted])
        bad = np.mean(back > 0.9) > 0.03
        print(
            f"{name:12} right above .5 in {np.mean(forth > 0.5):.2f}, reverse above "
            f".9 in {np.mean(back > 0.9):.2f}{mark(bad)}",
            flush=True,
        )
    kinds: dict[str, tuple[Callable, Callable]] = {
        "rare event": (_rare, lambda prob: prob),
        "collider": (_collider, lambda prob: prob.iloc[:3, :3]),
        "independent": (
            lambda rng, n: pd.DataFrame(rng.normal(size=(n, 6))),
            lambda prob: prob,
        ),
    }
    for name, (draw, part) in kinds.items():
        tables = []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            table = draw(rng, int(rng.choice([300, 600, 1200])))
            tables.append(table.rename(columns="x{}".format))
        fitted = many(model, tables)
        false = []
        for one in fitted:
            prob = part(one.edge_probabilities_).to_numpy()
            false.append((prob + prob.T).max() > 0.3)
        bad = np.mean(false) > 0.05
        print(f"{name:12} a false link above .3 in {np.mean(false):.2f}{mark(bad)}")


def _rare(rng, n):
    x = pd.DataFrame(rng.normal(size=(n, 5)))
    x[5] = 0
    x.loc[rng.choice(n, 3, replace=False), 5] = 1
    return x


def _collider(rng, n):
    x = pd.DataFrame(rng.normal(size=(n, 3)))
    x[3] = x.sum(axis=1) + rng.choice([0, 0.1, 0.5]) * rng.normal(size=n)
    return x


def many(model: causaljax.AmortizedDAG, tables: list) -> list:
    """Fits without the warnings, which are what the score is for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit_many(tables)


def main() -> None:
    """Runs one study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=("strange", "traps"))
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--weights", help="a name or file, in place of the shipped")
    options = parser.parse_args()
    given = {"pretrained": options.weights} if options.weights else {}
    model = causaljax.AmortizedDAG(**given)
    {"strange": strange, "traps": traps}[options.study](model, options.draws)


if __name__ == "__main__":
    main()
