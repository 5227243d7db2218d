"""Neural structural equations: one network a variable answers for many parent sets.

Every variable has a network that is told who its parents are and is trained on sets
drawn at random: each edge is there with the probability that the beliefs of the
moment give it, and a little doubt. So one network scores every set near the graph of
the moment, and on rows that were not learned from, the log-likelihood with an edge
minus that without it is the evidence for the edge. Each step trains the networks on
minibatches, climbs to the graph of most held-out likelihood less a price an edge, and
takes the evidence there for the beliefs of the next step, with less doubt. Graphs are
acyclic at every moment: there is no penalty to be raised.

Sources: Brouillard et al. 2020 (DCDI) for the likelihood under interventions; Lopez
et al. 2022 and Nazaret et al. 2024 (SDCD) for masks in stages; the climb is the
search of Chickering 2002 over acyclic graphs.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from causaljax.graphs.climb import climb
from causaljax.graphs.ops import greedy_acyclic, transitive_closure
from causaljax.models import mlp
from causaljax.types import Array, Kernel, Posterior, Problem, PyTree, static

_NOISES = ("gaussian", "heteroscedastic")
_HELD_OUT = 0.2  # the share of the rows that is not learned from
_MOST_HELD_OUT = 4096
_NUM_SETS = 16  # parent sets in a minibatch
_DOUBT = (3.0, 0.6)  # edges a variable that a set has turned over, first and last
_MOST_DOUBT = 0.3
_LAST_RATE = 0.02  # the learning rate at the end of a step, as a part of the first
_GOLDEN = 0.6180339887


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel."""

    penalty: float = 1.0
    learning_rate: float = 0.006
    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    noise: str = static(default="heteroscedastic")
    hidden: int = static(default=32)
    layers: int = static(default=2)
    num_steps: int = static(default=10)
    num_updates: int = static(default=500)
    batch_size: int = static(default=256)


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    networks: mlp.Params  # told who their parents are
    moments: PyTree  # of the optimiser
    belief: Array  # [d, d] float, P(i -> j) given the rest of the graph
    graph: Array  # [d, d] bool, the best so far
    evidence: Array  # [d, d] float, nats for i -> j, its price taken off
    cumulative: Array  # [n] float, weight of the rows to learn from, summed up
    held_out: Array  # [h] int, rows to score on
    held_weight: Array  # [h] float


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus held-out log-likelihood plus price, nats per row
    moves: Array  # [] int32, changes made to the graph
    converged: Array  # [] bool, the graph has not changed
    nonfinite: Array  # [] bool, the loss is not finite


_ADAM = optax.scale_by_adam(b1=0.9, b2=0.99, eps=1e-8, eps_root=1e-16)


def init(key: Array, problem: Problem, config: Config) -> State:
    n, d = problem.x.shape
    dtype = problem.x.dtype
    counted = problem.observed.all(axis=1) & (problem.weight > 0)
    weight = jnp.where(counted, problem.weight, 0)
    # Of any stretch of rows the same share is held out, and padding moves none.
    rank = jnp.cumsum(counted)
    share = min(_HELD_OUT, _MOST_HELD_OUT / n)
    held = (rank.astype(dtype) * _GOLDEN) % 1 < share
    held_out = jnp.argsort(~(held & counted), stable=True)[: math.ceil(share * n) + 2]
    networks = mlp.init(
        key,
        d,
        config.hidden,
        config.layers,
        parent_scale=config.noise == "heteroscedastic",
        reads_parents=True,
        dtype=dtype,
    )
    possible = problem.allowed & ~transitive_closure(problem.required).T
    belief = jnp.full((d, d), 0.5, dtype) if config.start is None else config.start
    belief = jnp.asarray(belief).astype(dtype)
    belief = jnp.where(problem.required, 1, jnp.where(possible, belief, 0)).astype(dtype)
    networks = _relabelled(networks, _places(problem.x, weight))
    return State(
        step=jnp.zeros((), jnp.int32),
        networks=networks,
        moments=_ADAM.init(networks),
        belief=belief,
        graph=greedy_acyclic(belief, 0.5 * (1 - 1e-6), problem.required),
        evidence=jnp.zeros_like(belief),
        cumulative=jnp.cumsum(jnp.where(held, 0, weight)),
        held_out=held_out,
        held_weight=jnp.where(held, weight, 0)[held_out],
    )


def _places(x, weight):
    """Places of the variables in an order that does not depend on their labels."""
    skew = jnp.sum(weight[:, None] * jnp.where(weight[:, None] > 0, x, 0) ** 3, axis=0)
    return jnp.argsort(jnp.argsort(skew))


def _relabelled(networks, places):
    first, *rest = jax.tree.map(lambda leaf: leaf[:, places], networks.weights)
    return jax.tree.map(lambda leaf: leaf[:, places], networks)._replace(
        weights=(first[:, :, places], *rest)
    )


def _counted(problem, rows):
    """Which cells of some rows have a likelihood."""
    return ~problem.intervened[rows]


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    d = problem.x.shape[1]
    dtype = problem.x.dtype
    progress = state.step.astype(dtype) / config.num_steps
    first, last = (min(edges / d, _MOST_DOUBT) for edges in _DOUBT)
    doubt = first * (last / first) ** progress
    chance = jnp.clip(state.belief, doubt, 1 - doubt)
    chance = jnp.where(problem.allowed, chance, 0)
    chance = jnp.where(problem.required, 1, chance)
    num_sets = math.gcd(_NUM_SETS, config.batch_size)

    def update(carry, number):
        networks, moments = carry
        key_rows, key_sets = jax.random.split(jax.random.fold_in(key, number))
        total = state.cumulative[-1]
        drawn = jax.random.uniform(key_rows, (config.batch_size,), dtype) * total
        rows = jnp.searchsorted(state.cumulative, drawn, side="right")
        rows = jnp.minimum(rows, len(state.cumulative) - 1)
        sets = jax.random.uniform(key_sets, (num_sets, d, d), dtype) < chance[None]
        x = problem.x[rows].reshape(num_sets, -1, d)
        counted = _counted(problem, rows).reshape(x.shape)

        def loss_of(networks):
            density = jax.vmap(mlp.log_density, (None, 0, 0))(networks, sets, x)
            return -jnp.where(counted, density[:, 0], 0).sum() / config.batch_size

        gradient = jax.grad(loss_of)(networks)
        direction, moments = _ADAM.update(gradient, moments)
        part = number.astype(dtype) / config.num_updates
        rate = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + jnp.cos(math.pi * part))
        networks = jax.tree.map(
            lambda a, b: a - (config.learning_rate * rate * b).astype(dtype),
            networks,
            direction,
        )
        return (networks, moments), None

    (networks, moments), _ = jax.lax.scan(
        update, (state.networks, state.moments), jnp.arange(config.num_updates)
    )

    price = config.penalty * 0.5 * jnp.log(jnp.maximum(problem.weight.sum(), 2))
    scores = _held_out_scores(networks, state, problem)

    def column(parents, j):
        others = jnp.tile(parents[None], (d, 1))
        variables = jnp.arange(d)
        # A set with i and the set without: one of the two is the one there is.
        turned = others ^ jnp.eye(d, dtype=bool)
        turned = turned & (variables != j)[None, :]
        there = scores(parents[None], j)[0]
        gain = jnp.where(parents, there - scores(turned, j), scores(turned, j) - there)
        return gain - price

    found = climb(column, state.graph, problem.allowed, problem.required)
    evidence = found.gains
    belief = jax.nn.sigmoid(evidence)
    score = jax.vmap(lambda parents, j: scores(parents[None], j)[0])(
        found.graph.T, jnp.arange(d)
    ).sum()
    loss = (price * found.graph.sum() - score) / state.held_weight.sum()
    new = state._replace(
        step=state.step + 1,
        networks=networks,
        moments=moments,
        belief=belief,
        graph=found.graph,
        evidence=evidence,
    )
    return new, Info(
        loss=loss,
        moves=found.moves,
        converged=found.moves == 0,
        nonfinite=~jnp.isfinite(loss),
    )


def _held_out_scores(networks, state, problem):
    """``(sets [k, d], j) -> [k]``, log-likelihoods of a variable, nats."""
    x = problem.x[state.held_out]
    x = jnp.where(state.held_weight[:, None] > 0, x, 0)
    counted = _counted(problem, state.held_out) * state.held_weight[:, None]

    def scores(sets, j):
        child = jax.tree.map(lambda leaf: leaf[0, j], networks)
        density = jax.vmap(mlp.conditional, (None, 0, None, None))(
            child, sets.astype(x.dtype), x, x[:, j]
        )
        return jnp.sum(density * counted[None, :, j], axis=1)

    return scores


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    del key, config
    graph, reach = state.graph, transitive_closure(state.graph)
    paths = (graph.astype(jnp.float32) @ reach.astype(jnp.float32)) > 0
    # Given the rest of the graph: no edge, i -> j, or j -> i where that closes no cycle
    possible = problem.allowed & ~(reach & ~(graph & ~paths)).T
    logits = jnp.where(possible, state.evidence, -jnp.inf)
    top = jnp.maximum(jnp.maximum(logits, logits.T), 0)
    sizes = jnp.exp(logits - top)
    prob = sizes / (jnp.exp(-top) + sizes + sizes.T)
    prob = jnp.where(problem.required, 1, prob)
    return Posterior(
        edge_prob=prob,
        graphs=graph[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={"networks": state.networks},
    )


def check_config(config: Config) -> None:
    pass


KERNEL = Kernel(init, step, finalise)
