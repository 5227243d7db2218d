"""Gaps: what fills them, and what methods without a model of them learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from causaljax import LinearDAG
from causaljax.core.problem import pad_rows
from causaljax.core.types import make_problem
from causaljax.estimators import gaps
from causaljax.mechanisms.imputation import impute

N, M = 400, 5


@pytest.fixture(scope="module")
def holed():
    """Two curves of a cause and a class, all with gaps; the table without them."""
    rng = np.random.default_rng(0)
    cause = rng.normal(size=N)
    bent = cause**2 + 0.1 * rng.normal(size=N)
    wave = np.sin(2 * cause) + 0.1 * rng.normal(size=N)
    sort = np.searchsorted([-0.7, 0.4], cause + 0.3 * rng.normal(size=N)) / 1.5
    whole = np.stack([cause, bent, wave, sort], axis=1)
    whole = (whole - whole.mean(axis=0)) / whole.std(axis=0)
    observed = rng.random(whole.shape) > 0.2
    observed[7] = True
    given = make_problem(np.where(observed, whole, 0), observed=observed)
    return whole, pad_rows(given, 448)


@pytest.fixture(scope="module")
def tables(holed):
    single = holed[1]._replace(x=holed[1].x.astype(np.float32))
    return single, np.asarray(
        jax.jit(impute, static_argnums=2)(jax.random.key(SEED), single, M)
    )


SEED = 3


def test_gaps_are_filled_with_values_of_their_columns(holed, tables):
    whole, problem = holed
    single, filled = tables
    assert filled.shape == (M, 448, 4)
    for table in filled:
        seen = problem.observed
        np.testing.assert_array_equal(table[seen], single.x[seen])
        for k in range(4):
            values = single.x[:N][problem.observed[:N, k], k]
            assert np.isin(table[:N, k], values).all()
    assert (filled[0] != filled[1]).any()


def test_fillings_follow_the_curves(holed, tables):
    whole, problem = holed
    gap = ~problem.observed[:N]
    mean = tables[1][:, :N].mean(axis=0)
    for k, least in enumerate([0.7, 0.7, 0.6, 0.5]):
        rows = gap[:, k] & (problem.observed[:N].sum(axis=1) >= 2)
        correlation = np.corrcoef(mean[rows, k], whole[rows, k])[0, 1]
        assert correlation > least, k
    # Single draws keep the spread of the column, which means of them would not.
    spread = tables[1][:, :N].std(axis=1)
    np.testing.assert_allclose(spread, 1, atol=0.12)


def test_padding_gives_no_values(tables):
    single, filled = tables
    spoiled = single._replace(x=np.where(single.weight[:, None] > 0, single.x, 1e6))
    again = jax.jit(impute, static_argnums=2)(jax.random.key(SEED), spoiled, M)
    np.testing.assert_array_equal(filled[:, :N], again[:, :N])


def test_rows_with_gaps_are_several_rows_of_less_weight(holed):
    problem = holed[1]
    filled = gaps.fill(jax.random.key(SEED), problem, M)
    holes = ~problem.observed[:N].all(axis=1)
    counted = filled.weight > 0
    empty = ~problem.observed[:N].any(axis=1)
    assert counted.sum() == N + (M - 1) * holes.sum() - M * empty.sum()
    np.testing.assert_allclose(filled.weight.sum(), problem.observed[:N].mean(1).sum())
    assert filled.observed.all()
    for k in range(4):  # to the last bit, so that classes stay the classes they are
        values = problem.x[:N][problem.observed[:N, k], k]
        assert np.isin(filled.x[counted, k], values).all()
    first = np.flatnonzero(problem.observed[:N].all(axis=1))[0]
    at = np.flatnonzero((filled.x == problem.x[first]).all(axis=1))
    assert filled.weight[at].tolist() == [1.0]


@pytest.mark.filterwarnings("ignore")
def test_a_method_without_a_model_of_gaps_learns_from_them():
    rng = np.random.default_rng(1)
    a = rng.normal(size=600)
    b = a + 0.5 * rng.normal(size=600)
    d = rng.normal(size=600)
    c = b + d + 0.5 * rng.normal(size=600)
    whole = pd.DataFrame({"a": a, "b": b, "c": c, "d": d})
    table = whole.mask(rng.random(whole.shape) < 0.2)
    before = table.copy()
    model = LinearDAG(noise="gaussian").fit(table)
    pd.testing.assert_frame_equal(table, before)
    joined = model.adjacency_.to_numpy() | model.adjacency_.to_numpy().T
    expected = np.zeros((4, 4), int)
    for i, j in [(0, 1), (1, 2), (3, 2)]:
        expected[i, j] = expected[j, i] = 1
    np.testing.assert_array_equal(joined, expected)
    found = model.info_["gaps"]
    assert found["cells"] == int(table.isna().to_numpy().sum())
    assert found["columns"]["b"] == int(table.b.isna().sum())
    assert found["imputations"] == 5
    assert "missing at random" in found["assumed"]
    again = LinearDAG(noise="gaussian").fit(table[["d", "b", "a", "c"]])
    moved = again.adjacency_.loc[list("abcd"), list("abcd")]
    pd.testing.assert_frame_equal(moved, model.adjacency_)
    assert "gaps" not in LinearDAG(noise="gaussian").fit(whole).info_


def test_a_column_without_other_columns_is_drawn_from_itself():
    x = np.array([[1.0, 0], [2, 0], [0, 0], [4, 0]], np.float32)
    observed = np.array([[1, 1], [1, 1], [0, 1], [1, 1]], bool)
    problem = make_problem(x, observed=observed)
    filled = impute(jax.random.key(0), problem, 1)
    assert jnp.isin(filled[0, 2, 0], jnp.array([1.0, 2, 4]))
