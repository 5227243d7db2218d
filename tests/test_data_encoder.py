"""The encoder of tables: its symmetries, gaps, knowledge, and that it can learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from causaljax.nets import data_encoder
from causaljax.nets.data_encoder import NetworkConfig
from causaljax.simulate import (
    draw_targets,
    erdos_renyi,
    perfect_intervention,
    simulate_linear,
)

SMALL = NetworkConfig(width=16, num_blocks=2, num_heads=2)
CHUNKED = NetworkConfig(width=16, num_blocks=2, num_heads=2, row_chunk=16)
ROWS, SIZE = 40, 5


@pytest.fixture(scope="module")
def problem():
    graph_key, target_key, data_key, gap_key = jax.random.split(jax.random.key(1), 4)
    graph = erdos_renyi(graph_key, SIZE, 1)
    targets = draw_targets(target_key, SIZE, 3, 1)
    problem, _ = simulate_linear(
        data_key, graph, ROWS, intervention=perfect_intervention(targets, 2.0, 0.5)
    )
    observed = jax.random.uniform(gap_key, problem.x.shape) > 0.1
    return problem._replace(observed=observed)


@functools.cache
def params_of(config):
    return jax.jit(data_encoder.init_params, static_argnums=1)(
        jax.random.key(0), config
    )


@functools.partial(jax.jit, static_argnums=1)
def answer(problem, config, params):
    inputs = data_encoder.inputs(problem, config)
    return data_encoder.edge_logits(
        params, inputs, problem.allowed, problem.required, config
    )


def believe(problem, config):
    return jax.tree.map(np.asarray, answer(problem, config, params_of(config)))


def assert_close(one, two, atol=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), one, two)


def padded(problem, places):
    """The problem with rows of weight 0 and wild cells inserted."""

    def widen(array, value):
        return jnp.asarray(np.insert(np.asarray(array), places, value, axis=0))

    return problem._replace(
        x=widen(problem.x, 1e6),
        observed=widen(problem.observed, True),
        intervened=widen(problem.intervened, True),
        regime=widen(problem.regime, -1),
        weight=widen(problem.weight, 0),
    )


def rows_of(problem, order):
    rows = {
        name: getattr(problem, name)[order]
        for name in ("x", "observed", "intervened", "regime", "weight")
    }
    return problem._replace(**rows)


def test_shapes(problem):
    beliefs = believe(problem, SMALL)
    assert beliefs.edge.shape == beliefs.ancestor.shape == (SIZE, SIZE)
    assert beliefs.order.shape == beliefs.target.shape == (SIZE,)
    assert all(np.isfinite(leaf).all() for leaf in beliefs)
    assert all(leaf.dtype == np.float32 for leaf in beliefs)


@pytest.mark.parametrize("config", [SMALL, CHUNKED], ids=["one chunk", "chunks"])
def test_relabelling_variables_relabels_beliefs(problem, config):
    required = problem.required.at[0, 1].set(True)
    order = np.array([3, 0, 4, 2, 1])
    moved = problem._replace(
        x=problem.x[:, order],
        observed=problem.observed[:, order],
        intervened=problem.intervened[:, order],
        required=required[order][:, order],
    )
    beliefs = believe(problem._replace(required=required), config)
    expected = jax.tree.map(
        lambda leaf: leaf[order] if leaf.ndim == 1 else leaf[order][:, order], beliefs
    )
    assert_close(believe(moved, config), expected)


def test_order_of_rows_does_not_matter(problem):
    order = np.random.default_rng(0).permutation(ROWS)
    assert_close(believe(rows_of(problem, order), SMALL), believe(problem, SMALL))


@pytest.mark.parametrize("config", [SMALL, CHUNKED], ids=["one chunk", "chunks"])
@pytest.mark.parametrize("places", [[ROWS] * 9, [0, 5, 30]], ids=["end", "between"])
def test_padding_changes_nothing(problem, config, places):
    beliefs = believe(padded(problem, places), config)
    assert_close(beliefs, believe(problem, config))


def test_padding_may_add_a_chunk(problem):
    beliefs = believe(padded(problem, [ROWS] * 30), CHUNKED)
    assert_close(beliefs, believe(problem, CHUNKED))


def test_a_weight_is_a_number_of_rows(problem):
    twice = problem._replace(weight=problem.weight.at[3].set(2.0))
    copied = rows_of(problem, np.array([*range(ROWS), 3]))
    assert_close(believe(twice, SMALL), believe(copied, SMALL))


def test_units_do_not_matter(problem):
    scale = jnp.array([[1e-3, 1.0, 50.0, 1e5, 1e25]])
    offset = jnp.array([[0.01, -2.0, 0.0, 1e5, 0.0]])
    moved = problem._replace(x=problem.x * scale + offset)
    assert_close(believe(moved, SMALL), believe(problem, SMALL), atol=1e-3)


def test_the_filler_of_a_gap_does_not_matter(problem):
    filled = problem._replace(x=jnp.where(problem.observed, problem.x, 1e9))
    assert_close(believe(filled, SMALL), believe(problem, SMALL))


def test_odd_columns_are_survived(problem):
    odd = problem._replace(
        x=problem.x.at[:, 0].set(7.3).at[:, 1].set(problem.x[:, 2]),
        observed=problem.observed.at[:, 3].set(False),
    )
    beliefs = believe(odd, SMALL)
    assert all(np.isfinite(leaf).all() for leaf in beliefs)
    # A column of which nothing is known looks the same with padding rows about.
    assert_close(believe(padded(odd, [ROWS] * 9), SMALL), beliefs)


def test_interventions_and_values_matter(problem):
    beliefs = believe(problem, SMALL)
    untold = problem._replace(intervened=jnp.zeros_like(problem.intervened))
    assert np.abs(believe(untold, SMALL).edge - beliefs.edge).max() > 1e-3
    other = problem._replace(x=problem.x.at[:, 0].set(problem.x[::-1, 0]))
    assert np.abs(believe(other, SMALL).edge - beliefs.edge).max() > 1e-3


def test_knowledge_moves_the_pairs_it_speaks_of(problem):
    plain = believe(problem, SMALL).edge
    told = problem._replace(
        required=problem.required.at[0, 1].set(True),
        allowed=problem.allowed.at[2, 3].set(False),
    )
    change = believe(told, SMALL).edge - plain
    assert change[0, 1] > 1
    assert change[1, 0] < -1
    assert change[2, 3] < -1
    rest = np.ones((SIZE, SIZE), bool)
    rest[[0, 1, 2, 3], [1, 0, 3, 2]] = False
    assert np.abs(change[rest]).max() == 0


def test_width_must_hold_the_heads():
    with pytest.raises(ValueError, match="multiple of num_heads"):
        data_encoder.init_params(jax.random.key(0), NetworkConfig(width=10))


def test_float64_tables_are_read_in_float32(problem, x64):
    wide = problem._replace(
        x=problem.x.astype(jnp.float64), weight=problem.weight.astype(jnp.float64)
    )
    inputs = data_encoder.inputs(wide, SMALL)
    assert inputs.cells.dtype == inputs.weight.dtype == jnp.float32


def pair_loss(edge, graph):
    """Cross entropy of the three cases a pair has."""
    logits = jnp.stack([jnp.zeros_like(edge), edge, edge.T], axis=-1)
    case = jnp.where(graph, 1, jnp.where(graph.T, 2, 0))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, case)
    above = jnp.triu(jnp.ones_like(graph), 1)
    return losses.mean(where=above)


def tables(num_tables, size, num_rows):
    """Inputs and graphs of simulated tables, stacked."""
    stacked = []
    for key in jax.random.split(jax.random.key(5), num_tables):
        graph_key, data_key = jax.random.split(key)
        graph = erdos_renyi(graph_key, size, 1)
        problem, truth = simulate_linear(data_key, graph, num_rows, scaling="internal")
        stacked.append((problem, truth.graph))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacked)


def test_gradients_are_finite(problem):
    odd = problem._replace(
        x=problem.x.at[:, 0].set(1.0),
        observed=problem.observed.at[:, 3].set(False).at[0].set(False),
    )
    odd = padded(odd, [0, ROWS])
    odd = odd._replace(allowed=odd.allowed.at[1, 2].set(False))
    odd = odd._replace(required=odd.required.at[0, 1].set(True))
    graph = jnp.zeros((SIZE, SIZE), bool).at[0, 1].set(True)

    @jax.jit
    def gradients(params, x):
        def loss(params, x):
            inputs = data_encoder.inputs(odd._replace(x=x), CHUNKED)
            beliefs = data_encoder.edge_logits(
                params, inputs, odd.allowed, odd.required, CHUNKED
            )
            helpers = beliefs.ancestor.sum() + beliefs.order.sum()
            return pair_loss(beliefs.edge, graph) + helpers + beliefs.target.sum()

        return jax.grad(loss, argnums=(0, 1))(params, x)

    of_params, of_x = gradients(params_of(CHUNKED), odd.x)
    leaves = jax.tree.leaves((of_params, of_x))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(of_params["heads"]))
    assert (of_x != 0).any()


def test_it_learns_a_few_tables_by_heart():
    problems, graphs = tables(8, 4, 20)

    def schedule(step):
        return 1e-2 * (1 - step.astype(jnp.float32) / 200)

    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    @jax.jit
    def learn(params):
        inputs = jax.vmap(lambda problem: data_encoder.inputs(problem, SMALL))(problems)

        def loss(params):
            def one(inputs, allowed, required, graph):
                beliefs = data_encoder.edge_logits(
                    params, inputs, allowed, required, SMALL
                )
                return pair_loss(beliefs.edge, graph)

            losses = jax.vmap(one)(inputs, problems.allowed, problems.required, graphs)
            return losses.mean()

        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        carry = params, optimiser.init(params)
        return jax.lax.scan(step, carry, length=200)[1]

    losses = np.asarray(learn(params_of(SMALL)))
    assert losses[0] > 0.5
    assert losses[-1] < 0.1
