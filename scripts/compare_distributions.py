"""Two differentiable distributions of graphs beside pruning, on DCDI's generator.

    python scripts/compare_distributions.py                     all, 10 variables
    python scripts/compare_distributions.py --sizes 20 --cells linear

gumbel    a logit an edge and straight-through Gumbel-sigmoid masks, in two stages: with
          a price an edge alone, after which unlikely edges are dropped; then with one
          on the probabilities' spectral radius, which rises linearly to a ceiling
order     likewise, and a score a variable, whose order under Gumbel noise masks the
          edges: no draw has a cycle, so that the second stage has no further price
pruning   `NeuralDAG`
empty     no edge

"flat" starts either distribution at even odds, "found" at the probabilities that
`NeuralDAG` starts from, those of `AmortizedDAG` and `LinearDAG`. Both train one masked
network a variable by the likelihood under perfect, known interventions; an edge costs
`--price` times log(n)/2 nats, as in BIC. Tables have 10,000 rows. SHD counts a reversal
once and stands with its standard error over graphs; seconds are of compiled fits.

Sources: Brouillard et al. 2020 (DCDI) for the masks and the likelihood, Nazaret et al.
2024 (SDCD) for the stages, Jang et al. 2017 and Maddison et al. 2017 for straight
Gumbel draws, Charpentier et al. 2022 (VI-DP-DAG) for orders times edges.
"""

import argparse
import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import bench_methods as methods
import bench_tables as tables
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logit

import causaljax
from causaljax.core.types import Array, Problem, PyTree
from causaljax.graphs import acyclicity, dags
from causaljax.kernels.neural.candidates import candidate_edges, shipped_candidates
from causaljax.mechanisms import mlp
from causaljax.reports.evaluation import compare_graphs

_DOUBT = 0.1  # of an edge, or of none, at the start
_UNLIKELY = 0.05  # edges below are dropped after the first stage
_LAST_RATE = 0.02  # of the learning rates, at the end of a stage
_SUREST = 4.0  # log-odds of gumbel's edges: the penalty has no grip on surer ones


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of the two distributions' fits; rates are Adam's at a stage's beginning."""

    updates: int = 6000  # of both stages together
    price: float = 4.0  # of an edge, in units of log(n)/2 nats
    ceiling: float = 2.0  # nats a row for a spectral radius of 1, at last
    rate: float = 0.003  # of networks
    graph_rate: float = 0.05  # of logits and scores
    noise: str = "heteroscedastic"
    batch_size: int = 256
    sets: int = 16  # graphs drawn an update, each for as many rows


class Distribution(NamedTuple):
    """Graphs at random, by parameters with a gradient."""

    init: Callable[[Array], PyTree]  # from probabilities of edges, [d, d]
    draw: Callable[[Array, PyTree], Array]  # [d, d], 0 or 1, with a gradient
    probabilities: Callable[[PyTree], Array]  # of edges, [d, d]
    graph: Callable[[PyTree, Array], Array]  # [d, d] bool, acyclic, of edges alive
    acyclic: bool = False  # whether every draw is
    bound: float = math.inf  # of the parameters, either way


def _straight_through(logits):
    """1 where a logit is positive, else 0; the gradient is the sigmoid's."""
    soft = jax.nn.sigmoid(logits)
    hard = (logits > 0).astype(soft.dtype)
    return soft + jax.lax.stop_gradient(hard - soft)


def _independent_draw(key, logits):
    return _straight_through(logits + jax.random.logistic(key, logits.shape))


def _independent_graph(logits, alive):
    return dags.greedy_acyclic(alive * jax.nn.sigmoid(logits), 0.5, alive & False)


class Ordered(NamedTuple):
    """Parameters of edges along a Plackett-Luce order."""

    scores: Array  # [d], higher comes first
    logits: Array  # [d, d], of an edge if the order allows it


def _ordered_init(start):
    """Scores are half of descendants less ancestors: an edge's ends are 1 apart."""
    likely = dags.greedy_acyclic(start, 0.5, jnp.zeros(start.shape, bool))
    reach = dags.transitive_closure(likely).astype(start.dtype)
    scores = 0.5 * (reach.sum(axis=1) - reach.sum(axis=0))
    return Ordered(scores, logit(jnp.maximum(start, start.T)))


def _ahead(scores):
    return scores[:, None] - scores[None, :]


def _ordered_draw(key, params):
    key_order, key_edges = jax.random.split(key)
    scores = params.scores + jax.random.gumbel(key_order, params.scores.shape)
    edges = _independent_draw(key_edges, params.logits)
    return edges * _straight_through(_ahead(scores))


def _ordered_chances(params):
    return jax.nn.sigmoid(params.logits) * jax.nn.sigmoid(_ahead(params.scores))


def _ordered_graph(params, alive):
    return alive & (params.logits > 0) & (_ahead(params.scores) > 0)


DISTRIBUTIONS = {
    "gumbel": Distribution(
        logit, _independent_draw, jax.nn.sigmoid, _independent_graph, bound=_SUREST
    ),
    "order": Distribution(
        _ordered_init, _ordered_draw, _ordered_chances, _ordered_graph, acyclic=True
    ),
}


@functools.partial(jax.jit, static_argnames=("distribution", "settings"))
def fit(
    key: Array,
    problem: Problem,
    start: Array,
    distribution: Distribution,
    settings: Settings,
) -> tuple[Array, Array]:
    """Probabilities of edges ``[d, d]`` and the graph that a distribution ends at."""
    n, d = problem.x.shape
    shape = (settings.sets, settings.batch_size // settings.sets, d)
    price = settings.price * 0.5 * math.log(n) / n
    steps = settings.updates // 2

    def loss_of(params, key, alive, ceiling, vectors):
        """Nats a row of a minibatch and a graph drawn for each part of it."""
        networks, graphs = params
        key_rows, key_sets = jax.random.split(key)
        rows = jax.random.randint(key_rows, (settings.batch_size,), 0, n)
        keys = jax.random.split(key_sets, settings.sets)
        sets = alive * jax.vmap(distribution.draw, (0, None))(keys, graphs)
        x = problem.x[rows].reshape(shape)
        density = jax.vmap(mlp.log_density, (None, 0, 0))(networks, sets, x)[:, 0]
        counted = ~problem.intervened[rows].reshape(shape)
        loss = -jnp.where(counted, density, 0).sum() / settings.batch_size
        likely = alive * distribution.probabilities(graphs)
        loss += price * likely.sum()
        if not distribution.acyclic:
            # The penalties square what they are given; the root of 0 has no slope.
            root = jnp.sqrt(jnp.where(alive, likely, 1)) * alive
            vectors = acyclicity.power_iteration(root, *vectors, num_iterations=5)
            loss += ceiling * acyclicity.spectral_penalty(root, *vectors)
        return loss, vectors

    def stage(params, key, alive, ceiling):
        networks, graphs = (
            optax.adam(optax.cosine_decay_schedule(rate, steps, _LAST_RATE), b2=0.99)
            for rate in (settings.rate, settings.graph_rate)
        )
        adam = optax.partition(
            {"networks": networks, "graphs": graphs}, ("networks", "graphs")
        )

        def update(carry, number):
            params, moments, vectors = carry
            # It has to be there while the rates are still high.
            risen = ceiling * jnp.minimum(2 * number / steps, 1)
            gradient, vectors = jax.grad(loss_of, has_aux=True)(
                params, jax.random.fold_in(key, number), alive, risen, vectors
            )
            change, moments = adam.update(gradient, moments, params)
            networks, graphs = jax.tree.map(jnp.add, params, change)
            bound = distribution.bound
            graphs = jax.tree.map(lambda leaf: jnp.clip(leaf, -bound, bound), graphs)
            return ((networks, graphs), moments, vectors), None

        vector = jnp.full(d, d**-0.5)
        carry = params, adam.init(params), (vector, vector)
        return jax.lax.scan(update, carry, jnp.arange(steps))[0][0]

    key_networks, key_first, key_second = jax.random.split(key, 3)
    networks = mlp.init(key_networks, d, hidden=32, layers=2, noise=settings.noise)
    params: Any = networks, distribution.init(jnp.clip(start, _DOUBT, 1 - _DOUBT))
    alive = ~jnp.eye(d, dtype=bool)
    params = stage(params, key_first, alive, 0.0)
    alive &= distribution.probabilities(params[1]) > _UNLIKELY
    _, graphs = stage(params, key_second, alive, settings.ceiling)
    likely = alive * distribution.probabilities(graphs)
    return likely, distribution.graph(graphs, alive)


_START = {
    "flat": lambda problem: np.full(problem.allowed.shape, 0.5),
    "found": lambda problem: candidate_edges(
        jax.random.key(0), problem, shipped_candidates(bool(problem.intervened.any()))
    ),
}


def learned(
    problems: Problem, distribution: Distribution, start: str, settings: Settings
) -> methods.Answer:
    """The answers of a distribution to b tables, in a fit each."""
    key, fits = jax.random.key(0), []

    def begin(problem):
        return jnp.asarray(_START[start](problem), problem.x.dtype)

    def table(k):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[k]), problems)

    each = [table(k) for k in range(len(problems.x))]
    # What is started from is compiled here, too.
    program = fit.lower(key, each[0], begin(each[0]), distribution, settings).compile()
    for problem in each:
        clock = time.perf_counter()
        likely, graph = map(np.asarray, program(key, problem, begin(problem)))
        fits.append((likely, graph, time.perf_counter() - clock))
    strengths, graphs, seconds = zip(*fits, strict=True)
    return methods.Answer(np.stack(strengths), np.stack(graphs), np.mean(seconds))


def answers(cell, options):
    """Draws a cell; yields each method's name and answer, and the graphs."""
    drawn = tables.draw(cell, options.draws, options.first)
    settings = Settings(*(getattr(options, field.name) for field in _FIELDS))
    for name in options.methods:
        if name in _OTHERS:
            yield name, _OTHERS[name](drawn.problems), drawn.graphs
            continue
        for start in options.start:
            fits = learned(drawn.problems, DISTRIBUTIONS[name], start, settings)
            yield f"{name}, {start}", fits, drawn.graphs


def compare(cells, options):
    """Prints a row a cell and method."""
    layout = "{:21} {:14} {:>6} {:>12} {:>5} {:>6}  {}"
    names = ("data", "method", "graphs", "SHD", "F1", "s", "SHD of each")
    print(layout.format(*names), flush=True)
    for cell in cells:
        for name, answer, graphs in answers(cell, options):
            scores = list(map(compare_graphs, graphs, answer.graph))
            distances = np.array([score["shd"] for score in scores])
            alone = len(scores) == 1  # has no spread to speak of
            error = np.nan if alone else distances.std(ddof=1) / len(scores) ** 0.5
            row = (
                f"{distances.mean():.1f} +- {error:.1f}",
                f"{np.mean([score['f1'] for score in scores]):.2f}",
                f"{answer.seconds:.2f}",
                " ".join(map(str, distances)),
            )
            print(layout.format(cell.name, name, len(graphs), *row), flush=True)


_FIELDS = dataclasses.fields(Settings)
_OTHERS = {"pruning": methods.neural_dag, "empty": methods.empty_graph}


def main():
    """Compares the methods."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*DISTRIBUTIONS, *_OTHERS]
    parser.add_argument("--methods", nargs="+", choices=every, default=every)
    parser.add_argument("--start", nargs="+", choices=_START, default=list(_START))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10], help="d")
    parser.add_argument("--cells", nargs="+", help="words in the names of the data")
    parser.add_argument("--draws", type=int, default=3, help="tables a cell")
    parser.add_argument("--first", type=int, default=0, help="the first draw")
    for field in _FIELDS:
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default)
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(
        f"causaljax {causaljax.__version__}, jax {jax.__version__}, {device}; draws "
        f"from {options.first} of seed {tables.SEED}"
    )
    cells = [cell for size in options.sizes for cell in tables.dcdi(size)]
    compare(tables.chosen(cells, options.cells), options)


if __name__ == "__main__":
    main()
