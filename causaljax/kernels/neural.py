"""Neural structural equations: one network a variable answers for many parent sets.

Every variable has a network that is told who its parents are and is trained on sets
drawn at random: each edge is there with the probability that the beliefs of the
moment give it, doubted a little. So one network scores every set near the graph of
the moment, and on rows that were not learned from, the log-likelihood with an edge
minus that without it is the evidence for the edge. Each step trains the networks on
minibatches, climbs to the acyclic graph of most held-out likelihood less a price an
edge, and takes the evidence there for the beliefs of the next step, with less doubt.
No graph on the way has a cycle, and there is no penalty to raise.

Sources: Brouillard et al. 2020 (DCDI) for the likelihood under interventions and the
random parent sets; Nazaret et al. 2024 (SDCD) for stages; Chickering 2002 for the
climb over acyclic graphs.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from causaljax.graphs.climb import climb, edge_probabilities
from causaljax.graphs.ops import (
    greedy_acyclic,
    label_free_places,
    transitive_closure,
)
from causaljax.models import mlp
from causaljax.types import Array, Kernel, Posterior, Problem, PyTree, static

_INTERVENTIONS = ("perfect", "imperfect")
_HELD_OUT = 0.2  # the share of the rows that is not learned from
_MOST_HELD_OUT = 4096  # rows
_NUM_SETS = 16  # parent sets in a minibatch
_DOUBT = (3.0, 0.6)  # edges a variable that doubt turns over, at first and at last
_MOST_DOUBT = 0.3  # of an edge
_LAST_RATE = 0.02  # of the learning rate, at the end of each step
_GOLDEN = 0.6180339887498949


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    An edge costs ``penalty`` log(n)/2 nats of held-out likelihood. ``learning_rate`` is
    that of Adam at the beginning of each step; within the step it falls to a fiftieth.
    ``start`` holds probabilities of edges to begin with, of another method perhaps;
    without it every edge is as likely as not, and the search begins with the required
    edges alone. ``noise`` is one of ``models.mlp.NOISES``. Under perfect
    ``interventions`` a cell that was set has no likelihood; under imperfect ones it has
    that of a network which serves this variable in this regime alone. For those the
    labels of regimes must be below ``num_regimes``, and a variable be a target in at
    most ``num_targeted`` regimes; cells beyond have no likelihood.
    ``batch_size`` rows make an update, ``num_updates`` of them a step.
    """

    penalty: float = 1.0
    learning_rate: float = 0.02
    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    noise: str = static(default="heteroscedastic")
    interventions: str = static(default="perfect")
    num_regimes: int = static(default=1)
    num_targeted: int = static(default=1)
    hidden: int = static(default=32)
    layers: int = static(default=2)
    num_steps: int = static(default=6)
    num_updates: int = static(default=1000)
    batch_size: int = static(default=256)


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    networks: mlp.Params  # they read who their parents are
    moments: PyTree  # of the optimiser
    belief: Array  # [d, d] float, P(i -> j | the other parents of j)
    evidence: Array  # [d, d] float, its log-odds, nats
    graph: Array  # [d, d] bool, the best so far
    places: Array  # [d] int, whose random numbers are a variable's
    network: Array  # [n, d] int, whose likelihood a cell has; -1 if nobody's
    cumulative: Array  # [n] float, weight of the rows to learn from, summed up
    held_out: Array  # [h] int, rows to score on
    held_weight: Array  # [h] float, 0 where there are fewer


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus held-out log-likelihood, plus prices, nats a row
    moves: Array  # [] int, edges added, dropped or turned
    converged: Array  # [] bool, the graph has not changed
    nonfinite: Array  # [] bool, the loss is not finite


_ADAM = optax.scale_by_adam(b1=0.9, b2=0.99, eps=1e-8, eps_root=1e-16)


def check_config(config: Config) -> None:
    """Raises ValueError, naming the option, if a setting makes no sense."""
    for name, choices in (("noise", mlp.NOISES), ("interventions", _INTERVENTIONS)):
        value = getattr(config, name)
        if value not in choices:
            raise ValueError(f"{name} must be one of {list(choices)}, not {value!r}")
    for name in ("penalty", "learning_rate"):
        value = getattr(config, name)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a number, not {value!r}") from None
        positive = name == "learning_rate"
        if not (math.isfinite(number) and (number > 0 if positive else number >= 0)):
            bound = "positive" if positive else "at least 0"
            raise ValueError(f"{name} must be finite and {bound}, not {value!r}")
    for name, least in (
        ("num_regimes", 1),
        ("num_targeted", 1),
        ("hidden", 1),
        ("layers", 0),
        ("num_steps", 1),
        ("num_updates", 1),
        ("batch_size", 1),
    ):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, not {value!r}"
            )


def init(key: Array, problem: Problem, config: Config) -> State:
    """Random networks, the graph to begin with, and rows to score on.

    Rows with a gap are left out, as those of weight 0 are.
    """
    n, d = problem.x.shape
    chex.assert_shape([problem.intervened, problem.observed], (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    dtype = problem.x.dtype
    counted = problem.observed.all(axis=1) & (problem.weight > 0)
    weight = jnp.where(counted, problem.weight, 0)
    # Of any stretch of rows the same share is held out, and padding moves none.
    number = jnp.maximum(counted.sum(), 1).astype(dtype)
    share = jnp.minimum(_HELD_OUT, _MOST_HELD_OUT / number)
    held = (jnp.cumsum(counted).astype(dtype) * _GOLDEN) % 1 < share
    most = min(n, math.ceil(min(_HELD_OUT * n, _MOST_HELD_OUT)) + 2)
    held_out = jnp.argsort(~(held & counted), stable=True)[:most]

    networks = mlp.init(
        key,
        d,
        config.hidden,
        config.layers,
        num_regimes=1 + config.num_targeted * (config.interventions == "imperfect"),
        noise=config.noise,
        reads_parents=True,
        dtype=dtype,
    )
    # Under shard_map zeros must be as local as the data, which will soon be in them.
    networks = jax.tree.map(lambda leaf: leaf + 0 * weight[0], networks)
    belief = jnp.full_like(problem.x, 0.5, shape=(d, d))
    if config.start is not None:
        belief = jnp.asarray(config.start).astype(dtype)
    belief = _obedient(belief, _free(problem), problem.required)
    places = label_free_places(problem.x, weight)
    trained: Any = networks
    return State(
        step=jnp.zeros((), jnp.int32),
        networks=mlp.take_variables(networks, places),
        moments=_ADAM.init(trained),
        belief=belief,
        evidence=jnp.zeros_like(belief),
        graph=greedy_acyclic(belief, 0.5, problem.required),
        places=places,
        network=_network(problem, counted, config),
        cumulative=jnp.cumsum(jnp.where(held, 0, weight)),
        held_out=held_out,
        held_weight=jnp.where(held, weight, 0)[held_out],
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Trains the networks, climbs, and believes what it finds."""
    networks, moments = _train(key, state, problem, config)
    rows = jnp.maximum(jnp.sum(problem.weight), 2)
    price = (0.5 * config.penalty * jnp.log(rows)).astype(rows.dtype)
    # Which graph is best is no smooth question: the climb has no gradients.
    fixed = jax.lax.stop_gradient((networks, state, problem, price))
    scores = _held_out_scores(*fixed[:3])
    variables = jnp.arange(len(state.graph))

    def column(parents, j):
        """What each parent is worth: one of the two sets is the one there is."""
        turned = parents[None, :] ^ (variables[:, None] == variables[None, :])
        turned = jnp.concatenate([parents[None], turned & (variables != j)[None, :]])
        score = scores(turned, j)
        there, other = score[0], score[1:]
        return jnp.where(parents, there - other, other - there) - fixed[3]

    free = _free(problem)
    found = climb(column, state.graph, free, problem.required)
    smooth = _held_out_scores(networks, state, problem)
    each = jax.lax.map(lambda j: smooth(found.graph[None, :, j], j)[0], variables)
    loss = price * found.graph.astype(price.dtype).sum() - each.sum()
    loss = loss / jnp.maximum(state.held_weight.sum(), 1e-6)
    new = state._replace(
        step=state.step + 1,
        networks=networks,
        moments=moments,
        belief=_obedient(jax.nn.sigmoid(found.gains), free, problem.required),
        evidence=found.gains,
        graph=found.graph,
    )
    return new, Info(
        loss=loss,
        moves=found.moves,
        converged=found.moves == 0,
        nonfinite=~jnp.isfinite(loss),
    )


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, and the probability of each edge if the rest of the graph is right.

    That weighs no edge, i -> j and j -> i by their held-out likelihood, where they
    close no cycle. ``extra`` holds ``networks``, for ``models.mlp``.
    """
    del key, config
    prob = edge_probabilities(
        state.graph, state.evidence, problem.allowed, problem.required
    )
    return Posterior(
        edge_prob=prob,
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={"networks": state.networks},
    )


def _free(problem):
    """Edges that knowledge leaves open or requires, ``[d, d]`` bool."""
    return problem.allowed & ~transitive_closure(problem.required).T


def _obedient(prob, free, required):
    return jnp.where(required, 1, jnp.where(free, prob, 0)).astype(prob.dtype)


def _network(problem, counted, config):
    """Which of a variable's networks has a cell's likelihood, ``[n, d]``."""
    if config.interventions == "perfect":
        return jnp.where(problem.intervened, -1, 0)
    known = (problem.regime >= 0) & (problem.regime < config.num_regimes)
    regime = jnp.where(known, problem.regime, 0)
    hit = problem.intervened & (known & counted)[:, None]
    none = jnp.zeros((config.num_regimes, hit.shape[1]), bool)
    targeted = none.at[regime].max(hit)
    # A variable's networks are dealt out to the regimes that target it.
    dealt = jnp.cumsum(targeted, axis=0)[regime]
    own = hit & (dealt <= config.num_targeted)
    return jnp.where(problem.intervened, jnp.where(own, dealt, -1), 0)


def _chosen(density, network, axis):
    """The density of the cells' own networks; 0 where a cell has none."""
    index = jnp.expand_dims(jnp.maximum(network, 0), axis)
    index = jnp.broadcast_to(index, (*density.shape[:axis], 1, *network.shape))
    own = jnp.take_along_axis(density, index, axis=axis).squeeze(axis)
    return jnp.where(network >= 0, own, 0)


def _train(key, state, problem, config):
    """Adam on minibatches; every part of one has parent sets of its own."""
    d, dtype = len(state.graph), problem.x.dtype
    progress = state.step.astype(dtype) / config.num_steps
    first, last = (min(edges / d, _MOST_DOUBT) for edges in _DOUBT)
    doubt = first * (last / first) ** progress
    chance = jnp.clip(state.belief, doubt, 1 - doubt)
    chance = _obedient(chance, problem.allowed, problem.required)
    num_sets = math.gcd(_NUM_SETS, config.batch_size)
    shape = (num_sets, config.batch_size // num_sets, d)

    def update(carry, number):
        networks, moments = carry
        key_rows, key_sets = jax.random.split(jax.random.fold_in(key, number))
        drawn = jax.random.uniform(key_rows, (config.batch_size,), dtype)
        drawn = drawn * state.cumulative[-1]
        rows = jnp.searchsorted(state.cumulative, drawn, side="right")
        rows = jnp.minimum(rows, len(state.cumulative) - 1)
        noise = jax.random.uniform(key_sets, (num_sets, d, d), dtype)
        sets = noise[:, state.places][:, :, state.places] < chance[None]
        x = problem.x[rows].reshape(shape)
        network = state.network[rows].reshape(shape)

        def loss_of(networks):
            density = jax.vmap(mlp.log_density, (None, 0, 0))(networks, sets, x)
            return -jax.vmap(lambda a, b: _chosen(a, b, 0))(density, network).sum()

        gradient = jax.grad(loss_of)(networks)
        update, moments = _ADAM.update(gradient, moments)
        part = number.astype(dtype) / config.num_updates
        rate = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + jnp.cos(math.pi * part))
        rate = (config.learning_rate * rate).astype(dtype)
        networks = jax.tree.map(lambda a, b: a - rate * b, networks, update)
        return (networks, moments), None

    start: Any = state.networks, state.moments
    return jax.lax.scan(update, start, jnp.arange(config.num_updates))[0]


def _held_out_scores(networks, state, problem):
    """``(sets [k, d], j) -> [k]``, held-out log-likelihoods of a variable, nats."""
    x = jnp.where(state.held_weight[:, None] > 0, problem.x[state.held_out], 0)
    network = state.network[state.held_out]

    def scores(sets, j):
        own = jax.tree.map(lambda leaf: leaf[:, j], networks)

        def score(parents):
            density = jax.vmap(mlp.conditional, (0, None, None, None))(
                own, parents.astype(x.dtype), x, x[:, j]
            )
            return jnp.sum(_chosen(density, network[:, j], 0) * state.held_weight)

        return jax.vmap(score)(sets)

    return scores


KERNEL = Kernel(init, step, finalise)
