"""Curves fitted by least squares, against closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.mechanisms import regression_network

fit = jax.jit(regression_network.fit, static_argnames="num_iterations")


def begun(num_inputs, hidden=8, seed=0):
    rng = np.random.default_rng(seed)
    return regression_network.Curve(
        inputs=jnp.asarray(0.5 * rng.normal(size=(num_inputs, hidden)), "float32"),
        skip_weights=jnp.zeros(num_inputs),
        biases=jnp.asarray(rng.normal(size=hidden), "float32"),
        outputs=jnp.zeros(hidden),
        offset=jnp.zeros(()),
    )


def wave(n=400, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype("float32")
    y = np.sin(2 * x[:, 0]) + x[:, 1] ** 2 + noise * rng.normal(size=n)
    return x, y.astype("float32")


def test_without_hidden_units_it_is_a_regression():
    x, y = wave()
    weight = np.random.default_rng(1).uniform(0, 2, len(x)).astype("float32")
    found, noise = fit(begun(2, hidden=0), x, y, weight, 1e-6, num_iterations=20)
    inputs = np.column_stack([x, np.ones(len(x))])
    root = np.sqrt(weight)[:, None]
    expected = np.linalg.lstsq(inputs * root, y * root[:, 0], rcond=None)[0]
    np.testing.assert_allclose([*found.skip_weights, found.offset], expected, atol=1e-4)
    squares = weight * (y - inputs @ expected) ** 2
    assert noise == pytest.approx(np.sqrt(squares.sum() / weight.sum()), rel=1e-4)


def test_decay_is_a_normal_prior():
    """At noise s, the ridge of a regression is s^2 times the prior's precision."""
    x, y = wave()
    weight_decay = 300.0
    found, noise = fit(
        begun(2, hidden=0),
        x,
        y,
        np.ones(len(x), "float32"),
        weight_decay,
        num_iterations=60,
    )
    inputs = np.column_stack([x, np.ones(len(x))])
    ridge = float(noise) ** 2 * weight_decay * np.eye(3)
    expected = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ y)
    np.testing.assert_allclose([*found.skip_weights, found.offset], expected, atol=1e-3)


def test_a_curve_is_followed_down_to_its_noise():
    x, y = wave(2000)
    ones = np.ones(len(x), "float32")
    found, noise = fit(begun(2, hidden=16), x, y, ones, 1.0, num_iterations=150)
    assert noise < 0.02
    new, height = wave(2000, seed=1)
    rest = height - regression_network.predict(found, new)
    # Far out, where there are no rows to learn from, nothing is promised.
    near = (np.abs(new) < 2).all(axis=1)
    assert np.sqrt(np.mean(rest[near] ** 2)) < 0.04
    straight = np.linalg.lstsq(np.column_stack([x, ones]), y, rcond=None)[1]
    assert noise < 0.05 * np.sqrt(straight[0] / len(x))


def test_slopes_are_derivatives():
    x, y = wave(50)
    ones = np.ones(50, "float32")
    found, _ = fit(begun(2), x, y, ones, 0.1, num_iterations=10)
    one = jax.grad(lambda row: regression_network.predict(found, row[None])[0])
    np.testing.assert_allclose(
        regression_network.slopes(found, jnp.asarray(x)), jax.vmap(one)(x), atol=1e-4
    )


@pytest.mark.parametrize("spoilt", ["rows without weight", "a column of zeros"])
def test_what_does_not_count_changes_nothing(spoilt):
    x, y = wave(100)
    weight = np.ones(100, "float32")
    run = functools.partial(fit, weight_decay=0.1, num_iterations=8)
    if spoilt == "a column of zeros":
        other = np.column_stack([x, np.zeros(100, "float32")])
        wide = begun(2)
        wide = wide._replace(
            inputs=jnp.concatenate([wide.inputs, 0 * wide.inputs[:1]]),
            skip_weights=jnp.zeros(3),
        )
        actual = run(wide, other, y, weight)
        expected = run(begun(2), x, y, weight)
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-3)
        assert not actual[0].inputs[2].any()
        return
    weight[60:] = 0
    other = x.copy()
    other[60:] += 1e6
    actual = run(begun(2), other, y, weight)
    expected = run(begun(2), x[:60], y[:60], weight[:60])
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-3)


def test_the_fit_never_gets_worse():
    x, y = wave(200)
    ones = np.ones(200, "float32")
    noises = [
        float(fit(begun(2), x, y, ones, 1e-6, num_iterations=k)[1])
        for k in (1, 4, 16, 64)
    ]
    assert noises == sorted(noises, reverse=True)
    assert noises[-1] < 0.5 * noises[0]


def test_a_step_that_gains_too_little_is_the_last():
    x, y = wave()
    weight = jnp.ones(len(y))

    def after(num_iterations, tolerance):
        _, noise = fit(begun(2), x, y, weight, 1.0, num_iterations, tolerance)
        return float(noise)

    noises = [after(number, 0.0) for number in range(30)]
    gains = -np.diff(np.log(noises))
    assert after(30, 1e9) == noises[np.flatnonzero(gains > 0)[0] + 1]
    assert after(30, 0.0) == after(30, 1e-12)
    bar = 0.05  # far above what the prior has to say
    small = np.flatnonzero((gains > 0) & (gains < bar))
    assert 1 < small[0] < 28
    assert after(30, bar) == pytest.approx(noises[small[0] + 1], rel=0.2)
    assert after(30, bar) > noises[29]


def test_a_variable_without_rows_is_no_trouble():
    x, y = wave(30)
    found, noise = fit(begun(2), x, y, np.zeros(30, "float32"), 1.0, num_iterations=5)
    assert np.isfinite(noise)
    assert all(np.isfinite(leaf).all() for leaf in found)


def test_chosen_inputs_are_all_that_is_fitted():
    x, y = map(jnp.asarray, wave(200))
    other = np.random.default_rng(1).normal(size=(200, 3)).astype("float32")
    wide = jnp.column_stack([other[:, :2], x[:, :1], other[:, 2:], x[:, 1:]])
    chosen = jnp.array([False, False, True, False, True])
    begin = begun(5)
    ones = jnp.ones(200)
    some = functools.partial(
        regression_network.fit_selected, weight_decay=0.1, num_iterations=6
    )
    small = begin._replace(inputs=begin.inputs[chosen], skip_weights=jnp.zeros(2))
    expected = fit(small, x, y, ones, 0.1, num_iterations=6)
    for most, part in ((5, 4), (3, 3)):  # sizes 2 and 5, 1 and 3
        found, noise = some(begin, chosen, wide, y, ones, most=most, buckets=(part,))
        assert noise == pytest.approx(float(expected[1]), rel=1e-3)
        np.testing.assert_allclose(
            found.inputs[chosen], expected[0].inputs, rtol=0.02, atol=1e-3
        )
        assert not found.inputs[~chosen].any()


def test_what_a_linear_regression_can_spare_is_what_refits_can_spare():
    """Backward elimination on derivatives; of two copies of a cause one stays."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 5)).astype(np.float32)
    x[:, 4] = x[:, 0] + 1e-3 * rng.normal(size=800)
    y = (np.sin(2 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=800)).astype(np.float32)
    weight, chosen = np.ones(800, np.float32), np.ones(5, bool)
    begun = regression_network.init_curves(jax.random.key(0), 1, 5, 8, jnp.float32)
    begun = jax.tree.map(lambda leaf: leaf[0], begun)
    found, _ = regression_network.fit_selected(
        begun, chosen, x, y, weight, 1.0, 40, 5, ()
    )

    def spared(may_go, least):
        given = found, chosen, may_go, x, y, weight, 1.0, 5, least
        return np.asarray(regression_network.expendable(*given)).tolist()

    few = spared(chosen, 0.05)
    assert few[2:4] == [True, True]
    assert few[0] != few[4]
    assert not few[1]
    assert spared(np.array([True, True, False, True, True]), 0.05)[2] is False
    assert spared(chosen, 0.0) == [False] * 5
