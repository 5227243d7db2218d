"""Conjugate regressions, against integrals and chains of predictive densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma

from causaljax.mechanisms import conjugate

# The prior that the module states.
PRECISION, SHAPE, RATE = 1e-3, 0.5, 0.005


def regression(n=12, seed=0):
    """Rows of weight 1, features 1 and two others."""
    rng = np.random.default_rng(seed)
    features = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    x = features @ [0.5, -1.0, 2.0] + 0.3 * rng.normal(size=n)
    return features, x


def statistics(features, x, weight=None):
    weight = np.ones((len(x), 1)) if weight is None else weight
    return conjugate.statistics(*map(jnp.asarray, (weight, features, x)))


def fit(features, x, weight=None):
    return conjugate.fit(statistics(features, x, weight))


def predictive_chain(features, x):
    """log p(x), each row's Student density given those before it."""
    precision = PRECISION * np.eye(features.shape[1])
    product, shape, rate, total = np.zeros(features.shape[1]), SHAPE, RATE, 0.0
    for f, value in zip(features, x, strict=True):
        mean = np.linalg.solve(precision, product)
        spread = 1 + f @ np.linalg.solve(precision, f)
        scale = np.sqrt(rate / shape * spread)
        total += stats.t.logpdf(value, 2 * shape, f @ mean, scale)
        shape, rate = shape + 0.5, rate + (value - f @ mean) ** 2 / (2 * spread)
        precision, product = precision + np.outer(f, f), product + f * value
    return total


@pytest.mark.usefixtures("x64")
def test_the_evidence_is_a_chain_of_predictive_densities():
    features, x = regression()
    for m in (1, 2, 3):
        _, evidence = fit(features[:, :m], x)
        expected = predictive_chain(features[:, :m], x)
        assert evidence[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.usefixtures("x64")
def test_the_evidence_of_a_normal_density_is_an_integral():
    x = np.array([0.3, -0.4, 0.9, 0.2])
    # The mean about that of the rows, in units of its posterior's deviation.
    unit, log_variance = np.linspace(-9, 9, 361), np.linspace(-9, 14, 2301)
    sd = np.exp(log_variance / 2)[:, None]
    mean = x.mean() + unit * sd / 2
    log = stats.norm.logpdf(x[:, None, None], mean, sd).sum(axis=0)
    log += stats.norm.logpdf(mean, 0, sd / np.sqrt(PRECISION))
    # By the logarithm of the variance, whose density has a factor of the variance.
    log += (
        stats.invgamma.logpdf(sd**2, SHAPE, scale=RATE) + np.log(sd**2) + np.log(sd / 2)
    )
    integral = np.exp(log).sum() * (unit[1] - unit[0]) * 0.01
    _, evidence = fit(np.ones((4, 1)), x)
    assert evidence[0] == pytest.approx(np.log(integral), abs=1e-6)


@pytest.mark.usefixtures("x64")
def test_the_posterior_is_that_of_the_normal_equations():
    features, x = regression()
    weight = np.random.default_rng(1).uniform(0, 2, size=(len(x), 2))
    found, _ = fit(features, x, weight)
    for k, each in enumerate(weight.T):
        precision = features.T @ (each[:, None] * features) + PRECISION * np.eye(3)
        mean = np.linalg.solve(precision, features.T @ (each * x))
        residual = x - features @ mean
        rate = RATE + (each @ residual**2 + PRECISION * mean @ mean) / 2
        np.testing.assert_allclose(found.mean[k], mean, rtol=1e-9)
        np.testing.assert_allclose(found.root[k] @ found.root[k].T, precision)
        np.testing.assert_allclose(found.shape[k], SHAPE + each.sum() / 2)
        np.testing.assert_allclose(found.rate[k], rate, rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_statistics_add_and_weights_count_rows():
    features, x = regression()
    whole = statistics(features, x)
    parts = statistics(features[:5], x[:5]), statistics(features[5:], x[5:])
    for leaf, one, other in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(leaf, one + other)
    twice = statistics(features, x, np.full((len(x), 1), 2.0))
    doubled = statistics(np.tile(features, (2, 1)), np.tile(x, 2))
    for one, other in zip(twice, doubled, strict=True):
        np.testing.assert_allclose(one, other)
    weight = np.random.default_rng(2).uniform(size=(len(x), 4))
    each = statistics(features, x, weight)
    for k in range(4):
        alone = statistics(features, x, weight[:, k : k + 1])
        for one, other in zip(each, alone, strict=True):
            np.testing.assert_allclose(one[k], other[0])


@pytest.mark.usefixtures("x64")
def test_nothing_is_known_of_no_rows():
    found, evidence = fit(*regression(), np.zeros((12, 1)))
    assert evidence[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(found.mean, 0)
    assert (found.shape[0], found.rate[0]) == (SHAPE, RATE)


@pytest.mark.usefixtures("x64")
def test_expected_log_densities_are_integrals_over_the_posterior():
    """In closed form, as the coefficients are normal given the variance."""
    features, x = regression()
    found, _ = fit(features, x)
    value = conjugate.expected_log_density(found, jnp.asarray(features), jnp.asarray(x))
    precision = np.array(found.root[0] @ found.root[0].T)
    spread = np.einsum("nm,nm->n", features, np.linalg.solve(precision, features.T).T)
    error = x - features @ np.array(found.mean[0])
    shape, rate = float(found.shape[0]), float(found.rate[0])
    expected = -0.5 * (np.log(2 * np.pi) + np.log(rate) - digamma(shape))
    expected = expected - 0.5 * (spread + error**2 * shape / rate)
    np.testing.assert_allclose(value[:, 0], expected, rtol=1e-9)

    rng = np.random.default_rng(3)
    variance = stats.invgamma.rvs(shape, scale=rate, size=200_000, random_state=rng)
    unit = np.linalg.solve(
        np.linalg.cholesky(precision).T, rng.normal(size=(3, len(variance)))
    )
    drawn = np.array(found.mean[0])[:, None] + unit * np.sqrt(variance)
    for n in range(3):
        log = stats.norm.logpdf(x[n], features[n] @ drawn, np.sqrt(variance))
        error = 5 * log.std() / np.sqrt(len(log))
        assert value[n, 0] == pytest.approx(log.mean(), abs=error)


@pytest.mark.usefixtures("x64")
def test_a_feature_that_is_0_throughout_changes_nothing():
    features, x = regression()
    wider = np.insert(features, 1, 0, axis=1)
    (plain, evidence), (padded, same) = fit(features, x), fit(wider, x)
    np.testing.assert_allclose(same, evidence, rtol=1e-9)
    np.testing.assert_allclose(np.delete(padded.mean, 1, axis=1), plain.mean)
    np.testing.assert_array_equal(padded.mean[:, 1], 0)
    np.testing.assert_allclose(padded.rate, plain.rate, rtol=1e-12)
    density = [
        conjugate.expected_log_density(found, jnp.asarray(f), jnp.asarray(x))
        for found, f in ((plain, features), (padded, wider))
    ]
    np.testing.assert_allclose(density[1], density[0], rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_sums_are_padded_by_features_of_0():
    features, x = regression()
    weight = np.random.default_rng(5).uniform(size=(len(x), 4))
    found = conjugate.pad(statistics(features, x, weight), 2)
    wider = statistics(np.pad(features, ((0, 0), (0, 2))), x, weight)
    for one, other in zip(found, wider, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_float32_is_near_and_leading_shapes_are_free():
    """Log-evidence of a hundred rows, in the precision that searches use."""
    rng = np.random.default_rng(4)
    features = np.column_stack([np.ones(100), rng.normal(size=(100, 2))])
    x = features @ [0.5, -1.0, 2.0] + 0.3 * rng.normal(size=100)
    single = [a.astype(np.float32) for a in (features, x)]
    sums = statistics(*single, np.ones((100, 1), np.float32))
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf])[None], sums)
    _, evidence = conjugate.fit(stacked)
    assert evidence.shape == (1, 2, 1)
    assert evidence.dtype == jnp.float32
    expected = predictive_chain(features, x)
    # The ridge against rounding costs most of this.
    assert evidence[0, 0, 0] == pytest.approx(expected, abs=0.3)


@pytest.mark.usefixtures("x64")
def test_gradients_are_finite_and_those_of_differences():
    features, x = regression()
    arrays = [jnp.asarray(a) for a in (np.ones((len(x), 1)), features)]

    @jax.jit
    def evidence(x):
        return conjugate.fit(conjugate.statistics(*arrays, x))[1].sum()

    slope = jax.grad(evidence)(jnp.asarray(x))
    step = 1e-6 * np.eye(len(x))[3]
    rise = evidence(jnp.asarray(x + step)) - evidence(jnp.asarray(x - step))
    assert slope[3] == pytest.approx(float(rise) / 2e-6, rel=1e-5)


def test_features_of_0_change_nothing_in_float32_and_on_many_rows():
    rng = np.random.default_rng(5)
    n = 10_000
    features = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    x = features @ [0.5, -1.0, 2.0] + 0.3 * rng.normal(size=n)
    features, x = features.astype("float32"), x.astype("float32")
    wider = np.concatenate([features, np.zeros((n, 5), "float32")], axis=1)
    one = np.ones((n, 1), "float32")
    plain, padded = (fit(f, x, one)[1][0] for f in (features, wider))
    assert padded == pytest.approx(float(plain), abs=0.1)


@pytest.mark.usefixtures("x64")
def test_normal_densities_of_many_variables_are_those_of_each():
    rng = np.random.default_rng(4)
    x, weight = rng.normal(1, 2, size=(30, 3)), rng.uniform(size=(30, 2))
    chosen = rng.uniform(size=(2, 3))
    one = np.ones((30, 1))
    sums = conjugate.normal_statistics(jnp.asarray(weight), jnp.asarray(x))
    expected = np.zeros((30, 2))
    for j in range(3):
        own = statistics(one, x[:, j], weight)
        for together, alone in zip(sums, own, strict=True):
            np.testing.assert_allclose(together[j], alone, rtol=1e-12)
        density = conjugate.expected_log_density(
            conjugate.fit(own)[0], jnp.asarray(one), jnp.asarray(x[:, j])
        )
        expected += np.asarray(density) * chosen[:, j]
    found = conjugate.expected_normal(
        conjugate.fit(sums)[0], jnp.asarray(x), jnp.asarray(chosen)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)
