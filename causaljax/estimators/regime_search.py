"""Graph and regimes by turns, where mechanisms are curves.

Which cells were disturbed is found by a graph's mechanisms, and the graph by cells that
were not. Both are found anew from several graphs to begin with, and the turn whose
rows that were held out are likeliest is kept.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.kernels import latent_interventions, pruning
from causaljax.run import run
from causaljax.types import Array, Posterior, Problem

_LIKELY = 0.5  # belief of edges that a cautious graph is made of
_KINDS = 2  # of start that go on
_ROUNDS = 3  # of the best turn, unless the graph repeats itself
# What is tried many times is fitted with less care than what is tried once.
_QUICK_GRAPH = {"num_rows": 2048, "num_iterations": 10}
_QUICK_REGIMES = {"num_rows": 2048, "num_iterations": 12, "num_steps": 20}


class Turn(NamedTuple):
    """A graph and the regimes that its mechanisms tell."""

    graph: Posterior  # of ``kernels.pruning``, or as it was begun with
    regimes: Posterior
    last: Any  # diagnostics
    kind: int  # of start

    @property
    def loss(self) -> float:
        """Minus the held-out bound, nats a row."""
        return float(np.nan_to_num(float(self.last.loss), nan=np.inf))


def cells_of(regimes: Posterior) -> np.ndarray:
    """Which cells were disturbed, more likely than not, ``[n, d]`` bool."""
    found = regimes.extra
    return np.asarray(found["belonging"] @ found["targets"] > 0.5)


def starts(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    kinds: Iterable[int],
    graph: Posterior | None = None,
) -> list[Turn]:
    """Fits from several ``latent_interventions.STARTS``, the one of least loss first.

    One compiled program serves them all.
    """
    kernel = latent_interventions.KERNEL
    turns = []
    for kind in kinds:
        begun = dataclasses.replace(config, kind=float(kind))
        regimes, last = run(kernel, jax.random.clone(key), problem, begun)
        turns.append(Turn(regimes if graph is None else graph, regimes, last, kind))
    return sorted(turns, key=lambda turn: turn.loss)


def search(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    kinds: list[int],
    beliefs: Callable[[Problem], Array],
) -> Turn:
    """The graph and the regimes of curved mechanisms.

    Args:
      key: the same for all that is tried.
      problem: its ``intervened`` cells count where targets are known.
      config: of the kernel of regimes.
      kinds: numbers of ``latent_interventions.STARTS`` to begin from.
      beliefs: probabilities of edges of a problem with intervened cells.
    """
    config = dataclasses.replace(config, **_QUICK_REGIMES)

    def judged(cells):
        disturbed = problem._replace(intervened=jnp.asarray(cells))
        settings = pruning.Config(start=beliefs(disturbed), **_QUICK_GRAPH)
        return run(pruning.KERNEL, jax.random.clone(key), disturbed, settings)[0]

    def begun(graph):
        return dataclasses.replace(config, start=jnp.asarray(graph, problem.x.dtype))

    def again(turn, kinds, goes_on):
        """What the graph tells that a turn's cells speak for."""
        graph = judged(cells_of(turn.regimes))
        fresh = begun(graph.graphs[0])
        turns = starts(key, problem, fresh, kinds, graph)
        if goes_on:
            found = turn.regimes.extra
            onward = dataclasses.replace(
                fresh, belonging=found["belonging"], targets=found["targets"]
            )
            turns += starts(key, problem, onward, kinds[:1], graph)
        return min(turns, key=lambda turn: turn.loss)

    belief = beliefs(problem)
    # What may be, what is likely, and what there would be if rows were of one regime.
    pooled = judged(problem.intervened)
    turns = []
    for graph in (belief, belief > _LIKELY, pooled.graphs[0]):
        tried = starts(key, problem, begun(graph), kinds)
        kinds = [turn.kind for turn in tried][:_KINDS]
        turns.append(again(tried[0], kinds, goes_on=False))
    latest = min(turns, key=lambda turn: turn.loss)
    for _ in range(_ROUNDS):
        # Where the graph is right, regimes that are named by a variable are best.
        before = latest
        latest = again(latest, sorted({latest.kind, 0}), goes_on=True)
        turns.append(latest)
        if (latest.graph.graphs == before.graph.graphs).all():
            break
    return min(turns, key=lambda turn: turn.loss)
