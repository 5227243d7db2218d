"""Graph and regimes by turns, where mechanisms are curves.

Which cells were disturbed is found by a graph's mechanisms, and the graph by cells that
were not. Both are found anew from several graphs to begin with; edges that the regimes
say are the wrong way round are turned, and the turn whose rows that were held out are
likeliest is kept.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.kernels import latent_interventions, pruning
from causaljax.models.regime_families import Sample, turning_gains
from causaljax.run import run
from causaljax.types import Array, Posterior, Problem

_LIKELY = 0.5  # belief of edges that a cautious graph is made of
_KINDS = 2  # of start that go on
_ROUNDS = 3  # of the best turn, unless the graph repeats itself
_TURNS = 5  # edges that are turned at a time
_TURN_GAIN = 0.02  # nats a row: less is what one more curve may gain anyway
_SPARED = 0.02  # nats a row and variable, that edges are worth which care would spare
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
    (n, d), k = problem.x.shape, config.max_regimes
    dtype = problem.x.dtype
    unknown = {
        "belonging": jnp.full((n, k), jnp.nan, dtype),
        "targets": jnp.full((k, d), jnp.nan, dtype),
    }
    config = dataclasses.replace(config, **_QUICK_REGIMES, **unknown)
    turns, tried, told = [], {}, set()

    def judged(cells, settings):
        disturbed = problem._replace(intervened=jnp.asarray(cells))
        settings = pruning.Config(start=beliefs(disturbed), **settings)
        return run(pruning.KERNEL, jax.random.clone(key), disturbed, settings)[0]

    def begun(candidates, kinds, graph=None, **known):
        """Turns from candidates, or what they were if they have been tried."""
        start = jnp.asarray(candidates, dtype)
        name = np.asarray(start).tobytes(), bool(known)
        new = [kind for kind in kinds if known or (name, kind) not in tried]
        began = dataclasses.replace(config, start=start, **known)
        found = starts(key, problem, began, new, graph)
        tried.update({(name, turn.kind): turn for turn in found})
        return sorted((tried[name, kind] for kind in kinds), key=lambda turn: turn.loss)

    def judged_again(turn, settings):
        """The graph that a turn's regimes speak for."""
        found = judged(cells_of(turn.regimes), settings)
        graph, prob = found.graphs[0], found.edge_prob
        turned = turn_edges(key, problem, config, graph, turn.regimes.extra)
        swapped = (turned != graph) | (turned != graph).T
        prob = jnp.where(swapped, prob.T, prob)
        return found._replace(graphs=turned[None], edge_prob=prob)

    def onward(turn, graph):
        """Regimes of a turn go on with another graph, targets found anew or not."""
        found, kind = turn.regimes.extra, [turn.kind]
        rows = {"belonging": found["belonging"]}
        both = rows | {"targets": found["targets"]}
        return [
            *begun(graph.graphs[0], kind, graph, **rows),
            *begun(graph.graphs[0], kind, graph, **both),
        ]

    def best(turns):
        return min(turns, key=lambda turn: turn.loss)

    belief = beliefs(problem)
    # What may be, what is likely, and what there would be if rows were of one regime.
    pooled = judged(problem.intervened, _QUICK_GRAPH)
    for candidates in (belief, belief > _LIKELY, pooled.graphs[0]):
        began = begun(candidates, kinds)
        kinds = [turn.kind for turn in began][:_KINDS]
        if id(began[0]) not in told:
            told.add(id(began[0]))
            graph = judged_again(began[0], _QUICK_GRAPH)
            turns.extend(begun(graph.graphs[0], kinds, graph))
    for _ in range(_ROUNDS):
        before = best(turns)
        graph = judged_again(before, _QUICK_GRAPH)
        # Where the graph is right, regimes that are named by a variable are best.
        kinds = sorted({before.kind, 0})
        turns += begun(graph.graphs[0], kinds, graph) + onward(before, graph)
        if (best(turns).graph.graphs == before.graph.graphs).all():
            break
    quick = best(turns)
    graph = judged_again(quick, {})
    if (graph.graphs == quick.graph.graphs).all():
        return quick._replace(graph=graph)
    fresh = begun(graph.graphs[0], [quick.kind], graph)
    careful = best(fresh + onward(quick, graph))
    # Some likelihood is had for edges that are not there.
    return careful if careful.loss < quick.loss + _SPARED * d else quick


def turn_edges(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    graph: Array,
    found: dict[str, Any],
) -> Array:
    """The graph with edges turned that pay the other way, that of most gain first.

    ``found`` holds ``belonging`` and ``targets``, as ``extra`` of regimes does.
    """
    n, d = problem.x.shape
    counted = problem.observed.all(axis=1) & (problem.weight > 0)
    told = np.arange(config.max_regimes) < config.num_labels
    sample = Sample(
        x=jnp.where(counted[:, None], problem.x, 0),
        weight=jnp.where(counted, problem.weight, 0),
        fitted=jnp.linspace(0, n - 1, min(n, config.num_rows)).astype(jnp.int32),
        belonging=jnp.asarray(found["belonging"]),
        targets=jnp.asarray(found["targets"]),
        known=jnp.asarray(told & config.targets_known),
    )
    free = problem.allowed & ~problem.required.T
    least = _TURN_GAIN * float(sample.weight.sum())
    turned = np.array(graph)
    for _ in range(_TURNS):
        gains = np.asarray(
            turning_gains(
                jax.random.clone(key),
                sample,
                jnp.asarray(turned),
                free,
                config.decay,
                config.sparsity,
                perfect=config.intervention == "perfect",
            )
        )
        cause, effect = np.unravel_index(np.argmax(gains), (d, d))
        if not gains[cause, effect] > least:
            break
        turned[cause, effect], turned[effect, cause] = False, True
    return jnp.asarray(turned)
