"""Posteriors over graphs: exact ones, chains against them, and what they are worth.

    python scripts/bench_posterior.py exact      speed, memory, enumeration, antecedent
    python scripts/bench_posterior.py chains     against exact sums, d = 5 and 10
    python scripts/bench_posterior.py mixing     of 20 and 50 variables
    python scripts/bench_posterior.py compare    d = 20 beside other methods
    python scripts/bench_posterior.py effects    coverage of intervals of total effects
    python scripts/bench_posterior.py calibration    simulation-based calibration
    python scripts/bench_posterior.py sachs [--picture FILE]

Tables are linear and Gaussian, of two edges a variable, with weights from .3 to 1 of
either sign and noise of variance 1; columns are standardised.
"""

import argparse
import itertools
import time
import warnings

import jax
import numpy as np
import pandas as pd
import rivals

from causaljax import AmortizedDAG, BayesianDAG, LinearDAG, load_sachs
from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs import modular
from causaljax.graphs.metrics import auroc
from causaljax.kernels.posterior import exact, partition_mcmc
from causaljax.reports.evaluation import expected_shd
from causaljax.scores import bge, parent_sets


def simulate(seed, d, n, edges_per_variable=2.0):
    """A table, not standardised, and its weights."""
    rng = np.random.default_rng([seed, d, n])
    order = rng.permutation(d)
    upper = np.triu(rng.random((d, d)) < 2 * edges_per_variable / (d - 1), 1)
    sizes = upper * rng.uniform(0.3, 1, (d, d)) * rng.choice([-1, 1], (d, d))
    weights = np.zeros((d, d))
    weights[np.ix_(order, order)] = sizes
    x = rng.normal(size=(n, d)) @ np.linalg.inv(np.eye(d) - weights)
    return x, weights


def standardised(x):
    """Columns of mean 0 and standard deviation 1."""
    return (x - x.mean(axis=0)) / x.std(axis=0)


def problem_of(x, dtype=np.float32):
    """What kernels read."""
    return make_problem(standardised(x).astype(dtype))


def timed(function):
    """An answer, and the seconds it took."""
    start = time.perf_counter()
    answer = jax.block_until_ready(function())
    return answer, time.perf_counter() - start


def fit(module, problem, seed=0, **options):
    """One run of a kernel."""
    config = module.Config(interventional=False, **options)
    return run.run(module.KERNEL, jax.random.key(seed), problem, config)


def log_weights(problem, score="bge"):
    """The table that ``graphs.modular`` sums."""
    config = parent_sets.Config(interventional=False, score=score)
    return parent_sets.all_log_weights(problem, config)


marginals = jax.jit(
    lambda weights: modular.edge_probabilities(
        modular.parent_set_probabilities(weights)
    )
)


def bench_exact(args):
    """Speed, enumeration, classes and antecedent."""
    print("seconds of exact sums, this process alone; memory foretold, GiB")
    print("  d   table  marginals  1,000 graphs   cold  memory  rounding")
    sample = jax.jit(modular.sample_dags, static_argnums=2)
    tables = jax.jit(log_weights, static_argnames="score")
    with jax.enable_x64(True):
        for d in args.sizes:
            problem = problem_of(simulate(0, d, 100)[0], np.float64)
            cold = time.perf_counter()
            for _ in range(2):
                weights, table = timed(lambda problem=problem: tables(problem))
                prob, sums = timed(lambda weights=weights: marginals(weights))
                if d <= args.most_samples:
                    key = jax.random.key(0)
                    _, draws = timed(lambda k=key, w=weights: sample(k, w, 1000))
                else:
                    draws = np.nan
                cold, before = time.perf_counter() - cold, cold
            cold = before - table - sums - (draws if draws == draws else 0)
            memory = modular.bytes_needed(d, sampling=d <= args.most_samples) / 2**30
            error = float(modular.rounding_error(weights))
            print(
                f"{d:3} {table:7.3f} {sums:10.3f} {draws:13.3f} {cold:6.1f} "
                f"{memory:7.2f} {error:9.0e}",
                flush=True,
            )
        print("largest difference to enumeration of all DAGs, BGe, 3 tables each")
        for d in (3, 4, 5):
            graphs = np.array(list(every_dag(d)))
            worst = 0.0
            for seed in range(3):
                problem = problem_of(simulate(seed, d, 100)[0], np.float64)
                weights = np.asarray(tables(problem))
                sets = (graphs * (1 << np.arange(d))[:, None]).sum(axis=1)
                logs = weights[np.arange(d), sets].sum(axis=1)
                prob = np.exp(logs - np.logaddexp.reduce(logs))
                expected = np.einsum("s,sij->ij", prob, graphs)
                worst = max(worst, np.abs(marginals(weights) - expected).max())
            print(f"  d = {d}, {len(graphs)} DAGs: {worst:.1e}")
        problem = problem_of(simulate(0, 5, 100)[0], np.float64)
        print(f"members of a class, largest relative gap of BGe: {gap(problem):.1e}")
        print("antecedent, exact marginals by the Gaussian BIC, uniform over DAGs")
        for d in (8, 10, 12):
            x, _ = simulate(0, d, 100)
            rival = rivals.run("antecedent", x, timeout=600)
            problem = problem_of(x, np.float64)
            weights = tables(problem, score="degenerate_gaussian")
            prob, seconds = timed(lambda weights=weights: marginals(weights))
            difference = np.abs(prob - rival.weights).max()
            print(
                f"  d = {d}: largest difference {difference:.1e}; {rival.version} "
                f"{rival.seconds:.3f} s, ours {seconds:.3f} s",
                flush=True,
            )


def every_dag(d):
    """All DAGs, as matrices."""
    pairs = list(itertools.combinations(range(d), 2))
    for joined in itertools.product((0, 1, 2), repeat=len(pairs)):
        graph = np.zeros((d, d), bool)
        for (i, j), way in zip(pairs, joined, strict=True):
            if way:
                graph[(i, j) if way == 1 else (j, i)] = True
        reach = np.eye(d, dtype=int) + graph
        if np.trace(np.linalg.matrix_power(reach, d)) == d:
            yield graph


def gap(problem):
    """How much BGe differs within equivalence classes of five variables."""
    d = problem.x.shape[1]
    score = jax.jit(lambda graph: bge.bge(graph, problem, interventional=False).sum())
    chosen = list(every_dag(d))[::97]
    worst = 0.0
    for graph in chosen:
        for i, j in np.argwhere(graph):
            others = graph.copy()
            others[i, j] = False
            if np.array_equal(others[:, i], others[:, j]):  # a covered edge
                turned = others.copy()
                turned[j, i] = True
                one, other = float(score(graph)), float(score(turned))
                worst = max(worst, abs(one - other) / abs(one))
    return worst


def bench_chains(args):
    """Errors against exact sums."""
    print("chains against exact sums, n = 100, 10 tables; seconds are warm")
    for d, steps in ((5, 5000), (10, 16000)):
        errors, seconds, foretold = [], [], []
        for seed in range(-1, args.tables):
            problem = problem_of(simulate(max(seed, 0), d, 100)[0])
            expected, _ = fit(exact, problem)
            (found, info), taken = timed(
                lambda p=problem, s=seed, m=steps: fit(
                    partition_mcmc, p, s + 1, num_steps=m
                )
            )
            if seed >= 0:  # the first compiles
                errors.append(np.abs(found.edge_prob - expected.edge_prob).max())
                seconds.append(taken)
                foretold.append(float(info.mc_error))
        print(
            f"  d = {d}: largest error of an edge {max(errors):.4f}, median table "
            f"{np.median(errors):.4f}, its own estimate of the standard error "
            f"{max(foretold):.4f}, {np.median(seconds):.2f} s",
            flush=True,
        )


def bench_mixing(args):
    """Split R-hats of many variables."""
    print("mixing; odds of the prior as of BayesianDAG; seconds with compilation")
    sizes = [(20, 100, 5000), (20, 1000, 5000), (50, 1000, 3500)]
    for (d, n, steps), seed in itertools.product(sizes, range(args.tables)):
        x, weights = simulate(seed, d, n)
        odds = BayesianDAG()._edge_odds(d)
        problem = problem_of(x)
        (found, info), taken = timed(
            lambda p=problem, o=odds, s=steps: fit(
                partition_mcmc, p, num_steps=s, edge_odds=o
            )
        )
        print(
            f"  d = {d}, n = {n}: split R-hat {float(info.rhat):.3f}, standard error "
            f"{float(info.mc_error):.3f}, outside candidates "
            f"{float(found.extra['left_out']):.3f}, {taken:.1f} s, "
            f"AUROC {float(auroc(weights != 0, found.edge_prob)):.3f}",
            flush=True,
        )


def calibration_error(prob, truth, bins=10):
    """Expected calibration error of edges, by bins of equal width."""
    which = np.minimum((prob * bins).astype(int), bins - 1)
    gaps = [
        (which == k).mean() * abs(prob[which == k].mean() - truth[which == k].mean())
        for k in range(bins)
        if (which == k).any()
    ]
    return float(sum(gaps))


def held_out(graphs, shares, train, test):
    """Mean log-likelihood of a new row, nats, over graphs fitted by least squares."""
    scores = []
    for graph in graphs:
        total = np.zeros(len(test))
        for j in range(graph.shape[1]):
            parents = np.flatnonzero(graph[:, j])
            design = np.column_stack([np.ones(len(train)), train[:, parents]])
            coefficients, *_ = np.linalg.lstsq(design, train[:, j], rcond=None)
            freedom = max(len(train) - design.shape[1], 1)
            variance = ((train[:, j] - design @ coefficients) ** 2).sum() / freedom
            new = np.column_stack([np.ones(len(test)), test[:, parents]])
            residual = test[:, j] - new @ coefficients
            total -= 0.5 * (np.log(2 * np.pi * variance) + residual**2 / variance)
        scores.append(total)
    return float(
        np.logaddexp.reduce(np.array(scores).T + np.log(shares), axis=1).mean()
    )


METHODS = {
    "BayesianDAG": lambda: BayesianDAG(progress=False),
    "LinearDAG, 50 refits": lambda: LinearDAG(
        noise="gaussian", n_bootstrap=50, progress=False
    ),
    "AmortizedDAG": lambda: AmortizedDAG(progress=False),
}


def bench_compare(args):
    """Twenty variables, beside other methods."""
    d = 20
    print(f"d = {d}, linear Gaussian, two edges a variable, {args.tables} tables")
    print("method                     n   AUROC   E-SHD    ECE  held out  seconds")
    for n in (100, 1000):
        found = {name: [] for name in METHODS}
        for seed in range(args.tables):
            x, weights = simulate(seed, d, n)
            rng = np.random.default_rng([seed, 7])
            new = rng.normal(size=(1000, d)) @ np.linalg.inv(np.eye(d) - weights)
            off = ~np.eye(d, dtype=bool)
            truth = weights != 0
            for name, make in METHODS.items():
                model = make()
                _, seconds = timed(lambda m=model, x=x: (m.fit(x), 0)[1])
                prob = model.edge_probabilities_.to_numpy()
                if isinstance(model, LinearDAG):
                    graphs = np.asarray(model.posterior_.graphs)
                else:
                    graphs = model.sample_graphs(50)
                shares = np.full(len(graphs), 1 / len(graphs))
                found[name].append(
                    (
                        float(auroc(truth, prob)),
                        expected_shd(truth.astype(int), prob),
                        calibration_error(prob[off], truth[off]),
                        held_out(graphs, shares, x, new),
                        seconds,
                    )
                )
        for name, rows in found.items():
            area, distance, error, likelihood, _ = np.mean(rows, axis=0)
            warm = np.median([row[-1] for row in rows[1:] or rows])
            print(
                f"{name:24}{n:5} {area:7.3f} {distance:7.2f} {error:6.3f} "
                f"{likelihood:9.3f} {warm:8.1f}",
                flush=True,
            )


def bench_effects(args):
    """How often intervals hold the true effect, the graph unknown."""
    d, n = 7, 200
    pairs, covered, reached, widths = 0, 0, [], []
    for seed in range(args.tables):
        x, weights = simulate(seed, d, n, 1.5)
        names = [f"x{k}" for k in range(d)]
        table = pd.DataFrame(x, columns=names)
        model = BayesianDAG(progress=False, edges_per_variable=1.5).fit(table)
        total = np.linalg.inv(np.eye(d) - weights)
        rng = np.random.default_rng([seed, 1])
        every = [(i, j) for i in range(d) for j in range(d) if i != j]
        for i, j in rng.permutation(every)[:6]:
            found = model.effect_posterior(names[i], names[j], table)
            low, high = found.interval
            inside = low <= total[i, j] <= high
            pairs, covered = pairs + 1, covered + inside
            widths.append(high - low)
            if abs(total[i, j]) > 1e-12:
                reached.append(inside)
    print(
        f"90 % intervals of total effects, graph unknown, d = {d}, n = {n}, "
        f"{args.tables} tables: {covered / pairs:.1%} of {pairs} pairs, of "
        f"{len(reached)} effects that are not 0 {np.mean(reached):.1%}; mean width "
        f"{np.mean(widths):.2f}"
    )


def bench_calibration(args):
    """Graphs and tables from the prior; where the truth falls among the posterior."""
    d, n, draws = 5, 60, 99
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        empty = np.zeros((d, 2**d))
        truths = np.asarray(modular.sample_dags(jax.random.key(1), empty, args.tables))
    places = {name: [] for name in ("exact", "mcmc", "amortized")}
    edges = {name: [] for name in places}
    for seed, truth in enumerate(truths):
        x = from_prior(rng, truth, n)
        # Not standardised: the prior is in these units.
        problem = make_problem(x.astype(np.float32))
        network = AmortizedDAG(progress=False, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.fit(x)
        found = {
            "exact": fit(exact, problem, seed, num_graphs=draws)[0],
            "mcmc": fit(partition_mcmc, problem, seed, num_graphs=draws)[0],
        }
        graphs = {name: np.asarray(one.graphs) for name, one in found.items()}
        prob = {name: np.asarray(one.edge_prob) for name, one in found.items()}
        graphs["amortized"] = network.sample_graphs(draws)
        prob["amortized"] = network.edge_probabilities_.to_numpy()
        off = ~np.eye(d, dtype=bool)
        for name in places:
            # A number that differs between graphs with equally many edges, too.
            size = rng.normal(size=(d, d))
            own, others = (truth * size).sum(), (graphs[name] * size).sum(axis=(1, 2))
            below, same = (others < own).sum(), (others == own).sum()
            places[name].append((below + rng.integers(same + 1)) / draws)
            p, there = prob[name][off], truth[off]
            u = rng.uniform(size=p.shape)
            edges[name].append(np.where(there, 1 - p + p * u, (1 - p) * u))
    print(
        f"simulation-based calibration, {args.tables} tables of d = {d}, n = {n} from "
        "the prior; counts in ten bins of equal probability, and their chi-square "
        "with 9 degrees of freedom (16.9 is the .05 level)"
    )
    for name in places:
        for what, values in (
            ("rank of the graph", np.array(places[name])),
            ("places of edges", np.concatenate(edges[name])),
        ):
            counts = np.histogram(np.clip(values, 0, 1), bins=10, range=(0, 1))[0]
            expected = len(values) / 10
            statistic = ((counts - expected) ** 2 / expected).sum()
            print(f"  {name:10}{what:18} {counts}  {statistic:.1f}")


def from_prior(rng, graph, n):
    """A table of a graph whose equations come from the prior that BGe stands for.

    Of p parents, x_j = m + b'x + e: v ~ InverseGamma((3 + p) / 2, 1/4),
    b | v ~ Normal(0, 2 v I), m ~ Normal(0, v), e ~ Normal(0, v).
    """
    d = len(graph)
    x, left = np.zeros((n, d)), set(range(d))
    while left:
        j = next(j for j in left if not any(graph[i, j] for i in left))
        parents = np.flatnonzero(graph[:, j])
        shape = (3 + len(parents)) / 2
        variance = 0.25 / rng.gamma(shape)
        slopes = rng.normal(size=len(parents)) * np.sqrt(2 * variance)
        start = rng.normal() * np.sqrt(variance)
        noise = rng.normal(size=n) * np.sqrt(variance)
        x[:, j] = start + x[:, parents] @ slopes + noise
        left.remove(j)
    return x


def bench_sachs(args):
    """The posterior of edges beside the consensus graph."""
    data = load_sachs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = BayesianDAG(progress=False).fit(np.log(data.observational))
    prob = model.edge_probabilities_
    true = data.truth.to_numpy()
    print("Sachs, 853 undisturbed rows, logarithms; consensus graph of 17 edges")
    print(f"  expected SHD {model.expected_shd(data.truth):.1f}")
    names, p = list(prob), prob.to_numpy()
    pairs = itertools.combinations(range(len(names)), 2)
    for i, j in sorted(pairs, key=lambda pair: -(p + p.T)[pair]):
        share = (p + p.T)[i, j]
        marks = ["->"] * true[i, j] + ["<-"] * true[j, i]
        if share < 0.05 and not marks:
            continue
        print(
            f"  {names[i]:5}{names[j]:5} joined {share:.2f}, -> {p[i, j]:.2f}, "
            f"<- {p[j, i]:.2f}  {''.join(marks)}"
        )
    if args.picture:
        from causaljax import plot

        figure = plot.comparison(data.truth, model).figure
        figure.savefig(args.picture, dpi=150, bbox_inches="tight")
        print(f"picture: {args.picture}")


def main():
    """Runs one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "command",
        choices=[
            "exact",
            "chains",
            "mixing",
            "compare",
            "effects",
            "calibration",
            "sachs",
        ],
    )
    parser.add_argument("--tables", type=int, default=None)
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 10, 12])
    parser.add_argument("--most-samples", type=int, default=13)
    parser.add_argument("--picture")
    args = parser.parse_args()
    usual = {
        "chains": 10,
        "mixing": 3,
        "compare": 5,
        "effects": 100,
        "calibration": 200,
    }
    args.tables = args.tables or usual.get(args.command, 1)
    globals()[f"bench_{args.command}"](args)


if __name__ == "__main__":
    main()
