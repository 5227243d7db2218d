"""The Dirichlet process of the regimes in numpyro, beside its closed form."""

import jax
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density
from scipy import stats
from scipy.special import logsumexp

from causaljax.probabilistic import regime_weights
from causaljax.regimes import stick_breaking

pytestmark = pytest.mark.usefixtures("numpyro_rules")

COUNTS = np.array([3.0, 40.0, 0.0, 12.0])
CONCENTRATION = 1.7


def densities(model, draws, *args):
    one = jax.jit(lambda v: log_density(model, args, {}, {"sticks": v})[0])
    return np.array([one(v) for v in draws.astype(np.float32)], float)


def test_the_posterior_is_the_closed_form():
    posterior = stick_breaking.sticks(COUNTS.astype(np.float32), CONCENTRATION)
    first = np.argsort(posterior.place)[:3]
    a, b = np.asarray(posterior.a)[first], np.asarray(posterior.b)[first]
    draws = np.random.default_rng(0).uniform(0.02, 0.98, (8, 3))
    found = densities(regime_weights.given_counts, draws, COUNTS, CONCENTRATION)
    exact = stats.beta.logpdf(draws.astype(np.float32), a, b).sum(axis=1)
    np.testing.assert_allclose(np.diff(found - exact), 0, atol=1e-3)


def test_rows_of_known_regimes_are_counts():
    counts = np.array([40, 12, 3])  # largest first, as rows know of no order
    rows = np.where(np.repeat(np.eye(3), counts, axis=0) > 0, 0, -np.inf)
    draws = np.random.default_rng(1).uniform(0.1, 0.9, (4, 2))
    found = densities(regime_weights.given_likelihoods, draws, rows)
    expected = densities(regime_weights.given_counts, draws, counts)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_regimes_of_rows_are_summed_out():
    rows = np.random.default_rng(2).normal(size=(6, 3))
    stick = np.array([[0.3, 0.6]])
    weights = np.array([0.3, 0.7 * 0.6, 0.7 * 0.4])
    expected = logsumexp(rows, b=weights, axis=1).sum()
    expected += stats.beta.logpdf(stick, 1, 2.0).sum()
    found = densities(regime_weights.given_likelihoods, stick, rows, 2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_prior_and_its_weights():
    def model():
        concentration = numpyro.sample("concentration", dist.Gamma(1.0, 1.0))
        regime_weights.log_weights(5, concentration)

    with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as trace:
        model()
    weights, sticks = trace["regime_weights"]["value"], trace["sticks"]["value"]
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(weights[1], (1 - sticks[0]) * sticks[1], rtol=1e-5)
    with numpyro.handlers.seed(rng_seed=0), pytest.raises(ValueError, match="at least"):
        regime_weights.log_weights(1)


@pytest.mark.slow
def test_nuts_agrees_with_the_closed_form():
    mcmc = MCMC(
        NUTS(regime_weights.given_counts),
        num_warmup=300,
        num_samples=2000,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), COUNTS, CONCENTRATION)
    posterior = stick_breaking.sticks(COUNTS.astype(np.float32), CONCENTRATION)
    logs = np.log(np.asarray(mcmc.get_samples()["regime_weights"]))
    logs = logs[:, np.asarray(posterior.place)]
    error = logs.std(axis=0) / 2000**0.5
    expected = np.asarray(stick_breaking.expected_log_weights(posterior))
    assert (np.abs(logs.mean(axis=0) - expected) < 6 * error).all()
