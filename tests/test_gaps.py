import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.networks.associations import precision_of
from causaljax.networks.gaps import correlation_of, fill_gaps, own_matrices

RIDGE = 1e-3


def linear_table(seed=0, n=800, d=8, missing=0.2):
    """Nearly collinear columns of mean 0 and sd 1, with and without gaps."""
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.uniform(0.5, 2, size=(d, d)), 1)
    weights *= rng.uniform(size=(d, d)) < 0.5
    noise = rng.normal(size=(n, d)) * rng.uniform(0.3, 1, size=d)
    x = noise @ np.linalg.inv(np.eye(d) - weights)
    x = (x - x.mean(0)) / x.std(0)
    observed = rng.uniform(size=(n, d)) >= missing
    return x.astype(np.float32), observed.astype(np.float32)


@jax.jit
def correlations(x, weight, observed):
    filled = fill_gaps(x * observed, weight, observed, jnp.float32(RIDGE))
    return correlation_of(filled, weight)


def exact_correlations(x, observed, rounds=60):
    """Expectation maximisation row by row with the whole conditional covariance."""
    x, seen = x.astype(float), observed > 0
    n, d = x.shape
    mean, covariance = np.zeros(d), np.eye(d)
    for _ in range(rounds):
        precision = np.linalg.inv((1 - RIDGE) * covariance + RIDGE * np.eye(d))
        filled, spread = x.copy(), np.zeros((d, d))
        for row in range(n):
            gap = ~seen[row]
            if gap.any():
                block = np.linalg.inv(precision[np.ix_(gap, gap)])
                known = precision[np.ix_(gap, seen[row])]
                far = x[row, seen[row]] - mean[seen[row]]
                filled[row, gap] = mean[gap] - block @ known @ far
                spread[np.ix_(gap, gap)] += block
        mean = filled.mean(0)
        covariance = np.cov(filled.T, bias=True) + spread / n
        scale = 1 / np.sqrt(np.diag(covariance))
        covariance = covariance * scale[:, None] * scale
        mean = mean * scale
        x = x * scale
    return covariance


def partial(correlation):
    precision = np.asarray(precision_of(jnp.float32(correlation), RIDGE))
    scale = 1 / np.sqrt(np.diag(precision))
    return -precision * scale[:, None] * scale


def test_without_gaps_nothing_is_filled():
    x, _ = linear_table()
    ones = np.ones_like(x)
    filled = fill_gaps(x, ones[:, 0], ones, jnp.float32(RIDGE))
    np.testing.assert_array_equal(filled.values, x)
    np.testing.assert_allclose(
        correlations(x, ones[:, 0], ones), np.corrcoef(x.T), atol=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
def test_partial_correlations_are_near_those_of_exact_maximum_likelihood(seed):
    x, observed = linear_table(seed)
    full = partial(np.corrcoef(x.T))
    exact = partial(exact_correlations(x * observed, observed))
    found = partial(correlations(x, np.ones(len(x), np.float32), observed))
    error = np.sqrt(np.mean((found - full) ** 2))
    assert error < 1.5 * np.sqrt(np.mean((exact - full) ** 2)) + 0.01
    # What fills every gap with the mean of its column is far off.
    plain = partial(np.corrcoef((x * observed).T))
    assert error < 0.5 * np.sqrt(np.mean((plain - full) ** 2))


def test_padding_rows_and_what_stands_in_gaps_change_nothing():
    x, observed = linear_table(n=300)
    weight = np.ones(300, np.float32)
    more = np.full((100, 8), 5, np.float32)
    longer = correlations(
        np.concatenate([x, more]),
        np.concatenate([weight, np.zeros(100, np.float32)]),
        np.concatenate([observed, (more[:, :] > 0) * observed[:100]]),
    )
    np.testing.assert_allclose(longer, correlations(x, weight, observed), atol=1e-5)


def test_a_column_and_rows_without_any_cell_give_finite_numbers():
    x, observed = linear_table(n=200)
    observed[:, 2] = 0
    observed[:50] = 0
    found = correlations(x, np.ones(200, np.float32), observed)
    assert jnp.isfinite(found).all()
    assert jnp.abs(found).max() <= 1


def test_own_matrices_are_over_the_rows_where_the_variable_was_left_alone():
    x, observed = linear_table(n=300)
    natural = np.ones_like(x)
    natural[:100, 3] = 0
    weight = np.ones(300, np.float32)
    filled = fill_gaps(x, weight, np.ones_like(x), jnp.float32(RIDGE))
    own, precision = own_matrices(filled, weight, natural, jnp.float32(RIDGE))
    np.testing.assert_allclose(own[3], np.corrcoef(x[100:].T), atol=1e-5)
    np.testing.assert_allclose(own[0], np.corrcoef(x.T), atol=1e-5)
    np.testing.assert_allclose(
        precision[3], precision_of(own[3], jnp.float32(RIDGE)), atol=1e-3
    )


def test_gradients_of_a_table_with_gaps_are_finite():
    x, observed = linear_table(n=60, d=4)
    weight = np.ones(60, np.float32)
    gradient = jax.grad(lambda x: correlations(x, weight, observed).sum())(x)
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0
    assert (gradient[observed == 0] == 0).all()
