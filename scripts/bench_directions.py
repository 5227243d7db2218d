"""Directed edges that `LinearDAG` claims, and the share of them that is right.

    python scripts/bench_directions.py                          the default
    python scripts/bench_directions.py --noise nongaussian      all directions claimed
    python scripts/bench_directions.py --data FOLDER            and the light tunnel

Families of simulated tables: linear ones, whose directions non-Gaussian noise tells or
does not, and curved, discretised and confounded ones, of which the model is wrong. A
claim is a directed edge of `cpdag_`; it is right if the truth has it, where a hidden
variable is projected out. `compelled` is the share right of claims that `noise=
"gaussian"` makes, too. `SHD` is that of `adjacency_`, the mean over the tables; `F1`
takes an undirected edge of `cpdag_` for half a hit. FOLDER holds `light_tunnel/`, of
which 1,000 rows at a time are taken; Sachs is shipped.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

import causaljax
from causaljax import simulate

NUM_ROWS = 1000
PAIR_ROWS = 2000


class Case(NamedTuple):
    """A table and the directed edges that are right to claim."""

    table: np.ndarray  # [n, d]
    truth: np.ndarray  # [d, d] bool


def linear(noise, size=20, degree=2):
    """A linear table of d columns, standardised."""

    def draw(seed):
        graph_key, data_key = jax.random.split(jax.random.key(seed))
        graph = simulate.erdos_renyi(graph_key, size, degree)
        problem, truth = simulate.simulate_linear(
            data_key,
            graph,
            NUM_ROWS,
            noise=noise,
            noise_scale=(0.5, 2.0),
            scaling="standardised",
        )
        return Case(np.asarray(problem.x), np.asarray(truth.graph))

    return draw


def curved(mechanism, size=20, degree=2):
    """A table of curved mechanisms with additive Gaussian noise."""

    def draw(seed):
        graph_key, data_key = jax.random.split(jax.random.key(seed))
        graph = simulate.erdos_renyi(graph_key, size, degree)
        problem, truth = simulate.simulate(
            data_key, graph, NUM_ROWS, mechanism=mechanism, scaling="standardised"
        )
        return Case(np.asarray(problem.x), np.asarray(truth.graph))

    return draw


CURVES = {
    "exp": np.exp,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "sine": lambda x: np.sin(2 * x),
    "step": lambda x: 1.0 * (x > 0),
    "tanh": lambda x: np.tanh(2 * x),
    "cube": lambda x: x + 0.1 * x**3,
}
PAIR = np.array([[0, 1], [0, 0]], bool)


def curved_pair(seed):
    """A pair of columns, y = f(x) + e."""
    rng = np.random.default_rng(seed)
    curve = list(CURVES.values())[seed % len(CURVES)]
    x = rng.normal(size=PAIR_ROWS)
    size = 1.0 if seed % 2 and curve is not CURVES["cube"] else 0.3
    return Case(np.stack([x, curve(x) + size * rng.normal(size=PAIR_ROWS)], 1), PAIR)


def hidden_cause(seed):
    """Two columns with a hidden common cause, and none of the other."""
    rng = np.random.default_rng(seed)
    h, e, f = draw_noise(rng, seed)(size=(3, PAIR_ROWS))
    return Case(np.stack([h + e, h + f], 1), np.zeros((2, 2), bool))


def draw_noise(rng, seed):
    """One of four noises."""
    return (rng.uniform, rng.exponential, rng.laplace, rng.gumbel)[seed % 4]


def hidden_causes(noise, size=15, num_hidden=3):
    """A linear table without the three columns of most children."""

    def draw(seed):
        table, graph = linear(noise, size)(seed)
        hidden = np.argsort(-graph.sum(axis=1), kind="stable")[:num_hidden]
        for h in hidden:  # i -> h -> j becomes i -> j
            graph = graph | (graph[:, [h]] & graph[[h]])
        kept = np.setdiff1d(np.arange(size), hidden)
        return Case(table[:, kept], graph[np.ix_(kept, kept)])

    return draw


def discretised(noise, size=20):
    """A linear table, half of its columns cut into 2 to 7 classes."""

    def draw(seed):
        table, graph = linear(noise, size)(seed)
        rng = np.random.default_rng(seed)
        table = table.copy()
        for k in np.flatnonzero(rng.random(size) < 0.5):
            cuts = np.sort(rng.uniform(0.05, 0.95, rng.integers(1, 7)))
            table[:, k] = np.searchsorted(np.quantile(table[:, k], cuts), table[:, k])
        return Case(table, graph)

    return draw


def rounded(noise, size=20):
    """A linear table rounded to halves of standard deviations."""

    def draw(seed):
        table, graph = linear(noise, size)(seed)
        return Case(np.round(2 * table) / 2, graph)

    return draw


def logistic_label(seed):
    """A label of two classes that three columns cause."""
    rng = np.random.default_rng(seed)
    causes = draw_noise(rng, seed)(size=(NUM_ROWS, 3))
    signal = (causes - causes.mean(0)) @ [1.5, -1.0, 1.0]
    label = rng.random(NUM_ROWS) < 1 / (1 + np.exp(-signal))
    truth = np.zeros((4, 4), bool)
    truth[:3, 3] = True
    return Case(np.column_stack([causes, label]), truth)


def bystander(seed):
    """A Gaussian chain of three, and a column that has nothing to do with it."""
    rng = np.random.default_rng(seed)
    a, e, f = rng.normal(size=(3, NUM_ROWS))
    b = 0.8 * a + e
    c = 0.8 * b + f
    other = (
        np.arange(NUM_ROWS),
        rng.uniform(size=NUM_ROWS),
        rng.integers(0, 2, NUM_ROWS),
        rng.exponential(size=NUM_ROWS),
    )[seed % 4]
    truth = np.zeros((4, 4), bool)
    truth[[0, 1], [1, 2]] = True
    return Case(np.stack([a, b, c, other], 1), truth)


def unequal_spread(seed):
    """A pair, y = x + e exp(x / 2): the noise's size depends on the cause."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=PAIR_ROWS)
    noise = draw_noise(rng, seed)(size=PAIR_ROWS)
    noise = (noise - noise.mean()) * np.exp(x / 2)
    return Case(np.stack([x, x + noise], 1), PAIR)


MODEL_HOLDS = {
    "linear Gaussian": (linear("gaussian"), 3),
    "linear Gumbel": (linear("gumbel"), 3),
    "linear uniform": (linear("uniform"), 3),
    "linear exponential": (linear("exponential"), 3),
    "linear Laplace": (linear("laplace"), 3),
    "linear Student t3": (linear("student_t"), 3),
}
MODEL_FAILS = {
    "networks": (curved("network"), 15),
    "Gaussian processes": (curved("gaussian_process"), 15),
    "polynomials": (curved("polynomial"), 10),
    "sigmoids": (curved("sigmoid"), 10),
    "curved pairs": (curved_pair, 48),
    "unequal spread": (unequal_spread, 16),
    "hidden cause of two": (hidden_cause, 20),
    "hidden causes, Gumbel": (hidden_causes("gumbel"), 10),
    "hidden causes, exp.": (hidden_causes("exponential"), 10),
    "classes of uniform": (discretised("uniform"), 10),
    "classes of Gaussian": (discretised("gaussian"), 10),
    "rounded uniform": (rounded("uniform"), 10),
    "logistic label": (logistic_label, 16),
    "bystander": (bystander, 16),
}


def claimed(model, table):
    """(graph, class) as numpy arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(table)
    return model.adjacency_.to_numpy() > 0, model.cpdag_.to_numpy() > 0


def tally(model, cases):
    """Figures of a family."""
    claims = right = hits = found = real = distance = 0
    start = time.perf_counter()
    for table, truth in cases:
        graph, cpdag = claimed(model, table)
        directed = cpdag & ~cpdag.T
        claims, right = claims + directed.sum(), right + (directed & truth).sum()
        hits += (directed & truth).sum() + ((cpdag & cpdag.T) & truth).sum() / 2
        found += (cpdag | cpdag.T).sum() / 2
        real += truth.sum()
        differs = graph != truth
        distance += (differs | differs.T).sum() / 2
    seconds = (time.perf_counter() - start) / len(cases)
    f1 = 2 * hits / max(found + real, 1)
    return claims, right, f1, distance / len(cases), seconds


def show(name, number, figures):
    """Prints a line of the table."""
    claims, right, f1, distance, seconds = figures
    share = f"{right / claims:.2f}" if claims else "-"
    print(
        f"{name:22} {number:6} {claims:7} {right:6} {share:>6} {f1:6.2f} "
        f"{distance:7.1f} {seconds:8.2f}",
        flush=True,
    )


def real_tables(folder):
    """(name, cases) of tables of the world."""
    sachs = causaljax.load_sachs()
    table = sachs.observational.transform("log")
    truth = sachs.truth.loc[table.columns, table.columns].to_numpy() > 0
    yield "Sachs", [Case(table.to_numpy(), truth)]
    if folder is None:
        return
    tunnel = Path(folder) / "light_tunnel"
    rows = pd.read_csv(tunnel / "reference_10000.csv.gz")
    edges = pd.read_csv(tunnel / "edges.csv")
    names = list(rows.columns)
    truth = np.zeros((len(names),) * 2, bool)
    for cause, effect in edges.itertuples(index=False):
        truth[names.index(cause), names.index(effect)] = True
    parts = np.split(rows.to_numpy(dtype=float), 10)
    yield "light tunnel", [Case(part, truth) for part in parts[:3]]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--noise", default="auto", help="of LinearDAG")
    parser.add_argument("--data", help="folder of tables of the world")
    parser.add_argument("--only", nargs="*", help="families")
    options = parser.parse_args()
    model: Any = causaljax.LinearDAG(noise=options.noise)
    print(f'LinearDAG(noise="{options.noise}")')
    print(f"{'family':22} tables  claims  right  share     F1     SHD  s/table")
    for group, families in (("holds", MODEL_HOLDS), ("fails", MODEL_FAILS)):
        total = np.zeros(3, int)
        for name, (draw, number) in families.items():
            if options.only and name not in options.only:
                continue
            figures = tally(model, [draw(seed) for seed in range(number)])
            show(name, number, figures)
            total += [number, *figures[:2]]
        if total[0]:
            tables, claims, right = total
            share = f"{right / claims:.3f}" if claims else "-"
            print(
                f"where the linear model {group}: {tables} tables, {claims} claims, "
                f"{share} right"
            )
    if not options.only or "real" in options.only:
        for name, cases in real_tables(options.data):
            show(name, len(cases), tally(model, cases))


if __name__ == "__main__":
    main()
