import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from causaljax.networks import pair_transformer
from causaljax.networks.pair_statistics import NUM_STATISTICS
from causaljax.networks.training import losses

SIZES = pair_transformer.NetworkConfig(
    width=16, num_blocks=2, triangles=4, num_heads=2, head_width=4, hidden=16
)
FREE = ~jnp.eye(5, dtype=bool)
NOTHING = jnp.zeros((5, 5), bool)


def read(params, grid, allowed, required):
    return pair_transformer.edge_logits(params, grid, allowed, required, SIZES)


@pytest.fixture(scope="module")
def params():
    return pair_transformer.init_params(jax.random.key(3), SIZES)


@pytest.fixture(scope="module")
def grid():
    return jax.random.normal(jax.random.key(1), (5, 5, NUM_STATISTICS))


def test_relabelling_the_grid_relabels_the_beliefs(params, grid):
    order = np.array([3, 0, 4, 1, 2])
    required = NOTHING.at[0, 1].set(True)
    allowed = FREE & ~required.T
    beliefs = read(params, grid, allowed, required)
    moved = (matrix[order][:, order] for matrix in (grid, allowed, required))
    again = read(params, *moved)
    for one, other in ((beliefs.edge, again.edge), (beliefs.ancestor, again.ancestor)):
        np.testing.assert_allclose(one[order][:, order], other, atol=1e-5)
    for one, other in ((beliefs.order, again.order), (beliefs.target, again.target)):
        np.testing.assert_allclose(one[order], other, atol=1e-5)


def test_knowledge_changes_what_is_believed(params, grid):
    edge = read(params, grid, FREE, NOTHING).edge
    required = NOTHING.at[0, 1].set(True)
    assert jnp.abs(read(params, grid, FREE, required).edge - edge)[0, 1] > 1e-4
    forbidden = FREE & ~required
    assert jnp.abs(read(params, grid, forbidden, NOTHING).edge - edge)[0, 1] > 1e-4


def test_one_network_reads_tables_of_any_number_of_variables(params):
    for d in (2, 7):
        pairs = jax.ShapeDtypeStruct((d, d), bool)
        grid = jax.ShapeDtypeStruct((d, d, NUM_STATISTICS), jnp.float32)
        beliefs = jax.eval_shape(read, params, grid, pairs, pairs)
        square, one = (d, d), (d,)
        assert [leaf.shape for leaf in beliefs] == [square, square, one, square, one]


def test_eight_small_tables_can_be_learned_by_heart_by_finite_gradients():
    params = pair_transformer.init_params(jax.random.key(3), SIZES)
    grids = jax.random.normal(jax.random.key(5), (8, 4, 4, NUM_STATISTICS))
    upper = jnp.triu(jnp.ones((4, 4), bool), 1)[None]
    graphs = jax.random.bernoulli(jax.random.key(6), 0.5, (8, 4, 4)) & upper
    nothing = jnp.zeros((4, 4), bool)
    optimiser = optax.adam(1e-2)

    def loss(network):
        def one(grid, graph):
            weights = params | {"network": network}
            beliefs = read(weights, grid, ~jnp.eye(4, dtype=bool), nothing)
            return losses(beliefs, graph, nothing)

        each = jax.vmap(one)(grids, graphs)
        return each.total.mean(), each.edge.mean()

    @jax.jit
    def train(network):
        def step(carry, _):
            network, state = carry
            gradient, edge = jax.grad(loss, has_aux=True)(network)
            updates, state = optimiser.update(gradient, state)
            norm = optax.tree.norm(gradient)
            return (optax.apply_updates(network, updates), state), (edge, norm)

        start = network, optimiser.init(network)
        return jax.lax.scan(step, start, length=200)[1]

    edge, norm = train(params["network"])
    assert jnp.isfinite(norm).all()
    assert edge[0] > 0.4
    assert edge[-1] < 0.1
