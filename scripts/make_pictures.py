"""Draws every picture of `causaljax.plot`, and the one of the README.

    python scripts/make_pictures.py [--out DIR] [--only GROUP ...]

Graphs have 5, 11 (the protein data), 20 and 60 columns; but for the protein data tables
are simulated. `--only` names groups of them; "sachs" is the picture of the README and
"costs" that of docs/large_tables.md; both go to docs/pictures.
"""

import argparse
import json
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import causaljax
from causaljax import plot, simulate
from causaljax.plot.style import CYCLE

DOCS = Path(__file__).parent.parent / "docs" / "pictures"
_DPI = 110
_IN_DOCS = "sachs", "cost_curves"


def simulated(size, rows=500, *, seed=0):
    """A table of linear relations, and its graph."""
    graph_key, key = jax.random.split(jax.random.key(seed))
    graph = simulate.erdos_renyi(graph_key, size, 1.2)
    problem, _ = simulate.simulate_linear(key, graph, rows)
    names = [f"column {k + 1}" for k in range(size)]
    truth = pd.DataFrame(np.asarray(graph, int), names, names)
    return pd.DataFrame(np.asarray(problem.x), columns=names), truth


def proteins():
    """Undisturbed rows of the protein data, their logs, and the consensus graph."""
    sachs = causaljax.load_sachs()
    return np.log(sachs.observational), sachs.truth


def graphs():
    """One graph, two compared, and the probabilities, of 5 to 60 columns."""
    for size in (5, 11, 20, 60):
        table, truth = proteins() if size == 11 else simulated(size)
        model = causaljax.AmortizedDAG().fit(table)
        yield f"graph_{size}", plot.graph(model)
        labels = "the truth", "AmortizedDAG"
        if size == 11:
            labels = "the consensus graph", "AmortizedDAG"
        yield f"comparison_{size}", plot.comparison(truth, model, labels=labels)
        yield f"edge_probabilities_{size}", plot.edge_probabilities(model)


def sachs():
    """The consensus graph of the protein data and what is found, as in the README."""
    table, consensus = proteins()
    model = causaljax.AmortizedDAG().fit(table)
    labels = "the consensus graph", "AmortizedDAG"
    yield "sachs", plot.comparison(consensus, model, labels=labels)


def regimes():
    """Pooled experiments of which nobody wrote down what was done."""
    rng = np.random.default_rng(0)
    rows, experiment = 900, np.repeat([0, 1, 2], 300)
    a = rng.normal(size=rows)
    b = 1.5 * a + rng.normal(size=rows)
    c = np.where(experiment == 1, rng.normal(4, 0.5, rows), b + rng.normal(size=rows))
    d = np.where(experiment == 2, rng.normal(-5, 0.5, rows), c - rng.normal(size=rows))
    table = pd.DataFrame({"a": a, "b": b, "c": c, "d": d})
    model = causaljax.LatentInterventionDAG(mechanism="linear").fit(table)
    yield "regimes", plot.regimes(model)


def fits():
    """How fits went."""
    table, _ = simulated(11)
    model = causaljax.ContinuousDAG(num_steps=3000).fit(table)
    yield "convergence_continuous", plot.convergence(model)
    yield "convergence_linear", plot.convergence(causaljax.LinearDAG().fit(table))


def calibrations():
    """Probabilities that hold, and some that are too sure."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.4, 1.2, 5000)
    true = rng.random(5000) < chance
    ax = plot.calibration(chance, true, label="well calibrated")
    sharpened = chance**2 / (chance**2 + (1 - chance) ** 2)
    yield "calibration", plot.calibration(sharpened, true, label="too sure", ax=ax)


def mechanisms():
    """Data of edges: of one parent, of several, of classes, and curved."""
    rng = np.random.default_rng(0)
    rows = 600
    ward = rng.choice(["north", "south", "west"], rows)
    age = rng.normal(50, 12, rows)
    dose = 0.1 * age + rng.normal(size=rows)
    sick = 0.08 * age - 1.5 * dose + (ward == "west") * 4 + rng.normal(size=rows)
    table = pd.DataFrame({"age": age, "dose": dose, "ward": ward, "sick days": sick})
    required = [("age", "dose"), ("age", "sick days"), ("dose", "sick days")]
    required += [("ward", "sick days")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are read as numbers
        model = causaljax.LinearDAG(noise="gaussian").fit(
            table, knowledge={"required": required}
        )
    yield "edge_linear", plot.edge(model, "age", "dose", table)
    yield "edge_partial", plot.edge(model, "dose", "sick days", table)
    yield "edge_classes", plot.edge(model, "ward", "sick days", table)
    table["shift"] = np.where(rng.random(rows) < 0.8, ward, "night")
    mixed = causaljax.MixedDAG().fit(table, knowledge={"required": [("ward", "shift")]})
    yield "edge_two_classes", plot.edge(mixed, "ward", "shift", table)

    dose = rng.uniform(-3, 3, rows)
    curved = pd.DataFrame({"dose": dose, "weight": rng.normal(size=rows)})
    curved["answer"] = np.sin(1.5 * dose) + curved["weight"] + rng.normal(0, 0.3, rows)
    required = [("dose", "answer"), ("weight", "answer")]
    neural = causaljax.NeuralDAG().fit(curved, knowledge={"required": required})
    yield "edge_neural", plot.edge(neural, "dose", "answer", curved)
    yield "convergence_neural", plot.convergence(neural)


def costs():
    """Seconds of a fit in columns and in rows, as `bench_scale.py curve` found them."""
    from matplotlib import pyplot

    figure, both = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    measured = json.loads((DOCS / "cost_curves.json").read_text())
    for color, (method, curves) in zip(CYCLE, measured.items(), strict=False):
        for ax, (axis, curve) in zip(both, curves.items(), strict=True):
            label = f"{method}: {axis}^{curve['exponent']:.1f}"
            sizes, seconds = curve["sizes"], curve["seconds"]
            ax.loglog(sizes, seconds, "o-", color=color, markersize=3, label=label)
            ax.set(xlabel=axis, ylabel="seconds of a warm fit")
            ax.legend(fontsize=7, frameon=False)
    both[0].set_title("1,000 rows", fontsize=9)
    both[1].set_title("10 columns", fontsize=9)
    yield "cost_curves", both[0]


def main():
    """Draws the pictures that are asked for."""
    groups = graphs, sachs, regimes, fits, calibrations, mechanisms, costs
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/pictures"))
    parser.add_argument("--only", nargs="+", choices=[g.__name__ for g in groups])
    options = parser.parse_args()
    for group in groups:
        if options.only and group.__name__ not in options.only:
            continue
        for name, ax in group():
            folder = DOCS if name in _IN_DOCS else options.out
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{name}.png"
            ax.figure.savefig(path, dpi=_DPI)
            print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
