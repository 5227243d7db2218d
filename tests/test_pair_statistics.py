import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.core.types import Kind, make_problem
from causaljax.networks import contingency
from causaljax.networks.columns import read_columns
from causaljax.networks.pair_statistics import NUM_STATISTICS, pair_statistics


def table(seed=0, n=300, d=5, gaps=True, interventions=True):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x[:, 1] += np.tanh(x[:, 0])
    x[:, 2] = x[:, 1] ** 2 + rng.exponential(size=n)
    intervened = np.zeros((n, d), bool)
    if interventions:
        intervened[: n // 5, 1] = True
        x[: n // 5, 1] = 3
    observed = rng.uniform(size=(n, d)) > 0.1 if gaps else np.ones((n, d), bool)
    x = np.where(observed, x, 0).astype(np.float32)
    return make_problem(x, observed=observed, intervened=intervened)


statistics = jax.jit(pair_statistics)


def test_the_grid_is_finite_and_bounded():
    grid = statistics(table())
    assert grid.shape == (5, 5, NUM_STATISTICS)
    assert jnp.isfinite(grid).all()
    assert jnp.abs(grid).max() <= 10


def test_relabelling_the_variables_relabels_the_grid():
    problem, order = table(), np.array([3, 0, 4, 1, 2])
    moved = make_problem(
        problem.x[:, order],
        observed=problem.observed[:, order],
        intervened=problem.intervened[:, order],
    )
    grid, moved_grid = statistics(problem), statistics(moved)
    np.testing.assert_allclose(grid[order][:, order], moved_grid, atol=2e-3)


def test_rows_of_weight_zero_and_fillers_change_nothing():
    problem = table()
    rng = np.random.default_rng(5)
    extra = rng.normal(size=(700, 5)).astype(np.float32) * 50
    filled = np.where(problem.observed, problem.x, 17)
    padded = make_problem(
        np.concatenate([filled, extra]),
        observed=np.concatenate([problem.observed, np.ones((700, 5), bool)]),
        intervened=np.concatenate([problem.intervened, np.ones((700, 5), bool)]),
        weight=np.concatenate([np.ones(300), np.zeros(700)]),
    )
    np.testing.assert_allclose(statistics(problem), statistics(padded), atol=2e-3)


def test_units_signs_of_units_aside_change_nothing():
    problem = table()
    scaled = problem._replace(
        x=jnp.where(problem.observed, problem.x * jnp.array([[1e3, 2, 0.01, 7, 1]]), 0)
        + jnp.where(problem.observed, jnp.array([[5.0, 0, 1, 0, -3]]), 0)
    )
    np.testing.assert_allclose(statistics(problem), statistics(scaled), atol=5e-3)


def test_long_tables_taken_in_chunks_give_what_one_chunk_gives(monkeypatch):
    from causaljax.networks import pair_statistics as module

    problem = table(n=1300)
    chunked = statistics(problem)
    monkeypatch.setattr(module, "ROW_CHUNK", 5000)
    monkeypatch.setattr(module, "CACHE", 10**9)
    whole = jax.jit(lambda problem: pair_statistics(problem))(problem)
    np.testing.assert_allclose(chunked, whole, atol=2e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: np.where(np.arange(x.shape[1]) == 0, 4.0, x),
        lambda x: np.concatenate([x[:, :1], x[:, :1], x[:, 2:]], 1),
        lambda x: np.sign(x),
        lambda x: x[:3],
        lambda x: x[:1],
        lambda x: np.where(np.arange(len(x))[:, None] == 0, 1e30, x),
        lambda x: np.zeros_like(x),
    ],
    ids=["constant", "copy", "signs", "3 rows", "1 row", "huge", "all zero"],
)
def test_awkward_tables_give_a_finite_grid(spoil):
    x = spoil(np.random.default_rng(1).normal(size=(60, 4))).astype(np.float32)
    assert jnp.isfinite(statistics(make_problem(x))).all()


def test_the_regression_of_a_variable_leaves_out_its_intervened_rows():
    """do(b) breaks a -> b in half of the rows; the natural half still shows it."""
    rng = np.random.default_rng(2)
    n = 4000
    a = rng.normal(size=n)
    done = np.arange(n) < n // 2
    b = np.where(done, rng.normal(size=n) * 3, 2 * a + 0.3 * rng.normal(size=n))
    x = np.stack([a, b], 1).astype(np.float32)
    intervened = np.stack([np.zeros(n, bool), done], 1)
    known = statistics(make_problem(x, intervened=intervened))
    unknown = statistics(make_problem(x))
    # The correlation of the first Legendre polynomials, i to j, as it is.
    place = 12 * 12
    assert known[0, 1, place] > 1.8  # 2 x .95 or more
    assert unknown[0, 1, place] < 1.2


def test_columns_agree_with_ranks_and_moments_computed_by_hand():
    x = np.array([[3.0], [1.0], [2.0], [2.0], [9.0]], np.float32)
    mass = np.array([[1.0], [1.0], [1.0], [1.0], [0.0]], np.float32)
    columns = read_columns(jnp.array(x), jnp.array(mass), jnp.zeros(1, bool))
    u = np.array([0.875, 0.125, 0.5, 0.5])
    np.testing.assert_allclose(
        columns.legendre[:4, 0, 0], np.sqrt(3) * (2 * u - 1), atol=1e-6
    )
    score = (x[:4, 0] - 2) / np.sqrt(0.5)
    np.testing.assert_allclose(columns.score[:4, 0], score, atol=1e-5)
    assert columns.score[4, 0] == 0
    assert columns.legendre[4].tolist() == [[0, 0, 0, 0]]
    assert columns.distinct[0] == pytest.approx(0.75)
    assert columns.level[:4, 0].tolist() == [2, 0, 1, 1]
    assert columns.num_values.tolist() == [3]


def classes(seed=0, n=300):
    """A class of three, one of two and one of four beside two numbers."""
    rng = np.random.default_rng(seed)
    a = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    b = a + rng.normal(size=n)
    c = (np.array([0.2, 2.0, -1])[a] + rng.logistic(size=n) > 0.5).astype(int)
    d = np.searchsorted([-1, 0.4, 1.5], b + rng.normal(size=n))
    return np.stack([a, b, c, d, rng.normal(size=n)], 1)


KINDS = [Kind.CATEGORICAL, Kind.CONTINUOUS, Kind.BINARY, Kind.CATEGORICAL, 0]


def read(x, kind=KINDS):
    x = (x - x.mean(0)) / x.std(0)
    return statistics(make_problem(x.astype(np.float32), kind=kind))


def test_other_numbers_for_classes_without_order_change_nothing():
    x = classes()
    renamed = x.copy()
    renamed[:, 0] = np.array([7, -2, 3])[x[:, 0].astype(int)]
    renamed[:, 2] = 1 - x[:, 2]
    renamed[:, 3] = np.array([2, 0, 3, 1])[x[:, 3].astype(int)]
    np.testing.assert_allclose(read(x), read(renamed), atol=2e-3)
    in_order = [Kind.ORDINAL, 0, Kind.BINARY, Kind.ORDINAL, 0]
    assert jnp.abs(read(x, in_order) - read(renamed, in_order)).max() > 1


def test_pairs_of_numbers_have_the_statistics_of_a_table_without_classes():
    x = classes()[:, [1, 4]]
    alone = read(x, [0, 0])
    beside = read(np.concatenate([x, classes()[:, :1]], 1), [0, 0, Kind.CATEGORICAL])

    def of_ranks_and_scores(grid):
        return grid[:2, :2, : 12 * 12].reshape(2, 2, 12, 12)[..., :6, :6]

    np.testing.assert_allclose(
        of_ranks_and_scores(beside), of_ranks_and_scores(alone), atol=1e-4
    )
    first = NUM_STATISTICS - contingency.NUM_STATISTICS - 12
    assert not alone[..., first:].any()
    assert not beside[0, 1, first : first + contingency.NUM_STATISTICS].any()
    assert beside[0, 2, first : first + contingency.NUM_STATISTICS].any()


def test_gradients_reach_the_data_and_are_finite():
    problem = table(n=60)
    value = lambda x: jnp.sum(pair_statistics(problem._replace(x=x)) ** 2)  # noqa: E731
    gradient = jax.jit(jax.grad(value))(problem.x)
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0
