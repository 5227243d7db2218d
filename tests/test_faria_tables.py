import functools

import jax
import numpy as np
import pytest
import scipy.stats

from causaljax import simulate

QUICK = {"xla_backend_optimization_level": 0}
MECHANISMS = ["linear", "network", "nonadditive_network"]
DONE = ["perfect", "imperfect"]
mechanisms = pytest.mark.parametrize("mechanism", MECHANISMS)
kinds = pytest.mark.parametrize("intervention", DONE)
number_of_targets = pytest.mark.parametrize("multi_target", [False, True])


@functools.cache
def table(mechanism="linear", intervention="perfect", multi_target=False):
    """A table of 7 variables, 2,000 rows a regime."""
    draw = functools.partial(
        simulate.faria_table,
        mechanism=mechanism,
        intervention=intervention,
        multi_target=multi_target,
        num_variables=7,
        num_rows=2000 * (15 if multi_target else 8),
    )
    drawn = jax.jit(draw, compiler_options=QUICK)(jax.random.key(2))
    return jax.tree.map(np.asarray, drawn)


@functools.cache
def truths(multi_target):
    """What made 300 tables of 10 variables, imperfect and linear."""

    def draw(key):
        _, truth = simulate.faria_table(
            key, num_rows=21, intervention="imperfect", multi_target=multi_target
        )
        return truth

    keys = jax.random.split(jax.random.key(0), 300)
    drawn = jax.jit(jax.vmap(draw), compiler_options=QUICK)(keys)
    return jax.tree.map(np.asarray, drawn)


def families(truth):
    """(child, parents) of every variable that has some."""
    pairs = [(j, np.flatnonzero(column)) for j, column in enumerate(truth.graph.T)]
    pairs = [(j, parents) for j, parents in pairs if len(parents)]
    assert 2 <= len(pairs) < len(truth.graph)  # roots are among the variables, too
    return pairs


def regression(problem, rows, j, parents):
    """Least-squares coefficients and intercept of a column, and what they leave."""
    x = problem.x[rows][:, parents].astype(float)
    x = np.hstack([x, np.ones((len(x), 1))])
    y = problem.x[rows, j].astype(float)
    fit = np.linalg.lstsq(x, y, rcond=None)[0]
    return fit[:-1], fit[-1], y - x @ fit


def is_standard_normal(sample):
    return scipy.stats.kstest(sample, "norm").pvalue > 1e-4


def is_between(low, values, high):
    values = np.asarray(values)
    assert values.size > 0
    return (values >= low).all() and (values <= high).all()


def own_noise(truth, r, j):
    """What `noise_mean` and `noise_scale` say of E_j, as a function of a column."""
    return lambda column: (column - truth.noise_mean[r, j]) / truth.noise_scale[r, j]


@mechanisms
@kinds
@number_of_targets
def test_regimes_are_blocks_with_their_targets(mechanism, intervention, multi_target):
    problem, truth = table(mechanism, intervention, multi_target)
    num_regimes = 15 if multi_target else 8
    assert problem.x.dtype == np.float32
    assert np.isfinite(problem.x).all()
    np.testing.assert_array_equal(
        problem.regime, np.repeat(np.arange(num_regimes), 2000)
    )
    np.testing.assert_array_equal(problem.regime, truth.regime)
    np.testing.assert_array_equal(problem.intervened, truth.targets[truth.regime])
    assert not truth.targets[0].any()
    counts = truth.targets[1:].sum(axis=1)
    if multi_target:
        assert set(counts) == {1, 2, 3}
    else:
        np.testing.assert_array_equal(counts, np.ones(7))
        np.testing.assert_array_equal(truth.targets.sum(axis=0), np.ones(7))
    is_root = ~truth.graph.any(axis=0)
    expected = truth.targets & (is_root | (intervention == "perfect"))
    np.testing.assert_array_equal(truth.cut, expected)


def test_sizes_of_target_sets_are_equally_likely():
    counts = truths(multi_target=True).targets[:, 1:].sum(axis=2).ravel()
    tally = np.bincount(counts, minlength=5)
    assert tally[0] == 0
    assert len(tally) == 5
    assert scipy.stats.chisquare(tally[1:]).pvalue > 1e-3
    assert not truths(multi_target=True).targets[:, 0].any()


@mechanisms
@number_of_targets
def test_a_perfect_target_has_a_mean_of_its_own_in_each_regime(mechanism, multi_target):
    problem, truth = table(mechanism, "perfect", multi_target)
    means = truth.noise_mean[truth.targets]
    assert is_between(4, np.abs(means), 8)
    assert len(np.unique(means)) == len(means)
    np.testing.assert_allclose(truth.noise_scale[truth.targets], 0.2)
    for r, j in np.argwhere(truth.targets):
        column = problem.x[truth.regime == r, j]
        assert is_standard_normal(own_noise(truth, r, j)(column))
        others = np.setdiff1d(np.flatnonzero(truth.graph[:, j]), [j])
        for i in others:
            rows = truth.regime == r
            assert abs(np.corrcoef(problem.x[rows][:, [i, j]].T)[0, 1]) < 0.1


def test_means_of_targets_are_drawn_as_said():
    truth = truths(multi_target=False)
    means = truth.noise_mean[truth.cut]
    assert (means < 0).mean() == pytest.approx(0.5, abs=0.1)
    assert scipy.stats.kstest(np.abs(means) / 4 - 1, "uniform").pvalue > 1e-3


@mechanisms
def test_roots_are_their_own_noise(mechanism):
    problem, truth = table(mechanism)
    roots = np.flatnonzero(~truth.graph.any(axis=0))
    assert is_between(0.4, truth.noise_scale[0, roots], 0.56)
    for j in roots:
        for r in np.flatnonzero(~truth.targets[:, j]):
            column = problem.x[truth.regime == r, j]
            assert is_standard_normal(own_noise(truth, 0, j)(column))


def test_noise_is_drawn_as_said():
    truth = truths(multi_target=False)
    has_parents = truth.graph.any(axis=1)
    for rows, share in ((~has_parents, 1), (has_parents, 0.2)):
        means, scales = truth.noise_mean[:, 0][rows], truth.noise_scale[:, 0][rows]
        assert scipy.stats.kstest(means / (0.3 * share), "norm").pvalue > 1e-3
        a = scales / (0.4 * share)
        assert scipy.stats.kstest((a - 1) / 0.4, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("multi_target", "factor"), [(False, 2.5), (True, 1)])
def test_an_imperfect_target_has_other_noise(multi_target, factor):
    truth = truths(multi_target)
    hit = truth.targets & ~truth.cut
    means, scales = (
        each[hit] / (0.2 * factor) for each in (truth.noise_mean, truth.noise_scale)
    )
    assert scipy.stats.kstest(means / 0.3, "norm").pvalue > 1e-3
    assert scipy.stats.kstest((scales / 0.4 - 1) / 0.4, "uniform").pvalue > 1e-3
    for each in (truth.noise_mean, truth.noise_scale):
        usual = np.broadcast_to(each[:, :1], each.shape)
        np.testing.assert_array_equal(each[~truth.targets], usual[~truth.targets])


def test_linear_columns_follow_their_equation():
    problem, truth = table()
    for j, parents in families(truth):
        free = ~problem.intervened[:, j]
        coefficients, intercept, left = regression(problem, free, j, parents)
        assert is_between(0.24, np.abs(coefficients), 1.01)
        assert intercept == pytest.approx(truth.noise_mean[0, j], abs=0.01)
        assert is_standard_normal(left / truth.noise_scale[0, j])


@number_of_targets
def test_an_imperfect_linear_target_has_other_coefficients(multi_target):
    problem, truth = table("linear", "imperfect", multi_target)
    found = []
    for j, parents in families(truth):
        for r in np.flatnonzero(truth.targets[:, j]):
            # Parents that are targets as well may be constants.
            alive = np.setdiff1d(parents, np.flatnonzero(truth.cut[r]))
            if multi_target and len(alive) < len(parents):
                continue
            rows = truth.regime == r
            coefficients, intercept, left = regression(problem, rows, j, parents)
            assert is_standard_normal(left / truth.noise_scale[r, j])
            assert intercept == pytest.approx(truth.noise_mean[r, j], abs=0.05)
            found.extend(coefficients)
    found = np.array(found)
    if multi_target:
        assert is_between(0.2, np.abs(found), 1.05)
    else:
        assert is_between(0.6, found[found > 0], 2.55)
        assert is_between(2.4, -found[found < 0], 10.1)


@mechanisms
def test_imperfect_roots(mechanism):
    (single, truth), (multi, other) = (
        table(mechanism, "imperfect", several) for several in (False, True)
    )
    assert truth.cut.any()
    assert other.cut.any()
    for r, j in np.argwhere(truth.cut):
        assert 4 <= abs(truth.noise_mean[r, j]) <= 8
        column = single.x[truth.regime == r, j]
        assert is_standard_normal(own_noise(truth, r, j)(column))
        assert truth.noise_scale[r, j] == np.float32(0.2)
    constants = []
    for r, j in np.argwhere(other.cut):
        assert (multi.x[other.regime == r, j] == other.noise_mean[r, j]).all()
        constants.append(own_noise(other, 0, j)(other.noise_mean[r, j]))
    assert is_between(-4, constants, 4)
    assert len(set(constants)) == len(constants)


@kinds
def test_noise_inside_a_network_is_not_redrawn(intervention):
    _, truth = table("nonadditive_network", intervention)
    for each in (truth.noise_mean, truth.noise_scale):
        usual = np.broadcast_to(each[:1], each.shape)
        np.testing.assert_array_equal(each[~truth.cut], usual[~truth.cut])
    assert is_between(0.4, truth.noise_scale[0], 0.56)


def layers(truth):
    """Parameters of the hidden layers, and the weights of the last ``[d, r, h]``."""
    features, outputs, _ = truth.model.log_density.args
    return features.args[0], outputs


def forward(truth, r, j, parents, noise):
    """The network of a child, written out again."""
    params, outputs = layers(truth)
    hidden = parents @ params["inputs"][j].astype(float) + params["bias"][j]
    hidden = np.maximum(hidden + np.outer(noise, params["noise"][j]), 0)
    hidden = np.maximum(hidden @ params["second"][j] + params["second_bias"][j], 0)
    return hidden @ outputs[j, r if outputs.shape[1] > 1 else 0]


@kinds
@number_of_targets
def test_a_network_and_its_added_noise(intervention, multi_target):
    problem, truth = table("network", intervention, multi_target)
    for j, _ in families(truth):
        parents = np.where(truth.graph[:, j], problem.x, 0).astype(float)
        for r in np.flatnonzero(~truth.cut[:, j]):
            rows = truth.regime == r
            signal = forward(truth, r, j, parents[rows], np.zeros(2000))
            left = problem.x[rows, j] - signal
            if np.abs(signal).max() < 1000:  # beyond, float32 rounds into the noise
                assert is_standard_normal(own_noise(truth, r, j)(left))


def test_noise_inside_a_network_reaches_the_column():
    problem, truth = table("nonadditive_network")
    rows = truth.regime == 0
    draw = np.random.default_rng(0).normal
    for j, _ in families(truth):
        parents = np.where(truth.graph[:, j], problem.x[rows], 0).astype(float)
        noise = draw(truth.noise_mean[0, j], truth.noise_scale[0, j], 2000)
        again = forward(truth, 0, j, parents, noise)
        assert scipy.stats.ks_2samp(problem.x[rows, j], again).pvalue > 1e-4
        still = forward(truth, 0, j, parents, np.full(2000, truth.noise_mean[0, j]))
        assert np.std(problem.x[rows, j] - still) > 0.05


def test_weights_are_drawn_as_said():
    params, outputs = layers(table("network")[1])
    for name in ("inputs", "second"):
        assert scipy.stats.kstest(params[name].ravel(), "norm").pvalue > 1e-3
    for name in ("bias", "second_bias"):
        size = np.abs(params[name].ravel())
        assert scipy.stats.kstest((size - 0.05) / 1.45, "uniform").pvalue > 1e-3
    size = np.abs(outputs.ravel())
    assert scipy.stats.kstest((size - 0.25) / 0.75, "uniform").pvalue > 1e-3
    assert 0.25 < (outputs < 0).mean() < 0.75


@mechanisms
def test_an_imperfect_network_changes_its_last_layer_only(mechanism):
    _, truth = table(mechanism, "imperfect")
    outputs = truth.model.log_density.args[1]
    ratio = np.abs(outputs).swapaxes(0, 1)
    hit = truth.targets & ~truth.cut
    signs = np.sign(outputs).swapaxes(0, 1)
    assert is_between(0.625, ratio[hit][signs[hit] > 0], 2.5)
    assert is_between(2.5, ratio[hit][signs[hit] < 0], 10)
    usual = np.broadcast_to(outputs[:, :1], outputs.shape).swapaxes(0, 1)
    np.testing.assert_array_equal(outputs.swapaxes(0, 1)[~hit], usual[~hit])


def test_graphs_have_so_many_edges_on_average():
    num_edges = truths(multi_target=False).graph.sum(axis=(1, 2))
    # Binomial: 45 pairs of probability 2/9.
    assert num_edges.mean() == pytest.approx(10, abs=4 * np.sqrt(70 / 9 / 300))
    assert num_edges.var() == pytest.approx(70 / 9, rel=0.4)


def test_a_key_is_a_table():
    draw = jax.jit(
        functools.partial(simulate.faria_table, num_variables=4, num_rows=20),
        compiler_options=QUICK,
    )
    first, same, other = (draw(jax.random.key(seed))[0].x for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "cubic"}, "'cubic' is not one of"),
        ({"intervention": "soft"}, 'must be "perfect" or "imperfect", not'),
        ({"num_variables": 1}, "num_variables must be at least 2, not 1"),
        ({"num_rows": 5}, "num_rows must be at least 11"),
        ({"num_rows": 20, "multi_target": True}, "num_rows must be at least 21"),
    ],
)
def test_impossible_tables_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            functools.partial(simulate.faria_table, **options), jax.random.key(0)
        )
