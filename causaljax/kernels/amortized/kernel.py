"""Amortized inference: one forward pass of a trained network reads a table.

A network that has seen many simulated tables beside their graphs gives logits for
each pair of variables: no edge, i -> j or j -> i. A temperature makes the
probabilities calibrated, knowledge masks them exactly, and the pairs that are joined
with a probability above a threshold, most probable first, are the graph.

Probabilities of single edges say little of whole graphs. Since the network was also
trained on tables of which some pairs were revealed, graphs are sampled in rounds:
each draws the most certain of the undecided pairs, reveals them to the network and
asks again. An edge that would close a cycle with what is decided is never drawn.

Sources: Lorch et al. 2022 (AVICI) for amortized discovery; Wu et al. 2024 (SEA) for
the three-way choice of a pair.
"""

import dataclasses
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr
from jax.typing import ArrayLike

from causaljax.core.options import check_options, option
from causaljax.core.problem import thin_rows
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree, static
from causaljax.graphs.dags import greedy_acyclic, transitive_closure
from causaljax.graphs.edge_probabilities import pair_probabilities
from causaljax.networks import out_of_distribution
from causaljax.networks.network import Network, Weights

_PAIRS_AT_ONCE = 16_384  # ordered pairs that the network sees in one go


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``params`` are the weights of the ``network``; ``causaljax.networks.weights`` loads
    both.
    Edge logits are divided by exp(t0 + t1 log(d / 20) + t2 log(n / 1000)), where t is
    ``temperature``; logits of hidden common causes likewise, by
    ``confounder_temperature``. Pairs joined with probability ``threshold`` or less are
    not joined in the graph.
    Of a table of more than ``num_rows`` rows so many are read, spread evenly along it:
    the network's answers do not gain by more, and its statistics take some hundred
    bytes a cell.
    With ``num_graphs`` above 0 the posterior holds so many sampled graphs instead,
    each drawn in ``num_rounds`` rounds. ``reference`` is what the training tables
    looked like.
    """

    params: PyTree
    temperature: ArrayLike  # [3] float
    confounder_temperature: ArrayLike  # [3] float
    threshold: float = option(0.5, least=0, below=1)
    reference: out_of_distribution.Reference | None = None
    network: Network = static()
    num_rows: int = option(32_768, least=1)
    num_graphs: int = option(0, least=0)
    num_rounds: int = option(10, least=1)
    num_steps: int = option(1, least=1)


class State(NamedTuple):
    """What the network has read and what it answered."""

    step: Array  # [] int32
    inputs: PyTree  # of the network
    sharpness: Array  # [] float, the inverse of the temperature
    confounder_sharpness: Array  # [] float
    allowed: Array  # [d, d] bool, knowledge as the network is told it
    required: Array  # [d, d] bool
    edge: Array  # [d, d] float, calibrated logits of i -> j against no edge
    ancestor: Array  # [d, d] float, logits
    confounded: Array  # [d, d] float, calibrated logits, symmetric
    order: Array  # [d] float, higher for causes
    target: Array  # [d] float, logits


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, entropy of the beliefs, nats a pair
    converged: Array  # [] bool, always: there is nothing to iterate
    nonfinite: Array  # [] bool, the network's answer is not finite


def _thinned(problem, num_rows):
    """The problem, or so many of its rows, each of which counts for one at most."""
    if len(problem.x) <= num_rows:
        return problem
    rows, total = thin_rows(problem.weight, num_rows), problem.weight.sum()
    weight = jnp.minimum(total / num_rows, 1) + 0 * problem.weight[rows]
    return problem._replace(
        x=problem.x[rows],
        observed=problem.observed[rows],
        intervened=problem.intervened[rows],
        regime=problem.regime[rows],
        weight=weight,
    )


def _samples_at_once(d):
    """How many samples of d variables the network should see together."""
    return max(1, _PAIRS_AT_ONCE // d**2)


def configure(
    weights: Weights, *, threshold: float | None = None, num_graphs: int = 0
) -> Config:
    """The kernel's settings for a network, with its own threshold if none is given."""
    calibrated = weights.calibration
    return Config(
        params=weights.params,
        temperature=calibrated.temperature,
        confounder_temperature=calibrated.confounder_temperature,
        threshold=calibrated.threshold if threshold is None else threshold,
        reference=weights.reference,
        network=weights.network,
        num_graphs=num_graphs,
    )


def check_config(config: Config) -> None:
    """Raises ValueError, naming the option, if a setting makes no sense."""
    check_options(config)
    for name in ("temperature", "confounder_temperature"):
        temperature = np.ravel(getattr(config, name))
        if len(temperature) != 3 or not np.isfinite(temperature).all():
            raise ValueError(f"{name} must be three numbers, not {temperature!r}")


def init(key: Array, problem: Problem, config: Config) -> State:
    """Reads the table: all work that grows with the rows."""
    del key
    n, d = problem.x.shape
    chex.assert_shape([problem.intervened, problem.observed], (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    problem, dtype = _thinned(problem, config.num_rows), problem.x.dtype
    read = _cast(problem, _dtype_of(config.params))
    square = jnp.zeros_like(problem.allowed, dtype)
    return State(
        step=jnp.zeros((), jnp.int32),
        inputs=_cast(config.network.inputs(read, config.network.config), dtype),
        sharpness=1 / _temperature(problem, config.temperature),
        confounder_sharpness=1 / _temperature(problem, config.confounder_temperature),
        # As in training, where a revealed edge closes the way back.
        allowed=(problem.allowed & ~problem.required.T) | problem.required,
        required=problem.required,
        edge=square,
        ancestor=square,
        confounded=square,
        order=square[0],
        target=square[0],
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """The forward pass."""
    del key, problem
    beliefs = _forward(state.allowed, state.required, state, config)
    state = state._replace(
        step=state.step + 1,
        edge=beliefs.edge * state.sharpness,
        ancestor=beliefs.ancestor,
        confounded=beliefs.confounded * state.confounder_sharpness,
        order=beliefs.order,
        target=beliefs.target,
    )
    possible = _possible(state.allowed, transitive_closure(state.required))
    prob = _probabilities(state.edge, possible, state.required)
    d = len(prob)
    none = jnp.where(jnp.eye(d, dtype=bool), 0, 1 - prob - prob.T)
    info = Info(
        loss=(entr(prob).sum() + entr(jnp.clip(none, 0, 1)).sum() / 2)
        / (d * (d - 1) / 2),
        converged=jnp.ones_like(state.allowed[0, 0]),
        nonfinite=~jnp.isfinite(state.edge).all(),
    )
    return state, info


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """Probabilities that obey knowledge, and the graph or samples of graphs.

    ``extra`` holds ``ancestor_prob`` ``[d, d]``, ``confounder_prob`` ``[d, d]`` (that
    two variables have a common cause outside the table; symmetric, 0 on the diagonal),
    ``order`` ``[d]`` (higher for causes),
    ``target_prob`` ``[d]`` (that a variable was intervened on in some row that does
    not say so) and ``ood_score`` ``[]`` (see ``networks.out_of_distribution``; NaN
    without a reference).
    """
    reach = transitive_closure(state.required)
    possible = _possible(state.allowed, reach)
    prob = _probabilities(state.edge, possible, state.required)
    if config.num_graphs:
        graphs = _sample(key, state, config)
    else:
        graphs = decide(prob, config.threshold, problem.required)[None]
    # Nobody is an ancestor along forbidden edges, and who causes is an ancestor.
    ancestor = jnp.maximum(jax.nn.sigmoid(state.ancestor), prob)
    paths = _possible(transitive_closure(possible), reach)
    ancestor = jnp.where(paths, ancestor, 0)
    off = ~jnp.eye(len(prob), dtype=bool)
    confounder = jnp.where(off, jax.nn.sigmoid(state.confounded), 0)
    score = jnp.full_like(prob[0, 0], jnp.nan)
    if config.reference is not None:
        reference = _cast(config.reference, prob.dtype)
        score = out_of_distribution.ood_score(state.inputs, reference)
    level = jnp.zeros_like(graphs[:, 0, 0], prob.dtype)
    return Posterior(
        edge_prob=prob,
        graphs=graphs,
        log_weight=level - math.log(len(graphs)),
        extra={
            "ancestor_prob": jnp.where(reach, 1, ancestor).astype(prob.dtype),
            "confounder_prob": confounder.astype(prob.dtype),
            "order": state.order,
            "target_prob": jax.nn.sigmoid(state.target),
            "ood_score": score,
        },
    )


def decide(prob: Array, threshold: ArrayLike, required: Array) -> Array:
    """The graph to show: which pairs are joined, then in their likelier direction.

    A pair is joined if P(i -> j) + P(j -> i) is above the threshold, so that an edge
    whose direction nobody can tell is not lost between its two halves. The likeliest
    edges come first; one that would close a cycle is turned if the other direction
    has a probability above half the threshold, and left out if not.

    Args:
      prob: ``[d, d]`` float.
      threshold: ``[]`` float.
      required: ``[d, d]`` bool, acyclic.

    Returns:
      ``[d, d]`` bool, acyclic.
    """
    joined = (prob + prob.T > threshold) & (prob > threshold / 2)
    return greedy_acyclic(jnp.where(joined, prob, 0), 0, required)


def _dtype_of(params):
    """The network computes in the type of its weights."""
    return jnp.result_type(jax.tree.leaves(params)[0])


def _cast(tree, dtype):
    def cast(leaf):
        leaf = jnp.asarray(leaf)
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def _temperature(problem, temperature):
    """By the number of variables and of rows, counting a row for its seen cells."""
    d, dtype = problem.x.shape[1], problem.x.dtype
    seen = problem.observed.mean(axis=1, dtype=dtype)
    rows = jnp.maximum(
        jnp.sum(jnp.where(problem.weight > 0, problem.weight, 0) * seen), 1
    )
    t0, t1, t2 = jnp.asarray(temperature, dtype)
    return jnp.exp(t0 + t1 * math.log(d / 20) + t2 * jnp.log(rows / 1000))


def _forward(allowed, required, state, config):
    """The network's raw beliefs, in the type of the problem."""
    inputs = _cast(state.inputs, _dtype_of(config.params))
    beliefs = config.network.edge_logits(
        config.params, inputs, allowed, required, config.network.config
    )
    return _cast(beliefs, state.sharpness.dtype)


def _possible(allowed, reach):
    """The allowed edges, or paths, that close no cycle with the paths there are."""
    return allowed & ~reach.T & ~jnp.eye(len(allowed), dtype=bool)


def _probabilities(logits, possible, required):
    """The softmax over (0, logits[i, j], logits[j, i]) of what is possible."""
    prob = pair_probabilities(jnp.where(possible, logits, -jnp.inf))
    return jnp.where(required, 1, jnp.where(possible, prob, 0)).astype(prob.dtype)


def _sample(key, state, config):
    """``[num_graphs, d, d]`` bool, acyclic, from the reveal loop."""
    d = len(state.allowed)
    one, other = jnp.triu_indices(d, 1)
    block = -(-len(one) // config.num_rounds)
    num_rounds = -(-len(one) // block)

    def pairs_to_matrix(pairs):
        upper = jnp.zeros_like(state.allowed).at[one, other].set(pairs)
        return upper | upper.T

    def draw(key, logits, decided, graph, reach):
        """Decides the most certain block of the undecided pairs, one after another."""
        prob = _probabilities(logits, _possible(state.allowed, reach), graph)
        forward, backward = prob[one, other], prob[other, one]
        certainty = jnp.maximum(jnp.maximum(forward, backward), 1 - forward - backward)
        block_pairs = jax.lax.top_k(jnp.where(decided, -1, certainty), block)[1]
        noise = jax.random.gumbel(key, (block, 3), logits.dtype)

        def decide(carry, drawn):
            decided, graph, reach = carry
            pair, noise = drawn
            i, j = one[pair], other[pair]
            possible = jnp.stack(
                [
                    jnp.ones_like(decided[0]),
                    state.allowed[i, j] & ~reach[j, i],
                    state.allowed[j, i] & ~reach[i, j],
                ]
            )
            options = jnp.stack(
                [jnp.zeros_like(logits[0, 0]), logits[i, j], logits[j, i]]
            )
            choice = jnp.argmax(jnp.where(possible, options + noise, -jnp.inf))
            edge = (choice > 0) & ~decided[pair]
            source, target = jnp.where(choice == 2, j, i), jnp.where(choice == 2, i, j)
            # Everything that reaches the source now reaches what the target reaches.
            before = reach[:, source].at[source].set(True)
            after = reach[target].at[target].set(True)
            return (
                decided.at[pair].set(True),
                graph.at[source, target].max(edge),
                reach | (edge & before[:, None] & after[None, :]),
            ), None

        start = (decided, graph, reach)
        return jax.lax.scan(decide, start, (block_pairs, noise))[0]

    def one_graph(number):
        graph_key = jax.random.fold_in(key, number)

        def reveal_and_draw(carry, turn):
            decided, graph, _ = carry
            allowed = (state.allowed & ~pairs_to_matrix(decided)) | graph
            beliefs = _forward(allowed, graph, state, config)
            turn_key = jax.random.fold_in(graph_key, turn)
            return draw(turn_key, beliefs.edge * state.sharpness, *carry), None

        open_pairs = (state.allowed | state.allowed.T) & ~state.required
        open_pairs = open_pairs & ~state.required.T
        reach = transitive_closure(state.required)
        # All samples begin with what the step has found.
        carry = draw(
            jax.random.fold_in(graph_key, 0),
            state.edge,
            ~open_pairs[one, other],
            state.required,
            reach,
        )
        return jax.lax.scan(reveal_and_draw, carry, jnp.arange(1, num_rounds))[0][1]

    # Batches of one size, so that the network is compiled once.
    num_batches = -(-config.num_graphs // _samples_at_once(d))
    size = -(-config.num_graphs // num_batches)
    numbers = jnp.arange(num_batches * size)
    return jax.lax.map(one_graph, numbers, batch_size=size)[: config.num_graphs]


KERNEL = Kernel(init, step, finalise, brief=True)
