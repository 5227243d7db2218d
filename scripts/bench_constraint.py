"""PC and FCI: exact with a test that knows the graph, and timed on data.

    python scripts/bench_constraint.py oracle     classes found, of all classes
    python scripts/bench_constraint.py pc         accuracy and seconds, beside a rival
    python scripts/bench_constraint.py fci        the same with hidden causes

With `oracle`, a test that knows the DAG answers, and the graph found is compared with
the class, of all classes of 4 variables (5 with `--all`, some minutes). With `pc`, data
are simulated: ER2 graphs, linear, weights of .5 to 2 in absolute value, normal noise of
standard deviation .5 to 2, columns standardised, n = 1000. The test is Fisher's z in
numpy; `--device` adds the compiled one of `scores.independence`, in float32, and prints
the seconds of the first search, compilation included. Other seconds are CPU seconds of
a search on warm programs, correlations included. An edge of open direction counts half
where the truth has one that is directed. With `fci`, a sixth of the variables are
hidden, and sets of variables that are no neighbours have at most 4.
"""

import argparse
import itertools
import time

import jax
import numpy as np
from scipy.special import log_ndtr

from causaljax.core.types import make_problem
from causaljax.graphs import ancestral, marks, meek, metrics, pag
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import colliders, fci, pc
from causaljax.kernels.constraint.questions import Test
from causaljax.scores.independence import partial_correlation
from causaljax.scores.independence.asking import asking

NUM_ROWS = 1000


def fisher_z(table: np.ndarray) -> Test:
    """Fisher's z test of partial correlations, in numpy."""
    correlation, num_rows = np.corrcoef(table, rowvar=False), len(table)

    def test(x, y, z, used):
        columns = np.concatenate([x[:, None], y[:, None], z], axis=1)
        live = np.concatenate([np.ones((len(x), 2), bool), used], axis=1)
        block = correlation[columns[:, :, None], columns[:, None, :]]
        block = np.where(live[:, :, None] & live[:, None, :], block, 0)
        index = np.arange(columns.shape[1])
        block[:, index, index] = 1
        inner = block[:, 2:, 2:]
        cross = block[:, 2:, :2]
        # What is left of x and y after regression on z.
        rest = block[:, :2, :2] - cross.swapaxes(1, 2) @ np.linalg.solve(inner, cross)
        r = rest[:, 0, 1] / np.sqrt(rest[:, 0, 0] * rest[:, 1, 1])
        scale = np.sqrt(np.maximum(num_rows - used.sum(axis=1) - 3, 0))
        z_score = scale * np.abs(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))
        return np.log(2) + log_ndtr(-z_score)

    return test


def on_device(table: np.ndarray) -> Test:
    """The same test, compiled."""
    problem = make_problem(table.astype(np.float32))
    config = partial_correlation.Config()
    return asking(partial_correlation.FISHER_Z, jax.random.key(0), problem, config)


def simulated(num_variables: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(table [n, d], DAG [d, d]), edges two a variable."""
    rng, d = np.random.default_rng(seed), num_variables
    pairs = np.argwhere(np.triu(np.ones((d, d)), 1))
    chosen = pairs[rng.choice(len(pairs), min(2 * d, len(pairs)), replace=False)]
    graph = np.zeros((d, d), bool)
    graph[*chosen.T] = True
    order = rng.permutation(d)
    graph = graph[np.ix_(order, order)]
    weights = graph * rng.uniform(0.5, 2, (d, d)) * rng.choice([-1, 1], (d, d))
    noise = rng.normal(size=(NUM_ROWS, d)) * rng.uniform(0.5, 2, d)
    table = noise @ np.linalg.inv(np.eye(d) - weights)
    return (table - table.mean(axis=0)) / table.std(axis=0), graph


def run_oracle(everything: bool) -> None:
    """Prints how many classes are found exactly."""
    for d in (3, 4, 5) if everything else (3, 4):
        classes = {}
        for graph in all_dags(d):
            classes.setdefault(meek.pattern(graph).tobytes(), graph)
        exact, seconds = 0, time.process_time()
        for graph in classes.values():
            test = Separation(marks.from_graph(graph)).test()
            found = pc.search(test, d, pc.Config(), batches=(8, 64))
            exact += np.array_equal(marks.to_graph(found.marks), meek.completed(graph))
        seconds = time.process_time() - seconds
        print(f"PC, {d} variables: {exact} of {len(classes)} classes, {seconds:.1f} s")
    for observed, hidden in ((3, 1), (4, 1)) if everything else ((3, 1),):
        exact, total, seconds, known = 0, 0, time.process_time(), {}
        for graph in all_dags(observed + hidden):
            mag = ancestral.latent_projection(graph, range(observed, len(graph)))
            if mag.tobytes() not in known:
                separation = Separation(marks.from_graph(graph), range(observed))
                test = separation.test()
                config = fci.Config()
                found = fci.search(test, observed, config, batches=(8, 64))
                same = np.array_equal(found.marks, pag.mag_to_pag(mag))
                known[mag.tobytes()] = same
            exact, total = exact + known[mag.tobytes()], total + 1
        seconds = time.process_time() - seconds
        print(
            f"FCI, {observed} variables, {hidden} hidden: {exact} of {total} DAGs "
            f"({len(known)} projections), {seconds:.1f} s"
        )


def all_dags(d: int):
    """Every DAG over d variables."""
    pairs = list(itertools.combinations(range(d), 2))
    for kinds in itertools.product(range(3), repeat=len(pairs)):
        graph = np.zeros((d, d), bool)
        for kind, (i, j) in zip(kinds, pairs, strict=True):
            graph[i, j], graph[j, i] = kind == 1, kind == 2
        paths = np.linalg.matrix_power(graph + np.eye(d), d) > 0
        if (paths & paths.T).sum() == d:
            yield graph


def run_pc(sizes: list[int], seeds: int, rule: str, rival: bool, device: bool) -> None:
    """Prints accuracy and seconds of PC."""
    print("method        d  skeleton F1  oriented F1   SHD    tests  CPU s  first")
    config = pc.Config(collider_rule=rule)
    makers = {"numpy": fisher_z} | ({"device": on_device} if device else {})
    for d in sizes:
        rows = {}
        for seed in range(seeds):
            table, graph = simulated(d, seed)
            truth = meek.completed(graph)
            answers = []
            for name, made in makers.items():
                found, first = timed(made, table, config)
                again = timed(made, table, config) if name == "device" else (0, first)
                answer = marks.to_graph(found.marks)
                answers.append((name, answer, found.num_tests, again[1], first))
            if rival:
                import rivals

                other = rivals.run("andrey_pc", table, threads=1)
                cost = other.cpu_seconds
                answers.append(("andrey", other.graph > 0, 0, cost, cost))
            for name, answer, *costs in answers:
                scores = (
                    metrics.skeleton_accuracy(truth, answer).f1,
                    metrics.oriented_accuracy(truth, answer).f1,
                    metrics.shd(truth, answer),
                )
                rows.setdefault(name, []).append((*map(float, scores), *costs))
        for name, values in rows.items():
            skeleton, oriented, shd, number, warm, _ = np.median(values, axis=0)
            print(
                f"{name:10}{d:5}{skeleton:13.3f}{oriented:13.3f}{shd:6.0f}"
                f"{number:9.0f}{warm:7.2f}{values[0][-1]:7.2f}",
                flush=True,
            )


def timed(made, table: np.ndarray, config: pc.Config) -> tuple[pc.Found, float]:
    """A search of PC and its CPU seconds."""
    start = time.process_time()
    found = pc.search(made(table), table.shape[1], config)
    return found, time.process_time() - start


def run_fci(sizes: list[int], seeds: int, rule: str, rival: bool) -> None:
    """Prints accuracy and seconds of FCI, a sixth of the variables hidden."""
    print("method        d  skeleton F1  marks F1  tests  CPU s")
    for d in sizes:
        rows = {}
        for seed in range(seeds):
            table, graph = simulated(d + d // 5, seed)
            truth = pag.mag_to_pag(
                ancestral.latent_projection(graph, range(d, len(graph)))
            )
            table = table[:, :d]
            for name, config in {
                "FCI": fci.Config(collider_rule=rule, most_far_conditions=4),
                "near sets": fci.Config(collider_rule=rule, far_sets=False),
            }.items():
                start = time.process_time()
                found = fci.search(fisher_z(table), d, config)
                seconds = time.process_time() - start
                scores = marks_accuracy(truth, found.marks)
                rows.setdefault(name, []).append((*scores, found.num_tests, seconds))
            if rival:
                import rivals

                other = rivals.run("andrey_fci", table, threads=1)
                scores = marks_accuracy(truth, other.graph)
                rows.setdefault("andrey", []).append((*scores, 0, other.cpu_seconds))
        for name, values in rows.items():
            skeleton, both, number, seconds = np.median(values, axis=0)
            print(
                f"{name:10}{d:5}{skeleton:13.3f}{both:10.3f}{number:9.0f}{seconds:7.2f}",
                flush=True,
            )


def marks_accuracy(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """F1 of the edges, and of the marks at their ends."""
    joined, same = (truth > 0) & (found > 0), (truth == found) & (truth > 0)
    total = (truth > 0).sum() + (found > 0).sum()
    return 2 * joined.sum() / total, 2 * same.sum() / total


def main() -> None:
    """Runs a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["oracle", "pc", "fci"])
    parser.add_argument("--all", action="store_true", help="also the slow checks")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rule", default="majority", choices=colliders.RULES)
    parser.add_argument("--rival", action="store_true", help="andrey-core beside it")
    parser.add_argument("--device", action="store_true", help="the compiled test, too")
    args = parser.parse_args()
    if args.command == "oracle":
        run_oracle(args.all)
    elif args.command == "pc":
        sizes = args.sizes or [50, 100, 200]
        run_pc(sizes, args.seeds, args.rule, args.rival, args.device)
    else:
        run_fci(args.sizes or [20, 40], args.seeds, args.rule, args.rival)


if __name__ == "__main__":
    main()
