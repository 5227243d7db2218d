"""The exact posterior over DAGs, by sums over sets of variables.

Local scores of all parent sets (``scores.parent_sets``) give the probability of every
parent set and independent samples of graphs (``graphs.modular``). Time and memory grow
as 3^d, for samples time grows as 4^d.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from causaljax.core.options import option
from causaljax.core.problem import label_free_places, take_variables
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.graphs import modular
from causaljax.graphs.edge_probabilities import known_edges
from causaljax.scores import parent_sets

_LOST = 1e-3  # relative error of a sum from which the answer is no good


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(parent_sets.Config):
    """What parent sets are weighed by, and how many graphs are drawn."""

    num_graphs: int = option(1000, least=1)
    num_steps: int = option(1, least=1)


class State(NamedTuple):
    """Weights and the probabilities that follow from them.

    Variables are in an order of their own, so that their labels have no say.
    """

    step: Array  # [] int32
    place: Array  # [d] int32, of each variable
    log_weights: Array  # [d, 2^d] float, as in ``graphs.modular``
    parent_sets: Array  # [d, 2^d] float, probabilities


class Info(NamedTuple):
    """Diagnostics."""

    loss: Array  # [] float, minus the log of the table's marginal likelihood
    rounding: Array  # [] float, relative error of the sums, an estimate
    converged: Array  # [] bool, the sums have digits enough
    nonfinite: Array  # [] bool


def init(key: Array, problem: Problem, config: Config) -> State:
    """The weights of all parent sets; no random numbers."""
    del key
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    place = label_free_places(problem.x, problem.weight)
    order = jnp.zeros_like(place).at[place].set(jnp.arange(d, dtype=place.dtype))
    weights = parent_sets.all_log_weights(
        take_variables(problem, order), parent_sets.take(config, order)
    )
    return State(
        step=jnp.zeros((), jnp.int32),
        place=place,
        log_weights=weights,
        parent_sets=jnp.zeros_like(weights),
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """All sums; a second step repeats the first."""
    del key, problem, config
    total, sets = jax.value_and_grad(modular.log_total)(state.log_weights)
    error = modular.rounding_error(state.log_weights)
    # Without a graph that knowledge permits the sum is that of impossible ones.
    finite = jnp.isfinite(total) & (total > modular.NEVER / 2)
    info = Info(
        loss=-total,
        rounding=error,
        converged=finite & (error < _LOST),
        nonfinite=~finite,
    )
    return state._replace(step=state.step + 1, parent_sets=sets), info


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """Exact edge probabilities, and independent samples of graphs.

    ``extra`` has ``parent_sets``, ``[d, 2^d]``, the probability of each set of parents
    of each variable, bit i of a set's number being variable i; ``path_prob``,
    ``[d, d]``, of directed paths; and ``map_graph``, ``[d, d]`` bool, the most probable
    graph.
    """
    d = state.place.shape[0]
    edges = modular.edge_probabilities(state.parent_sets)
    graphs = modular.sample_dags(key, state.log_weights, config.num_graphs)
    best = modular.most_probable(state.log_weights)
    sets = jnp.arange(2**d, dtype=jnp.int32)
    numbers = jnp.arange(d, dtype=jnp.int32)
    # Bit i of the number over the table's variables is bit place[i] over the ordered.
    moved = (sets[:, None] >> numbers[None, :] & 1) << state.place[None, :]
    own = state.parent_sets[state.place][:, moved.sum(axis=1)]
    square = jnp.ix_(state.place, state.place)
    return Posterior(
        edge_prob=known_edges(edges[square], problem),
        graphs=graphs[:, state.place][:, :, state.place],
        log_weight=jnp.full_like(
            edges, -jnp.log(config.num_graphs), shape=(config.num_graphs,)
        ),
        extra={
            "parent_sets": own,
            "path_prob": modular.path_probabilities(state.log_weights)[square],
            "map_graph": best[square],
        },
    )


KERNEL = Kernel(
    init, step, finalise, precision="double", sums_rows=lambda config: False
)
