"""The pruning kernel, against effects known in closed form and against its start."""

import dataclasses
import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax import AmortizedDAG, NeuralDAG, simulate
from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs.dags import is_acyclic, transitive_closure
from causaljax.graphs.metrics import shd
from causaljax.kernels.neural import pruning

CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
SURPLUS = np.where(np.triu(np.ones((3, 3)), 1), 0.5, 0.0).astype("float32")
CONFIG = pruning.Config(start=SURPLUS, hidden=6, num_iterations=20)
NOISE = np.array([1.0, 0.5, 0.2])
WEIGHTS = np.array([[0, 1.5, 0], [0, 0, 2.0], [0, 0, 0]])


def chain(n=3000, seed=0, curved=False):
    """x -> y -> z, no x -> z, and rows of interventions on y."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, 3)) * NOISE
    hit = np.zeros((n, 3), bool)
    hit[::4, 1] = True
    x = noise[:, 0]
    cause = np.sin(2 * x) if curved else WEIGHTS[0, 1] * x
    y = np.where(hit[:, 1], rng.normal(2, 1, n), cause + noise[:, 1])
    z = (y**2 if curved else WEIGHTS[1, 2] * y) + noise[:, 2]
    return np.stack([x, y, z], axis=1), hit


def problem_of(table, hit, **knowledge):
    x = (table - table.mean(axis=0)) / table.std(axis=0)
    return make_problem(x.astype("float32"), intervened=hit, **knowledge)


def fit(problem, config=CONFIG, seed=0):
    answer = run.run(pruning.KERNEL, jax.random.key(seed), problem, config)
    return jax.tree.map(np.asarray, answer)


def test_effects_of_linear_edges_are_known():
    """Slopes are w_ij sd_i / sd_j, noises s_j / sd_j, on standardised columns."""
    table, hit = chain()
    posterior, info = fit(problem_of(table, hit))
    sd = table.std(axis=0)
    noise = NOISE / sd
    np.testing.assert_allclose(posterior.extra["noise"], noise, rtol=0.05)
    slopes = np.abs(WEIGHTS) * sd[:, None] / sd[None, :]
    expected = slopes * (noise[:, None] / noise[None, :]) ** 0.75
    effects = posterior.extra["effects"]
    np.testing.assert_allclose(effects[CHAIN], expected[CHAIN], rtol=0.1)
    assert effects[0, 2] < 0.1
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)
    # Beforehand the edges were as likely as not: the bar, and how many pass it, decide.
    candidate = SURPLUS > 0
    bar = np.sqrt(CONFIG.min_effect**2 + 7 / 3000)
    share = (posterior.edge_prob[candidate].sum() + 1) / (candidate.sum() + 2)
    odds = (effects[candidate] / bar) ** 4 * share / (1 - share)
    np.testing.assert_allclose(
        posterior.edge_prob[candidate], odds / (1 + odds), rtol=1e-3
    )
    share = (~hit).mean(axis=0)
    nats = share @ (np.log(noise) + 0.5 * np.log(2 * np.pi) + 0.5)
    price = 2 * 3.5 * np.log(3000) / 3000
    assert info.loss == pytest.approx(nats + price, abs=0.02)


def test_curves_are_followed():
    posterior, _ = fit(problem_of(*chain(curved=True)))
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)
    assert posterior.edge_prob[0, 2] < 0.1


def test_a_large_table_is_thinned_out_by_weight():
    table, hit = chain(6000)
    config = dataclasses.replace(CONFIG, num_rows=1500)
    problem = problem_of(table, hit)
    # The second half is spoilt, and weighs nothing.
    spoilt = problem.x.at[3000:].set(problem.x[3000:][::-1, jnp.array([2, 0, 1])])
    weight = jnp.where(jnp.arange(6000) < 3000, 2.0, 0.0)
    posterior, _ = fit(problem._replace(x=spoilt, weight=weight), config)
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)
    state = pruning.init(jax.random.key(0), problem._replace(weight=weight), config)
    assert state.rows.shape == (1500,)
    assert (state.rows < 3000).all()
    assert state.weight.sum() == pytest.approx(6000, rel=1e-4)


@pytest.mark.parametrize("curved", [True, False])
def test_edges_are_turned_where_interventions_say_so(curved):
    """Begun with all edges the wrong way; rows of every intervention tell."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000) * NOISE[0]
    hit = np.arange(3000)[:, None] % 4 == np.arange(1, 4)[None, :]
    done = rng.normal(2, 1, (3000, 3))
    x = np.where(hit[:, 0], done[:, 0], x)
    y = (np.sin(2 * x) if curved else 1.5 * x) + rng.normal(size=3000) * NOISE[1]
    y = np.where(hit[:, 1], done[:, 1], y)
    z = (y**2 if curved else 2 * y) + rng.normal(size=3000) * NOISE[2]
    z = np.where(hit[:, 2], done[:, 2], z)
    problem = problem_of(np.stack([x, y, z], axis=1), hit)
    config = dataclasses.replace(CONFIG, start=SURPLUS.T + 0.4 * SURPLUS)
    posterior, info = fit(problem, config)
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)
    np.testing.assert_array_equal(posterior.edge_prob > 0.5, CHAIN)
    assert info.converged
    still = fit(problem, dataclasses.replace(config, num_steps=1))[0].graphs[0]
    assert not (still & CHAIN).any()
    # Neither what the start was sure of nor knowledge is turned.
    sure = dataclasses.replace(config, start=SURPLUS.T)
    assert not (fit(problem, sure)[0].graphs[0] & CHAIN).any()
    for given in ({"required": CHAIN.T}, {"allowed": ~CHAIN & ~np.eye(3, dtype=bool)}):
        bound = problem_of(np.stack([x, y, z], axis=1), hit, **given)
        assert not (fit(bound, config)[0].graphs[0] & CHAIN).any()


def test_of_many_candidates_of_a_child_with_little_noise_just_causes_stay():
    """Beside little noise all slopes are large: what it costs to do without decides."""
    draw = functools.partial(
        simulate.dcdi_table,
        mechanism="network",
        num_variables=16,
        edges_per_variable=4,
        num_rows=2000,
    )
    problem, truth = jax.jit(draw)(jax.random.key(3))
    graph = np.asarray(truth.graph)
    child = graph.sum(axis=0).argmax()
    others = ~graph[:, child] & ~np.asarray(transitive_closure(graph))[child]
    others[child] = False
    causes, others = np.flatnonzero(graph[:, child]), np.flatnonzero(others)[:5]
    assert (len(causes), len(others)) == (7, 5)
    columns = [*causes, *others, child]
    start = np.zeros((13, 13), "float32")
    start[:12, 12] = 0.5
    table, hit = np.asarray(problem.x), np.asarray(problem.intervened)
    config = pruning.Config(start=start, hidden=8)
    posterior, _ = fit(problem_of(table[:, columns], hit[:, columns]), config)
    found = posterior.graphs[0][:12, 12]
    assert (found != (np.arange(12) < 7)).sum() <= 1


def test_a_variable_moves_behind_two_at_once():
    """Alone, one edge turned closes a cycle, and the other makes things worse."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3000))
    z = x + (y + 0.7) ** 2 + 0.1 * rng.normal(size=3000)
    truth = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    # Begun with z -> x, z -> y and x -> y.
    start = np.array([[0, 0.3, 0.3], [0, 0, 0.3], [0.9, 0.9, 0]], "float32")
    config = dataclasses.replace(CONFIG, start=start)
    table = np.column_stack([x, y, z])
    posterior, _ = fit(problem_of(table, np.zeros(table.shape, bool)), config)
    np.testing.assert_array_equal(posterior.graphs[0], truth)


def test_knowledge_is_obeyed_against_the_data():
    allowed, required = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    allowed[0, 1] = False
    required[2, 0] = True
    posterior, _ = fit(problem_of(*chain(), allowed=allowed, required=required))
    graph = posterior.graphs[0]
    assert graph[2, 0]
    assert not graph[0, 1]
    assert is_acyclic(graph)
    assert posterior.edge_prob[2, 0] == 1
    assert posterior.edge_prob[0, 1] == posterior.edge_prob[0, 2] == 0


def test_what_was_believed_moves_the_bar():
    problem = problem_of(*chain())
    bar = float(fit(problem)[0].extra["effects"][0, 1])
    config = dataclasses.replace(CONFIG, min_effect=1.2 * bar)
    assert not fit(problem, config)[0].graphs[0][0, 1]
    sure = SURPLUS.copy()
    sure[0, 1] = 0.99
    assert fit(problem, dataclasses.replace(config, start=sure))[0].graphs[0][0, 1]
    deaf = dataclasses.replace(config, start=sure, prior_weight=0.0)
    assert not fit(problem, deaf)[0].graphs[0][0, 1]


def test_only_the_likeliest_candidates_are_looked_at():
    start = SURPLUS.copy()
    start[0, 2] = 0.9  # y -> z, which is true, comes second
    config = dataclasses.replace(CONFIG, start=start, max_parents=1)
    graph = fit(problem_of(*chain()), config)[0].graphs[0]
    np.testing.assert_array_equal(graph, [[0, 1, 1], [0, 0, 0], [0, 0, 0]])


def test_one_column_is_no_trouble():
    x = np.random.default_rng(0).normal(size=(40, 1)).astype("float32")
    posterior, info = fit(make_problem(x), dataclasses.replace(CONFIG, start=None))
    assert not posterior.graphs.any()
    assert info.converged


@pytest.mark.slow
def test_dense_curved_graphs_are_found_better_than_by_the_start():
    problem, truth = simulate.dcdi_table(
        jax.random.key(3),
        mechanism="nonadditive_network",
        num_variables=8,
        edges_per_variable=3,
        num_rows=3000,
    )
    table, hit = np.asarray(problem.x), np.asarray(problem.intervened)
    graph = np.asarray(truth.graph)
    neural = NeuralDAG(num_updates=50).fit(table, interventions=hit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # raw columns may look strange to the network
        start = AmortizedDAG().fit(table, interventions=hit)
    ours = int(shd(graph, neural.adjacency_.to_numpy() > 0))
    theirs = int(shd(graph, start.adjacency_.to_numpy() > 0))
    assert ours <= 0.15 * graph.sum()
    assert ours < theirs
