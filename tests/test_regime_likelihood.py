import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from causaljax import simulate

QUICK = {"xla_backend_optimization_level": 0}
MECHANISMS = ["linear", "network", "nonadditive_network"]
DONE = ["perfect", "imperfect"]
TABLES = {
    "dcdi": (simulate.dcdi_table, {}),
    "faria": (simulate.faria_table, {}),
    "faria_multi": (simulate.faria_table, {"multi_target": True}),
}


@functools.cache
def scored(name, mechanism, intervention="perfect", num_variables=5, num_rows=3000):
    """A table, what made it, and how likely its rows are."""
    generate, options = TABLES[name]

    def draw(key):
        problem, truth = generate(
            key,
            mechanism=mechanism,
            intervention=intervention,
            num_variables=num_variables,
            edges_per_variable=1.5,
            num_rows=num_rows,
            **options,
        )
        return problem, truth, simulate.regime_log_likelihood(problem, truth)

    drawn = jax.jit(draw, compiler_options=QUICK)(jax.random.key(4))
    return jax.tree.map(np.asarray, drawn)


likelihood_of = jax.jit(simulate.regime_log_likelihood, compiler_options=QUICK)


def posterior(log_likelihood, regime):
    """Probability of each regime, their sizes being the prior."""
    return scipy.special.softmax(log_likelihood + np.log(np.bincount(regime)), axis=1)


def rand_index(a, b):
    """Adjusted for chance: 1 if two partitions are one, around 0 if unrelated."""
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)

    def num_pairs(sizes):
        return (sizes * (sizes - 1) / 2).sum()

    rows, columns = num_pairs(counts.sum(axis=1)), num_pairs(counts.sum(axis=0))
    expected = rows * columns / num_pairs(np.array([a.size]))
    return (num_pairs(counts) - expected) / ((rows + columns) / 2 - expected)


def is_calibrated(belief, regime):
    """Whether the best guesses are right as often as they say, in 3 standard errors."""
    right = belief.argmax(axis=1) == regime
    best = belief.max(axis=1)
    error = np.sqrt((best * (1 - best)).sum()) / len(best)
    return abs(right.mean() - best.mean()) < 3 * error + 2 / len(best)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(
    ("name", "intervention"),
    [
        ("dcdi", "perfect"),
        ("dcdi", "imperfect"),
        pytest.param("faria", "perfect", marks=pytest.mark.slow),
        ("faria", "imperfect"),
        ("faria_multi", "perfect"),
        pytest.param("faria_multi", "imperfect", marks=pytest.mark.slow),
    ],
)
def test_the_posterior_of_regimes_is_calibrated(name, mechanism, intervention):
    problem, truth, log_likelihood = scored(name, mechanism, intervention)
    assert log_likelihood.shape == (3000, len(truth.targets))
    assert log_likelihood.dtype == np.float32
    assert np.isfinite(log_likelihood).all()
    belief = posterior(log_likelihood, problem.regime)
    assert is_calibrated(belief, problem.regime)
    # Beliefs add up to how often each regime is the truth.
    shares = np.bincount(problem.regime) / 3000
    error = np.sqrt((belief * (1 - belief)).sum(axis=0)) / 3000
    assert (np.abs(belief.mean(axis=0) - shares) < 4 * error + 1e-3).all()
    assert rand_index(problem.regime, belief.argmax(axis=1)) > 0.3


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("intervention", DONE)
def test_wrong_noise_scales_guess_worse(mechanism, intervention):
    problem, truth, log_likelihood = scored("dcdi", mechanism, intervention)
    model = truth.model._replace(noise_scale=2 * truth.model.noise_scale)
    worse = np.asarray(likelihood_of(problem, truth._replace(model=model)))
    rows = np.arange(len(worse)), problem.regime
    log_loss = [
        -np.log(posterior(each, problem.regime)[rows]).mean()
        for each in (log_likelihood, worse)
    ]
    assert log_loss[0] < log_loss[1] - 0.01


@pytest.mark.parametrize("intervention", DONE)
def test_linear_rows_by_hand(intervention):
    problem, truth, log_likelihood = scored("dcdi", "linear", intervention)
    x = problem.x.astype(float)
    has_parents = truth.graph.any(axis=0)
    weights = truth.model.log_density.args[1]
    for r in range(len(truth.targets)):
        by_hand = np.zeros(len(x))
        for j in range(5):
            mean = x @ np.where(truth.graph[:, j], weights[j, r % weights.shape[1]], 0)
            sd = truth.noise_scale[r, j]
            if truth.targets[r, j] and (
                intervention == "perfect" or not has_parents[j]
            ):
                mean, sd = 2, 1
            by_hand += scipy.stats.norm.logpdf(x[:, j], mean, sd)
        np.testing.assert_allclose(log_likelihood[:, r], by_hand, rtol=1e-4, atol=1e-3)


def one_edge(name, intervention):
    """A table with one edge of a noisy network, and its parent and child."""
    problem, truth, _ = scored(name, "nonadditive_network", intervention, 2, 30)
    ((i, j),) = np.argwhere(truth.graph)
    return problem, truth, i, j


def conditional_density(problem, truth, i, j, parent, values):
    """Density ``[len(values), r]`` of the child where its parent is so and so."""
    x = np.zeros((len(values), 2), np.float32)
    x[:, i], x[:, j] = parent, values
    everything = np.asarray(likelihood_of(problem._replace(x=x), truth), float)
    model = truth.model
    of_parent = scipy.stats.norm.logpdf(
        np.float32(parent), model.noise_mean[i], model.noise_scale[i]
    )
    return np.exp(everything - of_parent[None, :])


@pytest.mark.parametrize(("name", "parent"), [("dcdi", 0.3), ("faria", -0.4)])
@pytest.mark.parametrize("intervention", DONE)
def test_noise_inside_a_network_against_a_histogram(name, intervention, parent):
    problem, truth, i, j = one_edge(name, intervention)
    features, outputs, offset = truth.model.log_density.args
    num_draws = 400_000
    unit = np.random.default_rng(0).normal(size=num_draws)
    row = np.zeros((1, 2), np.float32)
    row[0, i] = parent
    for r in np.flatnonzero(truth.model.listens[j]):
        noise = truth.model.noise_mean[j, r] + truth.model.noise_scale[j, r] * unit
        hidden = jax.tree.map(lambda leaf: leaf[j], features)(
            jnp.asarray(row), jnp.asarray(noise, jnp.float32)
        )
        drawn = np.asarray(hidden) @ outputs[j, r % outputs.shape[1]] + offset[j]
        # Where the function turns, a density without bound ends and is smoothed.
        margin = 0.05 * np.ptp(drawn)
        edges = np.linspace(drawn.min() - margin, drawn.max() + margin, 25)
        count = np.histogram(drawn, edges)[0] / num_draws
        fine = np.linspace(edges[0], edges[-1], 24 * 200, endpoint=False)
        fine += (fine[1] - fine[0]) / 2
        density = conditional_density(problem, truth, i, j, parent, fine)[:, r]
        share = density.reshape(24, 200).mean(axis=1) * (edges[1] - edges[0])
        error = 4 * np.sqrt(share / num_draws) + 0.01 * share + 0.006
        assert (np.abs(share - count) < error).all()
        assert share.sum() == pytest.approx(1, abs=0.005)


# Linear tables

TARGETS = np.array([[0, 0], [1, 0], [0, 1], [0, 1]], bool)


def test_a_linear_pair_by_hand():
    done = simulate.Intervention(
        targets=jnp.asarray(TARGETS),
        cut=jnp.array([[0, 0], [0, 0], [0, 0], [0, 1]], bool),
        shift=jnp.array([[0, 0], [1.5, 0], [0, -1], [0, 0.5]]),
        scale=jnp.array([[1, 1], [1, 1], [1, 3], [1, 0.4]], float),
    )
    problem, truth = simulate.simulate_linear(
        jax.random.key(0),
        np.array([[0, 1], [0, 0]], bool),
        40,
        noise_scale=0.7,
        weights=jnp.array([[0, 1.2], [0, 0]]),
        intervention=done,
    )
    found = simulate.linear_regime_log_likelihood(problem, truth, done)
    x, y = np.asarray(problem.x, float).T

    def log_normal(z, sd):
        return -0.5 * (z / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))

    usual_x, usual_y = log_normal(x, 0.7), log_normal(y - 1.2 * x, 0.7)
    by_hand = [
        usual_x + usual_y,
        log_normal(x - 1.5, 0.7) + usual_y,
        usual_x + log_normal(y - 1.2 * x + 1, 2.1),
        usual_x + log_normal(y - 0.5, 0.4),
    ]
    np.testing.assert_allclose(found, np.stack(by_hand, axis=1), rtol=1e-4, atol=1e-4)


@functools.cache
def shifted(scaling, amount, kind):
    """Posterior of the regimes of a linear table of 6 variables, and the regimes."""

    def draw(key):
        graph_key, target_key, key = jax.random.split(key, 3)
        graph = simulate.erdos_renyi(graph_key, 6, 2)
        targets = simulate.draw_targets(target_key, 6, 7, 1)
        make = getattr(simulate, f"{kind}_intervention")
        done = make(targets, amount)
        problem, truth = simulate.simulate_linear(
            key, graph, 4200, scaling=scaling, intervention=done
        )
        found = simulate.linear_regime_log_likelihood(problem, truth, done)
        return found, problem.regime

    drawn = jax.jit(draw, compiler_options=QUICK)(jax.random.key(1))
    log_likelihood, regime = (np.asarray(each) for each in drawn)
    return posterior(log_likelihood, regime), regime


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
@pytest.mark.parametrize(("kind", "amount"), [("shift", 1.0), ("scale", 3.0)])
def test_weak_interventions_leave_a_calibrated_doubt(scaling, kind, amount):
    belief, regime = shifted(scaling, amount, kind)
    assert is_calibrated(belief, regime)
    assert 0.02 < rand_index(regime, belief.argmax(axis=1)) < 0.97


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
def test_strong_shifts_leave_none(scaling):
    belief, regime = shifted(scaling, 12.0, "shift")
    assert rand_index(regime, belief.argmax(axis=1)) > 0.99


def test_the_rand_index_is_that_of_the_textbook():
    a, b = np.array([0, 0, 1, 1, 2]), np.array([1, 1, 0, 0, 0])
    assert rand_index(a, a) == 1
    # 2 pairs together in both, 2 and 4 in one, 10 in all.
    assert rand_index(a, b) == pytest.approx((2 - 0.8) / (3 - 0.8))
