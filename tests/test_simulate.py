import functools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.stats

from causaljax import simulate
from causaljax.simulate.graphs import attach, largest
from causaljax.simulate.interventions import draw_target_sets
from causaljax.simulate.noise import mixture, student_t

GRAPHS = {
    "erdos_renyi": (simulate.erdos_renyi, 2),
    "scale_free": (simulate.scale_free, 2),
    "watts_strogatz": (simulate.watts_strogatz, 4, 0.3),
    "bipartite": (simulate.bipartite, 1),
    "lattice": (simulate.lattice, 2, 0.3),
    "stochastic_block": (simulate.stochastic_block, 2, 2, 0.2),
    "random_geometric": (simulate.random_geometric, 0.3),
}


class TwoNormals(scipy.stats.rv_continuous):
    """Normal distributions around -0.9 and 0.9, of variance 1 together."""

    def _cdf(self, x):
        sd = np.sqrt(1 - 0.9**2)
        return sum(scipy.stats.norm.cdf((x - m) / sd) for m in (-0.9, 0.9)) / 2

    def _stats(self):
        # Cumulants add up: sd^2 s is normal, 0.9 times a sign has excess -2.
        return 0.0, 1.0, 0.0, -2 * 0.9**4


SCIPY_NOISE = {
    "gaussian": scipy.stats.norm(),
    "uniform": scipy.stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)),
    "exponential": scipy.stats.expon(-1),
    "gumbel": scipy.stats.gumbel_r(
        -np.euler_gamma * np.sqrt(6) / np.pi, np.sqrt(6) / np.pi
    ),
    "laplace": scipy.stats.laplace(0, np.sqrt(0.5)),
    "student_t": scipy.stats.t(5, 0, np.sqrt(3 / 5)),
    "mixture": TwoNormals()(),
}
CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
CHAIN_WEIGHTS = np.array([[0, 1.5, 0], [0, 0, -0.8], [0, 0, 0]], np.float32)
# Programs here run once: four times quicker to compile, no slower to run.
QUICK = {"xla_backend_optimization_level": 0}
UNEQUAL = (0.5, 2.0)
MIDDLE = np.array([[0, 0, 0], [0, 1, 0]], bool)  # regime 1 targets variable 1


@functools.cache
def small_graphs(name):
    """Many graphs of one family on 6 variables, ``[3000, 6, 6]`` bool."""
    function, *arguments = GRAPHS[name]
    return draw_many(function, 3000, 6, *arguments)


@functools.cache
def large_graphs(name):
    """A few graphs of one family on 60 variables, ``[20, 60, 60]`` bool."""
    function, *arguments = GRAPHS[name]
    return draw_many(function, 20, 60, *arguments)


@functools.cache
def compiled_linear():
    static = ("num_rows", "noise", "scaling", "dtype")
    return jax.jit(
        simulate.simulate_linear, static_argnames=static, compiler_options=QUICK
    )


def draw_many(function, num_draws, *arguments):
    keys = jax.random.split(jax.random.key(0), num_draws)
    draw = jax.vmap(lambda key: function(key, *arguments))
    draw = jax.jit(draw, compiler_options=QUICK)
    return np.asarray(draw(keys))


def simulate_numpy(seed, *arguments, **options):
    key = jax.random.key(seed)
    problem, truth = compiled_linear()(key, *arguments, **options)
    return jax.tree.map(np.asarray, (problem, truth))


def residuals(problem, truth):
    """What the parents leave unexplained, in float64."""
    return problem.x - problem.x.astype(float) @ truth.weights


# Graphs


def is_dag(graph):
    return nx.is_directed_acyclic_graph(nx.from_numpy_array(graph, False, nx.DiGraph))


@pytest.mark.parametrize(
    ("name", "num_edges"),
    [
        ("erdos_renyi", 120),
        ("scale_free", 117),
        ("watts_strogatz", 120),
        ("bipartite", 60),
    ],
)
def test_graphs_have_the_stated_size(name, num_edges):
    assert (large_graphs(name).sum(axis=(1, 2)) == num_edges).all()


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_boolean_and_acyclic(name):
    graphs = large_graphs(name)
    assert graphs.dtype == bool
    assert graphs.shape == (20, 60, 60)
    assert all(is_dag(graph) for graph in graphs)
    assert len(np.unique(graphs, axis=0)) == 20
    assert all(is_dag(graph) for graph in small_graphs(name)[:200])


@pytest.mark.parametrize("name", GRAPHS)
def test_jit_is_eager_and_vmap_is_a_loop_for_graphs(name):
    function, *arguments = GRAPHS[name]
    keys = jax.random.split(jax.random.key(0), 3000)[:3]  # as in draw_many
    for key, graph in zip(keys, small_graphs(name)[:3], strict=True):
        np.testing.assert_array_equal(function(key, 6, *arguments), graph)


@pytest.mark.parametrize("name", GRAPHS)
def test_labels_say_nothing(name):
    graphs = small_graphs(name)
    expected = graphs.sum(axis=(1, 2)).mean() / 30  # of the 30 ordered pairs
    frequency = graphs.mean(axis=0)[~np.eye(6, dtype=bool)]
    five_errors = 5 * np.sqrt(expected * (1 - expected) / 3000)
    assert np.abs(frequency - expected).max() < five_errors


@pytest.mark.parametrize(
    ("function", "arguments", "num_edges"),
    [
        (simulate.erdos_renyi, (7, 1.5), 10),
        (simulate.erdos_renyi, (5, 4), 10),
        (simulate.bipartite, (7, 4), 12),
        (simulate.scale_free, (3, 5), 3),
        (simulate.watts_strogatz, (5, 4, 0.9), 10),
    ],
)
def test_edge_counts_are_rounded_and_capped(function, arguments, num_edges):
    graphs = draw_many(function, 10, *arguments)
    assert (graphs.sum(axis=(1, 2)) == num_edges).all()


def test_erdos_renyi_reaches_every_graph_equally_often():
    graphs = draw_many(simulate.erdos_renyi, 12_000, 3, 1)
    codes, counts = np.unique(graphs.reshape(-1, 9), axis=0, return_counts=True)
    # The 6 complete DAGs on 3 variables, each one order.
    assert len(codes) == 6
    assert np.abs(counts / 2000 - 1).max() < 0.12


def test_scale_free_follows_the_attachment_probabilities():
    # The fourth variable leaves out one of three with in-degree + 1 = 3, 2, 1.
    graphs = draw_many(simulate.scale_free, 12_000, 4, 2)
    in_degrees = np.sort(graphs.sum(axis=1), axis=1).tolist()
    frequency = [
        np.mean([degrees == kind for degrees in in_degrees])
        for kind in ([0, 0, 2, 3], [0, 1, 1, 3], [0, 1, 2, 2])
    ]
    np.testing.assert_allclose(frequency, [7 / 12, 4 / 15, 3 / 20], atol=0.02)


def test_scale_free_has_hubs_and_erdos_renyi_has_none():
    scale_free, erdos_renyi = map(large_graphs, ["scale_free", "erdos_renyi"])
    assert scale_free.sum(axis=1).max(axis=1).mean() > 15
    assert erdos_renyi.sum(axis=1).max(axis=1).mean() < 10
    assert scale_free.sum(axis=2).max() == 2


def test_scale_free_prefers_with_a_power():
    # The third variable joins the second's target, of in-degree + 1 = 2, or the
    # second, of 1: a path of two edges where it joins the second.
    for power in (0.0, 1.0, 3.0):
        graphs = draw_many(simulate.scale_free, 4000, 3, 1, power)
        paths = np.einsum("nij,njk->n", graphs.astype(int), graphs.astype(int))
        expected = 1 / (1 + 2**power)
        assert np.mean(paths > 0) == pytest.approx(expected, abs=0.04)


def test_scale_free_outwards_is_the_same_graph_turned():
    for seed in range(3):
        # The labels are dealt alike.
        inwards, outwards = (
            simulate.scale_free(jax.random.key(seed), 12, 2, direction=direction)
            for direction in ("in", "out")
        )
        np.testing.assert_array_equal(inwards, np.asarray(outwards).T)


def test_attachment_takes_a_number_that_is_traced():
    def draw(key, num_targets):
        return attach(key, 6, num_targets)

    for num_targets in (1, 3, 9):
        graph = np.asarray(jax.jit(draw)(jax.random.key(0), num_targets))
        assert not np.triu(graph).any()
        assert graph.sum(axis=1).tolist() == [min(i, num_targets) for i in range(6)]


@pytest.mark.parametrize("num", range(7))
def test_largest_marks_the_largest_finite_scores(num):
    scores = jnp.array([[3.0, -jnp.inf, 1.0], [2.0, -5.0, -jnp.inf]])
    marked = jax.jit(largest)(scores, num)
    assert sorted(scores[marked].tolist()) == [-5.0, 1.0, 2.0, 3.0][max(4 - num, 0) :]


def test_lattice_without_rewiring_is_the_torus():
    torus = nx.grid_graph((4, 4, 4), periodic=True)
    for graph in draw_many(simulate.lattice, 3, 64, 3, 0.0):
        assert nx.is_isomorphic(nx.from_numpy_array(graph | graph.T), torus)
    square = draw_many(simulate.lattice, 3, 4, 2, 0.5)
    assert (square.sum(axis=(1, 2)) == 4).all()


def test_lattice_loses_variables_with_their_edges():
    # 36 variables have 72 edges; a pair of them is kept with 30 29 / (36 35).
    graphs = draw_many(simulate.lattice, 400, 30, 2, 0.3)
    expected = 72 * 30 * 29 / (36 * 35)
    assert graphs.sum(axis=(1, 2)).mean() == pytest.approx(expected, rel=0.02)


def mean_triangles(graphs):
    joined = (graphs | graphs.transpose(0, 2, 1)).astype(np.float32)
    return np.trace(joined @ joined @ joined, axis1=1, axis2=2).mean() / 6


def test_blocks_are_denser_within():
    graphs, even = (
        draw_many(simulate.stochastic_block, 400, 40, 2, 4, between)
        for between in (0.1, 1.0)
    )
    assert graphs.sum(axis=(1, 2)).mean() == pytest.approx(80, rel=0.05)
    independent = 40 * 39 * 38 / 6 * (80 / 780) ** 3
    assert mean_triangles(even) == pytest.approx(independent, rel=0.1)
    assert mean_triangles(graphs) > 1.5 * independent
    # Of as many cuts as places but one, one leaves a pair, or nothing before it.
    apart = draw_many(simulate.stochastic_block, 20, 40, 2, 40, 0.0)
    assert apart.sum(axis=(1, 2)).max() <= 1


def test_one_block_is_independent_edges():
    graphs = draw_many(simulate.stochastic_block, 4000, 20, 1.0, 1, 0.1)
    num_edges = graphs.sum(axis=(1, 2))
    probability = 20 / 190
    assert num_edges.mean() == pytest.approx(20, abs=0.4)
    assert num_edges.var() == pytest.approx(20 * (1 - probability), rel=0.1)


def test_geometric_density_is_the_share_of_close_pairs():
    radius = 0.2
    graphs = draw_many(simulate.random_geometric, 1000, 20, radius)
    # Two uniform points in the unit square, for a radius below 1.
    close = np.pi * radius**2 - 8 / 3 * radius**3 + radius**4 / 2
    assert graphs.sum(axis=(1, 2)).mean() == pytest.approx(190 * close, rel=0.05)
    independent = 20 * 19 * 18 / 6 * close**3
    assert mean_triangles(graphs) > 2 * independent  # friends of friends


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(simulate.random_geometric, (60, 0.3)), (simulate.lattice, (49, 2, 0.0))],
)
def test_directions_along_positions_make_longer_paths(function, arguments):
    longest = []
    for directions in ("order", "position"):
        graphs = draw_many(
            lambda key, way=directions: function(key, *arguments, directions=way), 20
        )
        assert all(is_dag(graph) for graph in graphs)
        longest.append(np.mean([longest_path(graph) for graph in graphs]))
    assert longest[1] > 1.2 * longest[0]


def longest_path(graph):
    return nx.dag_longest_path_length(nx.from_numpy_array(graph, False, nx.DiGraph))


def test_watts_strogatz_without_rewiring_is_the_ring_lattice():
    lattice = nx.watts_strogatz_graph(9, 4, 0)
    for graph in draw_many(simulate.watts_strogatz, 3, 9, 4, 0.0):
        assert nx.is_isomorphic(nx.from_numpy_array(graph | graph.T), lattice)


def test_watts_strogatz_rewires_as_networkx():
    ours = [
        nx.from_numpy_array(graph | graph.T) for graph in large_graphs("watts_strogatz")
    ]
    reference = [nx.watts_strogatz_graph(60, 4, 0.3, seed=i) for i in range(20)]
    clustering, expected = (
        np.mean([nx.average_clustering(graph) for graph in graphs])
        for graphs in (ours, reference)
    )
    assert clustering == pytest.approx(expected, abs=0.04)  # 0.5 without rewiring


def test_watts_strogatz_directions_do_not_follow_the_ring():
    # A uniform order on a ring of 4 has two variables without parents in 1 of 3.
    graphs = draw_many(simulate.watts_strogatz, 3000, 4, 2, 0.0)
    num_roots = (graphs.sum(axis=1) == 0).sum(axis=1)
    assert np.mean(num_roots == 2) == pytest.approx(1 / 3, abs=0.04)


def test_bipartite_paths_have_one_edge():
    for graphs in (small_graphs("bipartite"), large_graphs("bipartite")):
        has_children, has_parents = graphs.any(axis=2), graphs.any(axis=1)
        half = graphs.shape[1] // 2
        assert not (has_children & has_parents).any()
        assert has_children.sum(axis=1).max() <= half
        assert has_parents.sum(axis=1).max() <= half


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (simulate.erdos_renyi, (5, -1), "edges_per_variable must be at least 0"),
        (simulate.bipartite, (5, -1), "edges_per_variable must be at least 0"),
        (simulate.scale_free, (5, 0), "whole number of at least 1, not 0"),
        (simulate.scale_free, (5, 1.5), "whole number of at least 1, not 1.5"),
        (simulate.scale_free, (5, 1, 1.0, "up"), 'must be "in" or "out", not'),
        (simulate.lattice, (1, 2, 0.1), "at least 2 variables"),
        (simulate.lattice, (9, 2, 0.1, "up"), 'must be "order" or "position"'),
        (simulate.random_geometric, (9, 0.1, "up"), 'must be "order" or "pos'),
        (simulate.stochastic_block, (5, 1, 6), "to num_variables = 5, not 6"),
        (simulate.watts_strogatz, (8, 3, 0.1), "neighbours must be an even number"),
        (simulate.watts_strogatz, (4, 4, 0.1), "to num_variables - 1 = 3, not 4"),
        (simulate.draw_targets, (4, 0, 1), "num_regimes must be at least 1"),
        (simulate.draw_targets, (4, 2, 5), "to num_variables = 4, not 5"),
        (simulate.draw_targets, (4, 2, 0), "targets_per_regime must be from 1"),
    ],
)
def test_impossible_sizes_are_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda key: function(key, *arguments), jax.random.key(0))


# Mechanisms and noise


def test_linear_weights_have_uniform_magnitudes_and_random_signs():
    graph = np.triu(np.ones((100, 100), bool), 1)
    weights = np.asarray(simulate.linear_weights(jax.random.key(0), graph, 0.3, 1.1))
    assert weights.dtype == np.float32
    assert (weights[~graph] == 0).all()
    on_edges = weights[graph]
    uniform = scipy.stats.uniform(0.3, 0.8)
    assert scipy.stats.kstest(np.abs(on_edges), uniform.cdf).pvalue > 0.001
    assert np.mean(on_edges > 0) == pytest.approx(0.5, abs=0.04)


def test_every_noise_family_is_checked():
    assert set(SCIPY_NOISE) == set(simulate.NOISE)


@pytest.mark.parametrize("family", SCIPY_NOISE)
def test_noise_has_mean_zero_sd_one_and_its_shape(family):
    n = 100_000
    draw = functools.partial(simulate.sample_noise, family=family, shape=(n,))
    sample = jax.jit(draw, compiler_options=QUICK)(jax.random.key(4))
    assert sample.dtype == jnp.float32
    sample = np.asarray(sample, float)
    reference = SCIPY_NOISE[family]
    mean, variance, skewness, kurtosis = map(float, reference.stats("mvsk"))
    assert mean == pytest.approx(0, abs=1e-12)
    assert variance == pytest.approx(1)
    five_errors = 5 / np.sqrt(n)
    assert sample.mean() == pytest.approx(0, abs=five_errors)
    assert sample.var() == pytest.approx(1, abs=five_errors * np.sqrt(kurtosis + 2))
    assert scipy.stats.kstest(sample, reference.cdf).pvalue > 0.001
    # Sample skewness of student_t has no finite error: its 6th moment is infinite.
    if family != "student_t":
        assert scipy.stats.skew(sample) == pytest.approx(skewness, abs=0.1)
        assert scipy.stats.kurtosis(sample) == pytest.approx(kurtosis, abs=0.6)


@pytest.mark.parametrize("df", [2.5, 8.0])
def test_student_t_of_any_shape_has_sd_one(df):
    sample = jax.jit(student_t, static_argnums=(1, 2))(
        jax.random.key(5), (50_000,), jnp.float32, df
    )
    reference = scipy.stats.t(df, 0, np.sqrt((df - 2) / df))
    assert scipy.stats.kstest(sample, reference.cdf).pvalue > 0.001


@pytest.mark.parametrize("mean", [0.5, 0.95])
def test_mixture_of_any_distance_has_sd_one_and_its_kurtosis(mean):
    sample = jax.jit(mixture, static_argnums=(1, 2))(
        jax.random.key(6), (50_000,), jnp.float32, mean
    )
    assert np.std(sample) == pytest.approx(1, abs=0.02)
    assert scipy.stats.kurtosis(sample) == pytest.approx(-2 * mean**4, abs=0.1)


def test_unknown_noise_is_named_with_the_families():
    with pytest.raises(ValueError, match=r"'pink'.*gaussian.*student_t.*cauchy"):
        simulate.sample_noise(jax.random.key(0), "pink", (3,))


def test_cauchy_noise_has_the_quartiles_of_a_normal_and_is_clipped():
    sample = simulate.sample_noise(jax.random.key(0), "cauchy", (100_000,))
    quartiles = np.quantile(sample, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [-0.6745, 0, 0.6745], atol=0.02)
    assert np.abs(sample).max() == 1000
    assert np.mean(np.abs(sample) == 1000) == pytest.approx(1 / 2330, abs=2e-4)


# Linear structural causal models


@pytest.fixture(scope="module")
def dag():
    return np.asarray(simulate.erdos_renyi(jax.random.key(7), 6, 1.5))


def test_raw_covariance_is_the_implied_one(dag):
    n = 100_000
    problem, truth = simulate_numpy(8, dag, n, noise_scale=UNEQUAL)
    assert (truth.graph == dag).all()
    assert ((truth.weights != 0) == dag).all()
    assert truth.noise_scale.min() >= 0.5
    assert truth.noise_scale.max() <= 2
    assert len(np.unique(truth.noise_scale)) == 6
    inverse = np.linalg.inv(np.eye(6) - truth.weights.astype(float))
    implied = inverse.T @ np.diag(truth.noise_scale.astype(float) ** 2) @ inverse
    sds = np.sqrt(np.diag(implied))
    error = (np.cov(problem.x.T.astype(float)) - implied) / np.outer(sds, sds)
    assert np.abs(error).max() < 5 * np.sqrt(2 / n)


def test_noise_scales_are_1_by_default(dag):
    problem, truth = simulate_numpy(8, dag, 20_000)
    assert (truth.noise_scale == 1).all()
    np.testing.assert_allclose(residuals(problem, truth).std(axis=0), 1, atol=0.03)


@pytest.mark.parametrize("scaling", ["standardised", "internal"])
def test_scaled_columns_follow_their_equations(dag, scaling):
    raw, raw_truth = simulate_numpy(9, dag, 500, noise_scale=UNEQUAL)
    scaled, truth = simulate_numpy(9, dag, 500, noise_scale=UNEQUAL, scaling=scaling)
    np.testing.assert_allclose(scaled.x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.x.std(axis=0), 1, atol=1e-5)
    unit_noise = residuals(raw, raw_truth) / raw_truth.noise_scale
    np.testing.assert_allclose(
        residuals(scaled, truth),
        truth.noise_scale * (unit_noise - unit_noise.mean(axis=0)),
        atol=1e-4,
    )


def test_standardised_is_raw_standardised(dag):
    raw, _ = simulate_numpy(10, dag, 500, noise_scale=UNEQUAL)
    scaled, _ = simulate_numpy(
        10, dag, 500, noise_scale=UNEQUAL, scaling="standardised"
    )
    expected = (raw.x - raw.x.mean(axis=0)) / raw.x.std(axis=0)
    np.testing.assert_allclose(scaled.x, expected, atol=1e-4)


def test_internal_is_standardised_before_the_children(dag):
    raw, raw_truth = simulate_numpy(10, dag, 500, noise_scale=UNEQUAL)
    scaled, _ = simulate_numpy(10, dag, 500, noise_scale=UNEQUAL, scaling="internal")
    noise = residuals(raw, raw_truth)
    expected = np.zeros_like(noise)
    for j in nx.topological_sort(nx.from_numpy_array(dag, False, nx.DiGraph)):
        column = expected @ raw_truth.weights[:, j] + noise[:, j]
        expected[:, j] = (column - column.mean()) / column.std()
    np.testing.assert_allclose(scaled.x, expected, atol=1e-4)


def test_observational_problem_says_so(dag):
    problem, truth = simulate_numpy(0, dag, 20_000)
    assert (problem.regime == 0).all()
    assert not problem.intervened.any()
    assert problem.observed.all()
    assert (problem.weight == 1).all()
    assert truth.targets.shape == (1, 6)
    assert not truth.targets.any()


def test_what_is_given_is_used():
    full = np.full((3, 3), 0.7, np.float32)
    problem, truth = simulate_numpy(
        0,
        CHAIN,
        20_000,
        weights=full,
        noise="exponential",
        noise_scale=0.3,
    )
    np.testing.assert_array_equal(truth.weights, np.where(CHAIN, full, 0))
    np.testing.assert_allclose(truth.noise_scale, 0.3, rtol=1e-6)
    noise = residuals(problem, truth)
    np.testing.assert_allclose(noise.std(axis=0), 0.3, atol=0.02)
    np.testing.assert_allclose(scipy.stats.skew(noise), 2, atol=0.3)


def test_jit_is_eager_and_vmap_is_a_loop_for_tables(dag):
    targets = np.eye(3, 6, -1, dtype=bool)
    simulation = functools.partial(
        simulate.simulate_linear,
        graph=dag,
        num_rows=30,
        scaling="internal",
        weights=0.9 * dag,
        intervention=simulate.shift_intervention(targets, 1.0),
    )

    def keys():
        return jax.random.split(jax.random.key(11), 2)

    loop = [simulation(key) for key in keys()]
    batch = jax.jit(jax.vmap(simulation))(keys())
    for i, one in enumerate(loop):
        for eager, mapped in zip(
            jax.tree.leaves(one), jax.tree.leaves(batch), strict=True
        ):
            assert eager.dtype == mapped.dtype
            np.testing.assert_allclose(eager, mapped[i], rtol=1e-4, atol=1e-5)
    again = jax.tree.leaves(simulation(keys()[0]))
    for first, second in zip(jax.tree.leaves(loop[0]), again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.allclose(batch[0].x[0], batch[0].x[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "pink"}, "noise family 'pink' is not one of gaussian"),
        ({"scaling": "none"}, "scaling 'none' is not one of raw, standardised, int"),
        ({"noise_scale": (1.0, 2.0, 3.0)}, "one number or a tuple"),
        ({"noise_scale": np.ones(3)}, "one number or a tuple"),
        ({"weights": np.ones((2, 2))}, r"weights has shape \(2, 2\)"),
        ({"graph": np.ones((2, 3), bool)}, "graph must be square"),
        (
            {"intervention": simulate.Intervention(*[np.zeros((2, 4))] * 4)},
            r"intervention.targets has shape \(2, 4\)",
        ),
        ({"num_rows": 1, "scaling": "internal"}, "num_rows must be at least 2"),
    ],
)
def test_wrong_options_are_named(options, message):
    simulation = functools.partial(
        simulate.simulate_linear, **{"graph": CHAIN, "num_rows": 10, **options}
    )
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(simulation, jax.random.key(0))


def test_float64_only_if_asked(dag):
    def shapes(**options):
        simulation = functools.partial(simulate.simulate_linear, **options)
        return jax.eval_shape(lambda key: simulation(key, dag, 10), jax.random.key(0))

    with jax.enable_x64(True):
        problem, truth = shapes()
        assert problem.x.dtype == problem.weight.dtype == jnp.float32
        assert truth.weights.dtype == truth.noise_scale.dtype == jnp.float32
        problem, truth = shapes(dtype=jnp.float64)
        assert problem.x.dtype == problem.weight.dtype == jnp.float64
        assert truth.weights.dtype == truth.noise_scale.dtype == jnp.float64
        assert problem.regime.dtype == truth.regime.dtype == jnp.int32


def test_graphs_do_not_depend_on_x64():
    with jax.enable_x64(True):
        graphs = draw_many(simulate.scale_free, 3000, 6, 2)
    np.testing.assert_array_equal(graphs, small_graphs("scale_free"))


# Interventions


def test_targets_are_dealt_evenly():
    targets = np.asarray(simulate.draw_targets(jax.random.key(0), 5, 6, 1))
    assert targets.dtype == bool
    assert not targets[0].any()
    assert (targets[1:].sum(axis=1) == 1).all()
    assert (targets.sum(axis=0) == 1).all()  # one regime a variable
    many = draw_many(simulate.draw_targets, 3000, 5, 9, 3)
    assert not many[:, 0].any()
    assert (many[:, 1:].sum(axis=2) == 3).all()
    assert np.ptp(many.sum(axis=1), axis=1).max() == 1
    np.testing.assert_allclose(many[:, 1:].mean(axis=0), 0.6, atol=0.05)


def test_rows_are_split_evenly_in_blocks():
    targets = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1]], bool)
    problem, truth = simulate_numpy(
        0,
        CHAIN,
        11,
        intervention=simulate.perfect_intervention(targets),
    )
    assert problem.regime.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(truth.regime, problem.regime)
    np.testing.assert_array_equal(truth.targets, targets)
    np.testing.assert_array_equal(problem.intervened, targets[problem.regime])


def simulate_chain(intervention, scaling):
    """2000 rows left alone, then 2000 rows of regime 1."""
    return simulate_numpy(
        13,
        CHAIN,
        4000,
        scaling=scaling,
        weights=CHAIN_WEIGHTS,
        intervention=intervention,
    )


def chain_with_and_without(intervention, scaling):
    """The same rows twice: regime 1 intervened on and left alone."""
    alone = simulate.shift_intervention(MIDDLE, 0.0)
    return [simulate_chain(done, scaling) for done in (intervention, alone)]


def assert_only_the_target_differs(one, other):
    """Same regime 0, same truth, same mechanisms of the variables 0 and 2."""
    (problem, truth), (alone, alone_truth) = one, other
    first = problem.regime == 0
    np.testing.assert_allclose(problem.x[first], alone.x[first], atol=1e-5)
    np.testing.assert_allclose(truth.weights, alone_truth.weights, rtol=1e-5)
    np.testing.assert_allclose(truth.noise_scale, alone_truth.noise_scale, rtol=1e-5)
    np.testing.assert_allclose(
        residuals(problem, truth)[:, [0, 2]],
        residuals(alone, alone_truth)[:, [0, 2]],
        atol=1e-4,
    )


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
def test_perfect_intervention_cuts_the_parents(scaling):
    intervention = simulate.perfect_intervention(MIDDLE, mean=3.0, sd=0.5)
    done, alone = chain_with_and_without(intervention, scaling)
    assert_only_the_target_differs(done, alone)
    first, second = done[0].x[:2000], done[0].x[2000:]
    assert np.corrcoef(first[:, 0], first[:, 1])[0, 1] > 0.7
    assert np.corrcoef(second[:, 0], second[:, 1])[0, 1] == pytest.approx(0, abs=0.08)
    assert second[:, 1].mean() == pytest.approx(3, abs=0.05)
    assert second[:, 1].std() == pytest.approx(0.5, abs=0.04)
    assert np.corrcoef(second[:, 1], second[:, 2])[0, 1] < -0.2


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
def test_perfect_intervention_sets_constants(scaling):
    targets = np.array([[0, 0, 0], [1, 0, 1]], bool)
    values = np.arange(6.0).reshape(2, 3)
    intervention = simulate.perfect_intervention(targets, values)
    problem, _ = simulate_chain(intervention, scaling)
    assert (problem.x[2000:, 0] == 3).all()
    assert (problem.x[2000:, 2] == 5).all()
    assert (problem.x[:2000].std(axis=0) > 0.5).all()
    assert problem.x[2000:, 1].std() > 0.1


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
def test_shift_moves_the_mean_by_the_constant(scaling):
    intervention = simulate.shift_intervention(MIDDLE, -2.0)
    done, alone = chain_with_and_without(intervention, scaling)
    assert_only_the_target_differs(done, alone)
    moved = done[0].x[2000:] - alone[0].x[2000:]
    expected = [0, -2, -2 * done[1].weights[1, 2]]
    np.testing.assert_allclose(moved, np.tile(expected, (2000, 1)), atol=1e-4)


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
def test_scale_multiplies_the_residual(scaling):
    intervention = simulate.scale_intervention(MIDDLE, 3.0)
    done, alone = chain_with_and_without(intervention, scaling)
    assert_only_the_target_differs(done, alone)
    noise = residuals(*done)[2000:, 1]
    assert noise.std() / residuals(*alone)[2000:, 1].std() == pytest.approx(3, rel=1e-4)
    assert noise.std() == pytest.approx(3 * done[1].noise_scale[1], rel=0.06)
    assert noise.mean() == pytest.approx(0, abs=0.25)


def test_kinds_mix_in_one_intervention():
    targets = np.array([[0, 0, 0], [1, 1, 0]], bool)
    perfect = simulate.perfect_intervention(targets, 5.0)
    shift = simulate.shift_intervention(targets, 1.0)
    first = np.array([[True, False, False]] * 2)
    mixed = jax.tree.map(lambda a, b: jnp.where(first, a, b), perfect, shift)
    done, truth = simulate_chain(mixed, "raw")
    alone, _ = simulate_chain(simulate.shift_intervention(targets, 0.0), "raw")
    assert (done.x[2000:, 0] == 5).all()
    expected = residuals(alone, truth)[2000:, 1] + 1 + 1.5 * 5
    np.testing.assert_allclose(done.x[2000:, 1], expected, atol=1e-4)


def test_sets_of_targets_may_be_of_one_size():
    sizes = np.array(
        [
            draw_target_sets(key, 5, 9, (1, 4), alike=alike).sum(axis=1)
            for alike in (True, False)
            for key in jax.random.split(jax.random.key(0), 12)
        ]
    )
    assert (sizes[:, 0] == 0).all()
    assert (np.ptp(sizes[:12, 1:], axis=1) == 0).all()
    assert set(sizes[:12, 1]) == {1, 2, 3, 4}
    assert (np.ptp(sizes[12:, 1:], axis=1) > 0).all()


def test_targets_must_be_a_matrix():
    with pytest.raises(ValueError, match=r"two dimensions \[r, d\], not shape \(3,\)"):
        simulate.shift_intervention(np.ones(3, bool), 1.0)


def test_gradients_are_those_of_finite_differences():
    def response(weight, sd, amount):
        problem, _ = simulate.simulate_linear(
            jax.random.key(16),
            CHAIN,
            8,
            noise_scale=sd,
            scaling="internal",
            weights=weight * jnp.asarray(CHAIN, weight.dtype),
            intervention=simulate.shift_intervention(MIDDLE, amount),
            dtype=jnp.float64,
        )
        return (problem.x**2).sum()

    with jax.enable_x64(True):
        point = jnp.array([0.9, 1.3, 0.7])
        both = jax.value_and_grad(lambda point: response(*point))
        both = jax.jit(both, compiler_options=QUICK)
        gradient = both(point)[1]
        step = 1e-5 * np.eye(3)
        slope = [(both(point + s)[0] - both(point - s)[0]) / 2e-5 for s in step]
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-6)
