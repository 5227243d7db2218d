"""CD-NOD and causal de Finetti: what changes, and directions that changes tell.

    python scripts/constraint_domains.py null          size of the test of domains
    python scripts/constraint_domains.py curved        the same of curves, and power
    python scripts/constraint_domains.py cdnod         what changes, by several tests
    python scripts/constraint_domains.py directions    accuracy of directions
    python scripts/constraint_domains.py definetti     bivariate tables of environments
    python scripts/constraint_domains.py rows          the same, of more rows each

`null` rejects variables whose mechanism does not change, at .05 and .01. `curved` has a
cause whose mean follows a wave over 20 domains of 20 rows, and an effect by a line,
2 tanh(x) or x^2 / 2, whose mean, slope or spread follows another wave or none: how
often the test sees a change at .05. `cdnod` finds
the changing variables of the first example of Huang et al. 2020: 500 rows of a chain x1
-> x2 -> x3 -> x4 in time, of which x2 and x4 change. `directions` has two variables
whose mechanisms change from domain to domain, all parameters independently of each
other: means and intercepts U(-2, 2), slopes U(.5, 2.5), standard deviations U(.5, 2)
("uniform") or normal with a quarter of these ranges as standard deviation ("normal");
"tanh" has 2 tanh(x) for x. Right and wrong are shares of a choice by the sign of the
score; told and reversed those of directions that are told. `definetti` draws the
bivariate tables of Guo et al. 2023: two rows of an environment, Laplace noise about
U(-1, 1), a quadratic term in half of the environments; x -> y, y -> x or no edge, a
third each. An edge of undetermined direction counts as wrong, but in "chosen" the
larger p-value is taken. Of CD-NOD the domain is the environment. With `--rival`,
DirectLiNGAM of andrey-core is beside it.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.types import make_problem
from causaljax.graphs.marks import to_graph
from causaljax.kernels.constraint import causal_de_finetti as de_finetti
from causaljax.kernels.constraint import cdnod, pc
from causaljax.scores.independence import domain_regression, kci, rcit
from causaljax.scores.independence.asking import asking


def p_of_table(draws: list[np.ndarray], asks, config) -> np.ndarray:
    """P-values of the test of domains, ``[tables, questions]``."""
    x, y, sets = zip(*asks, strict=True)
    given = np.full((len(sets), 2), -1)
    for row, one in zip(given, sets, strict=True):
        row[: len(one)] = one
    used = given >= 0

    @quick_jit
    def answer(tables):
        def one(table):
            key = jax.random.key(0)  # not used
            stats = domain_regression.prepare(key, make_problem(table), config)
            ask = np.array(x), np.array(y), np.where(used, given, 0), used
            return domain_regression.p_values(stats, *map(jnp.asarray, ask)).log_p

        return jax.lax.map(one, tables)

    with jax.enable_x64(True):
        return np.exp(np.asarray(answer(np.stack(draws))))


def run_null(draws: int) -> None:
    """Prints how often mechanisms that do not change seem to."""
    asks = [(0, 4, []), (1, 4, [0]), (1, 4, [0, 2]), (0, 3, [2, 4])]
    names = ["none", "one", "two", "x, y | domain"]
    print("domains rows noise    " + "".join(f"{name:>17}" for name in names))
    for domains, rows in ((5, 100), (20, 20), (50, 10), (60, 6)):
        for noise in ("normal", "laplace", "exponential"):
            tables = []
            for seed in range(draws):
                rng = np.random.default_rng(seed)
                e = getattr(rng, noise)(size=(4, domains * rows))
                x = [e[0], e[0] + e[1], e[2], e[2] + e[3]]
                domain = np.repeat(np.arange(domains), rows)
                tables.append(np.stack([*x, domain], axis=1))
            p = p_of_table(tables, asks, domain_regression.Config(num_domains=domains))
            sizes = [
                f"{(column < 0.05).mean():10.3f} {(column < 0.01).mean():6.3f}"
                for column in p.T
            ]
            print(f"{domains:7}{rows:5} {noise:12}" + "".join(sizes), flush=True)


def run_curved(draws: int) -> None:
    """Prints how often a change is seen, of mechanisms that are lines and curves."""
    changes = ("none", "mean", "slope", "spread")
    print("test               curve " + "".join(f"{name:>8}" for name in changes))
    asks = tuple(map(np.array, ([1], [2], [[0]], [[True]])))
    for name, (test, settings) in TESTS.items():
        config = settings or domain_regression.Config(num_domains=20)

        @quick_jit
        def answer(tables, test=test, config=config):
            def one(table):
                stats = test.prepare(jax.random.key(0), make_problem(table), config)
                return test.p_values(stats, *map(jnp.asarray, asks)).log_p[0]

            return jax.lax.map(one, tables)

        for curve in ("line", "tanh", "square"):
            rates = []
            for change in changes:
                tables = [curved_pair(seed, curve, change) for seed in range(draws)]
                with jax.enable_x64(True):
                    rates.append(np.mean(answer(np.stack(tables)) < np.log(0.05)))
            print(
                f"{name:19}{curve:7}" + "".join(f"{rate:8.2f}" for rate in rates),
                flush=True,
            )


def curved_pair(seed, curve, change):
    """Cause, effect and domain ``[400, 3]``."""
    rng, domain = np.random.default_rng(seed), np.repeat(np.arange(20), 20)
    x, noise = rng.normal(size=(2, 400))
    x += np.sin(domain / 4)
    y = {"line": x, "tanh": 2 * np.tanh(x), "square": x**2 / 2}[curve]
    wave = np.cos(domain / 3)
    if change == "slope":
        y = y * (1 + wave / 2)
    if change == "spread":
        noise = noise * np.exp(wave / 2)
    y = y + noise + wave * (change == "mean")
    return np.stack([x, y, domain], axis=1)


def huang(seed: int, rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """The table ``[n, 4]`` and the time ``[n]`` of Huang's first example."""
    rng, t = np.random.default_rng(seed), np.arange(1, rows + 1)
    e = 0.5 * rng.normal(size=(3, rows))
    x1 = rng.normal(size=rows)
    x2 = 0.8 * x1 + 1.5 * np.sin(t / 50) + e[0]
    x3 = 0.8 * x2 + e[1]
    x4 = 0.8 * x3 + np.sin(t / 50) + np.sin(t / 20) + e[2]
    return np.stack([x1, x2, x3, x4], axis=1), t.astype(float)


TESTS = {
    "domain regression": (domain_regression.DOMAIN_REGRESSION, None),
    "kci": (kci.KCI, kci.Config()),
    "rcit": (rcit.RCIT, rcit.Config()),
}


def run_cdnod(seeds: int) -> None:
    """Prints how often Adj(C) and the skeleton of Huang's first example are right."""
    print("test               alpha  Adj(C) right  also  missed  skeleton  seconds")
    for name, (test, settings) in TESTS.items():
        for alpha in (0.05, 0.01):
            right, skeleton, also, missed, seconds = 0, 0, 0, 0, []
            for seed in range(seeds):
                x, t = huang(seed)
                column = cdnod.cut(t) if settings is None else t
                config = settings or domain_regression.Config(num_domains=32)
                table = make_problem(np.concatenate([x, column[:, None]], axis=1))
                start = time.perf_counter()
                ask = asking(test, jax.random.key(seed), table, config)
                found = cdnod.search(
                    jax.random.key(seed),
                    ask,
                    x.astype(np.float32),
                    t,
                    cdnod.Config(search=pc.Config(alpha=alpha)),
                    batches=(8,),
                )
                seconds.append(time.perf_counter() - start)
                changing = set(np.flatnonzero(found.changing) + 1)
                right += changing == {2, 4}
                also += len(changing - {2, 4})
                missed += len({2, 4} - changing)
                graph = to_graph(found.marks)
                chain = np.eye(4, k=1, dtype=bool)
                skeleton += np.array_equal(graph | graph.T, chain | chain.T)
            print(
                f"{name:19}{alpha:5}{right:11} of {seeds}{also:4}{missed:8}"
                f"{skeleton:7} of {seeds}{np.median(seconds):7.2f}",
                flush=True,
            )


def changing_pair(seed, domains, rows, curve, law):
    """A cause and its effect ``[n, 2]``, and the domain ``[n]``."""
    rng = np.random.default_rng(seed)
    domain = np.repeat(np.arange(domains), rows)

    def draw(low, high):
        if law == "uniform":
            return rng.uniform(low, high, domains)[domain]
        return rng.normal((low + high) / 2, (high - low) / 4, domains)[domain]

    x = draw(-2, 2) + np.abs(draw(0.5, 2)) * rng.normal(size=len(domain))
    cause = x if curve == "linear" else 2 * np.tanh(x)
    y = draw(-2, 2) + draw(0.5, 2.5) * cause
    y += np.abs(draw(0.5, 2)) * rng.normal(size=len(domain))
    return np.stack([x, y], axis=1).astype(np.float32), domain.astype(np.int32)


def run_directions(seeds: int, kernel: bool) -> None:
    """Prints accuracy, abstentions and reversals of directions."""
    print("score      curve   law      domains rows  right  wrong   told  reversed")
    pair = np.array([0, 1], np.int32), np.array([1, 0], np.int32)
    for score in ("regression", "kernel") if kernel else ("regression",):
        config = cdnod.Config(direction_score=score)
        for curve in ("linear", "tanh"):
            for law in ("uniform", "normal"):
                for domains, rows in ((20, 20), (20, 50), (50, 20)):
                    if score == "kernel" and (domains, rows) != (20, 20):
                        continue
                    signs, told = [], []
                    for seed in range(seeds):
                        x, domain = changing_pair(seed, domains, rows, curve, law)
                        key = jax.random.key(seed)
                        ask = cdnod.evidence_of(key, x, domain, config)
                        evidence = ask(*pair, np.zeros((2, 2), bool))
                        signs.append(np.asarray(evidence.score)[0])
                        told.append(cdnod.is_told(evidence, domain, config))
                    right = np.mean(np.array(signs) > 0)
                    shares = np.mean(told, axis=0)
                    print(
                        f"{score:11}{curve:8}{law:9}{domains:7}{rows:5}{right:7.2f}"
                        f"{1 - right:7.2f}{shares[0]:7.2f}{shares[1]:10.2f}",
                        flush=True,
                    )


def environments(seed, number, rows=2):
    """Tables of Guo et al. and environments; 0 is x -> y, 1 y -> x, 2 no edge."""
    rng = np.random.default_rng([seed, number])
    level = rng.uniform(-1, 1, (2, number, 1))
    noise = rng.laplace(np.repeat(level, rows, axis=2))
    kind = rng.integers(3)
    factors = rng.integers(1, 10, (2, 2)).astype(float)
    factors = [np.tril(factors), np.triu(factors), np.eye(2)][kind]
    if kind < 2:
        factors[kind, kind] = 1
    square = (factors - np.eye(2)) * rng.integers(1, 10)
    curved = rng.permutation(number) < number // 2
    x = np.einsum("ij,jkh->ikh", factors, noise)
    x += np.einsum("ij,jkh->ikh", square, noise**2) * curved[None, :, None]
    return x.reshape(2, -1).T, np.repeat(np.arange(number), rows), kind


@functools.cache
def sums_of_tables(test):
    """P-values of a stack of tables of pairs: sinks x and y, and independence."""

    def answer(table):
        config = {"kci": kci, "rcit": rcit}[test].Config()
        tests = {"kci": kci.KCI, "rcit": rcit.RCIT}[test]
        stats = tests.prepare(jax.random.key(0), make_problem(table), config)
        ask = np.array([0, 1, 0]), np.array([3, 2, 1]), np.array([[1], [0], [0]])
        used = np.array([[True], [True], [False]])
        return tests.p_values(stats, *map(jnp.asarray, (*ask, used))).log_p

    return quick_jit(lambda tables: jax.lax.map(answer, tables))


def de_finetti_answers(x, environment, most_tables, ranks, test="kci"):
    """Logarithms of p-values that x and y are sinks, and independent, ``[3]``."""
    x = de_finetti.normal_scores(x) if ranks else x
    tables = de_finetti.rows_of_pairs(x, environment, most_tables)
    with jax.enable_x64(True):
        log_p = np.asarray(sums_of_tables(test)(tables))
    tests = [lambda x, y, z, used, row=row: row for row in log_p]
    return de_finetti.together(tests)(*np.zeros((4, 3)))


def verdict(log_p, alpha=0.05):
    """What ``de_finetti.search`` says of a pair (3 is undetermined), and its choice."""
    y_sink, x_sink = log_p[1] >= np.log(alpha), log_p[0] >= np.log(alpha)
    if log_p[2] >= np.log(alpha):
        return 2, 2
    chosen = 0 if log_p[1] >= log_p[0] else 1
    return (3 if y_sink and x_sink else chosen), chosen


def run_definetti(runs: int, rival: bool, test: str, sizes: list[int]) -> None:
    """Prints accuracy in the tables of Guo et al."""
    print("environments  method                        right  undetermined  chosen")
    for number in sizes:
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(runs):
            x, environment, kind = environments(seed, number)
            for name, (most, ranks) in {
                "first two rows": (1, False),
                "all pairs of rows": (2, False),
                "all pairs, normal scores": (2, True),
            }.items():
                told, chosen = verdict(
                    de_finetti_answers(x, environment, most, ranks, test)
                )
                rows.setdefault(name, []).append(
                    (told == kind, told == 3, chosen == kind)
                )
            told = cdnod_of_pair(x, environment)
            rows.setdefault("CD-NOD", []).append(
                (told == kind, told == 3, float("nan"))
            )
            if rival:
                import rivals

                graph = rivals.run("andrey_lingam", x, threads=1).graph
                told = 0 if graph[0, 1] else 1 if graph[1, 0] else 2
                rows.setdefault("DirectLiNGAM", []).append(
                    (told == kind, 0, float("nan"))
                )
        for name, values in rows.items():
            right, undetermined, chosen = np.mean(values, axis=0)
            print(
                f"{number:12}  {name:28}{right:7.2f}{undetermined:14.2f}{chosen:8.2f}",
                flush=True,
            )


def cdnod_of_pair(x, environment):
    """CD-NOD of a pair: 0 x -> y, 1 y -> x, 2 no edge, 3 undetermined."""
    number = int(environment.max()) + 1
    table = make_problem(np.concatenate([x, environment[:, None]], axis=1))
    config = domain_regression.Config(num_domains=number)
    test = domain_regression.DOMAIN_REGRESSION
    found = cdnod.search(
        jax.random.key(0),
        asking(test, jax.random.key(0), table, config),
        x.astype(np.float32),
        environment.astype(np.int32),
        cdnod.Config(),
        batches=(8,),
    )
    graph = to_graph(found.marks)
    if not graph.any():
        return 2
    return 3 if graph[0, 1] and graph[1, 0] else 0 if graph[0, 1] else 1


def run_rows(runs: int) -> None:
    """Prints accuracy by the number of pairs of rows, of environments of four rows."""
    print("environments  rows  pairs  right  undetermined  chosen")
    for number in (100, 200):
        for most in (1, 2, 6, 12):
            found = []
            for seed in range(runs):
                x, environment, kind = environments(seed, number, rows=4)
                told, chosen = verdict(de_finetti_answers(x, environment, most, True))
                found.append((told == kind, told == 3, chosen == kind))
            right, undetermined, chosen = np.mean(found, axis=0)
            print(
                f"{number:12}{4:6}{most:7}{right:7.2f}{undetermined:14.2f}{chosen:8.2f}",
                flush=True,
            )


def main() -> None:
    """Runs a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = ["null", "curved", "cdnod", "directions", "definetti", "rows"]
    parser.add_argument("command", choices=commands)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--kernel", action="store_true", help="also the kernel score")
    parser.add_argument("--test", default="kci", choices=["kci", "rcit"])
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--rival", action="store_true", help="DirectLiNGAM beside it")
    args = parser.parse_args()
    if args.command == "null":
        run_null(args.seeds or 1000)
    elif args.command == "curved":
        run_curved(args.seeds or 200)
    elif args.command == "cdnod":
        run_cdnod(args.seeds or 10)
    elif args.command == "directions":
        run_directions(args.seeds or 100, args.kernel)
    elif args.command == "definetti":
        sizes = args.sizes or [100, 200, 300, 400, 500]
        run_definetti(args.seeds or 100, args.rival, args.test, sizes)
    else:
        run_rows(args.seeds or 100)


if __name__ == "__main__":
    main()
