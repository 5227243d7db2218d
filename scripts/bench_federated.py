"""CD-NOD from sums of clients: accuracy, sizes of messages, size of the tests.

    python scripts/bench_federated.py accuracy [--seeds 10] [--clients 10] [--rows 100]
    python scripts/bench_federated.py noise [--seeds 10]
    python scripts/bench_federated.py null [--draws 500] [--waves 2]
    python scripts/bench_federated.py messages

`accuracy` draws tables as the tests of FedCDH do (Li et al. 2024): 6 variables, 10
clients of 100 rows, a random graph of 6 edges, weights U(.5, 2.5), relations linear or
each one of sin, square, tanh and identity, normal noise; 2 variables change: in every
client they have weights and a standard deviation of the noise (U(.5, 2)) of their own.
It prints F1 of the skeleton, of directed edges and of changing variables, beside that
of methods that see all rows: CD-NOD by the degenerate Gaussian test, the client a
class, which sees changes of means alone, and PC by Fisher's z and by RCIT, without the
client. The largest difference of p-values between sums of clients and all rows is that
of all pairs given up to two variables.

`noise` adds normal noise to every sum. `null` prints how often independent variables
are rejected at level .05, given one or two common causes that are given, by this test
and by one that compares random features of both variables, each regressed on random
features of every cause, as a covariance tensor of random features of every variable
allows.
"""

import argparse
import functools
import itertools
import time
from collections.abc import Callable

import jax
import numpy as np
import scipy.stats

from causaljax.core.types import Kind, make_problem
from causaljax.graphs import marks
from causaljax.kernels.constraint import cdnod, federated, pc
from causaljax.scores.independence import partial_correlation, rcit
from causaljax.scores.independence.asking import asking
from causaljax.scores.independence.likelihood_ratio import (
    DEGENERATE_GAUSSIAN,
    Config,
)

RELATIONS = (np.sin, np.square, np.tanh, lambda x: x)


def draw(seed, kind, clients=10, rows=100, d=6, num_changing=2):
    """Tables of clients, the graph and which variables change."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(d)
    pairs = list(itertools.combinations(order.tolist(), 2))
    graph, changing = np.zeros((d, d), bool), np.zeros(d, bool)
    for k in rng.choice(len(pairs), d, replace=False):
        graph[pairs[k]] = True
    changing[rng.choice(d, num_changing, replace=False)] = True
    weights, which = rng.uniform(0.5, 2.5, (d, d)), rng.integers(0, 4, (d, d))
    tables = []
    for _ in range(clients):
        own = np.where(changing, rng.uniform(0.5, 2.5, (d, d)), weights)
        scale = np.where(changing, rng.uniform(0.5, 2, d), 1)
        x = np.zeros((rows, d))
        for j in order:
            for i in np.flatnonzero(graph[:, j]):
                relation = RELATIONS[3 if kind == "linear" else which[i, j]]
                x[:, j] += own[i, j] * relation(x[:, i])
            x[:, j] += scale[j] * rng.normal(size=rows)
        tables.append(x)
    return tables, graph, changing


def of_sums(tables, waves, sigma=0.0):
    """What clients and server find; standardised as an agreement does."""
    x = np.concatenate(tables)
    layout = federated.Layout((0,) * x.shape[1], waves)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    parts = [federated.sums(layout, (table - mean) / scale) for table in tables]
    if sigma:
        rng = np.random.default_rng(0)
        parts = [federated.add_noise(rng, part, sigma) for part in parts]
    given = federated.join(parts)
    found = federated.search(jax.random.key(0), layout, given, cdnod.Config())
    return found.marks, found.changing


def of_rows(tables):
    """CD-NOD of all rows, by the degenerate Gaussian test."""
    x = np.concatenate(tables)
    client = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    kinds = [Kind.CONTINUOUS] * x.shape[1] + [Kind.CATEGORICAL]
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    problem = make_problem(np.column_stack([standard, client]), kind=kinds)
    test = asking(
        DEGENERATE_GAUSSIAN,
        jax.random.key(0),
        problem,
        Config(most_classes=len(tables)),
    )
    found = cdnod.search(
        jax.random.key(0),
        test,
        standard.astype(np.float32),
        client.astype(np.int32),
        cdnod.Config(),
    )
    return found.marks, found.changing


def without_client(tables, test, config, batches):
    """PC of all rows."""
    x = np.concatenate(tables)
    problem = make_problem((x - x.mean(axis=0)) / x.std(axis=0))
    asked = asking(test, jax.random.key(0), problem, config)
    found = pc.search(asked, x.shape[1], pc.Config(), batches=batches)
    return found.marks, None


def difference(tables, waves):
    """The largest difference of p-values, of sums and of the rows together."""
    x = np.concatenate(tables)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    parts = np.split(x, np.cumsum([len(table) for table in tables])[:-1])
    layout = federated.Layout((0,) * x.shape[1], waves)
    many = federated.join([federated.sums(layout, part) for part in parts])
    found = []
    for given in (many, federated.sums(layout, x)):
        test, p = federated.independence_test(layout, given), []
        for size in range(3):
            asked = [
                (a, b, given)
                for a, b in itertools.combinations(range(x.shape[1]), 2)
                for given in itertools.combinations(range(x.shape[1]), size)
                if a not in given and b not in given
            ]
            a, b, z = (np.array(part) for part in zip(*asked, strict=True))
            z = z.reshape(len(a), size).astype(int)
            p.append(np.exp(test(a, b, z, np.ones(z.shape, bool))))
        found.append(np.concatenate(p))
    return np.abs(found[0] - found[1]).max()


def f1(found, truth):
    """Of two boolean arrays."""
    return 2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1)


def measured(methods, kind, args):
    """Prints a line a method."""
    drawn = [draw(seed, kind, args.clients, args.rows) for seed in range(args.seeds)]
    for name, method in methods.items():
        method(drawn[0][0])  # compiles
        scores, start = [], time.perf_counter()
        for tables, graph, changing in drawn:
            found, changed = method(tables)
            edges = marks.to_graph(found)
            scores.append(
                (
                    f1(edges | edges.T, graph | graph.T),
                    f1(edges & ~edges.T, graph),
                    np.nan if changed is None else f1(changed, changing),
                )
            )
        seconds = (time.perf_counter() - start) / args.seeds
        numbers = "  ".join(f"{score:8.3f}" for score in np.mean(scores, axis=0))
        print(f"{kind:7s} {name:34s} {numbers} {seconds:8.2f}", flush=True)


HEADS = f"{'tables':7s} {'method':34s} skeleton  directed  changing  seconds"


def run_accuracy(args):
    """Beside methods that see all rows."""
    print(HEADS)
    for kind in ("linear", "curved"):
        methods: dict[str, Callable] = {
            f"sums, {waves} waves": functools.partial(of_sums, waves=waves)
            for waves in (0, 1, 2, 3)
        }
        if args.clients <= 20:  # as classes of one column, many take minutes
            methods["all rows, degenerate Gaussian"] = of_rows
        methods["all rows, Fisher's z, no client"] = functools.partial(
            without_client,
            test=partial_correlation.FISHER_Z,
            config=partial_correlation.Config(),
            batches=(512,),
        )
        methods["all rows, RCIT, no client"] = functools.partial(
            without_client, test=rcit.RCIT, config=rcit.Config(), batches=(16, 128)
        )
        measured(methods, kind, args)
    for waves in (0, 2):
        worst = max(
            difference(draw(seed, "curved", args.clients, args.rows)[0], waves)
            for seed in range(args.seeds)
        )
        print(f"largest difference of p-values, {waves} waves: {worst:.1e}")
    for waves in (0, 1, 2, 3):
        print_message(6, args.rows, waves)


def run_noise(args):
    """By the standard deviation of what is added to each sum."""
    print(HEADS)
    for kind in ("linear", "curved"):
        waves = 0 if kind == "linear" else 2
        methods = {
            f"{waves} waves, sigma {sigma:g}": functools.partial(
                of_sums, waves=waves, sigma=sigma
            )
            for sigma in (0, 1, 3, 10, 30)
        }
        measured(methods, kind, args)


def print_message(d, rows, waves):
    """The size of what a client sends, beside its table."""
    sent = 8 * federated.num_sent(federated.Layout((0,) * d, waves))
    raw = 8 * d * rows
    print(
        f"{d} variables, {rows} rows, {waves} waves: {sent:,} bytes sent, table "
        f"{raw:,} bytes, {sent / raw:.2f} of it"
    )


def run_messages(args):
    """For some sizes."""
    del args
    for d, rows in itertools.product((6, 20, 50), (100, 1000, 10000)):
        for waves in (0, 2):
            print_message(d, rows, waves)


def features_of_both(rng, x, y, z):
    """The p-value of 5 random features each of x and y, given 10 of each z."""

    def drawn(columns, number):
        parts = []
        for column in columns.T:
            angles = column[:, None] * rng.normal(size=number)
            angles = angles + rng.uniform(0, 2 * np.pi, number)
            parts.append(np.sqrt(2) * np.cos(angles))
        return np.concatenate(parts, axis=1)

    design = np.column_stack([np.ones(len(x)), z, drawn(z, 10)])
    sides = [drawn(side[:, None], 5) for side in (x, y)]
    sides = [side / side.std(axis=0) for side in sides]
    sides = [side - design @ np.linalg.lstsq(design, side)[0] for side in sides]
    freedom = len(x) - design.shape[1]
    statistic = ((sides[0].T @ sides[1]) ** 2).sum() / freedom
    own = [side.T @ side / freedom for side in sides]
    traces = [
        np.prod([np.trace(np.linalg.matrix_power(m, k)) for m in own])
        for k in (1, 2, 3)
    ]
    k1, k2, k3 = traces[0], 2 * traces[1], 8 * traces[2]
    dof = 8 * k2**3 / k3**2
    return scipy.stats.chi2.sf(dof + np.sqrt(2 * dof / k2) * (statistic - k1), dof)


def run_null(args):
    """The rejected share of independent variables."""
    print("x, y = f(z1) [+ f(z2)] + noise, 10 clients of 100 rows; level .05")
    names = (
        "these tests, 2 waves",
        "these, given the client",
        "features of both sides",
    )
    for name, relation in (
        ("z", lambda z: z),
        ("3 z", lambda z: 3 * z),
        ("sin(2 z)", lambda z: np.sin(2 * z)),
        ("z^2", np.square),
    ):
        for given in (1, 2):
            rejected = np.zeros(3)
            layout = federated.Layout((0,) * (given + 2), args.waves)
            for seed in range(args.draws):
                rng = np.random.default_rng(seed)
                z = rng.normal(size=(1000, given))
                cause = relation(z).sum(axis=1, keepdims=True)
                x = np.column_stack([cause + rng.normal(size=(1000, 2)), z])
                x = (x - x.mean(axis=0)) / x.std(axis=0)
                parts = [federated.sums(layout, part) for part in np.split(x, 10)]
                test = federated.independence_test(layout, federated.join(parts))
                both = np.zeros(2, int)
                sets = np.tile(np.arange(2, given + 3), (2, 1))
                used = np.ones(sets.shape, bool)
                used[0, -1] = False  # the client
                log_p = test(both, both + 1, sets, used)
                rejected[:2] += log_p < np.log(0.05)
                rejected[2] += features_of_both(rng, x[:, 0], x[:, 1], x[:, 2:]) < 0.05
            shares = ", ".join(
                f"{what} {share:.3f}"
                for what, share in zip(names, rejected / args.draws, strict=True)
            )
            print(f"f = {name}, given {given}: {shares}", flush=True)


def main():
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("accuracy", "noise", "null", "messages"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--waves", type=int, default=2)
    args = parser.parse_args()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}")
    globals()[f"run_{args.what}"](args)


if __name__ == "__main__":
    main()
