"""Mixtures of normal densities: evidence, symmetries, and groups that are clear."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from causaljax.regimes import gaussian_mixture as module
from causaljax.regimes import merge

MEANS = np.array([[0, 0, 0], [5, 5, 0], [0, 4, -6]])


@functools.partial(jax.jit, static_argnames=("num_groups", "most"))
def mixture(seed, x, weight, num_groups, most):
    key = jax.random.key(seed)
    return module.gaussian_mixture(key, x, x, weight, num_groups, most, 1.0)


def groups(num_groups, n=600, seed=0):
    """Well separated groups of rows, columns 0 and 1 correlated; unequal in size."""
    rng = np.random.default_rng(seed)
    label = rng.choice(
        num_groups, n, p=np.arange(1, num_groups + 1) / sum(range(num_groups + 1))
    )
    x = rng.normal(size=(n, 3))
    x[:, 1] = 0.9 * x[:, 0] + 0.3 * x[:, 1]
    return (MEANS[label] + 0.5 * x).astype("float32"), label


def agreement(found, label):
    """Share of rows that the best match of groups explains; counts of groups."""
    table = np.zeros((found.max() + 1, label.max() + 1), int)
    np.add.at(table, (found, label), 1)
    return table.max(axis=1).sum() / len(label), (table.sum(axis=1) > 0).sum()


@pytest.mark.parametrize("num_groups", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_clear_groups_are_found_among_four_times_as_many(num_groups, seed):
    x, label = groups(num_groups, seed=seed)
    responsibilities = mixture(seed, x, np.ones(len(x), "float32"), 12, 6)
    assert responsibilities.shape == (len(x), 6)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1, rtol=1e-5)
    share, count = agreement(np.array(responsibilities.argmax(axis=1)), label)
    assert count == num_groups
    assert share > 0.995


def test_groups_of_one_mean_and_other_shapes_are_told_apart():
    rng = np.random.default_rng(0)
    label = np.arange(1000) % 2
    turn = np.array([[1, 0.95], [1, -0.95]])[:, label].T
    a, e = rng.normal(size=(2, 1000))
    x = np.column_stack([a, turn[:, 1] * a + 0.1 * e]).astype("float32")
    responsibilities = mixture(0, x, np.ones(1000, "float32"), 12, 4)
    share, _ = agreement(np.array(responsibilities.argmax(axis=1)), label)
    assert share > 0.9


def test_rows_of_no_weight_change_nothing():
    x, _ = groups(3)
    weight = np.random.default_rng(1).uniform(0.5, 1.5, len(x)).astype("float32")
    expected = mixture(0, x, weight, 12, 6)
    # Anywhere in the table.
    places = np.sort(np.random.default_rng(2).choice(len(x), 50, replace=False))
    garbage = np.random.default_rng(3).normal(size=(50, 3)).astype("float32") * 100
    padded = np.insert(x, places, garbage, axis=0)
    weight = np.insert(weight, places, 0)
    found = mixture(0, padded, weight, 12, 6)[weight > 0]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.ptp(np.array(expected), axis=0).max() == pytest.approx(1)


def test_relabelled_columns_change_nothing():
    x, _ = groups(3)
    weight = np.ones(len(x), "float32")
    expected = mixture(0, x, weight, 12, 6)
    found = mixture(0, x[:, [2, 0, 1]], weight, 12, 6)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_weights_count_rows():
    x, label = groups(2)
    once = mixture(0, np.repeat(x, 2, axis=0), np.ones(2 * len(x), "float32"), 12, 6)
    twice = mixture(0, x, np.full(len(x), 2, "float32"), 12, 6)
    np.testing.assert_allclose(once[::2], twice, atol=1e-3)
    np.testing.assert_allclose(once[1::2], twice, atol=1e-3)
    assert agreement(np.array(twice.argmax(axis=1)), label)[0] > 0.995


def test_fewer_groups_than_there_is_room_for_and_more():
    x, label = groups(3)
    weight = np.ones(len(x), "float32")
    roomy = mixture(0, x, weight, 4, 6)  # groups that never were are empty
    assert roomy.shape == (len(x), 6)
    assert np.array(roomy).sum(axis=0).min() < 0.5
    narrow = mixture(0, x, weight, 12, 2)  # of the largest
    np.testing.assert_allclose(narrow.sum(axis=1), 1, rtol=1e-5)
    assert agreement(np.array(narrow.argmax(axis=1)), label)[1] == 2


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.usefixtures("x64")
def test_the_evidence_is_a_chain_of_predictive_densities(d):
    """Each row's Student density given those before it; prior as in the module."""
    rng = np.random.default_rng(d)
    x = rng.normal(size=(7, d)) @ rng.normal(size=(d, d)) + 0.5
    count, freedom, mean, scatter, expected = 1e-3, d, np.zeros(d), 0.01 * np.eye(d), 0
    for row in x:
        left = freedom - d + 1
        shape = scatter * (count + 1) / (count * left)
        expected += stats.multivariate_t.logpdf(row, mean, shape, left)
        off = row - mean
        scatter = scatter + np.outer(off, off) * count / (count + 1)
        count, freedom, mean = count + 1, freedom + 1, mean + off / (count + 1)
    moments = module._moments(jnp.ones((7, 1)), jnp.asarray(x))
    assert module._evidence(*moments)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.usefixtures("x64")
def test_joining_gains_what_the_evidence_and_the_process_do():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(30, 2)), rng.normal(8, 1, size=(20, 2))])
    each = np.zeros((50, 4))  # the last is empty
    each[:15, 0] = each[15:30, 1] = each[30:, 2] = 1

    def evidence(rows):
        moments = module._moments(jnp.ones((len(rows), 1)), jnp.asarray(rows))
        return float(module._evidence(*moments)[0])

    moments = module._moments(jnp.asarray(each), jnp.asarray(x))
    gains = np.array(module._gains(moments, 2.0))
    rows = [x[:15], x[15:30], x[30:]]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        joined = np.concatenate([rows[i], rows[j]])
        # A restaurant's tables: concentration and (n - 1)! for each.
        factorials = [gammaln(len(r)) for r in (joined, rows[i], rows[j])]
        expected = evidence(joined) - evidence(rows[i]) - evidence(rows[j])
        expected += factorials[0] - factorials[1] - factorials[2] - np.log(2.0)
        assert gains[i, j] == pytest.approx(expected, rel=1e-9)
    assert gains[0, 1] > 0 > gains[0, 2]
    below = np.tril_indices(4)
    assert (gains[below] == -np.inf).all()
    assert (gains[:, 3] == -np.inf).all()


@pytest.mark.usefixtures("x64")
def test_what_is_known_of_groups_adds_up_when_they_join():
    rng = np.random.default_rng(1)
    x, weight = jnp.asarray(rng.normal(size=(40, 3))), rng.uniform(size=(40, 1))
    each = jnp.asarray(weight * np.eye(4)[rng.integers(4, size=40)])
    into = jnp.array([0, 1, 0, 1])
    moments = module._moments(each, x)
    joined = [merge.gather(into, leaf, axis=0) for leaf in moments]
    expected = module._moments(merge.gather(into, each, axis=1), x)
    for found, anew in zip(joined, expected, strict=True):
        np.testing.assert_allclose(found, anew, rtol=1e-12)


def test_pairs_are_weighed_in_one_batch_of_lapack():
    # Two batches side by side waited for each other's threads for ever on two cores,
    # at 20 columns and 328 groups within 15 calls.
    moments = jnp.ones(4), jnp.ones((4, 3)), jnp.ones((4, 3, 3))
    program = jax.jit(module._gains).lower(moments, 1.0).as_text()
    assert program.count("call @cholesky") == 1


def test_groups_are_looked_for_only_if_asked_for():
    x, _ = groups(3)
    weight, key = np.ones(len(x), "float32"), jax.random.key(0)

    @jax.jit
    def found(asked):
        return module.gaussian_mixture(key, x, x, weight, 12, 6, 1.0, asked)

    asked, unasked = found(True), found(False)
    # Two programs: processors differ in how they round what is fused.
    np.testing.assert_allclose(asked, mixture(0, x, weight, 12, 6), atol=1e-6)
    assert (np.abs(asked - unasked) > 1e-3).any()
    # What starts of another kind put in its place must not become NaN on the way.
    assert np.isfinite(unasked).all()
