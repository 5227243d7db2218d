"""Classes and counts: how they come about and what children see of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from causaljax.core.types import Kind
from causaljax.simulate import classes, realisations

N = 4000

# One program serves all tests.
cut_classes = jax.jit(classes.cut_classes)
draw_counts = jax.jit(realisations.draw_counts)


@pytest.fixture(scope="module")
def value():
    return jax.random.normal(jax.random.key(0), (N,))


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("num_classes", [2, 5, 8])
def test_classes_are_cut_in_the_order_of_the_value(value, num_classes, even):
    code = cut_classes(jax.random.key(1), value, N, num_classes, even)
    assert np.array_equal(np.unique(code), np.arange(num_classes))
    assert (jnp.diff(code[jnp.argsort(value)]) >= 0).all()
    shares = np.bincount(np.array(code, int)) / N
    if even:
        assert abs(shares - 1 / num_classes).max() < 0.15


def test_only_rows_that_count_place_the_cuts(value):
    """The others all lie above."""
    shifted = jnp.where(jnp.arange(N) < 100, value, value + 100)
    code = cut_classes(jax.random.key(1), shifted, 100, 3, True)
    assert set(np.unique(code[:100])) == {0, 1, 2}
    assert (code[100:] == 2).all()


def test_drawn_classes_have_the_probabilities_of_their_logits():
    logits = jnp.log(jnp.array([0.5, 0.2, 0.3, 9, 9, 9, 9, 9]))
    code = classes.draw_classes(jax.random.key(0), jnp.tile(logits[None], (N, 1)), 3)
    shares = np.bincount(np.array(code, int)) / N
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3], atol=0.03)


def test_class_logits_depend_on_parents_and_on_nothing_else():
    """Whatever form is drawn, numbers matter, and classes do in combination."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (60, 4)).astype(np.float32)
    codes[:, 3] = rng.normal(size=60)
    is_class = jnp.array([True, True, False, False])
    seen = jnp.asarray(codes).at[:, 2].set(0)  # no parent

    @jax.jit
    def same_draw(key, seen, codes):
        return classes.class_logits(key, seen, codes, is_class, False)

    def logits(key, seen, codes):
        return same_draw(jax.random.clone(key), seen, codes)

    for key in jax.random.split(jax.random.key(0), 12):
        base = logits(key, seen, codes)
        assert (base == logits(key, seen, codes + jnp.array([[0, 0, 1.0, 0]]))).all()
        for parent in (0, 3):
            step = jnp.zeros(4).at[parent].set(1)[None]
            assert (base != logits(key, seen + step, codes + step)).any(1).all()


def test_scores_of_ordered_classes_rise_and_all_have_mean_0_and_variance_1():
    num_classes = jnp.array([5, 8, 0, 8])
    is_ordered = jnp.array([True, False, False, True])
    scores = classes.class_scores(jax.random.key(0), num_classes, is_ordered)
    assert (scores[2] == 0).all()
    assert (scores[0, 5:] == 0).all()
    for score in (scores[0, :5], scores[1], scores[3]):
        np.testing.assert_allclose(score.mean(), 0, atol=1e-5)
        np.testing.assert_allclose(score.std(), 1, atol=1e-4)
    assert (jnp.diff(scores[0, :5]) > 0).all()
    assert (jnp.diff(scores[3]) > 0).all()
    assert (jnp.diff(scores[1]) < 0).any()


def test_children_see_classes_by_scores_counts_in_size_1_and_numbers_as_they_are():
    rng = np.random.default_rng(0)
    rate = np.exp(2 + 0.5 * rng.normal(size=N))
    columns = rng.integers(0, 5, N), rng.poisson(rate), rng.normal(3, 2, N)
    x = jnp.asarray(np.stack(columns, 1), jnp.float32)
    how = realisations.continuous(3)._replace(
        kind=jnp.array([Kind.CATEGORICAL, Kind.COUNT, Kind.CONTINUOUS]),
        num_classes=jnp.array([5, 0, 0]),
        log_rate=jnp.full(3, 2.0),
        slope=jnp.full(3, 0.5),
    )
    seen = realisations.see(jax.random.key(0), x, how)
    assert [len(np.unique(seen[x[:, 0] == k, 0])) for k in range(5)] == [1] * 5
    assert len(np.unique(seen[:, 0])) == 5
    assert abs(seen[:, 1].mean()) < 0.5
    assert 0.6 < seen[:, 1].std() < 1.6
    assert (seen[:, 2] == x[:, 2]).all()


@pytest.mark.parametrize("rate", [0.1, 3.0, 25.0, 200.0])
def test_counts_are_poisson(rate):
    count = draw_counts(jax.random.key(3), jnp.full(N, np.log(rate)))
    assert (count == jnp.round(count)).all()
    assert count.min() >= 0
    assert count.mean() == pytest.approx(rate, abs=4 * (rate / N) ** 0.5)
    grid = np.quantile(np.array(count), [0.1, 0.5, 0.9])
    below = [(np.array(count) <= at).mean() for at in grid]
    np.testing.assert_allclose(below, scipy.stats.poisson(rate).cdf(grid), atol=0.03)


def _how(**changes):
    how = realisations.continuous(1)
    return how._replace(
        **{
            name: jnp.full(1, of, getattr(how, name).dtype)
            for name, of in changes.items()
        }
    )


@jax.jit
def _seen_and_shown(value, targeted, how):
    one = jax.tree.map(lambda leaf: leaf[0], how)
    seen = realisations.realise(jax.random.key(5), value, one, targeted, N)
    return seen, realisations.measure(jax.random.key(6), seen[:, None], how, N)[:, 0]


def _realised(value, targeted=False, **changes):
    targeted = jnp.broadcast_to(targeted, value.shape)
    seen, shown = _seen_and_shown(value, targeted, _how(**changes))
    return np.array(seen), np.array(shown)


def test_values_without_a_realisation_stay_as_they_are(value):
    seen, shown = _realised(value)
    assert (seen == value).all()
    assert (shown == value).all()


def test_classes_without_an_order_are_relabelled(value):
    seen, shown = _realised(value, kind=int(Kind.CATEGORICAL), num_classes=6)
    pairs = np.unique(np.c_[seen, shown], axis=0)
    assert np.array_equal(pairs[:, 0], np.arange(6))
    assert np.array_equal(np.sort(pairs[:, 1]), np.arange(6))
    assert (np.diff(pairs[:, 1]) < 0).any()


def test_targets_get_classes_of_other_shares():
    """Classes that were drawn given the parents; elsewhere they stay."""
    codes = jnp.full(N, 3.0)
    targeted = jnp.arange(N) < N // 2
    seen, _ = _realised(
        codes, targeted, kind=int(Kind.ORDINAL), num_classes=4, generated=True
    )
    assert (seen[N // 2 :] == 3).all()
    assert seen[: N // 2].min() < 3
    assert set(np.unique(seen)) <= {0, 1, 2, 3}


def test_counts_have_more_zeros_and_children_may_see_logs(value):
    how = {"kind": int(Kind.COUNT), "log_rate": 2.0, "slope": 0.3, "zero_prob": 0.4}
    seen, shown = _realised(value, log_seen=True, **how)
    np.testing.assert_allclose(seen, np.log1p(shown), rtol=1e-5)
    assert (shown == np.round(shown)).all()
    assert 0.38 < (shown == 0).mean() < 0.44


@pytest.mark.parametrize("felt", [False, True])
def test_saturation_and_rounding_are_felt_by_children_or_not(value, felt):
    seen, shown = _realised(value, floor=0.2, ceiling=0.1, step=0.5, felt=felt)
    assert (shown == np.round(shown / 0.5) * 0.5).all()
    assert (shown == shown.min()).mean() > 0.1
    assert (shown == shown.max()).mean() > 0.03
    assert (seen == shown).all() == felt


def test_error_of_measurement_is_not_felt(value):
    seen, shown = _realised(value, error=0.5)
    assert (seen == value).all()
    assert (shown - seen).std() == pytest.approx(0.5, abs=0.03)


def test_columns_of_two_values_are_told_as_binary(value):
    how = _how(step=5.0)
    x = jnp.where(value > 0, 5.0, 0.0)[:, None]
    kind = realisations.told_kind(jax.random.key(0), x, jnp.ones(N), how)
    assert kind[0] == Kind.BINARY
    assert kind.dtype == jnp.int8
