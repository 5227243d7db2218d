"""Differentiable linear DAG scoring along a path of ever stricter acyclicity.

The weights W minimise ``mu (f(W) + l1 * sum |W|) + h(W)`` while mu falls from
1 to ``_LAST_MU``: f is a linear Gaussian score, h an acyclicity penalty. Which two
is what tells NOTEARS (least squares, trace-exponential), GOLEM (likelihood) and
DAGMA (least squares, log-determinant) apart; all follow DAGMA's path, as one
smooth curve in place of its stages.

Sources: Zheng et al. 2018 (NOTEARS); Ng, Ghassami and Zhang 2020 (GOLEM); Bello,
Aragam and Ravikumar 2022 (DAGMA), algorithm 1; Nazaret et al. 2024 (SDCD), for
the spectral penalty.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from causaljax.core.options import option
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree
from causaljax.graphs import acyclicity
from causaljax.graphs.acyclicity import PENALTIES
from causaljax.graphs.dags import free_edges, greedy_acyclic, transitive_closure
from causaljax.scores import linear_gaussian

_SCORES = {
    "equal_variance": linear_gaussian.least_squares,
    "gaussian": linear_gaussian.profile_likelihood,
}
_LAST_MU = 1e-4
_PATH = 0.9  # the part of the run in which mu falls; the rest settles
_AT_REST = 0.25  # mean absolute Adam update below which the descent has come to rest
_ACYCLIC = 0.01  # penalty below which no cycle is left but by rounding
_LAST_RATE = 0.03  # the learning rate at the end, as a part of that at the start


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``l1`` is in nats per row and unit of weight (squared units of the
    columns for equal variances). Above 0, ``concavity`` turns the absolute value
    into the minimax concave penalty, ``l1 |w| - concavity w^2 / 2`` up to
    ``|w| = l1 / concavity`` and level beyond, which leaves large weights alone
    (Zhang 2010). The first weights are normal, of deviation ``start_scale``; edges
    of absolute weight ``threshold`` or less are dropped at the end;
    ``learning_rate`` is the first step's size in units of weight.
    ``interventional`` False promises that no cell is intervened on, which saves
    a factor d of memory; if one is, all results are NaN and flagged.
    """

    l1: float = option(0.06, least=0)
    concavity: float = option(0.0, least=0)
    start_scale: float = option(0.0, least=0)
    threshold: float = option(0.3, least=0)
    learning_rate: float = option(0.01, above=0)
    noise: str = option("equal_variance", choices=_SCORES)
    acyclicity: str = option("logdet", choices=PENALTIES)
    num_steps: int = option(10_000, least=1)
    interventional: bool = option(True)


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    weights: Array  # [d, d] float, the next point to look at
    accepted: Array  # [d, d] float, the last point where the penalty had meaning
    moments: PyTree  # of the optimiser
    memory: PyTree  # of the penalty, at the last accepted point
    statistics: linear_gaussian.Statistics
    free: Array  # [d, d] bool, edges that knowledge leaves possible


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, score plus l1, nats (or squared units) per row
    acyclicity: Array  # [] float, sum of A * dh/dA: 0 on acyclic graphs, as h is
    converged: Array  # [] bool, the weights are at rest and free of cycles
    nonfinite: Array  # [] bool, the loss or its gradient is not finite


def _adam(config):
    damping = acyclicity.PENALTIES[config.acyclicity].damping
    # A positive eps_root keeps the derivative of the root finite at 0.
    return optax.scale_by_adam(b1=0.9, b2=0.99, eps=damping, eps_root=1e-16)


def init(key: Array, problem: Problem, config: Config) -> State:
    """Starts from the empty graph, or near it: the only random numbers drawn."""
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    stats = linear_gaussian.statistics(problem, interventional=config.interventional)
    if config.noise == "equal_variance":
        # No variable varies less than the noise, and the roots vary as much: the
        # least variance is the noise's, and in its units l1 has a meaning.
        least = jax.vmap(jnp.diagonal)(stats.covariance).max(axis=0).min()
        stats = stats._replace(covariance=stats.covariance / least)
    empty = jnp.zeros_like(stats.covariance[0])
    # Inside shard_map a carry made from the data is one that may vary with it.
    moments: Any = _adam(config).init(empty)
    # Required edges forbid all that would close a cycle with them.
    free = free_edges(problem) | problem.required
    near = config.start_scale * jax.random.normal(key, (d, d), empty.dtype)
    return State(
        step=jnp.zeros((), jnp.int32),
        weights=jnp.where(free, near, 0).astype(empty.dtype),
        # Should the start lie where the penalty has no meaning, the way back to
        # the empty graph is halved until it has.
        accepted=empty,
        moments=moments._replace(count=jnp.zeros_like(empty[0, 0], jnp.int32)),
        memory=acyclicity.PENALTIES[config.acyclicity].start(empty),
        statistics=stats,
        free=free,
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """One Adam step, or half a step back where the last one went too far."""
    del key
    weights = state.weights
    progress = state.step.astype(weights.dtype) / config.num_steps
    mu = _LAST_MU ** jnp.minimum(progress / _PATH, 1)
    rate = config.learning_rate * _LAST_RATE**progress

    cycles_gradient, memory, valid = acyclicity.PENALTIES[config.acyclicity].gradient(
        weights, state.memory
    )

    def loss_of(weights):
        # At 0 the derivative of abs is 1 and not 0, a push to one side.
        priced = ~problem.required & (weights != 0)
        sizes = jnp.where(priced, jnp.abs(weights), 0)
        score = _SCORES[config.noise](weights, state.statistics)
        return score + _price(sizes, config).sum()

    loss, gradient = jax.value_and_grad(loss_of)(weights)
    gradient = jnp.where(state.free, mu * gradient + cycles_gradient, 0)
    finite = jnp.isfinite(loss) & jnp.isfinite(gradient).all()
    valid = valid & finite

    update, moments = _adam(config).update(jnp.where(valid, gradient, 0), state.moments)
    ahead = weights - (rate * jnp.asarray(update)).astype(weights.dtype)
    back = (weights + state.accepted) / 2

    def choose(new: PyTree, old: PyTree) -> PyTree:
        return jax.tree.map(lambda a, b: jnp.where(valid, a, b), new, old)

    new_state = state._replace(
        step=state.step + 1,
        weights=choose(ahead, back),
        accepted=choose(weights, state.accepted),
        moments=choose(moments, state.moments),
        memory=choose(memory, state.memory),
    )
    # Adam's update is 1 at full speed; at rest it is small and changes sign. The
    # learning rate has no say in it.
    speed = jnp.where(state.free, jnp.abs(jnp.asarray(update)), 0).sum()
    speed = speed / jnp.maximum(state.free.sum(), 1).astype(speed.dtype)
    penalty = 0.5 * jnp.sum(weights * cycles_gradient)
    info = Info(
        loss=loss,
        acyclicity=penalty,
        converged=valid & (speed < _AT_REST) & (penalty < _ACYCLIC),
        nonfinite=~finite,
    )
    return new_state, info


def _price(sizes, config):
    """What absolute weights cost: the minimax concave penalty, or L1."""
    l1, concavity = config.l1, config.concavity
    level = sizes * concavity > l1
    rising = l1 * sizes - concavity * sizes**2 / 2
    # The level of L1 is never reached and must not be divided by 0.
    return jnp.where(level, l1**2 / (2 * jnp.where(level, concavity, 1)), rising)


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The strongest edges without a cycle, re-estimated by least squares.

    The descent is slow to settle sizes and quick to settle directions. So its
    weights, largest first, give an acyclic graph and with it an order; each
    variable is then regressed on all that precede it, and coefficients of absolute
    value above ``threshold`` are the edges. With fewer than two rows a variable
    such a regression means little, and the graph's own edges are kept.

    ``extra`` has ``weights``, ``[s, d, d]``, and ``told``, ``[s, d, d]`` bool, pairs
    whose direction does not rest on an equivalence class.
    """
    del key
    sizes = jnp.abs(state.accepted)
    graph = greedy_acyclic(sizes, config.threshold, problem.required)
    order = greedy_acyclic(sizes, 0.0, problem.required)
    earlier = transitive_closure(order) & state.free
    enough = _num_rows(problem) > 2 * sizes.shape[0]
    candidates = jnp.where(enough, earlier, graph)
    weights = linear_gaussian.coefficients(candidates, state.statistics)
    graph = candidates & (jnp.abs(weights) > config.threshold) | problem.required
    weights = linear_gaussian.coefficients(graph, state.statistics)
    # Noise of one variance tells all directions.
    told = jnp.full_like(graph, config.noise == "equal_variance")
    return Posterior(
        edge_prob=graph.astype(weights.dtype),
        graphs=graph[None],
        log_weight=jnp.zeros_like(weights[0, :1]),
        extra={"weights": weights[None], "told": told[None]},
    )


def _num_rows(problem):
    return complete_rows(problem).sum()


KERNEL = Kernel(init, step, finalise, sums_rows=lambda config: True)
