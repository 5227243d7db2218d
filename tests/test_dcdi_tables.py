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


@functools.cache
def table(mechanism="linear", intervention="perfect", num_rows=12_000, **options):
    """A table of 5 variables, 2 edges a variable, one regime a variable."""
    draw = functools.partial(
        simulate.dcdi_table,
        mechanism=mechanism,
        intervention=intervention,
        num_rows=num_rows,
        **{"num_variables": 5, "edges_per_variable": 1.5, **options},
    )
    drawn = jax.jit(draw, compiler_options=QUICK)(jax.random.key(3))
    return jax.tree.map(np.asarray, drawn)


def parents_of(truth, j):
    return np.flatnonzero(truth.graph[:, j])


def families(truth):
    """(child, parents) of every variable that has some."""
    pairs = [(j, parents_of(truth, j)) for j in range(len(truth.graph))]
    pairs = [(j, parents) for j, parents in pairs if len(parents)]
    assert 2 <= len(pairs) < len(truth.graph)  # roots are among the variables, too
    return pairs


def regression(problem, rows, j, parents):
    """Least-squares coefficients of a column and what they leave."""
    x = problem.x[rows][:, parents].astype(float)
    y = problem.x[rows, j].astype(float)
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    return coefficients, y - x @ coefficients


def is_standard_normal(sample):
    return scipy.stats.kstest(sample, "norm").pvalue > 1e-3


@mechanisms
@pytest.mark.parametrize("intervention", DONE)
def test_regimes_are_blocks_with_one_target_each(mechanism, intervention):
    problem, truth = table(mechanism, intervention, 10_000)
    assert np.isfinite(problem.x).all()
    assert problem.x.dtype == np.float32
    sizes = np.bincount(problem.regime)
    assert sizes.tolist() == [1667] * 4 + [1666] * 2
    assert (np.diff(problem.regime) >= 0).all()
    assert not truth.targets[0].any()
    np.testing.assert_array_equal(truth.targets[1:].sum(axis=0), np.ones(5))
    np.testing.assert_array_equal(truth.targets[1:].sum(axis=1), np.ones(5))
    np.testing.assert_array_equal(problem.intervened, truth.targets[truth.regime])
    np.testing.assert_array_equal(problem.regime, truth.regime)


@mechanisms
def test_a_perfect_target_is_normal_around_2_whatever_its_parents(mechanism):
    problem, truth = table(mechanism)
    for j in range(5):
        rows = problem.intervened[:, j]
        assert is_standard_normal(problem.x[rows, j] - 2)
    for j, parents in families(truth):
        rows = problem.intervened[:, j]
        for i in parents:
            assert abs(np.corrcoef(problem.x[rows][:, [i, j]].T)[0, 1]) < 0.1


def test_linear_columns_follow_their_equation():
    problem, truth = table()
    for j, parents in families(truth):
        free = ~problem.intervened[:, j]
        coefficients, _ = regression(problem, free, j, parents)
        assert (np.abs(coefficients) > 0.22).all()
        assert (np.abs(coefficients) < 1.03).all()
        for r in np.flatnonzero(~truth.targets[:, j]):
            _, left = regression(problem, truth.regime == r, j, parents)
            assert is_standard_normal(left / truth.noise_scale[r, j])


def test_noise_scales_are_those_of_the_paper_and_of_each_regime():
    problem, truth = table()
    has_parents = truth.graph.any(axis=0)
    scale = truth.noise_scale / np.where(has_parents, 0.4, 1)
    assert scale.min() >= 1
    assert scale.max() <= np.sqrt(2)
    assert len(np.unique(scale)) == scale.size
    for j in np.flatnonzero(~has_parents):
        for r in np.flatnonzero(~truth.targets[:, j]):
            column = problem.x[truth.regime == r, j]
            assert is_standard_normal(column / truth.noise_scale[r, j])


@mechanisms
def test_what_an_intervention_is_called_changes_its_own_rows_only(mechanism):
    (perfect, truth), (imperfect, same) = (table(mechanism, done) for done in DONE)
    np.testing.assert_array_equal(truth.graph, same.graph)
    free = truth.regime == 0
    np.testing.assert_allclose(perfect.x[free], imperfect.x[free], rtol=1e-4, atol=1e-5)
    for j in np.flatnonzero(~truth.graph.any(axis=0)):
        np.testing.assert_array_equal(perfect.x[:, j], imperfect.x[:, j])


def test_an_imperfect_linear_target_has_other_coefficients():
    problem, truth = table("linear", "imperfect")
    for j, parents in families(truth):
        rows = problem.intervened[:, j]
        usual, _ = regression(problem, ~rows, j, parents)
        other, left = regression(problem, rows, j, parents)
        assert (np.abs(other - usual) > 1.9).all()
        assert (np.abs(other - usual) < 5.1).all()
        (r,) = np.flatnonzero(truth.targets[:, j])
        assert is_standard_normal(left / truth.noise_scale[r, j])


@pytest.mark.parametrize("mechanism", MECHANISMS[1:])
def test_an_imperfect_network_target_still_listens(mechanism):
    problem, truth = table(mechanism, "imperfect")
    for j, parents in families(truth):
        explained = []
        for rows in (problem.intervened[:, j], truth.regime == 0):
            x = scipy.stats.zscore(problem.x[rows][:, parents].astype(float))
            design = np.hstack([np.ones((len(x), 1)), x, np.abs(x), x**2])
            y = problem.x[rows, j].astype(float)
            fit = np.linalg.lstsq(design, y, rcond=None)[0]
            explained.append((1 - (y - design @ fit).var() / y.var(), fit))
        (share, fit), (_, usual) = explained
        assert share > 0.1
        assert np.abs(fit - usual).max() > 0.1


@mechanisms
@pytest.mark.parametrize("intervention", DONE)
def test_the_truth_tells_who_listens(mechanism, intervention):
    _, truth = table(mechanism, intervention)
    has_parents = truth.graph.any(axis=0)
    cut = truth.targets & (~has_parents | (intervention == "perfect"))
    np.testing.assert_array_equal(truth.cut, cut)
    np.testing.assert_array_equal(truth.model.listens.T, ~cut & has_parents)
    np.testing.assert_array_equal(truth.model.is_parent.T, truth.graph)
    scale = np.where(cut, 1, truth.noise_scale)
    np.testing.assert_array_equal(truth.model.noise_scale.T, scale)
    np.testing.assert_array_equal(truth.model.noise_mean.T, np.where(cut, 2, 0))


def local_sds(mechanism):
    """Spread of one child about a smooth curve of its parent, cell by cell."""
    problem, truth = table(
        mechanism, num_rows=60_000, num_variables=2, num_interventions=0
    )
    ((i, j),) = np.argwhere(truth.graph)
    order = np.argsort(problem.x[:, i])
    sds = []
    for cell in np.array_split(order, 60)[3:-3]:
        x, y = problem.x[cell][:, [i, j]].astype(float).T
        sds.append((y - np.polyval(np.polyfit(x, y, 2), x)).std())
    return np.array(sds), truth.noise_scale[0, j]


def test_noise_is_added_to_one_network_and_enters_the_other():
    sds, noise_scale = local_sds("network")
    np.testing.assert_allclose(sds, noise_scale, rtol=0.12)
    sds, _ = local_sds("nonadditive_network")
    assert sds.max() > 1.3 * sds.min()


def test_graphs_have_so_many_edges_on_average():
    def draw(key):
        _, truth = simulate.dcdi_table(key, num_rows=22, edges_per_variable=4)
        return truth.graph

    keys = jax.random.split(jax.random.key(0), 200)
    graphs = np.asarray(jax.jit(jax.vmap(draw), compiler_options=QUICK)(keys))
    num_edges = graphs.sum(axis=(1, 2))
    # Binomial: 45 pairs of probability 8/9, variance 4.4.
    assert num_edges.mean() == pytest.approx(40, abs=0.75)
    assert num_edges.var() == pytest.approx(40 / 9, rel=0.5)


@pytest.mark.parametrize(("count", "sizes"), [(3, {3}), ((1, 2), {1, 2})])
def test_several_targets_a_regime(count, sizes):
    problem, truth = table(targets_per_regime=count, num_interventions=30, num_rows=310)
    assert truth.targets.shape == (31, 5)
    assert not truth.targets[0].any()
    assert set(truth.targets[1:].sum(axis=1)) == sizes
    assert truth.targets[1:].any(axis=0).all()
    np.testing.assert_array_equal(problem.intervened, truth.targets[truth.regime])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "cubic"}, "'cubic' is not one of"),
        ({"intervention": "soft"}, 'must be "perfect" or "imperfect", not'),
        ({"targets_per_regime": 0}, "targets_per_regime must be"),
        ({"targets_per_regime": (2, 11)}, "from 1 to num_variables = 10, not"),
        ({"num_interventions": -1}, "num_regimes must be at least 1"),
        ({"num_variables": 1}, "num_variables must be at least 2, not 1"),
        ({"num_rows": 5}, "num_rows must be at least 11"),
    ],
)
def test_impossible_tables_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            functools.partial(simulate.dcdi_table, **options), jax.random.key(0)
        )
