"""DAG-GFlowNet: a network learns to draw DAGs in proportion to their weights.

A DAG is built edge by edge from the required ones, and any DAG on the way may be the
last. The network that chooses is trained until every edge it adds is in detailed
balance with the weights; it then draws independent graphs, of any number and without
burn-in. Its weights are products over variables, read from a table of all parent sets.

Source: Deleu et al. 2022, "Bayesian structure learning with generative flow networks".
What differs: the network is a small one that is told the gains of all edges and whose
outputs are flows (see ``policy.choose``), and all loops are parts of the program.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from causaljax.core.options import option
from causaljax.core.problem import label_free_places, like_data, take_variables
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree
from causaljax.graphs.dags import path_shares
from causaljax.graphs.edge_probabilities import known_edges
from causaljax.graphs.modular import NEVER
from causaljax.kernels.gflownet import environment, policy
from causaljax.kernels.gflownet.environment import Dag
from causaljax.scores import parent_sets

_LAST_RATE = 0.01  # the learning rate at the end, as a part of that at the start
_EXPLORING = 0.5  # the part of the run in which exploration falls from 1
_MEMORY = 0.99  # weight of the past, a step, in the running mean of the error
_BALANCED = 0.1  # nats, mean absolute error of the balance of a policy that will do
_TIED = 1e-2  # nats, what float32 may round a graph's weight by
_AT_ONCE = 1024  # graphs drawn side by side
_ADAM = optax.scale_by_adam(eps_root=1e-16)  # whose root has a derivative at 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(parent_sets.Config):
    """What parent sets are weighed by, and how the network learns.

    Each step adds an edge to ``num_environments`` graphs, or ends them and begins
    anew; an action is drawn uniformly from the legal ones with a probability that falls
    from 1 to ``exploration``. The last ``buffer_size`` transitions are kept, and the
    network, of two layers of ``hidden`` units, learns from ``batch_size`` of them a
    step. ``learning_rate`` is that of Adam at the start. The posterior holds
    ``num_graphs`` graphs with weights, of which its edge probabilities are the mean.
    """

    learning_rate: float = option(5e-3, above=0)
    exploration: float = option(0.01, least=0, below=1)
    hidden: int = option(256, least=1)
    num_environments: int = option(128, least=1)
    batch_size: int = option(256, least=1)
    buffer_size: int = option(16_384, least=1)
    num_graphs: int = option(10_000, least=1)
    num_steps: int = option(12_000, least=1)


class Transitions(NamedTuple):
    """Edges that were added; c of them."""

    dag: Dag  # leaves [c, d, d], before
    action: Array  # [c] int32


class State(NamedTuple):
    """What a step carries on to the next.

    Variables are in an order that does not depend on their labels.
    """

    step: Array  # [] int32
    policy: PyTree  # of ``policy.init_policy``
    moments: PyTree  # of the optimiser
    dags: Dag  # leaves [b, d, d], one an environment
    buffer: Transitions  # a ring of c
    count: Array  # [] int32, transitions seen so far
    error: Array  # [] float, running mean of the absolute error of the balance, nats
    table: Array  # [d, 2^d] float, log weights of parent sets over a good DAG's
    required: Array  # [d, d] bool
    places: Array  # [d] int32, where in that order the problem's variables are


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, the mean Huber loss of the balance
    balance_error: Array  # [] float, running mean of its absolute error, nats
    converged: Array  # [] bool, that error is small
    nonfinite: Array  # [] bool, the loss or its gradient is not finite


def init(key: Array, problem: Problem, config: Config) -> State:
    """Weighs all parent sets; the policy is random and the environments at their start.

    The time it takes and the memory grow as 2^d.
    """
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    dtype = problem.x.dtype
    # Relabelled variables give the relabelled answer, to the last bit.
    places = label_free_places(problem.x, problem.weight)
    order = jnp.argsort(places)
    ordered = take_variables(problem, order)
    start = environment.start(ordered.required)
    table = parent_sets.all_log_weights(ordered, parent_sets.take(config, order))
    table = _relative(table, start).astype(dtype)

    weights = policy.init_policy(key, d, config.hidden, dtype)
    nothing = jnp.zeros((), jnp.int32)
    ring = jnp.zeros((config.buffer_size, d, d), bool)
    begun = {
        "step": nothing,
        "policy": weights,
        "moments": _ADAM.init(weights),
        "buffer": Transitions(Dag(ring, ring), jnp.zeros(config.buffer_size, "int32")),
        "count": nothing,
        "error": jnp.zeros((), dtype),
    }
    dags = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (config.num_environments, d, d)), start
    )
    return State(
        **like_data(begun, table),
        dags=dags,
        table=table,
        required=ordered.required,
        places=places,
    )


def _relative(table, start):
    """Log weights of parent sets minus those of a good DAG's own.

    What is near the best has logarithms near 0, of which float32 has digits enough.
    """
    good = environment.greedy(start, table)
    own = environment.local_log_weights(good, table)
    # What is NaN stays so, and is flagged.
    return jnp.where(table < NEVER / 2, NEVER, table - own[:, None])


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """An action in every environment, and a step of Adam on old transitions."""
    del problem
    act_key, batch_key = jax.random.split(key)
    dtype = state.table.dtype
    progress = state.step.astype(dtype) / config.num_steps
    least = jnp.asarray(config.exploration, dtype)
    exploration = jnp.maximum(1 - progress / _EXPLORING, least)
    dags, buffer, count = _act(act_key, state, exploration)

    kept = jnp.clip(count, 1, config.buffer_size)
    rows = jax.random.randint(batch_key, (config.batch_size,), 0, kept, jnp.int32)
    batch = jax.tree.map(lambda leaf: leaf[rows], buffer)
    num_required = state.required.sum(dtype=jnp.int32)

    def loss_of(weights):
        gaps = jax.vmap(lambda one: _gap(weights, one, state.table, num_required))(
            batch
        )
        # There is nothing to learn from before the first transition.
        gaps = jnp.where(count > 0, gaps, 0)
        return optax.losses.huber_loss(gaps).mean(), jnp.abs(gaps).mean()

    found = jax.value_and_grad(loss_of, has_aux=True)(state.policy)
    (loss, error), gradient = found
    finite = jnp.isfinite(state.table).all() & jnp.isfinite(loss)
    for leaf in jax.tree.leaves(gradient):
        finite = finite & jnp.isfinite(leaf).all()
    update, moments = _ADAM.update(gradient, state.moments)
    falling = _LAST_RATE + (1 - _LAST_RATE) * (1 + jnp.cos(jnp.pi * progress)) / 2
    rate = (config.learning_rate * falling).astype(dtype)
    weights = jax.tree.map(lambda leaf, by: leaf - rate * by, state.policy, update)

    first = state.step == 0
    error = jnp.where(first, error, _MEMORY * state.error + (1 - _MEMORY) * error)
    state = state._replace(
        step=state.step + 1,
        policy=weights,
        moments=moments,
        dags=dags,
        buffer=buffer,
        count=count,
        error=error,
    )
    info = Info(
        loss=loss,
        balance_error=error,
        converged=finite & (error < _BALANCED),
        nonfinite=~finite,
    )
    return state, info


def _act(key, state, exploration):
    """An action in each environment; edges that were added go to the buffer."""
    explore_key, draw_key = jax.random.split(key)
    table, dags = state.table, state.dags
    d, dtype = len(table), table.dtype
    log_prob = jax.vmap(lambda dag: policy.choose(state.policy, dag, table))(
        dags
    ).log_prob
    uniform = jnp.where(jnp.isfinite(log_prob), 0, -jnp.inf).astype(dtype)
    explores = jax.random.uniform(explore_key, log_prob[:, :1].shape, dtype)
    log_prob = jnp.where(explores < exploration, uniform, log_prob)
    action = jax.random.categorical(draw_key, log_prob, axis=1).astype(jnp.int32)
    grown = action < d * d

    # A place beyond the end of the ring is no place: nothing is written there.
    size = len(state.buffer.action)
    place = (state.count + jnp.cumsum(grown, dtype=jnp.int32) - 1) % size
    place = jnp.where(grown, place, size)
    buffer = jax.tree.map(
        lambda ring, new: ring.at[place].set(new, mode="drop"),
        state.buffer,
        Transitions(dags, action),
    )
    begin = environment.start(state.required)

    def move(dag, action, grown):
        dag = environment.add_edge(dag, action // d % d, action % d, grown)
        return jax.tree.map(lambda new, old: jnp.where(grown, new, old), dag, begin)

    dags = jax.vmap(move)(dags, action, grown)
    return dags, buffer, state.count + grown.sum(dtype=jnp.int32)


def _gap(weights, transition, table, num_required):
    """The error of the balance at one transition, ``[]`` float."""
    dag, action = transition
    d = len(table)
    after = environment.add_edge(dag, action // d, action % d, True)
    return policy.balance(
        policy.choose(weights, dag, table),
        policy.choose(weights, after, table),
        action,
        _num_added(after, num_required, table.dtype),
    )


def _num_added(dag, num_required, dtype):
    """Edges that are not required, at least 1, as a float."""
    number = dag.graph.sum(dtype=jnp.int32) - num_required
    return jnp.maximum(number, 1).astype(dtype)


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """Graphs drawn from the policy, with weights that undo its errors.

    A graph's weight is u = R(G) P_B(path) / P_F(path), where the path is that by which
    it was drawn. Means with these weights tend to the exact ones as s grows, however
    badly the policy is trained.

    ``extra`` has ``path_prob``, ``[d, d]``, the weighted share of the graphs with a
    directed path; ``map_graph``, ``[d, d]`` bool, the one of the largest posterior
    probability among those drawn; ``balance_error``, ``[]``, the running mean of the
    absolute error of the detailed balance in training, nats; and
    ``effective_sample_size``, ``[]``: (sum u)^2 / sum u^2, which is s for a policy in
    balance.
    """
    keys = jax.random.split(key, config.num_graphs)
    graphs, logs, worth = jax.lax.map(
        lambda key: _draw(key, state), keys, batch_size=min(_AT_ONCE, len(keys))
    )
    graphs = graphs[:, state.places][:, :, state.places]
    logs = jax.nn.log_softmax(logs)
    shares = jnp.exp(logs)
    probability = (shares[:, None, None] * graphs.astype(shares.dtype)).sum(axis=0)
    return Posterior(
        edge_prob=known_edges(jnp.clip(probability, 0, 1), problem),
        graphs=graphs,
        log_weight=logs,
        extra={
            "path_prob": path_shares(graphs, logs),
            # Members of a class are alike but for rounding: the first of them.
            "map_graph": graphs[jnp.argmax(worth > worth.max() - _TIED)],
            "balance_error": state.error,
            "effective_sample_size": jnp.exp(-jax.nn.logsumexp(2 * logs)),
        },
    )


class _Path(NamedTuple):
    """A graph that is being drawn."""

    dag: Dag
    length: Array  # [] int32, actions taken
    going: Array  # [] bool
    log_ratio: Array  # [] float, log R(s) P_B / P_F of the path so far


def _draw(key, state):
    """A graph from the policy, its path's log R P_B / P_F, and log R."""
    table, d = state.table, len(state.table)
    num_required = state.required.sum(dtype=jnp.int32)

    def act(path):
        choice = policy.choose(state.policy, path.dag, table)
        logits = choice.log_prob
        action = jax.random.categorical(jax.random.fold_in(key, path.length), logits)
        grown = action < d * d
        dag = environment.add_edge(path.dag, action // d % d, action % d, grown)
        back = jnp.log(_num_added(dag, num_required, table.dtype))
        gained = choice.gain[action] - logits[action] - jnp.where(grown, back, 0)
        return _Path(dag, path.length + 1, grown, path.log_ratio + gained)

    nothing = jnp.zeros_like(table[0, 0])
    begun = _Path(
        environment.start(state.required),
        nothing.astype(jnp.int32),
        nothing == 0,
        nothing,
    )
    most = d * (d - 1) // 2 + 1  # actions of a full graph; of NaN there is no end

    def unfinished(path):
        return path.going & (path.length < most)

    path = jax.lax.while_loop(unfinished, act, begun)
    worth = environment.local_log_weights(path.dag, table).sum()
    return path.dag.graph, path.log_ratio, worth


KERNEL = Kernel(init, step, finalise)
