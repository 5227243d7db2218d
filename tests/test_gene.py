import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax import simulate

# 0 -> 1 -> 2, 0 -> 3 <- 4.
GRAPH = np.zeros((5, 5), bool)
GRAPH[[0, 1, 0, 4], [1, 2, 3, 3]] = True
QUICK = {"xla_backend_optimization_level": 0}


@functools.cache
def compiled(num_rows, **options):
    def simulation(key, graph):
        return simulate.simulate_genes(key, graph, num_rows, **options)

    return jax.jit(simulation, compiler_options=QUICK)


def cells(seed, graph=GRAPH, num_rows=600, **options):
    drawn = compiled(num_rows, **options)(jax.random.key(seed), graph)
    return jax.tree.map(np.asarray, drawn)


KNOCKED = {"num_knockouts": 5, "share_knocked_out": 0.5}


def test_tables_are_finite_for_many_seeds():
    def draw(key):
        key_graph, key_cells = jax.random.split(key)
        graph = simulate.scale_free(key_graph, 12, 2, direction="out")
        problem, truth = simulate.simulate_genes(key_cells, graph, 40, **KNOCKED)
        return problem.x, truth.expression

    keys = jax.random.split(jax.random.key(0), 64)
    x, expression = jax.jit(jax.vmap(draw), compiler_options=QUICK)(keys)
    for array in (np.asarray(x), np.asarray(expression)):
        assert np.isfinite(array).all()
        assert (array >= 0).all()
    assert np.asarray(expression).max() < 200
    assert 0.5 < np.mean(np.asarray(x) == 0) < 0.95  # dropout


def test_knocked_out_genes_are_gone_and_only_descendants_notice():
    problem, truth = cells(1, **KNOCKED)
    alone = cells(1, num_rows=600, num_knockouts=0)[1]
    assert truth.targets.shape == (6, 5)
    np.testing.assert_array_equal(problem.intervened, truth.targets[truth.regime])
    assert np.bincount(truth.regime).tolist() == [300, 60, 60, 60, 60, 60]
    assert (truth.expression[problem.intervened] == 0).all()
    reached = np.linalg.matrix_power(np.eye(5) + GRAPH, 5) > 0
    normal = alone.expression.mean(axis=0)
    for regime in range(1, 6):
        gene = np.argmax(truth.targets[regime])
        rows = truth.regime == regime
        change = np.abs(truth.expression[rows].mean(axis=0) / normal - 1)
        assert (change[~reached[gene]] < 0.25).all()
        assert (change[reached[gene]] > 0.25).any()
        children = GRAPH[gene]
        assert (change[children] > 0.15).all()


def test_children_follow_the_sign_of_their_parent():
    pair = np.array([[0, 1], [0, 0]], bool)
    signs = []
    for seed in range(8):
        _, truth = cells(seed, pair, num_knockouts=2, share_knocked_out=0.6)
        parent_gone = truth.targets[truth.regime][:, 0]
        alone = truth.regime == 0
        change = (
            truth.expression[parent_gone, 1].mean() - truth.expression[alone, 1].mean()
        )
        signs.append(np.sign(truth.strength[0, 1]))
        assert np.sign(change) == -signs[-1]
    assert len(set(signs)) == 2
    assert (np.abs(truth.strength) <= 5).all()
    assert (truth.strength[~pair] == 0).all()


def test_master_regulators_fluctuate_about_rate_over_decay():
    edgeless = np.zeros((5, 5), bool)
    _, truth = cells(3, edgeless, num_rows=2000, num_cell_types=2)
    first, second = (truth.expression[truth.cell_type == k] for k in (0, 1))
    assert len(first) == len(second) == 1000
    for group in (first, second):
        # Rates of 1 to 3 over decays of .7 to .9; the mean is a little more where
        # the path is held at 0.
        assert (group.mean(axis=0) > 1 / 0.9 * 0.9).all()
        assert (group.mean(axis=0) < 3 / 0.7 * 1.1).all()
        # A linear diffusion has variance noise^2 mean.
        ratio = group.var(axis=0) / group.mean(axis=0)
        assert (ratio > 0.5).all()
        assert (ratio < 1.5).all()
    assert np.abs(first.mean(axis=0) - second.mean(axis=0)).max() > 0.3
    correlation = np.corrcoef(first.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.15


def test_cell_types_are_dealt_in_every_regime():
    _, truth = cells(1, **KNOCKED)
    for regime in range(6):
        counts = np.bincount(truth.cell_type[truth.regime == regime], minlength=5)
        assert np.ptp(counts) <= 1


def test_counts_are_whole_numbers_with_the_library_of_the_platform():
    problem, _ = cells(2, platform="illumina", counts=True)
    assert (problem.x == np.round(problem.x)).all()
    # Dropout takes the lower values: the rest is at most the library.
    library = problem.x.sum(axis=1)
    assert np.median(library) < 1.05 * np.exp(7)
    assert np.median(library) > 0.1 * np.exp(7)
    assert 0.5 < np.mean(problem.x == 0) < 0.95


def test_without_a_platform_only_counting_is_noise():
    problem, truth = cells(2, platform=None, counts=True)
    error = problem.x - truth.expression
    assert np.abs(error.mean(axis=0)).max() < 0.5
    ratio = error.var(axis=0) / truth.expression.mean(axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.3)


def test_log_normalised_values_are_log_counts_per_million():
    counts = np.array([[10.0, 90, 0], [30, 30, 40], [0, 0, 0]], np.float32)
    level = np.log2([1e5, 9e5, 3e5, 3e5, 4e5])
    expected = (level - level.min()) / level.std()
    x = np.asarray(simulate.log_normalise(jnp.asarray(counts)))
    np.testing.assert_allclose(x[counts > 0], expected, rtol=1e-4, atol=1e-5)
    assert (x[counts == 0] == 0).all()


def test_jit_is_eager():
    eager = simulate.simulate_genes(jax.random.key(4), GRAPH, 20, platform=None)
    jitted = compiled(20, platform=None)(jax.random.key(4), GRAPH)
    np.testing.assert_allclose(
        eager[1].expression, jitted[1].expression, rtol=1e-3, atol=1e-3
    )
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(jitted), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": np.ones((2, 3), bool)}, "graph must be square"),
        ({"platform": "abacus"}, "'abacus' is not None or one of 10x-chromium"),
        ({"num_cell_types": 0}, "num_cell_types must be at least 1"),
        ({"num_knockouts": 6}, "from 0 to 5, not 6"),
        ({"share_knocked_out": 1.0}, r"must be in \(0, 1\), not 1.0"),
    ],
)
def test_wrong_options_are_named(options, message):
    options = {"graph": GRAPH, "num_rows": 10, **options}
    with pytest.raises(ValueError, match=message):
        simulate.simulate_genes(jax.random.key(0), **options)
