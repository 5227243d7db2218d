import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.metrics import mutual_info_score

from causaljax.networks import contingency
from causaljax.networks.columns import LEVELS, read_columns


def draw(n=800, seed=0):
    """Classes: a -> b, c alone; a has three, b four and c two."""
    rng = np.random.default_rng(seed)
    a = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    table = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6], [0.1, 0.8, 0.1, 0]])
    b = np.array([rng.choice(4, p=table[k]) for k in a])
    return np.stack([a, b, rng.choice(2, n, p=[0.9, 0.1])], 1)


def laws_of(levels):
    ones = jnp.ones(levels.shape, jnp.float32)
    counts = contingency.joint_counts(
        jnp.asarray(levels, jnp.int32), ones[:, 0], ones, ones
    )
    return contingency.joint_laws(counts)


def test_joint_laws_are_the_shares_of_rows():
    levels = draw()
    laws, rows = laws_of(levels)
    assert (rows == 800).all()
    counted = pd.crosstab(levels[:, 0], levels[:, 1], normalize=True)
    np.testing.assert_allclose(laws[0, 1, :3, :4], counted, atol=1e-6)
    assert laws[0, 1, 3:].sum() == laws[0, 1, :, 4:].sum() == 0
    np.testing.assert_allclose(laws, laws.transpose(1, 0, 3, 2), atol=1e-6)


def test_statistics_agree_with_those_computed_by_hand():
    levels = draw()
    laws, rows = laws_of(levels)
    values = contingency.optimal_scores(laws, rows)[:, 0]
    found = contingency.class_statistics(laws, rows, values)[0, 1]
    table = np.asarray(pd.crosstab(levels[:, 0], levels[:, 1]), float)
    law = table / table.sum()
    left, right = law.sum(1), law.sum(0)
    residual = (law - np.outer(left, right)) / np.sqrt(np.outer(left, right))
    canonical = np.linalg.svd(residual, compute_uv=False)
    square = (residual**2).sum()
    plain = mutual_info_score(levels[:, 0], levels[:, 1])
    entropy_j = -(right * np.log(right)).sum()
    given = law / left[:, None]
    expected = {
        0: 3 * canonical[0],
        1: 3 * np.sqrt(square / 2),
        3: np.arcsinh((800 * square - 6) / np.sqrt(12)),
        4: np.arcsinh(10 * (plain - 6 / 1600)),
        7: entropy_j,
        8: entropy_j - plain,
        9: 3 * (law.max(1).sum() - right.max()) / (1 - right.max()),
        10: 3 * ((law * given).sum() - (right**2).sum()) / (1 - (right**2).sum()),
        # The first canonical score of b is the best there is for a.
        15: 3 * canonical[0] ** 2,
    }
    for place, value in expected.items():
        np.testing.assert_allclose(found[place], value, rtol=2e-2, err_msg=str(place))


def test_optimal_scores_of_two_columns_are_their_canonical_variates():
    levels = draw()[:, :2]
    laws, rows = laws_of(levels)
    scores = contingency.optimal_scores(laws, rows)
    share = np.bincount(levels[:, 1], minlength=LEVELS) / len(levels)
    products = np.einsum("kb,lb,b->kl", scores[1], scores[1], share)
    np.testing.assert_allclose(products, np.diag([1, 1, 1, 0]), atol=1e-3)
    np.testing.assert_allclose(scores[1] @ share, 0, atol=1e-4)
    law = np.asarray(laws[0, 1])
    table = law - np.outer(law.sum(1), law.sum(0))
    left, right = law.sum(1), law.sum(0)
    scale = np.sqrt(np.outer(left, right))
    residual = np.divide(table, scale, out=np.zeros_like(law), where=scale > 0)
    best = np.linalg.svd(residual)[0:3:2]
    u = best[0][:, 0] / np.sqrt(np.maximum(left, 1e-9)) * (left > 0)
    np.testing.assert_allclose(np.abs(scores[0, 0]), np.abs(u), atol=0.05)


def test_a_third_column_explains_an_association_away():
    """b and c depend on a alone; b and d on each other."""
    rng = np.random.default_rng(3)
    n = 4000
    a = rng.choice(3, n)
    b, c = ((a + (rng.random(n) < 0.3)) % 3 for _ in range(2))
    d = np.where(rng.random(n) < 0.5, b, rng.choice(3, n))
    laws, rows = laws_of(np.stack([a, b, c, d], 1))
    values = contingency.optimal_scores(laws, rows)[:, 0]
    least = contingency.class_statistics(laws, rows, values)[..., -1]
    assert least[1, 2] < 2 < 4 < least[1, 3]


def test_many_classes_share_the_last_level_by_frequency():
    sizes = np.array([40, 3, 30, 2, 25, 20, 4, 15, 12, 10, 9])
    x = np.repeat(np.arange(11, dtype=np.float32), sizes)[:, None]
    ones = jnp.ones(x.shape, jnp.float32)
    found = np.asarray(read_columns(x, ones, jnp.ones(1, bool)).level[:, 0])
    common = np.argsort(-sizes)[:7]
    for place, value in enumerate(common):
        assert set(found[x[:, 0] == value].tolist()) == {place}
    rest = ~np.isin(x[:, 0], common)
    assert set(found[rest].tolist()) == {LEVELS - 1}
    in_order = read_columns(x, ones, jnp.zeros(1, bool)).level[:, 0]
    assert (np.diff(in_order) >= 0).all()
