import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.networks.network import GraphLogits
from causaljax.networks.training import losses

GRAPH = jnp.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)  # 0 -> 1 -> 2
NOTHING = jnp.zeros((3, 3), bool)
TARGET = jnp.array([False, True, False])
CONFOUNDED = jnp.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)  # 0 and 2


def random_beliefs():
    rng = np.random.default_rng(0)
    square, one = (3, 3), (3,)
    shapes = GraphLogits(square, square, one, square, one)
    drawn = (jnp.array(rng.normal(size=s), jnp.float32) for s in shapes)
    beliefs = GraphLogits(*drawn)
    return beliefs._replace(confounded=beliefs.confounded + beliefs.confounded.T)


def test_losses_agree_with_a_computation_by_hand():
    beliefs = random_beliefs()
    edge, ancestor, order, confounded, target = (
        np.array(leaf, np.float64) for leaf in beliefs
    )

    def pair(i, j, right):
        total = 1 + np.exp(edge[i, j]) + np.exp(edge[j, i])
        return np.log(total) - right

    by_edge = pair(0, 1, edge[0, 1]) + pair(1, 2, edge[1, 2]) + pair(0, 2, 0)
    off = [(i, j) for i in range(3) for j in range(3) if i != j]
    # 0 is an ancestor of 1 and 2, and 1 of 2.
    above = [(0, 1), (0, 2), (1, 2)]
    by_ancestor = sum(
        np.log1p(np.exp(-ancestor[p] if p in above else ancestor[p])) for p in off
    )
    by_order = sum(np.log1p(np.exp(order[j] - order[i])) for i, j in above)
    signs = np.array([1, -1, 1])
    by_target = np.log1p(np.exp(signs * target)).sum()
    by_confounded = sum(
        np.log1p(np.exp(-confounded[p] if CONFOUNDED[p] else confounded[p]))
        for p in [(0, 1), (0, 2), (1, 2)]
    )
    sums = by_edge, by_ancestor / 2, by_order, by_target, by_confounded
    parts = np.array(sums) / 3
    made = losses(beliefs, GRAPH, NOTHING, TARGET, CONFOUNDED)
    np.testing.assert_allclose(made[1:], parts, rtol=1e-5)
    total = parts @ np.array([1, 0.2, 0.1, 0.2, 0.5])
    assert made.total == pytest.approx(total, rel=1e-5)
    unscored = losses(beliefs, GRAPH, NOTHING)
    assert unscored.target == unscored.confounded == 0


def test_known_pairs_do_not_count():
    beliefs = random_beliefs()
    known = NOTHING.at[0, 1].set(True).at[1, 0].set(True)
    wrong = beliefs._replace(edge=beliefs.edge.at[0, 1].set(-50).at[1, 0].set(50))
    assert losses(wrong, GRAPH, known).edge == losses(beliefs, GRAPH, known).edge
    assert losses(wrong, GRAPH, NOTHING).edge > 10
    assert losses(beliefs, GRAPH, ~NOTHING).edge == 0


def test_the_gradient_is_that_of_finite_differences():
    beliefs = random_beliefs()

    def total(beliefs):
        return losses(beliefs, GRAPH, NOTHING, TARGET, CONFOUNDED).total

    gradient = jax.grad(total)(beliefs)
    rng = np.random.default_rng(1)
    way = jax.tree.map(lambda b: jnp.array(rng.normal(size=b.shape), b.dtype), beliefs)
    step = 1e-2
    ahead, behind = (
        total(jax.tree.map(lambda b, w, s=s: b + s * w, beliefs, way))
        for s in (step, -step)
    )
    slope = sum(jnp.sum(g * w) for g, w in zip(gradient, way, strict=True))
    assert (ahead - behind) / (2 * step) == pytest.approx(float(slope), abs=1e-3)


def test_perfect_beliefs_cost_nothing():
    ancestors = jnp.triu(jnp.ones((3, 3), bool), 1)
    beliefs = GraphLogits(
        edge=jnp.where(GRAPH, 30.0, -30.0),
        ancestor=jnp.where(ancestors, 30.0, -30.0),
        order=jnp.array([60.0, 30, 0]),
        confounded=jnp.where(CONFOUNDED, 30.0, -30.0),
        target=jnp.where(TARGET, 30.0, -30.0),
    )
    assert losses(beliefs, GRAPH, NOTHING, TARGET, CONFOUNDED).total < 1e-6
