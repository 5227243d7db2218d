"""The methods that the benchmarks compare, over stacks of tables.

A method maps the tables of a cell to an `Answer`. The amortized one reads all tables
of a shape in one compiled program; the others take them one by one.
"""

import argparse
import ast
import functools
import resource
import time
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
import rivals
import scipy.stats

import causaljax
from causaljax.core import run
from causaljax.core.types import Problem
from causaljax.graphs import metrics
from causaljax.kernels import amortized
from causaljax.networks import weights
from causaljax.plot.calibrations import reliability


class Answer(NamedTuple):
    """What a method says of b tables."""

    strength: np.ndarray  # [b, d, d], probabilities where the method has them
    graph: np.ndarray  # [b, d, d] bool, both ways where undirected
    seconds: float  # a table, compiled
    targets: np.ndarray | None = None  # [b, d], P(acted on unsaid)
    confounders: np.ndarray | None = None  # [b, d, d], P(hidden common cause)


class Scores(NamedTuple):
    """Means over tables; the error is of all their pairs together."""

    auroc: float
    auprc: float
    f1: float
    skeleton: float
    ece: float
    targets: float  # AUROC, NaN where not asked
    seconds: float


def amortized_dag(problems: Problem, name_or_path: str | None = None) -> Answer:
    """A trained network at its calibrated threshold, the shipped one by default."""
    config = kernel_config(name_or_path)
    num_tables = len(problems.x)
    keys = run.numbered_keys(jax.random.key(0), np.arange(num_tables))

    def read():
        return run.run_many(amortized.KERNEL, keys, problems, config, 1)

    jax.block_until_ready(read())  # compiled once a shape
    start = time.perf_counter()
    posterior, _ = jax.block_until_ready(read())
    seconds = (time.perf_counter() - start) / num_tables
    return Answer(
        strength=np.asarray(posterior.edge_prob),
        graph=np.asarray(posterior.graphs[:, 0]),
        seconds=seconds,
        targets=np.asarray(posterior.extra["target_prob"]),
        confounders=np.asarray(posterior.extra["confounder_prob"]),
    )


def fit_twice(model: Any, table: Any, **known: Any) -> tuple[float, float]:
    """Seconds of a first fit, with compilation, and of a second."""
    seconds = []
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            model.fit(table, **known)
            seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def versions() -> str:
    """What a benchmark ran on."""
    device = jax.devices()[0].device_kind
    return f"causaljax {causaljax.__version__}, jax {jax.__version__}, {device}"


def mark(bad: object) -> str:
    """Of a figure that misses what is wanted."""
    return "!" if bad else ""


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE as a pair; a word that is no Python value stays a word."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write KEY=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def peak_memory() -> float:
    """What this process has held at most, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@functools.cache
def kernel_config(name_or_path=None):
    """The kernel's settings for a trained network."""
    return amortized.configure(weights.load_weights(*filter(None, [name_or_path])))


def linear_dag(problems: Problem, n_bootstrap: int = 0) -> Answer:
    """The package's order search on linear scores."""
    return one_by_one(causaljax.LinearDAG(n_bootstrap=n_bootstrap), problems)


def neural_dag(problems: Problem, **settings: Any) -> Answer:
    """The package's networks, one a variable."""
    return one_by_one(causaljax.NeuralDAG(**settings), problems)


def one_by_one(model: Any, problems: Problem) -> Answer:
    """An estimator, table by table; gaps filled with means."""
    answers = []
    num_tables = len(problems.x)
    for k in [0, *range(num_tables)]:  # the first once more, compiled
        problem = jax.tree.map(lambda leaf, k=k: leaf[k], problems)
        off_diagonal = ~np.eye(len(problem.allowed), dtype=bool)
        known = causaljax.Knowledge(
            required=_pairs(problem.required),
            forbidden=_pairs(~problem.allowed & off_diagonal),
        )
        acted_on = problem.intervened if problem.intervened.any() else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            model.fit(
                _filled(problem),
                interventions=acted_on,
                knowledge=known,
            )
            seconds = time.perf_counter() - start
        answers.append(
            (
                model.edge_probabilities_.to_numpy(),
                model.adjacency_.to_numpy() > 0,
                seconds,
            )
        )
    strengths, graphs, seconds = zip(*answers[1:], strict=True)
    return Answer(np.stack(strengths), np.stack(graphs), float(np.mean(seconds)))


def _filled(problem):
    means = np.mean(problem.x, axis=0, where=problem.observed)
    return np.where(problem.observed, problem.x, means)


def _pairs(matrix):
    return [(f"x{i}", f"x{j}") for i, j in np.argwhere(matrix)]


def empty_graph(problems: Problem) -> Answer:
    """What no edge at all scores."""
    nothing = np.zeros((len(problems.x), *problems.allowed.shape[1:]))
    return Answer(nothing, nothing > 0, 0.0)


def rival(name: str, problems: Problem) -> Answer:
    """A library of `rivals.py`; only those of `_TOLD` hear of interventions."""
    told, results = name in _TOLD, []
    for k in range(len(problems.x)):
        problem = jax.tree.map(lambda leaf, k=k: leaf[k], problems)
        options = {"intervened": problem.intervened, "threads": 1} if told else {}
        results.append(rivals.run(name, _filled(problem), **options))
    graphs = np.stack([result.graph for result in results]) > 0
    if told:  # norms of weights rank the pairs: between 0 and 1, in their order
        norms = np.stack([result.weights for result in results])
        strength = norms / (1 + norms)
    else:
        strength = graphs * (1 - graphs.swapaxes(1, 2) / 2)
    return Answer(strength, graphs, float(np.mean([r.seconds for r in results])))


_TOLD = ("sdcd",)  # its small matrices are faster in one thread than in two


def methods(
    replicates: int = 0,
    trained: str | None = None,
    neural: dict[str, Any] | None = None,
) -> dict:
    """All by name; the options are of "bootstrap", of "amortized" and of "neural"."""
    return {
        "empty": empty_graph,
        "neural": functools.partial(neural_dag, **neural or {}),
        "amortized": functools.partial(amortized_dag, name_or_path=trained),
        "linear": linear_dag,
        "bootstrap": functools.partial(linear_dag, n_bootstrap=replicates),
        **{name: functools.partial(rival, name) for name in rivals.RIVALS},
    }


@jax.jit
@jax.vmap
def _graph_scores(truth, strength, graph):
    return (
        metrics.auroc(truth, strength),
        metrics.auprc(truth, strength),
        metrics.edge_accuracy(truth, graph).f1,
        metrics.skeleton_accuracy(truth, graph).f1,
    )


def ranking_area(truth: np.ndarray, strength: np.ndarray) -> float:
    """AUROC over any list of cases, NaN where they are all of one kind."""
    ranks = scipy.stats.rankdata(strength)
    hits, others = truth.sum(), (~truth).sum()
    if not hits or not others:
        return float("nan")
    return float((ranks[truth].sum() - hits * (hits + 1) / 2) / (hits * others))


def score(answer: Answer, graphs: np.ndarray, targets: np.ndarray | None) -> Scores:
    """Scores of an answer against `[b, d, d]` graphs and `[b, d]` targets."""
    areas = _graph_scores(graphs, answer.strength.astype("f4"), answer.graph)
    auroc, auprc, f1, skeleton = map(_mean, areas)
    found = np.nan
    if targets is not None and answer.targets is not None:
        found = _mean(map(ranking_area, targets, answer.targets))
    apart = ~np.eye(graphs.shape[-1], dtype=bool)
    ece = reliability(answer.strength[:, apart], graphs[:, apart]).error
    return Scores(auroc, auprc, f1, skeleton, ece, found, answer.seconds)


def _mean(values):
    """Over the tables of which the score is defined."""
    defined = [value for value in map(float, values) if value == value]
    return float(np.mean(defined)) if defined else float("nan")
