import functools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

from causaljax.core.types import make_problem
from causaljax.kernels import latent_interventions
from causaljax.kernels.latent_interventions import kernel, mixture
from causaljax.kernels.latent_interventions.hypothesis import curve_price
from causaljax.mechanisms import conjugate
from causaljax.mechanisms.regression_network import Curve
from causaljax.regimes.densities import Model
from causaljax.regimes.split import split_regime
from causaljax.regimes.state import Mechanisms

SCALE = 0.5  # of the noise of 1, which is 2 times 0 and noise


def model(targets):
    """0 -> 1, known, and what regimes disturbed."""
    targets = np.asarray(targets, "float32")
    k, zeros = len(targets), functools.partial(np.zeros, dtype="float32")
    curves = Curve(
        inputs=zeros((2, 1, 0)),
        skip_weights=np.array([[0], [2]], "float32"),
        biases=zeros((2, 0)),
        outputs=zeros((2, 0)),
        offset=zeros(2),
    )
    nothing = conjugate.Statistics(
        zeros((2, k)), zeros((2, k, 1, 1)), zeros((2, k, 1)), zeros((2, k))
    )
    mechanisms = Mechanisms(
        curves=curves,
        scale=np.array([1, SCALE], "float32"),
        shapes=zeros((2, 0, 0)),
        parents=np.array([[1], [0]]),
        parent_mask=np.array([[False], [True]]),
    )
    return Model(
        mechanisms=mechanisms,
        targets=targets,
        log_weights=np.full(k, -np.log(k), "float32"),
        own=conjugate.fit(nothing)[0],
    )


def table(seed=0):
    """Regime 0 of 600 rows, the last 200 of which had 1 set; regime 1 of 300 rows."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=900)
    effect = 2 * cause + SCALE * rng.normal(size=900)
    effect[400:600] = rng.normal(4, 0.3, size=200)
    responsibilities = np.zeros((900, 3))
    responsibilities[:600, 0] = responsibilities[600:, 1] = 1
    x = np.column_stack([cause, effect]).astype("float32")
    return x, responsibilities.astype("float32")


def split(targets, x, responsibilities, weight=None, able=(True, True, True)):
    weight = np.ones(len(x), "float32") if weight is None else weight
    given = model(targets), x, weight, responsibilities, np.array(able), "perfect"
    return [np.asarray(part) for part in split_regime(*given)]


# Two regimes were taken for one: as if nothing, or as if all of it, had been disturbed.
@pytest.mark.parametrize("taken_for", [[0, 0], [0, 1], [1, 1]])
def test_rows_that_differ_in_a_target_part(taken_for):
    x, responsibilities = table()
    rows, targets, gain = split([taken_for, [1, 0], [1, 1]], x, responsibilities)
    assert (rows[400:600, 2] > 0.5).mean() > 0.94  # some are in reach of both
    assert (rows[:400, 0] > 0.5).mean() > 0.97
    np.testing.assert_array_equal(rows[:, 1], responsibilities[:, 1])
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    first = taken_for[0]
    np.testing.assert_array_equal(targets, [[first, 0], [1, 0], [first, 1]])
    assert gain > 0


def test_gain_is_that_of_the_mixture_over_the_better_half():
    x, responsibilities = table()
    _, _, gain = split([[0, 0], [0, 0], [0, 0]], x, responsibilities)
    cause, effect = x[:600].T.astype("float64")
    usual = scipy.stats.norm.logpdf(effect, 2 * cause, SCALE)
    own = scipy.stats.norm.logpdf(effect, 4, 0.3)
    mixed = logsumexp([np.log(2 / 3) + usual, np.log(1 / 3) + own], axis=0).sum()
    whole = scipy.stats.norm.logpdf(effect, effect.mean(), effect.std()).sum()
    assert gain == pytest.approx(mixed - max(whole, usual.sum()), abs=6)


def test_what_is_one_regime_gains_next_to_nothing():
    x, responsibilities = table()
    responsibilities[400:600, 0], responsibilities[400:600, 1] = 0, 0
    responsibilities[400:600, 2] = 1
    able = True, True, False
    _, _, gain = split([[0, 0], [0, 0], [0, 1]], x, responsibilities, able=able)
    assert gain == -np.inf  # there is no empty place either
    weight = np.ones(len(x), "float32")
    weight[400:600] = 0
    _, _, gain = split([[0, 0], [0, 0], [0, 0]], x, responsibilities, weight)
    assert gain < 5


def test_only_regimes_that_may_are_split():
    x, responsibilities = table()
    targets = [[0, 0], [0, 0], [0, 0]]
    rows, _, gain = split(targets, x, responsibilities, able=(False, True, True))
    assert gain < 5
    np.testing.assert_array_equal(rows[:600], responsibilities[:600])
    assert split(targets, x, responsibilities, able=(True, True, False))[2] == -np.inf
    assert split(targets, x, responsibilities, able=(False, False, False))[2] == -np.inf


def test_a_regime_with_a_label_and_no_rows_is_no_place_for_others():
    x, responsibilities = table()
    responsibilities = np.insert(
        responsibilities, 0, 0, axis=1
    )  # nobody is of the first
    able = False, True, True, True
    rows, _, gain = split(np.zeros((4, 2)), x, responsibilities, able=able)
    assert gain > 0
    assert not rows[:, 0].any()
    assert (rows[400:600, 3] > 0.5).mean() > 0.94


def test_rows_of_no_weight_say_nothing():
    x, responsibilities = table()
    weight = np.ones(len(x), "float32")
    weight[:100] = 0
    other = x.copy()
    other[:100] = 50
    targets = [[0, 0], [0, 0], [0, 0]]
    expected = split(targets, x, responsibilities, weight)
    found = split(targets, other, responsibilities, weight)
    np.testing.assert_allclose(found[0][100:], expected[0][100:], atol=1e-5)
    assert found[2] == pytest.approx(expected[2], rel=1e-5)


def test_read_outs_that_regimes_changed_part_as_well():
    x, responsibilities = table()
    rng = np.random.default_rng(1)
    x[400:600, 1] = -2 * x[400:600, 0] + SCALE * rng.normal(size=200)
    targets = [[0, 0], [0, 0], [0, 0]]
    given = model(targets), x, jnp.ones(len(x)), responsibilities, np.ones(3, bool)
    rows, found, gain = map(np.asarray, split_regime(*given, "imperfect"))
    clear = np.abs(x[:600, 0]) > 0.5
    alike = (rows[:600, 2] > 0.5) == (np.arange(600) >= 400)
    assert alike[clear].mean() > 0.95
    np.testing.assert_array_equal(found, [[0, 0], [0, 0], [0, 1]])
    assert gain > 0


@pytest.mark.parametrize(("num_labels", "splits"), [(0, True), (1, False)])
def test_regimes_with_labels_and_the_reference_stay_whole(num_labels, splits):
    x, responsibilities = table()
    targets = np.array([[1, 0], [0, 0], [0, 0]], "float32")
    settings = mixture.Config(max_regimes=3, num_labels=num_labels)
    regimes = {
        "responsibilities": responsibilities,
        "targets": targets,
        "reference": jnp.asarray(1),
        "model": model(targets),
    }
    _, found, gain = kernel._split(
        regimes, make_problem(x), latent_interventions.Config(mixture=settings)
    )
    assert np.isfinite(gain) == splits
    if splits:
        np.testing.assert_array_equal(found, [[1, 0], [0, 0], [1, 1]])


def test_what_is_one_regime_promises_less_than_a_curve_costs():
    x, responsibilities = table()
    x[400:600, 1] = x[:200, 1]
    x[400:600, 0] = x[:200, 0]
    targets = np.array([[1, 0], [0, 0], [0, 0]], "float32")
    able = np.array([True, False, True])
    given = model(targets), x, jnp.ones(len(x)), responsibilities, able
    *_, gain = split_regime(*given, "perfect")
    price = curve_price(make_problem(x), mixture.Config(mechanism="network"))
    assert gain < price
