"""One graph, many regimes, and no record of which row is of which.

Which cells were intervened on is found by a graph's mechanisms, and the graph by cells
that were not. A step is a round: it takes a graph, finds regimes under it from several
initialisations (``mixture``), and keeps the best as a hypothesis (``hypothesis``) if
that has less loss than the one the search goes on from. Rounds differ by where their
graph comes from:

    likely       the edges that are likely beforehand (``candidates``)
    possible     all candidate edges
    pooled       pruning (``neural.pruning``) on rows as if of one regime
    alternation  pruning on cells that the hypothesis takes for undisturbed, and edges
                 reversed that its regimes say are the wrong way round; from the better
                 of the first graphs until nothing gets better
    other        the same from the other graph
    split        as it is, one regime made two
    review       one more alternation, from the best, with careful pruning
    doubtful     one edge reversed about which the regimes say little (flows only)
    spare        careful pruning among the edges there are
    split        again

Linear mechanisms choose their parents within ``mixture``; there the rounds are

    likely       from beliefs beforehand
    undecided    edges reversed that the equivalence class leaves open, where regimes
                 overlap: regimes confirm the directions they were found under

A round that makes nothing better ends its kind, and when all kinds are at their end
steps do nothing.

Sources: as of the parts; Faria, Martins and Figueiredo 2022 for the problem.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logit
from jax.typing import ArrayLike

from causaljax.core.compiling import branch, quick_jit
from causaljax.core.options import check_options, option
from causaljax.core.problem import like_data, thin_rows
from causaljax.core.run import run
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import free_edges, greedy_acyclic, transitive_closure
from causaljax.kernels.latent_interventions import mixture
from causaljax.kernels.latent_interventions.hypothesis import (
    Hypothesis,
    Initialisations,
    best_hypothesis,
    counted_weight,
    intervened_prob,
)
from causaljax.kernels.neural import pruning
from causaljax.kernels.neural.candidates import Config as CandidatesConfig
from causaljax.kernels.neural.candidates import candidate_edges
from causaljax.kernels.neural.pruning import Config as PruningConfig
from causaljax.regimes import intervention_targets
from causaljax.regimes.densities import regime_log_likelihoods
from causaljax.regimes.edge_reversal import Sample, turn_edges
from causaljax.regimes.initialise import labelled_regimes, num_labels, targets_known
from causaljax.regimes.split import split_regime
from causaljax.regimes.state import Config as MixtureConfig

CELL_PRICES = {"linear": 0.02, "network": 0.02, "flow": 0.2}
"""Nats a cell, by mechanism: rows that a curve misses look intervened on, most where
noise may have any shape. Measured on DCDI's tables of 10 variables."""
_POOLED = 2  # the place of that kind of round
_KEPT = 0.9  # belief of edges that stay while others are reversed


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search and of its parts.

    ``prior`` holds probabilities of edges to begin every pruning with, beside those
    that ``candidates`` finds anew for each. Without either, curves have no
    candidate edges; linear mechanisms need none. Edges of more than ``likely`` make the
    first graph. Pruning is done as ``pruning`` says, and as
    ``careful`` says in the last rounds, or where regimes and targets are known.

    ``cell_price`` is in nats a cell, see ``hypothesis``. ``reversal_gain``,
    ``split_gain`` and ``doubt`` are in units of log(n) nats: what reversing an edge and
    splitting a regime must promise, and what reversing a doubtful edge may lose at
    most. Linear directions are doubtful if rows are in a wrong regime with a
    probability of more than ``unsure``.

    ``num_alternations``, ``num_splits`` and ``num_doubtful`` are the most rounds of a
    kind, and ``num_reversals`` the most reversals in one.
    """

    prior: ArrayLike | None = None  # [d, d] float in [0, 1]
    candidates: CandidatesConfig | None = None
    pruning: PruningConfig = PruningConfig(
        num_rows=2048, num_iterations=10, num_steps=4, tolerance=1e-5, screening=0.5
    )
    careful: PruningConfig = PruningConfig(num_rows=2048, tolerance=1e-5, screening=0.5)
    mixture: MixtureConfig = MixtureConfig(num_rows=2048, num_iterations=12)
    likely: float = option(0.5, least=0, below=1)
    cell_price: float = option(0.02, least=0)
    reversal_gain: float = option(3.0, least=0)
    split_gain: float = option(3.0, least=0)
    doubt: float = option(13.0, least=0)
    unsure: float = option(0.05, least=0, below=1)
    num_alternations: int = option(4, least=0)
    num_splits: int = option(3, least=0)
    num_reversals: int = option(5, least=0)
    num_doubtful: int = option(5, least=0)

    @property
    def num_steps(self) -> int:
        """The most rounds of all kinds."""
        return sum(_most_rounds(self).values())


def _most_rounds(config):
    """The kinds of round in their order, and the most there are of each."""
    if config.mixture.mechanism == "linear":
        return {"likely": 1, "undecided": config.num_doubtful}
    flow = config.mixture.mechanism == "flow"
    return {
        "likely": 1,
        "possible": 1,
        "pooled": 1,
        "alternation": config.num_alternations,
        "other": config.num_alternations,
        "split": config.num_splits,
        "review": 1,
        "doubtful": config.num_doubtful if flow else 0,
        "spare": 1,
        "split again": config.num_splits,
    }


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    kind: Array  # [] int32, of round, past the last if the search is at its end
    number: Array  # [] int32, of rounds of that kind
    prior: Array  # [d, d] float, probabilities of edges beforehand
    current: Hypothesis  # what the search goes on from
    other: Hypothesis  # the best it has left
    moves: Array  # [] int32, hypotheses that were better than the one before


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, of the hypothesis, nats a row
    moves: Array  # [] int32, of all steps so far
    initialisation: Array  # [] int32, of the hypothesis' regimes
    converged: Array  # [] bool, the loss is finite: each kind of round ends its work
    nonfinite: Array  # [] bool, the loss is not finite


def check_config(config: Config) -> None:
    """Raises ValueError, naming the option, if a setting makes no sense."""
    check_options(config)
    mixture.check_config(config.mixture)


def init(key: Array, problem: Problem, config: Config) -> State:
    """What is believed of edges before there are regimes."""
    prior = config.prior
    if config.candidates is not None:
        prior = candidate_edges(key, problem, config.candidates, prior)
    return _begun(prior, problem, config)


@quick_jit(once=True)
def _begun(prior, problem, config):
    """The state before the first round; without a prior nothing is likely."""

    def unfitted():
        begun = mixture.init(jax.random.key(0), problem, config.mixture)
        return mixture.finalise(jax.random.key(0), begun, problem, config.mixture)

    posterior = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(unfitted)
    )
    dtype = problem.x.dtype
    prior = posterior.edge_prob if prior is None else jnp.asarray(prior).astype(dtype)
    prior = jnp.where(free_edges(problem), prior, 0)
    nothing = Hypothesis(
        graph=posterior.graphs[0],
        edge_prob=posterior.edge_prob,
        regimes=posterior.extra,
        initialisation=jnp.zeros((), jnp.int32),
        loss=jnp.full((), jnp.inf, dtype),
    )
    known = _known(problem, config)
    linear = config.mixture.mechanism == "linear"
    state = State(
        step=jnp.zeros((), jnp.int32),
        # Where regimes and targets are known, the graph is all there is to find.
        kind=jnp.where(known & (not linear), _POOLED, 0).astype(jnp.int32),
        number=jnp.zeros((), jnp.int32),
        prior=jnp.where(problem.required, 1, prior),
        current=nothing,
        other=nothing,
        moves=jnp.zeros((), jnp.int32),
    )
    return like_data(state, problem.weight)._replace(step=state.step)


def _told(problem, config):
    """Whether every row has a label, ``[]`` bool."""
    known, _ = labelled_regimes(problem, config.mixture)
    return (known | (counted_weight(problem) == 0)).all()


def _known(problem, config):
    """Whether regimes and targets are known, ``[]`` bool: the graph is not."""
    return _told(problem, config) & targets_known(config.mixture)


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """One round; none if the search is at its end."""
    # Which graph and which regimes is no smooth question.
    state, problem, config = jax.lax.stop_gradient((state, problem, config))
    goes_on = state.kind < len(_most_rounds(config))
    linear = config.mixture.mechanism == "linear"
    one_round = _linear_round if linear else _round
    nothing = Found(state.current, better=goes_on & False, same=goes_on & False)
    found = branch(
        goes_on, lambda: one_round(key, state, problem, config), lambda: nothing
    )
    return _concluded(state, found, problem, config)


class Found(NamedTuple):
    """What a round finds."""

    hypothesis: Hypothesis
    better: Array  # [] bool, than the one that the search goes on from
    same: Array  # [] bool, nothing but probabilities of edges differs


def _choose(condition, one, other):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


@quick_jit(once=True)
def _concluded(state, found, problem, config):
    """The state with what a round found, and the round that comes next."""
    most = _most_rounds(config)
    goes_on = state.kind < len(most)
    better = found.better
    kinds = {name: state.kind == index for index, name in enumerate(most)}
    number = state.number + 1
    limit = jnp.asarray([*most.values(), 0], jnp.int32)[state.kind]
    # Doubtful edges are tried one after another, whatever came of the one before.
    tries_all = kinds.get("doubtful", False) | kinds.get("undecided", False)
    ends = (number >= limit) | ~(better | tries_all)
    current = _choose(better | found.same, found.hypothesis, state.current)
    other = state.other
    if "pooled" in most:
        # The better of pooled and of what was there before it goes on first.
        worse = _choose(better, state.current, found.hypothesis)
        other = _choose(kinds["pooled"] & ~found.same, worse, other)
        # Then the other has its turn, and the better of the two is what is found.
        turns = kinds["alternation"] & ends & jnp.isfinite(other.loss)
        turns = turns | (kinds["other"] & ends & (other.loss < current.loss))
        current, other = _choose(turns, (other, current), (current, other))
    kind = jnp.where(ends, state.kind + 1, state.kind)
    for index, (name, number_of) in enumerate(most.items()):
        idle = number_of == 0
        if name == "other":
            idle = idle | ~jnp.isfinite(other.loss)
        kind = jnp.where((kind == index) & idle, index + 1, kind)
    kind = jnp.where(_known(problem, config), len(most), jnp.minimum(kind, len(most)))
    new = State(
        step=state.step,
        kind=kind.astype(jnp.int32),
        number=jnp.where(ends, 0, number).astype(jnp.int32),
        prior=state.prior,
        current=current,
        other=other,
        moves=state.moves + better.astype(jnp.int32),
    )
    new = _choose(goes_on, new, state)
    loss = new.current.loss
    return new._replace(step=state.step + 1), Info(
        loss=loss,
        moves=new.moves,
        initialisation=new.current.initialisation,
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


class Plan(NamedTuple):
    """What a round does."""

    keys: Array  # [4] typed keys
    begins: Array  # [] bool, there is nothing to go on from
    alternates: Array  # [] bool, the graph comes from undisturbed cells
    prunes: Array  # [] bool, the graph comes from pruning
    cares: Array  # [] bool, the pruning is careful
    spares: Array  # [] bool, among the edges there are
    doubts: Array  # [] bool, one edge of it is reversed
    splits: Array  # [] bool, a regime is split
    table: Problem  # with the cells that count as intervened on
    start: Array  # [d, d] float, probabilities that pruning begins with
    graph: Array  # [d, d] bool, unless it comes from pruning
    edge_prob: Array  # [d, d] float, of that graph
    log_rows: Array  # [] float, log(n), nats
    reversal_gain: Array  # [] float, nats that a reversal must gain


def _times(setting, log_rows):
    """So many log(n), in the dtype of the problem."""
    return jnp.asarray(setting, log_rows.dtype) * log_rows


@quick_jit(once=True)
def _planned(key, state, problem, config):
    kinds = {name: state.kind == i for i, name in enumerate(_most_rounds(config))}
    alternates = kinds["alternation"] | kinds["other"] | kinds["review"]
    current = state.current
    cells = intervened_prob(current.regimes) > 0.5
    least = jnp.where(
        kinds["likely"], config.likely, config.mixture.min_prior_prob
    ).astype(problem.x.dtype)
    likely = greedy_acyclic(state.prior, least, problem.required)
    begins = kinds["likely"] | kinds["possible"]
    log_rows = jnp.log(jnp.maximum(counted_weight(problem).sum(), 2))
    return Plan(
        keys=jax.random.split(key, 4),
        begins=begins | kinds["pooled"],
        alternates=alternates,
        prunes=alternates | kinds["pooled"] | kinds["spare"],
        cares=kinds["review"] | kinds["spare"] | _known(problem, config),
        spares=kinds["spare"],
        doubts=kinds["doubtful"],
        splits=kinds["split"] | kinds["split again"],
        table=problem._replace(
            intervened=jnp.where(kinds["pooled"], problem.intervened, cells)
        ),
        start=jnp.where(
            kinds["spare"], current.graph.astype(state.prior.dtype), state.prior
        ),
        graph=jnp.where(begins, likely, current.graph),
        edge_prob=jnp.where(begins, state.prior, current.edge_prob),
        log_rows=log_rows,
        reversal_gain=jnp.where(
            alternates, _times(config.reversal_gain, log_rows), jnp.inf
        ),
    )


def _round(key, state, problem, config):
    """A round for curves."""
    plan, regimes = _planned(key, state, problem, config), state.current.regimes
    start = plan.start
    if config.candidates is not None:
        start = branch(
            plan.alternates,
            lambda: candidate_edges(
                plan.keys[0], plan.table, config.candidates, config.prior
            ),
            lambda: start,
        )

    def pruned(settings):
        settings = dataclasses.replace(settings, start=start)
        posterior, _ = run(pruning.KERNEL, plan.keys[1], plan.table, settings)
        return posterior.graphs[0], posterior.edge_prob

    graph, prob = branch(
        plan.prunes,
        lambda: branch(
            plan.cares, lambda: pruned(config.careful), lambda: pruned(config.pruning)
        ),
        lambda: (plan.graph, plan.edge_prob),
    )
    graph, prob = _spared(plan, graph, prob, state.current)
    d, dtype = len(graph), problem.x.dtype
    reversed_graph, gains = branch(
        plan.alternates | plan.doubts,
        lambda: _reversed(plan, graph, regimes, problem, config),
        lambda: (graph, jnp.full((d, d, 3), -jnp.inf, dtype)),
    )
    responsibilities, targets, gain = branch(
        plan.splits,
        lambda: _split(regimes, problem, config),
        lambda: (
            regimes["responsibilities"],
            regimes["targets"],
            jnp.full((), -jnp.inf, dtype),
        ),
    )
    graph, prob, begun, fits, same = _prepared(
        plan, state, graph, prob, reversed_graph, gains, gain, problem, config
    )
    found = branch(
        fits,
        lambda: best_hypothesis(
            plan.keys[3],
            graph,
            prob,
            begun,
            responsibilities,
            targets,
            problem,
            config.mixture,
            config.cell_price,
        ),
        lambda: state.current._replace(edge_prob=prob),
    )
    return Found(found, fits & (found.loss < state.current.loss), same)


@quick_jit(once=True)
def _spared(plan, graph, prob, current):
    """Of the edges there were, some go; the probabilities of the others stay."""
    fewer = graph & current.graph
    still = _with_edges(current.edge_prob, current.graph, fewer)
    return _choose(plan.spares, (fewer, still), (graph, prob))


@quick_jit(once=True)
def _prepared(plan, state, graph, prob, reversed_graph, gains, gain, problem, config):
    """The graph to fit regimes under, where fits begin, and whether there are any."""
    current, dtype = state.current, problem.x.dtype
    doubtful = _without_doubtful(
        graph, gains, state.number, _times(config.doubt, plan.log_rows), problem
    )
    reversed_graph = jnp.where(plan.doubts, doubtful, reversed_graph)
    prob = _with_edges(prob, graph, reversed_graph)
    graph, begins, splits = reversed_graph, plan.begins, plan.splits
    same = (graph == current.graph).all() & jnp.isfinite(current.loss) & ~splits
    fits = jnp.where(splits, gain > _times(config.split_gain, plan.log_rows), ~same)
    # Three initialisations anew, then rows as they are with targets anew, then both as
    # they are.
    fresh = jnp.array([True, False, False, False, False])
    others = jnp.array([False, True, True, False, False]) & ~_told(problem, config)
    goes_on = jnp.array([False, False, False, True, True]) & ~begins & ~plan.doubts
    last = jnp.array([False, False, False, False, True])
    begun = Initialisations(
        wanted=jnp.where(splits, last, fresh | others | goes_on),
        kind=jnp.where(
            goes_on, current.initialisation, jnp.arange(5, dtype=jnp.int32) % 3
        ),
        keeps_rows=goes_on,
        keeps_targets=goes_on & last,
    )
    return graph.astype(dtype), prob, begun, fits, same


def _reversed(plan, graph, regimes, problem, config):
    """The graph with edges reversed that gain by it in these regimes, and all gains."""
    settings = config.mixture
    return turn_edges(
        plan.keys[2],
        _sample(regimes, problem, settings),
        graph,
        problem.allowed & ~problem.required.T,
        settings.weight_decay,
        settings.target_prior,
        plan.reversal_gain,
        perfect=settings.intervention == "perfect",
        most=config.num_reversals,
    )


@quick_jit(once=True)
def _sample(regimes, problem, config):
    """Rows and regimes that reversals are weighed on; ``config`` is of ``mixture``."""
    n, weight = len(problem.x), counted_weight(problem)
    rows = jnp.arange(n)
    if n > config.num_rows:
        rows = thin_rows(weight, config.num_rows)
    number = jnp.arange(config.max_regimes, dtype=jnp.int32)
    return Sample(
        x=jnp.where(weight[:, None] > 0, problem.x, 0)[rows],
        weight=weight[rows],
        responsibilities=regimes["responsibilities"][rows],
        targets=regimes["targets"],
        known=(number < num_labels(config)) & targets_known(config),
    )


def _without_doubtful(graph, gains, number, doubt, problem):
    """The graph with that edge reversed which is the ``number``-th in doubt, if any."""
    d = len(graph)
    gain = gains[:, :, :2].max(axis=-1).ravel()
    order = jnp.argsort(-gain, stable=True)
    which = order[jnp.minimum(number, d * d - 1)]
    edge = (jnp.arange(d * d) == which).reshape(d, d) & graph
    edge = edge & (gain[which] > -doubt)
    return greedy_acyclic(_with_reversed(graph, edge), 0.0, problem.required)


def _with_reversed(graph, edges):
    """Beliefs in a graph with these edges reversed, which come first."""
    return jnp.where(edges.T, 1, _KEPT * (graph & ~edges).astype(jnp.float32))


def _with_edges(edge_prob, old, new):
    """Probabilities of edges of which some are reversed in the new graph, or gone."""
    gone = old & ~new & ~new.T
    swapped = (old & new.T) | (old & new.T).T
    return jnp.where(gone, 0, jnp.where(swapped, edge_prob.T, edge_prob))


def _split(regimes, problem, config):
    """``split_regime`` of regimes without labels; the reference stays whole."""
    x, weight, able = _able(regimes, problem, config.mixture)
    return split_regime(
        regimes["model"],
        x,
        weight,
        regimes["responsibilities"],
        able,
        config.mixture.intervention,
    )


@quick_jit(once=True)
def _able(regimes, problem, config):
    weight = counted_weight(problem)
    number = jnp.arange(config.max_regimes, dtype=jnp.int32)
    able = (number >= num_labels(config)) & (number != regimes["reference"])
    return jnp.where(weight[:, None] > 0, problem.x, 0), weight, able


def _linear_round(key, state, problem, config):
    """A round for linear mechanisms, whose graph is found along with the regimes."""
    start, begun, fits = _linear_plan(state, problem, config)
    current = state.current
    found = branch(
        fits,
        lambda: best_hypothesis(
            key,
            start,
            current.edge_prob,
            begun,
            current.regimes["responsibilities"],
            current.regimes["targets"],
            problem,
            config.mixture,
            config.cell_price,
        ),
        lambda: current,
    )
    better = fits & _linear_better(state, found, problem, config.mixture)
    return Found(found, better, same=fits & False)


@quick_jit(once=True)
def _linear_plan(state, problem, config):
    """Beliefs to begin with, where fits begin, and whether there are any."""
    likely, current = state.kind == 0, state.current
    graph, weight = current.graph, counted_weight(problem)
    share = weight / jnp.maximum(weight.sum(), 1e-6)
    # To stay in the class all that leads to an effect is reversed with an edge. The
    # effect of the least certain edges comes first.
    either = dag_to_cpdag(graph)
    undecided = graph & either & either.T & problem.allowed.T & ~problem.required
    leads = transitive_closure(undecided) | jnp.eye(len(graph), dtype=bool)
    certainty = jnp.where(undecided, current.edge_prob, jnp.inf).min(axis=0)
    order = jnp.argsort(certainty, stable=True)
    to_effect = leads[:, order[jnp.minimum(state.number, len(order) - 1)]]
    edges = undecided & to_effect[:, None] & to_effect[None, :]
    certain = (share * current.regimes["responsibilities"].max(axis=1)).sum()
    there = (state.number < len(order)) & edges.any()
    fits = likely | (there & (1 - certain >= jnp.asarray(config.unsure, share.dtype)))
    begins = likely & ~_told(problem, config)
    begun = Initialisations(
        wanted=jnp.stack([fits, begins, begins]),
        kind=jnp.where(likely, jnp.arange(3, dtype=jnp.int32), current.initialisation),
        keeps_rows=jnp.zeros(3, bool),
        keeps_targets=jnp.zeros(3, bool),
    )
    belief = _with_reversed(graph, edges).astype(state.prior.dtype)
    return jnp.where(likely, state.prior, belief), begun, fits


@quick_jit
def _linear_better(state, found, problem, config):
    """Members of a class have as many parameters: all rows can tell them apart."""
    weight = counted_weight(problem)
    _, told = labelled_regimes(problem, config)
    x = jnp.where(weight[:, None] > 0, problem.x, 0)

    def log_likelihood(hypothesis):
        model = hypothesis.regimes["model"]
        joint = regime_log_likelihoods(model, x, config.intervention) + told
        return (jax.nn.logsumexp(joint, axis=1) * weight).sum()

    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), found, state.current)
    first, second = jax.lax.map(log_likelihood, both)
    return jnp.where(state.kind == 0, found.loss < state.current.loss, first > second)


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, probabilities of its edges, and the regimes.

    Probabilities are those of ``neural.pruning``, and of linear mechanisms those of
    ``graphs.edge_probabilities``. ``extra`` is that of ``mixture``; for regimes
    with labels ``target_evidence`` is that ``beyond_drift``, and ``targets`` follow.
    """
    del key, problem
    found = state.current
    return Posterior(
        edge_prob=found.edge_prob,
        graphs=found.graph[None],
        log_weight=jnp.zeros_like(found.edge_prob[0, :1]),
        extra=_without_drift(found.regimes, config.mixture),
    )


def _without_drift(regimes, config):
    """Targets of experiments that somebody labelled, whose sensors may drift."""
    targets, evidence = regimes["targets"], regimes["target_evidence"]
    number = jnp.arange(len(targets), dtype=jnp.int32)
    labelled = (number < num_labels(config)) & ~targets_known(config)
    labelled = labelled & (number != regimes["reference"])
    evidence = intervention_targets.beyond_drift(evidence, targets, labelled)
    prior = logit(jnp.asarray(config.target_prior, targets.dtype))
    sure = jnp.minimum(targets, jax.nn.sigmoid(prior + evidence))
    targets = jnp.where(labelled[:, None], sure, targets)
    return regimes | {"targets": targets, "target_evidence": evidence}


KERNEL = Kernel(init, step, finalise, precision="mixed", staged=True)
LINEAR_KERNEL = KERNEL._replace(precision="double")
"""The same for linear mechanisms, whose parents are chosen by evidence."""
