"""Speed, size and power of the tests of conditional independence.

    taskset -c 0 python scripts/independence_tests.py speed [--rows 1000] [--rival]
    python scripts/independence_tests.py null [--draws 10000] [--rows 200] [--given 1]
    python scripts/independence_tests.py power [--draws 500] [--rows 200]

`speed` prints tests a second of CPU time, compiled programs, by the number of
conditioning variables; `--rival` adds causal-learn's, in its own environment
(scripts/rivals.py). `null` prints how often independent variables are rejected at
levels .05 and .01, `power` how often dependent ones are at .05. In both, x and y have
common causes z, which are given:

- "linear": x, y = sum z / sqrt(m) + noise;
- "curved": x, y = sum sin(2 z) / sqrt(m) + noise / 2;
- "cubed": the cubes of those;
- "scaled": x, y = sum sin(2 z) / sqrt(m) + noise (1 / 5 + abs(first z));
- "classes": three classes each, those of x and y more often that of the first z.

Dependence adds c x or c (x^2 - E x^2) to y, in units of the noise.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.types import Kind, make_problem
from causaljax.scores.independence import (
    contingency,
    kci,
    likelihood_ratio,
    partial_correlation,
    rcit,
    regression,
)

CLASSES = contingency.Config(most_classes=3)
# Name: the test, its settings, the number of tests that are timed.
TESTS = {
    "fisher_z": (partial_correlation.FISHER_Z, partial_correlation.Config(), 16384),
    "fisher_z_rows": (
        partial_correlation.FISHER_Z_ROWS,
        partial_correlation.Config(),
        1024,
    ),
    "g_squared": (contingency.G_SQUARED, CLASSES, 4096),
    "chi_squared": (contingency.CHI_SQUARED, CLASSES, 4096),
    "degenerate_gaussian": (
        likelihood_ratio.DEGENERATE_GAUSSIAN,
        likelihood_ratio.Config(most_classes=3),
        4096,
    ),
    "regression": (regression.REGRESSION, regression.Config(most_classes=3), 64),
    "kci": (kci.KCI, kci.Config(), 8),
    "rcit": (rcit.RCIT, rcit.Config(), 64),
    "rcot": (rcit.RCOT, rcit.Config(), 64),
}
RIVAL = {"fisher_z": ("fisherz", 500), "kci": ("kci", 2), "rcit": ("rcit", 20)}
RIVAL |= {"g_squared": ("gsq", 200)}
OF_CLASSES = ("g_squared", "chi_squared")
OF_MIXED = ("degenerate_gaussian", "regression")
OF_KERNELS = ("kci", "rcit", "rcot")
KINDS = ("linear", "curved", "cubed", "scaled", "classes")


def draw(rng, kind, rows, given, strength=0.0, curve=False):
    """A table of x, y and z."""
    if kind == "classes":
        z = rng.integers(0, 3, (rows, given))
        follow = rng.random((rows, 2)) < 0.4
        x = np.where(follow, z[:, :1], rng.integers(0, 3, (rows, 2)))
        x[:, 1] = np.where(rng.random(rows) < strength, x[:, 0], x[:, 1])
        return np.concatenate([x, z], axis=1).astype(float)
    z = rng.normal(size=(rows, given))
    noise = rng.normal(size=(rows, 2))
    if kind == "linear":
        x = z.sum(axis=1, keepdims=True) / np.sqrt(given) + noise
        size = 1.0
    else:
        x = np.sin(2 * z).sum(axis=1, keepdims=True) / np.sqrt(given) + noise / 2
        size = 0.5
    if kind == "scaled":
        x += noise * (np.abs(z[:, :1]) - 0.3)
    cause = x[:, 0] / x[:, 0].std()
    x[:, 1] += size * strength * ((cause**2 - 1) if curve else cause)
    return np.concatenate([x**3 if kind == "cubed" else x, z], axis=1)


def kinds_of(kind, given):
    """The kinds of the columns of such a table."""
    return [Kind.CATEGORICAL if kind == "classes" else Kind.CONTINUOUS] * (given + 2)


@functools.cache
def program(name, kind, given):
    """P-values of x and y given all z, of a stack of tables."""
    test, config, _ = TESTS[name]

    def answer(table):
        key, x = table
        problem = make_problem(x, kind=kinds_of(kind, given))
        stats = test.prepare(key, problem, config)
        z = jnp.arange(2, 2 + given)[None]
        ask = jnp.array([0]), jnp.array([1]), z, jnp.ones(z.shape, bool)
        return test.p_values(stats, *ask).log_p[0]

    return jax.jit(lambda tables: jax.lax.map(answer, tables))


def p_values(name, kind, draws, rows, given, strength=0.0, curve=False, at_once=250):
    """P-values of tests of as many tables."""
    rng = np.random.default_rng([rows, given])
    found = []
    for k in range(0, draws, at_once):
        tables = [draw(rng, kind, rows, given, strength, curve) for _ in range(at_once)]
        keys = jax.random.split(jax.random.key(k), at_once)
        found.append(np.exp(program(name, kind, given)((keys, np.stack(tables)))))
    return np.concatenate(found)


def fits(name, kind):
    """Whether a test is for such tables."""
    if name in OF_CLASSES:
        return kind == "classes"
    if name in OF_MIXED:
        return kind in ("linear", "classes")
    return kind == "linear" or (name in OF_KERNELS and kind != "classes")


def null(args):
    """Prints how often independent variables are rejected."""
    print(f"n = {args.rows}, {args.given} given, {args.draws} tables")
    print("test                 table        .05     .01")
    for name in args.tests or TESTS:
        for kind in KINDS:
            if not fits(name, kind):
                continue
            p = p_values(name, kind, args.draws, args.rows, args.given)
            sizes = [(p < level).mean() for level in (0.05, 0.01)]
            print(f"{name:21}{kind:10}{sizes[0]:8.4f}{sizes[1]:8.4f}", flush=True)


def power(args):
    """Prints how often dependent variables are rejected."""
    strengths = (0.05, 0.1, 0.2, 0.4)
    print(f"n = {args.rows}, {args.given} given, {args.draws} tables, level .05")
    columns = "".join(f"  c = {c:<4}" for c in strengths)
    print("test                 table    effect   " + columns)
    for name in args.tests or TESTS:
        for kind, curve in (
            ("linear", False),
            ("linear", True),
            ("curved", False),
            ("curved", True),
            ("classes", False),
        ):
            if not fits(name, kind):
                continue
            rates = [
                (
                    p_values(name, kind, args.draws, args.rows, args.given, c, curve)
                    < 0.05
                )
                for c in strengths
            ]
            row = "".join(f"{rate.mean():10.3f}" for rate in rates)
            print(
                f"{name:21}{kind:9}{'square' if curve else 'line':9}{row}", flush=True
            )


def speed(args):
    """Prints tests a second of CPU time, and those of causal-learn."""
    rng = np.random.default_rng(0)
    d = 20
    x = rng.normal(size=(args.rows, d))
    x[:, 1:] += 0.5 * np.tanh(x[:, :-1])
    classes = rng.integers(0, 3, (args.rows, d)).astype(float)
    is_class = np.arange(d) % 2 == 0
    mixed = np.where(is_class, classes, x), np.where(is_class, Kind.CATEGORICAL, 0)
    print(f"n = {args.rows}; tests a second of CPU time, given 0, 1, 2, 3 variables")
    for name in args.tests or TESTS:
        test, config, batch = TESTS[name]
        table = classes if name in OF_CLASSES else x
        problem = make_problem(table)
        if name in OF_MIXED:
            problem = make_problem(mixed[0], kind=mixed[1])
        stats = jax.jit(test.prepare)(jax.random.key(0), problem, config)
        answer, rates, rivals = jax.jit(test.p_values), [], []
        for given in range(4):
            tests = rng.random((batch, d)).argsort(axis=1)[:, : given + 2]
            used = np.ones((batch, given), bool)
            ask = [
                jnp.asarray(t) for t in (tests[:, 0], tests[:, 1], tests[:, 2:], used)
            ]
            jax.block_until_ready(answer(stats, *ask))
            best = np.inf
            for _ in range(args.repeats):
                start = time.process_time()
                jax.block_until_ready(answer(stats, *ask))
                best = min(best, time.process_time() - start)
            rates.append(batch / best)
            if args.rival and name in RIVAL:
                import rivals as others

                method, number = RIVAL[name]
                result = others.run(
                    "causal-learn",
                    table,
                    threads=1,
                    method=method,
                    tests=tests[:number],
                )
                rivals.append(min(number, batch) / result.cpu_seconds)
        print(f"{name:21}" + "".join(f"{rate:14,.1f}" for rate in rates), flush=True)
        if rivals:
            print(
                "  causal-learn       " + "".join(f"{r:14,.1f}" for r in rivals),
                flush=True,
            )


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["speed", "null", "power"])
    parser.add_argument("--tests", nargs="*", choices=list(TESTS))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--given", type=int, default=1)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rival", action="store_true")
    args = parser.parse_args()
    args.rows = args.rows or (1000 if args.command == "speed" else 200)
    args.draws = args.draws or (10_000 if args.command == "null" else 500)
    with jax.enable_x64(True):
        {"speed": speed, "null": null, "power": power}[args.command](args)


if __name__ == "__main__":
    main()
