"""Labelled experiments whose targets are not known: which column did each touch?

    python scripts/bench_targets.py [--draws 5] [--rivals permscore]

20 columns, 3,000 reference rows and 20 experiments of 400 rows. Each experiment touches
one column, a different one each; mechanisms are curved; two pairs of columns are nearly
deterministic; every experiment's sensors drift by .1 standard deviations. Reported are
the experiments, of 20, whose first-ranked target is the right one: by the evidence of
`LatentInterventionDAG`, with `max_targets=1`, and by a rival in an environment of its
own (`scripts/rivals.py`).
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import rivals

import causaljax

NUM_COLUMNS, NUM_ROWS, NUM_REFERENCE = 20, 400, 3000
METHODS: dict[str, dict[str, Any]] = {"any": {}, "max_targets=1": {"max_targets": 1}}


def draw(seed, drift=0.1):
    """Rows ``[n, d]``, experiments ``[n]`` (0 the reference), targets, true graph."""
    rng = np.random.default_rng(seed)
    d = NUM_COLUMNS
    order = rng.permutation(d)
    place = np.argsort(order)
    chance = 2 * 2 / (d - 1)
    graph = np.triu(rng.random((d, d)) < chance, 1)[np.ix_(place, place)]
    # Two pairs of neighbours in the order are nearly deterministic.
    near = {order[4]: order[3], order[12]: order[11]}
    for child, parent in near.items():
        graph[:, child] = False
        graph[parent, child] = True
    scale = rng.uniform(0.3, 0.8, d)
    curves = rng.integers(0, 3, size=(d, d))
    weights = rng.uniform(0.8, 1.6, (d, d)) * rng.choice([-1, 1], (d, d))

    def rows(number, target):
        x = np.zeros((number, d))
        for j in order:
            noise = rng.normal(size=number)
            value = scale[j] * noise
            for i in np.flatnonzero(graph[:, j]):
                bent = (np.tanh(1.5 * x[:, i]), np.sin(1.5 * x[:, i]), x[:, i])
                value = value + weights[i, j] * bent[curves[i, j]]
            if j in near:
                value = x[:, near[j]] + 0.03 * noise
            x[:, j] = rng.normal(1.5, 0.7, number) if j == target else value
        return x

    targets = rng.permutation(d)
    tables = [rows(NUM_REFERENCE, None), *(rows(NUM_ROWS, t) for t in targets)]
    sizes = [len(table) for table in tables]
    x = np.concatenate(tables)
    label = np.repeat(np.arange(len(tables)), sizes)
    spread = x[label == 0].std(axis=0)
    x = x + (drift * spread * rng.normal(size=(len(tables), d)))[label]
    return x, label, targets, graph


def fitted(x, label, **options):
    """The estimator, told of experiments and not of their targets, and seconds."""
    start = time.perf_counter()
    model = causaljax.LatentInterventionDAG(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, regimes=label)
    return model, time.perf_counter() - start


def first_right(evidence, targets):
    """How many experiments rank their target first, ``[k, d]`` nats."""
    return int((np.asarray(evidence).argmax(axis=1) == targets).sum())


def main():
    """Prints a line a draw and method, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--mechanism", default="network")
    parser.add_argument("--rivals", nargs="*", default=[])
    options = parser.parse_args()
    totals: dict[str, list[int]] = {}
    for seed in range(options.first, options.first + options.draws):
        x, label, targets, graph = draw(seed)
        numbers = list(range(1, NUM_COLUMNS + 1))
        for name, given in METHODS.items():
            model, seconds = fitted(x, label, mechanism=options.mechanism, **given)
            right = first_right(model.target_evidence_.reindex(numbers), targets)
            found = model.intervention_targets_.reindex(numbers).to_numpy() > 0.5
            hit = int(found[np.arange(NUM_COLUMNS), targets].sum())
            wrong = model.adjacency_.to_numpy() != graph
            distance = int(np.triu(wrong | wrong.T).sum())
            print(
                f"draw {seed} {name:14} first {right:2} of 20, in the set {hit:2}, "
                f"sets of {found.sum(axis=1).mean():.1f}, SHD {distance}, "
                f"{seconds:.0f} s",
                flush=True,
            )
            totals.setdefault(name, []).append(right)
        for name in options.rivals:
            answer = rivals.run(name, x, regimes=label)
            right = first_right(answer.targets, targets)
            line = f"draw {seed} {name:14} first {right:2} of 20"
            print(f"{line}, {answer.seconds:.1f} s", flush=True)
            totals.setdefault(name, []).append(right)
    for name, numbers in totals.items():
        print(f"{name}: {np.mean(numbers):.1f} of 20 first ranks right, {numbers}")


if __name__ == "__main__":
    main()
