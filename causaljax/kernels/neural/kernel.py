"""Graphs of neural mechanisms: candidate edges, pruning, equations.

Candidate edges are those of ``candidates``, of a ``prior`` that is given, or of both.
Regression networks over them are fitted and thinned out (``pruning``). The structural
equations of the graph that is left are trained by likelihood (``equations``).

Sources: as of the three parts.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.kernels.neural import equations, pruning
from causaljax.kernels.neural.candidates import Config as CandidatesConfig
from causaljax.kernels.neural.candidates import candidate_edges
from causaljax.kernels.neural.equations import Config as EquationsConfig
from causaljax.kernels.neural.equations import State as EquationsState
from causaljax.kernels.neural.pruning import Config as PruningConfig
from causaljax.kernels.neural.pruning import State as PruningState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the three parts.

    ``prior`` holds probabilities of edges to begin with, beside those that
    ``candidates`` finds (``candidates.informed``). Without either, candidates are all
    edges along growing R2, which is a guess; see ``pruning.Config``.
    """

    prior: ArrayLike | None = None  # [d, d] float in [0, 1]
    candidates: CandidatesConfig | None = None
    pruning: PruningConfig = PruningConfig()
    equations: EquationsConfig = EquationsConfig()

    @property
    def num_steps(self) -> int:
        """Steps of pruning, then steps of training."""
        return self.pruning.num_steps + self.equations.num_steps


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    pruning: PruningState
    equations: EquationsState
    loss: Array  # [] float, of the graph


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, of the graph, as ``pruning.Info`` has it
    equations_loss: Array  # [] float, minus log-likelihood, nats a row; NaN before
    held_out_loss: Array  # [] float, likewise, the best so far of rows held out
    converged: Array  # [] bool, the losses are finite
    nonfinite: Array  # [] bool, a loss is not finite


def candidate_key(key: Array) -> Array:
    """The key by which ``run`` with this key looks for candidate edges."""
    init_key, *_ = jax.random.split(key, 3)
    return jax.random.fold_in(init_key, 0)


def init(key: Array, problem: Problem, config: Config) -> State:
    """Candidate edges, and random curves and networks."""
    pruning_key, equation_key = jax.random.split(key)
    prior = config.prior
    if config.candidates is not None:
        begin_key = jax.random.fold_in(key, 0)
        prior = candidate_edges(begin_key, problem, config.candidates, prior)
    pruned = dataclasses.replace(config.pruning, start=prior)
    begun = pruning.init(pruning_key, problem, pruned)
    return State(
        step=jnp.zeros((), jnp.int32),
        pruning=begun,
        equations=equations.init(equation_key, problem, config.equations),
        loss=jnp.inf + 0 * begun.weight[0],
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """A step of pruning, or when that is at its end a step of training."""
    prunes = state.step < config.pruning.num_steps
    # At its end a step of pruning has nothing to do. Inside a conditional it would be
    # compiled to sums of less precision (jaxlib 0.10, CPU).
    pruned, info = pruning.step(key, state.pruning, problem, config.pruning)
    pruned = jax.tree.map(
        lambda new, old: jnp.where(prunes, new, old), pruned, state.pruning
    )
    loss = jnp.where(prunes, info.loss, state.loss)

    def train():
        graph = _pruned(key, state, problem, config).graphs[0]
        return equations.train(key, state.equations, graph, problem, config.equations)

    trained, equations_loss = jax.lax.cond(
        prunes, lambda: (state.equations, jnp.full_like(loss, jnp.nan)), train
    )
    new = State(state.step + 1, pruned, trained, loss)
    held_out = jnp.where(prunes, jnp.nan, trained.best_loss)
    finite = jnp.isfinite(loss) & ~jnp.isinf(equations_loss)
    finite = finite & (prunes | jnp.isfinite(equations_loss))
    info = Info(loss, equations_loss, held_out, converged=finite, nonfinite=~finite)
    return new, info


def _pruned(key, state, problem, config):
    return pruning.finalise(key, state.pruning, problem, config.pruning)


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph and probabilities of ``pruning.finalise``, and its equations.

    ``extra`` has the ``networks`` (``mechanisms.mlp.Params``) besides.
    """
    posterior = _pruned(key, state, problem, config)
    extra = posterior.extra | {"networks": state.equations.best}
    return posterior._replace(extra=extra)


KERNEL = Kernel(init, step, finalise)
