"""Graph and regimes by turns.

Which cells were disturbed is found by a graph's mechanisms, and the graph by cells that
were not. Both are found anew from several graphs to begin with; edges that the regimes
say are the wrong way round are turned, and doubtful ones of flows turned and regimes
found anew. The turn whose rows that were held out are likeliest is kept, or one about
as good that disturbs fewer cells. Linear mechanisms: ``linear_regime_search``.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from causaljax.core.run import run, warm_up
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.estimators.progress import Progress
from causaljax.kernels import latent_interventions
from causaljax.kernels.neural import pruning
from causaljax.regimes.edge_reversal import Sample, turn_edges
from causaljax.regimes.initialise import CELL_STEPS
from causaljax.regimes.split import split_regime

_LIKELY = 0.5  # belief of edges that a cautious graph is made of
_KINDS, _BEGINS = 2, 2  # of starts, and of graphs, that go on
_BEHIND = 1.5  # nats a row, that a kind of start may be in a round and yet go on
_ROUNDS = 4  # from each of those, until it repeats a graph
_TURNS = 5  # at a time, each of an edge and of what turns with it
_TURN_GAIN = 0.02  # nats a row: less is what one more curve may gain anyway
_DOUBT = 0.05  # nats a row that turning an edge of flows loses, and it may yet be right
_SHARED = CELL_STEPS - 1  # steps that regimes have no part in
_TOLERANCE = 1e-5  # nats a row, of an iteration of a curve of a graph that is judged
_SPLITS, _SPLIT_GAIN = 3, 0.02  # of regimes, at most; nats a row that one may gain
_SPARED = 0.02  # nats a row and variable, that edges are worth which care would spare
# Overlapping regimes fit as well when they are one that disturbs what each of them did,
# and rows that a curve misses look disturbed: most where noise may have any shape.
_PRICES = {"linear": 0.02, "network": 0.02, "flow": 0.2}  # nats, of a disturbed cell
# What is tried many times is fitted with less care than what is tried once.
_QUICK_GRAPH = {"num_rows": 2048, "num_iterations": 10, "num_steps": 4}
_QUICK_REGIMES = {"num_rows": 2048, "num_iterations": 12, "num_steps": 20}
_THRESHOLDS = {
    "likely": _LIKELY,
    "num_kinds": _KINDS,
    "num_begins": _BEGINS,
    "behind": _BEHIND,
    "num_rounds": _ROUNDS,
    "num_turns": _TURNS,
    "turn_gain": _TURN_GAIN,
    "doubt": _DOUBT,
    "num_splits": _SPLITS,
    "split_gain": _SPLIT_GAIN,
    "spared": _SPARED,
    "prices": _PRICES,
}
"""The settings of the search itself, as results record them."""


class Turn(NamedTuple):
    """A graph and the regimes that its mechanisms tell."""

    graph: Posterior  # of ``kernels.neural.pruning``, or as it was begun with
    regimes: Posterior
    last: Any  # diagnostics
    kind: int  # of start
    price: float  # of a disturbed cell, nats
    share: np.ndarray  # [n], of the rows' weights

    @property
    def loss(self) -> float:
        """Minus the held-out bound, and the price of disturbed cells, nats a row."""
        found = self.regimes.extra
        cells = (self.share @ found["responsibilities"]) @ found["targets"]
        loss = float(self.last.loss) + self.price * float(cells.sum())
        return float(np.nan_to_num(loss, nan=np.inf))


def cells_of(regimes: Posterior) -> np.ndarray:
    """Which cells were disturbed, more likely than not, ``[n, d]`` bool."""
    found = regimes.extra
    return np.asarray(found["responsibilities"]) @ np.asarray(found["targets"]) > 0.5


def kernel_of(config: latent_interventions.Config) -> Kernel:
    """Linear mechanisms choose their parents by evidence, which needs float64."""
    linear = config.mechanism == "linear"
    return latent_interventions.LINEAR_KERNEL if linear else latent_interventions.KERNEL


def counted_rows(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[n, d]`` and their weights ``[n]``, 0 where there is a gap."""
    counted = problem.observed.all(axis=1) & (problem.weight > 0)
    x = np.where(counted[:, None], problem.x, 0)
    return x, np.where(counted, problem.weight, 0)


def settings(config: Any) -> dict[str, Any]:
    """What a kernel's config says, but for its matrices, which are no settings."""
    given = dataclasses.asdict(config)
    return {name: value for name, value in given.items() if np.ndim(value) == 0}


def starts(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    kinds: Iterable[int],
    bar: Progress,
    graph: Posterior | None = None,
    state: Any = None,
) -> list[Turn]:
    """Fits from several initialisations, the one of least loss first.

    One compiled program serves them all, whether they go on from ``state``, that after
    the steps they share, or from nothing.
    """
    kernel = kernel_of(config)
    turns, price = [], _PRICES[config.mechanism]
    chunks = -(-config.num_steps // _SHARED) - (state is not None)
    weight = counted_rows(problem)[1]
    for kind in kinds:
        bar.stage(
            f"regimes from {latent_interventions.INITIALISATIONS[kind]}",
            config.num_steps,
        )
        regimes, last = run(
            kernel,
            jax.random.clone(key),
            problem,
            dataclasses.replace(config, initialisation=float(kind)),
            num_chunks=chunks,
            on_chunk=lambda steps, _: bar.steps(steps),
            state=state,
        )
        regimes = jax.tree.map(np.asarray, regimes)
        judged = regimes if graph is None else graph
        share = weight / weight.sum()
        turns.append(Turn(judged, regimes, last, kind, price, share))
    return sorted(turns, key=lambda turn: turn.loss)


def search(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    kinds: list[int],
    beliefs: Callable[[Problem], np.ndarray],
    bar: Progress,
) -> tuple[Turn, dict[str, Any]]:
    """The graph and the regimes of curved mechanisms; the settings they were found by.

    Args:
      key: the same for all that is tried.
      problem: its ``intervened`` cells count where targets are known.
      config: of the kernel of regimes.
      kinds: numbers of ``latent_interventions.INITIALISATIONS`` to begin from.
      beliefs: probabilities of edges of a problem with intervened cells.
      bar: told of each stage.
    """
    (n, d), k = problem.x.shape, config.max_regimes
    dtype = problem.x.dtype
    total = counted_rows(problem)[1].sum()
    unknown = {
        "responsibilities": np.full((n, k), np.nan, dtype),
        "targets": np.full((k, d), np.nan, dtype),
    }
    config = dataclasses.replace(config, **_QUICK_REGIMES, **unknown)
    kernel, tried, states = latent_interventions.KERNEL, {}, {}

    def judged(cells, quick, among=beliefs):
        """The graph among likely edges that rows left alone speak for."""
        intervened: Any = np.asarray(cells)
        disturbed = problem._replace(intervened=intervened)
        bar.stage("candidate edges")
        start = among(disturbed)
        pruned = pruning.Config(start=start, tolerance=_TOLERANCE, **quick)
        bar.stage("graph", pruned.num_steps)
        found, _ = run(
            pruning.KERNEL,
            jax.random.clone(key),
            disturbed,
            pruned,
            num_chunks=pruned.num_steps,
            on_chunk=lambda steps, _: bar.steps(steps),
        )
        return jax.tree.map(np.asarray, found)

    def begun(candidates, kinds, graph=None, **known):
        """Turns from candidates, or what they were if they have been tried."""
        start = np.asarray(candidates, dtype)
        name = start.tobytes(), bool(known)
        new = [kind for kind in kinds if known or (name, kind) not in tried]
        began = dataclasses.replace(config, start=start, **known)
        state = None
        if "targets" not in known:
            if name[0] not in states:
                own_key = jax.random.clone(key)
                states.clear()  # what is asked for again is the last
                states[name[0]] = warm_up(kernel, own_key, problem, began, _SHARED)
            state = states[name[0]]
        found = starts(key, problem, began, new, bar, graph, state)
        tried.update({(name, turn.kind): turn for turn in found})
        turns = [tried[name, kind] for kind in kinds]
        if graph is not None:
            # The same edges may have been candidates before, without probabilities.
            turns = [turn._replace(graph=graph) for turn in turns]
        return sorted(turns, key=lambda turn: turn.loss)

    def turned_in(turn, graph):
        """The graph with what a turn's regimes say is the wrong way round turned."""
        return turned(key, problem, config, graph, turn.regimes, _TURN_GAIN)[0]

    def gone_on(turn, responsibilities, targets):
        """Other regimes and their targets go on with a turn's graph."""
        both = {"responsibilities": responsibilities, "targets": targets}
        return begun(turn.graph.graphs[0], [turn.kind], turn.graph, **both)

    def onward(turn, graph):
        """Regimes of a turn go on with another graph, targets found anew or not."""
        found, turn = turn.regimes.extra, turn._replace(graph=graph)
        rows, targets = found["responsibilities"], found["targets"]
        anew = begun(graph.graphs[0], [turn.kind], graph, responsibilities=rows)
        return anew + gone_on(turn, rows, targets)

    def best(turns):
        return min(turns, key=lambda turn: turn.loss)

    def followed(turn, graph):
        return begun(graph.graphs[0], [turn.kind], graph) + onward(turn, graph)

    def carefully(quick):
        """A turn, or the graph that it speaks for judged with full care."""
        graph = judged(cells_of(quick.regimes), {})
        if (graph.graphs == quick.graph.graphs).all():
            found = quick.regimes.extra
            found = best(
                [quick, *gone_on(quick, found["responsibilities"], found["targets"])]
            )
        else:
            found = spared(quick, turned_in(quick, graph), followed)
        # Of few candidates curves come closer, and edges of no effect show.
        graph = found.graph.graphs
        few = judged(cells_of(found.regimes), {}, lambda _: graph[0].astype(dtype))
        return spared(found, _with_edges(found.graph, graph & few.graphs), followed)

    used = {
        "regimes": settings(config),
        "graph": settings(pruning.Config(tolerance=_TOLERANCE)),
        "quick_graph": settings(pruning.Config(tolerance=_TOLERANCE, **_QUICK_GRAPH)),
        "search": _THRESHOLDS,
    }
    belief = beliefs(problem)
    # What is likely, what there would be if rows were of one regime, and what may be,
    # which has many edges and takes long.
    pooled = judged(problem.intervened, _QUICK_GRAPH)
    likely = begun(belief > _LIKELY, kinds)
    kinds = [turn.kind for turn in likely][:_KINDS]
    others = begun(pooled.graphs[0], kinds)[:1] + begun(belief, kinds[:1])
    begins = {id(turn): turn for turn in [likely[0], *others]}
    turns, seen, going_on = [], set(), kinds
    for first in sorted(begins.values(), key=lambda turn: turn.loss)[:_BEGINS]:
        turn = first
        for _ in range(_ROUNDS):
            graph = judged(cells_of(turn.regimes), _QUICK_GRAPH)
            if np.asarray(graph.graphs).tobytes() in seen:
                break
            graph = turned_in(turn, graph)
            name = np.asarray(graph.graphs).tobytes()
            if name in seen:
                break
            seen.add(name)
            new = fresh = begun(graph.graphs[0], going_on, graph)
            if turn is not first:
                new = fresh + onward(turn, graph)
            turns.append(best(new))
            going_on = kinds_after(turns[-1], fresh)
            if turn is not first and turns[-1].loss >= turn.loss:
                break
            turn = turns[-1]
    found = carefully(parted(best(turns), problem, config, gone_on))
    found = parted(found, problem, config, gone_on)
    if config.mechanism != "flow":
        return found, used
    # Of noise that is not normal the gains by which edges were turned say less.
    _, gains = turned(key, problem, config, found.graph, found.regimes, np.inf)
    gains = gains[:, :, :2].max(axis=-1).ravel() / total
    order = np.argsort(-gains, stable=True)[: (gains > -_DOUBT).sum()]
    doubtful = (order[:, None] == np.arange(d * d)).reshape(-1, d, d)

    def begun_turned(start, kind):
        new = begun(start, sorted({kind, 0}))
        graphs = [_with_edges(found.graph, turn.regimes.graphs) for turn in new]
        return [
            turn._replace(graph=graph) for turn, graph in zip(new, graphs, strict=True)
        ]

    new = reconsidered(found, doubtful, begun_turned)
    return (found if new is found else carefully(new)), used


def kinds_after(found: Turn, fresh: Iterable[Turn]) -> list[int]:
    """The kinds of start of the next round, from the best turn of this and fresh ones.

    Where the graph is right, regimes that are named by a variable are best: the first
    kind is tried again, unless it has just been and is far behind.
    """
    behind = {turn.kind for turn in fresh if turn.loss > found.loss + _BEHIND}
    return sorted({found.kind} | ({0} - behind))


def reconsidered(
    turn: Turn,
    doubtful: Iterable[np.ndarray],
    begun: Callable[[np.ndarray, int], list[Turn]],
    loss: Callable[[Turn], float] = lambda turn: turn.loss,
) -> Turn:
    """The best of a turn and of what follows where doubtful edges are turned.

    Regimes that were found under an edge the wrong way round speak for it; the bound
    of regimes found anew does not.

    Args:
      turn: what there is.
      doubtful: edges that turn together ``[d, d]`` bool, the most doubtful first; the
        first few are tried.
      begun: new turns, from beliefs of edges and a kind of start.
      loss: of a turn, the less the better.
    """
    for edges in itertools.islice(doubtful, _TURNS):
        graph = np.asarray(turn.graph.graphs[0])
        edges = edges & graph  # others have turned before
        if edges.any():
            belief = np.where(edges.T, 1, 0.9 * (graph & ~edges))
            belief = belief.astype(turn.graph.edge_prob.dtype)
            turn = min([turn, *begun(belief, turn.kind)], key=loss)
    return turn


def spared(
    turn: Turn, graph: Posterior, followed: Callable[[Turn, Posterior], list[Turn]]
) -> Turn:
    """A turn, or the best that follows from another graph, if that costs little.

    Some likelihood is had for edges that are not there.
    """
    if (graph.graphs == turn.graph.graphs).all():
        return turn
    new = min(followed(turn, graph), key=lambda turn: turn.loss)
    return new if new.loss < turn.loss + _SPARED * len(graph.edge_prob) else turn


def parted(
    turn: Turn,
    problem: Problem,
    config: latent_interventions.Config,
    gone_on: Callable[[Turn, Array, Array], list[Turn]],
) -> Turn:
    """A turn, its regimes made two one by one while that is better.

    Args:
      turn: what there is.
      problem: the table.
      config: of the kernel of regimes; those that have labels stay.
      gone_on: new turns, from a turn and other ``responsibilities`` and ``targets``.
    """
    x, weight = counted_rows(problem)
    number = np.arange(config.max_regimes)
    for _ in range(_SPLITS):
        found = turn.regimes.extra
        able = (number >= config.num_labels) & (number != found["reference"])
        responsibilities, targets, gain = split_regime(
            found["model"],
            x,
            weight,
            found["responsibilities"],
            able,
            config.intervention,
        )
        if float(gain) < _SPLIT_GAIN * weight.sum():
            break
        new = min(gone_on(turn, responsibilities, targets), key=lambda turn: turn.loss)
        if new.loss >= turn.loss:
            break
        turn = new
    return turn


def turned(
    key: Array,
    problem: Problem,
    config: latent_interventions.Config,
    graph: Posterior,
    regimes: Posterior,
    least: float,
) -> tuple[Posterior, np.ndarray]:
    """The graph with edges turned that pay the other way in these regimes.

    They gain at ``least`` so many nats a row; if it is infinite none is turned. What
    turning each of the edges that are left would gain is given besides, ``[d, d, 3]``,
    nats, as by ``turn_edges``.
    """
    found, n = regimes.extra, len(problem.x)
    x, weight = counted_rows(problem)
    told = np.arange(config.max_regimes) < config.num_labels
    # Padding is at the end: where rows are chosen, it is passed over.
    last = n - 1 if n <= config.num_rows else np.flatnonzero(weight).max()
    arrays: dict[str, Any] = {
        "x": x,
        "weight": weight,
        "fitted": np.linspace(0, last, min(n, config.num_rows)).astype(np.int32),
        "responsibilities": found["responsibilities"],
        "targets": found["targets"],
        "known": told & bool(config.targets_known),
    }
    sample = Sample(**arrays)
    old = graph.graphs[0]
    new, gains = turn_edges(
        jax.random.clone(key),
        sample,
        old,
        problem.allowed & ~problem.required.T,
        config.weight_decay,
        config.target_prior,
        least * sample.weight.sum(),
        perfect=config.intervention == "perfect",
        most=_TURNS,
    )
    return _with_edges(graph, np.asarray(new)[None]), np.asarray(gains)


def _with_edges(graph, graphs):
    """A graph whose edges turned, their probabilities with them, or are gone."""
    old, new = graph.graphs[0], graphs[0]
    gone = old & ~new & ~new.T
    prob = np.where((old & new.T) | (old & new.T).T, graph.edge_prob.T, graph.edge_prob)
    return graph._replace(graphs=graphs, edge_prob=np.where(gone, 0, prob))
