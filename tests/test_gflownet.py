"""The sampler that is learned, against every DAG by itself."""

import dataclasses
import functools

import jax
import networkx as nx
import numpy as np
import pytest

from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs.modular import NEVER
from causaljax.kernels import gflownet
from causaljax.kernels.gflownet import environment, policy
from causaljax.scores import parent_sets

CONFIG = gflownet.Config(
    learning_rate=0.01, hidden=32, num_environments=32, batch_size=64, num_steps=1000
)


def random_table(d, spread, seed=0):
    """Log weights of parent sets, the best DAG's near 0."""
    table = spread * np.random.default_rng(seed).normal(size=(d, 2**d))
    own = np.arange(2**d)[None, :] >> np.arange(d)[:, None] & 1
    return np.where(own, NEVER, table - table.max())


def random_dag(rng, d, share):
    """``[d, d]`` bool."""
    order = rng.permutation(d)
    return np.triu(rng.random((d, d)) < share, k=1)[np.ix_(order, order)]


def sets_of(graph):
    return (graph * (1 << np.arange(len(graph)))[:, None]).sum(axis=0)


def weigh(graph, table):
    return table[np.arange(len(graph)), sets_of(graph)].sum()


def with_edge(graph, i, j):
    longer = graph.copy()
    longer[i, j] = True
    return longer


def additions(graph, table):
    """The edges that can be added, by trying each."""
    d = len(graph)
    for i, j in np.ndindex(d, d):
        if i != j and not graph[i, j] and weigh(with_edge(graph, i, j), table) > -1e11:
            pairs = list(np.argwhere(with_edge(graph, i, j)))
            if nx.is_directed_acyclic_graph(nx.DiGraph(pairs)):
                yield i, j


@jax.jit
def looked_at(graph, table):
    dag = environment.start(graph)
    return environment.edges(dag, table), environment.local_log_weights(dag, table)


@jax.jit
def grown(graph, edges, added):
    """The DAG after edges were added one by one."""

    def add(dag, one):
        edge, added = one
        return environment.add_edge(dag, edge[0], edge[1], added), None

    return jax.lax.scan(add, environment.start(graph), (edges, added))[0]


def test_legal_edges_are_those_that_close_no_cycle():
    rng = np.random.default_rng(0)
    table = random_table(5, 3.0).astype(np.float32)
    table[2, rng.choice(32, 8)] = NEVER
    table[2, 0] = 0.0
    seen = 0
    for _ in range(60):
        graph = random_dag(rng, 5, rng.uniform(0.1, 0.9))
        if weigh(graph, table) < NEVER / 2:
            continue
        edges, local = looked_at(graph, table)
        expected = np.zeros((5, 5), bool)
        for i, j in additions(graph, table):
            expected[i, j] = True
            gain = weigh(with_edge(graph, i, j), table) - weigh(graph, table)
            assert edges.gain[i, j] == pytest.approx(gain, abs=1e-4)
        np.testing.assert_array_equal(edges.legal, expected)
        assert not np.asarray(edges.gain)[~expected].any()
        assert np.asarray(local).sum() == pytest.approx(weigh(graph, table), abs=1e-4)
        seen += 1
    assert seen > 20


def test_closure_follows_the_edges_that_are_added():
    rng = np.random.default_rng(1)
    for _ in range(20):
        graph = random_dag(rng, 5, 0.8)
        edges = rng.permutation(np.argwhere(graph))
        added = rng.random(len(edges)) < 0.7
        # All of one length, for one program: the rest is not added.
        rest = np.ones((10 - len(edges), 2), int)
        edges = np.concatenate([edges, rest]).astype(np.int32)
        added = np.append(added, np.zeros(len(rest), bool))
        dag = grown(np.zeros((5, 5), bool), edges, added)
        expected = np.zeros((5, 5), bool)
        expected[tuple(edges[added].T)] = True
        np.testing.assert_array_equal(dag.graph, expected)
        closure = nx.transitive_closure(nx.DiGraph(list(np.argwhere(expected))))
        reach = np.zeros((5, 5), bool)
        reach[tuple(np.array([*closure.edges], int).reshape(-1, 2).T)] = True
        np.testing.assert_array_equal(dag.reach, reach)


def exact_policy(table):
    """The log probabilities of all actions at every DAG, by flows from the last on."""
    d = len(table)
    choices, logs = {}, {}

    def visit(graph):
        key = graph.tobytes()
        if key not in logs:
            num_edges, stop = graph.sum() + 1, weigh(graph, table)
            flows = np.full(d * d + 1, -np.inf)
            gain = np.zeros(d * d + 1)
            for i, j in additions(graph, table):
                longer = with_edge(graph, i, j)
                flows[i * d + j] = visit(longer) - np.log(num_edges)
                gain[i * d + j] = weigh(longer, table) - stop
            flows[-1] = stop
            logs[key] = np.logaddexp.reduce(flows)
            choices[key] = graph, policy.Choice(flows - logs[key], gain)
        return logs[key]

    return visit(np.zeros((d, d), bool)), choices


def all_gaps(choices):
    """The error of the balance at every transition."""
    num = []
    for graph, choice in choices.values():
        for action in np.flatnonzero(np.isfinite(choice.log_prob[:-1])):
            longer = with_edge(graph, *divmod(action, len(graph)))
            after = choices[longer.tobytes()][1]
            num.append((choice, after, action, float(longer.sum())))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *num)
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(policy.balance))(*stacked))


@functools.cache
def exact(d=3, spread=2.0):
    """A table, the exact policy, every DAG and its probability."""
    table = random_table(d, spread)
    total, choices = exact_policy(table)
    graphs = np.stack([graph for graph, _ in choices.values()])
    prob = np.exp([weigh(graph, table) - total for graph in graphs])
    return table, choices, graphs, prob


def test_balance_is_that_of_the_exact_policy_alone():
    _, choices, graphs, prob = exact()
    assert len(graphs) == 25
    # The flow that leaves the start is all there is, so that the policy is exact.
    assert prob.sum() == pytest.approx(1)
    gaps = all_gaps(choices)
    assert len(gaps) == graphs.sum()  # each edge of each DAG was added once
    np.testing.assert_allclose(gaps, 0, atol=1e-10)
    rng = np.random.default_rng(0)
    empty = np.zeros((3, 3), bool)
    for key in (empty.tobytes(), with_edge(empty, 0, 1).tobytes()):
        graph, choice = choices[key]
        logits = choice.log_prob + 0.1 * rng.normal(size=10)
        other = logits - np.logaddexp.reduce(logits)
        changed = choices | {key: (graph, choice._replace(log_prob=other))}
        assert np.abs(all_gaps(changed)).max() > 0.02


def test_policy_is_a_distribution_of_legal_actions():
    table = random_table(3, 2.0).astype(np.float32)
    network = policy.init_policy(jax.random.key(0), 3, 8, np.float32)
    choose = jax.jit(policy.choose)
    _, choices, graphs, _ = exact()
    for graph in graphs:
        choice = choose(
            network, jax.tree.map(np.asarray, environment.start(graph)), table
        )
        known = choices[graph.tobytes()][1]
        np.testing.assert_array_equal(
            np.isfinite(choice.log_prob), np.isfinite(known.log_prob)
        )
        assert np.exp(choice.log_prob).sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(choice.gain, known.gain, atol=1e-5)
        # At the start all flows are above those of the exact policy.
        assert choice.log_prob[-1] <= known.log_prob[-1] + 1e-5


@pytest.fixture(scope="module")
def fitted():
    """A problem of three variables, what was learned, and the exact answer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    x[:, 1] += 0.5 * x[:, 0]
    x[:, 2] += 0.4 * x[:, 1]
    problem = make_problem(x.astype(np.float32))
    posterior, info = run.run(gflownet.KERNEL, jax.random.key(0), problem, CONFIG)
    return problem, jax.tree.map(np.asarray, posterior), info


log_weights = jax.jit(parent_sets.all_log_weights)


def exact_edges(problem):
    """``[d, d]`` probabilities, from every DAG."""
    table = np.asarray(log_weights(problem, parent_sets.Config()), np.float64)
    table = np.where(table > NEVER / 2, table - table.max(), NEVER)
    _, _, graphs, _ = exact()
    logs = np.array([weigh(graph, table) for graph in graphs])
    prob = np.exp(logs - logs.max())
    return (graphs * (prob / prob.sum())[:, None, None]).sum(axis=0)


def weighted_error(problem, posterior):
    """The largest error of edge probabilities with importance weights."""
    importance = np.exp(np.asarray(posterior.log_weight, np.float64))
    assert importance.sum() == pytest.approx(1, abs=1e-4)
    found = np.einsum("s,sij->ij", importance, np.asarray(posterior.graphs))
    return np.abs(found - exact_edges(problem)).max()


def test_edge_probabilities_are_the_exact_ones(fitted):
    problem, posterior, info = fitted
    np.testing.assert_allclose(posterior.edge_prob, exact_edges(problem), atol=0.03)
    assert info.converged
    num = len(posterior.graphs)
    assert 0.9 * num < posterior.extra["effective_sample_size"] <= num + 1
    plain = posterior.graphs.mean(axis=0)
    np.testing.assert_allclose(posterior.edge_prob, plain, atol=0.03)
    assert weighted_error(problem, posterior) < 0.03


def test_edge_probabilities_obey_knowledge(fitted):
    problem, before, _ = fitted
    required, allowed = np.zeros((3, 3), bool), ~np.eye(3, dtype=bool)
    required[2, 0] = True  # against the weights
    allowed[1, 2] = False
    assert before.edge_prob[2, 0] < 0.3
    assert before.edge_prob[1, 2] > 0.1
    known = problem._replace(required=required, allowed=allowed)
    posterior, _ = run.run(gflownet.KERNEL, jax.random.key(0), known, CONFIG)
    assert np.asarray(posterior.graphs)[:, 2, 0].all()
    assert not np.asarray(posterior.graphs)[:, 1, 2].any()
    np.testing.assert_allclose(posterior.edge_prob, exact_edges(known), atol=0.03)


def test_an_untrained_policy_says_so(fitted):
    problem, *_ = fitted
    config = dataclasses.replace(CONFIG, learning_rate=1e-9)
    posterior, info = run.run(gflownet.KERNEL, jax.random.key(0), problem, config)
    assert not info.converged
    assert posterior.extra["effective_sample_size"] < config.num_graphs / 2
    plain = np.abs(posterior.graphs.mean(axis=0) - exact_edges(problem)).max()
    assert weighted_error(problem, posterior) < plain / 2


def test_weights_that_are_no_numbers_come_to_an_end(fitted):
    problem, *_ = fitted
    broken = problem._replace(x=np.full(problem.x.shape, np.nan, np.float32))
    config = dataclasses.replace(CONFIG, num_steps=2)
    _, info = run.run(gflownet.KERNEL, jax.random.key(0), broken, config)
    assert info.nonfinite
