"""Graph and regimes of linear mechanisms, from several starts.

The graph is found along with the regimes, which confirm what they were found under:
edges that rows leave open are turned and regimes found anew.
"""

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array, Problem
from causaljax.estimators.progress import Progress
from causaljax.estimators.regime_search import (
    Turn,
    counted_rows,
    reconsidered,
    starts,
)
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import transitive_closure
from causaljax.kernels import latent_interventions
from causaljax.regimes.densities import regime_log_likelihoods
from causaljax.regimes.initialise import labelled_regimes

_UNSURE = 0.05  # share of the rows in a wrong regime, from which on regimes may mislead


def search_linear(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    kinds: Iterable[int],
    bar: Progress,
) -> Turn:
    """The graph and the regimes of linear mechanisms, from the best of several starts.

    Where regimes overlap, what the equivalence class leaves open is doubtful.
    """
    turn = starts(key, problem, config, kinds, bar)[0]
    if 1 - turn.share @ turn.regimes.extra["responsibilities"].max(axis=1) < _UNSURE:
        return turn
    graph = np.asarray(turn.graph.graphs[0])
    may = problem.allowed.T & ~problem.required
    open_edges, leads = map(np.asarray, _undecided(graph, may))
    certainty = np.asarray(turn.graph.edge_prob)[open_edges]
    effects = np.argwhere(open_edges)[np.argsort(certainty, stable=True), 1]
    # To stay in the class all turns that leads to an effect, which then comes first.
    doubtful = [
        open_edges & leads[:, j, None] & leads[None, :, j]
        for j in dict.fromkeys(effects.tolist())
    ]
    x, weight = counted_rows(problem)
    told = np.asarray(_told(problem, config))

    def begun(start, kind):
        return starts(
            key, problem, dataclasses.replace(config, start=start), [kind], bar
        )

    def loss(turn):
        # Members of a class have as many parameters: the more rows tell, the better.
        model = turn.regimes.extra["model"]
        joint = np.asarray(likelihoods(model, x, config.intervention)) + told
        mean = float(np.logaddexp.reduce(joint, axis=1) @ weight / weight.sum())
        return np.nan_to_num(-mean, nan=np.inf)

    return reconsidered(turn, doubtful, begun, loss)


@quick_jit(once=True)
def _undecided(graph, may):
    """Edges that the equivalence class leaves open, and what they lead to."""
    either = dag_to_cpdag(graph)
    open_edges = graph & either & either.T & may
    itself = jnp.eye(len(graph), dtype=bool)
    return open_edges, transitive_closure(open_edges) | itself


_told = quick_jit(
    lambda problem, config: labelled_regimes(problem, config)[1], once=True
)
likelihoods = quick_jit(regime_log_likelihoods, static_argnames="intervention")
