import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from causaljax import simulate

# 0 -> 1 -> 2 -> 4 <- 3 and 1 -> 4; 5 stands alone.
GRAPH = np.zeros((6, 6), bool)
GRAPH[[0, 1, 2, 3, 1], [1, 2, 4, 4, 4]] = True
ROOTS = [0, 3, 5]
CHILDREN = [1, 2, 4]
QUICK = {"xla_backend_optimization_level": 0}
FAMILIES = list(simulate.MECHANISMS)
NONLINEAR = [name for name in FAMILIES if name != "linear"]
ADDITIVE = [
    name for name in NONLINEAR if name not in {"post_nonlinear", "nonadditive_network"}
]
families = pytest.mark.parametrize("mechanism", FAMILIES)


@functools.cache
def compiled(**options):
    simulation = functools.partial(simulate.simulate, **options)
    return jax.jit(simulation, static_argnums=2, compiler_options=QUICK)


def table(seed, mechanism, intervention=None, **options):
    """The table of a seed, its first half left alone."""
    if intervention is None:
        intervention = simulate.shift_intervention(on(), 0.0)
    simulation = compiled(mechanism=mechanism, **options)
    problem, _ = simulation(jax.random.key(seed), GRAPH, 400, intervention=intervention)
    return np.asarray(problem.x)


def on(*variables):
    targets = np.zeros((2, 6), bool)
    targets[1, list(variables)] = True
    return targets


def unit_noise(seed):
    """The noise of the same key, whatever the mechanism."""
    edgeless = np.zeros_like(GRAPH)
    problem, _ = compiled(mechanism="linear")(jax.random.key(seed), edgeless, 400)
    return np.asarray(problem.x)


@families
def test_variables_without_parents_are_noise(mechanism):
    x, noise = table(0, mechanism), unit_noise(0)
    np.testing.assert_array_equal(x[:, ROOTS], noise[:, ROOTS])
    assert (np.abs(x[:, CHILDREN] - noise[:, CHILDREN]).mean(axis=0) > 0.1).all()


@families
def test_only_descendants_notice_an_intervention(mechanism):
    alone = table(1, mechanism)
    done = table(1, mechanism, simulate.perfect_intervention(on(1), 2.0))
    np.testing.assert_array_equal(done[:200], alone[:200])
    np.testing.assert_array_equal(done[:, [0, 3, 5]], alone[:, [0, 3, 5]])
    assert (done[200:, 1] == 2).all()
    moved = np.abs(done[200:] - alone[200:]).mean(axis=0)
    assert (moved[[2, 4]] > 0.05).all()


@families
def test_only_parents_matter(mechanism):
    # With 1 held, 0 has no way to 2 or 4.
    held = simulate.perfect_intervention(on(1), 2.0)
    pushed = simulate.perfect_intervention(on(0, 1), np.array([[-5.0, 2, 0, 0, 0, 0]]))
    one, other = (table(2, mechanism, done) for done in (held, pushed))
    np.testing.assert_array_equal(one[:, 1:], other[:, 1:])


@pytest.mark.parametrize("mechanism", ["linear", "network", "post_nonlinear"])
def test_standardised_is_raw_standardised(mechanism):
    raw = table(4, mechanism)
    scaled = table(4, mechanism, scaling="standardised")
    expected = (raw - raw[:200].mean(axis=0)) / raw[:200].std(axis=0)
    np.testing.assert_allclose(scaled, expected, atol=2e-3)


@pytest.mark.parametrize("scaling", simulate.SCALINGS)
def test_linear_is_simulate_linear(scaling):
    intervention = simulate.scale_intervention(on(1), 3.0)
    x = table(5, "linear", intervention, scaling=scaling)
    draw = functools.partial(simulate.simulate_linear, scaling=scaling)
    draw = jax.jit(draw, static_argnums=2, compiler_options=QUICK)
    problem, _ = draw(jax.random.key(5), GRAPH, 400, intervention=intervention)
    np.testing.assert_allclose(x, problem.x, atol=1e-4)


@pytest.mark.parametrize("mechanism", ADDITIVE)
def test_signals_compare_with_the_noise(mechanism):
    sds = []
    for seed in range(10):
        signal = (table(seed, mechanism) - unit_noise(seed))[:200, CHILDREN]
        np.testing.assert_allclose(signal.mean(axis=0), 0, atol=1e-4)
        sds.append(signal.std(axis=0))
    assert np.min(sds) > 0.99
    assert np.max(sds) < 2.01
    assert np.ptp(sds) > 0.5


@pytest.mark.parametrize("mechanism", ADDITIVE)
def test_signals_are_not_linear(mechanism):
    explained = []
    for seed in range(10):
        x = table(seed, mechanism)
        signal = x[:, 1] - unit_noise(seed)[:, 1]
        explained.append(np.corrcoef(x[:, 0], signal)[0, 1] ** 2)
    assert np.mean(explained) < 0.97
    assert np.min(explained) < 0.9


def given_the_parent(seed, mechanism, value):
    """Variable 1 where its parent 0 is held, and its noise."""
    x = table(seed, mechanism, simulate.perfect_intervention(on(0), value))
    return x[200:, 1], unit_noise(seed)[200:, 1]


@pytest.mark.parametrize("seed", range(3))
def test_post_nonlinear_is_increasing_and_not_a_straight_line(seed):
    first, noise = given_the_parent(seed, "post_nonlinear", 0.5)
    second, _ = given_the_parent(seed, "post_nonlinear", -0.5)
    for child in (first, second):
        assert scipy.stats.spearmanr(child, noise).statistic == pytest.approx(1)
        assert np.corrcoef(child, noise)[0, 1] < 0.999
    # One is the other shifted before the bend, so never shifted by a constant.
    assert (first - second).std() > 0.01


def test_nonadditive_network_mixes_noise_and_parents():
    spreads = []
    for seed in range(10):
        children = [
            given_the_parent(seed, "nonadditive_network", value)[0]
            for value in (-2.0, 2.0)
        ]
        spreads.append((children[0] - children[1]).std())
    assert np.mean(np.array(spreads) > 0.2) > 0.7


def test_heteroscedastic_noise_depends_on_the_parents_alone():
    spreads = []
    for seed in range(10):
        noise = unit_noise(seed)[:, 1]
        one = table(seed, "network")
        other = table(seed, "network", heteroscedastic=True)
        np.testing.assert_array_equal(one[:, 0], other[:, 0])
        factor = 1 + (other[:, 1] - one[:, 1]) / noise
        clear = np.abs(noise[:200]) > 0.1
        assert (factor[:200][clear] > 0).all()
        order = np.argsort(one[:200, 0][clear])
        steps = np.abs(np.diff(factor[:200][clear][order]))
        spreads.append(factor[:200][clear].std())
        assert np.median(steps) < 0.1 * max(spreads[-1], 0.1)
        mean_square = np.mean(factor[:200][clear] ** 2)
        assert mean_square == pytest.approx(1, abs=0.15)
    assert np.mean(spreads) > 0.15


def test_noise_scale_is_that_of_the_noise():
    problem, origin = compiled(mechanism="network", noise_scale=(0.5, 2.0))(
        jax.random.key(0), GRAPH, 4000
    )
    np.testing.assert_allclose(
        np.asarray(problem.x)[:, ROOTS].std(axis=0),
        origin.noise_scale[jnp.array(ROOTS)],
        rtol=0.05,
    )
    assert len(np.unique(origin.noise_scale)) == 6


@families
def test_scaled_tables_are_finite_for_many_seeds_and_wild_interventions(mechanism):
    def draw(key):
        key_graph, key_table = jax.random.split(key)
        graph = simulate.erdos_renyi(key_graph, 8, 2)
        problem, _ = simulate.simulate(
            key_table,
            graph,
            60,
            mechanism=mechanism,
            noise="cauchy",
            scaling="internal",
            intervention=simulate.perfect_intervention(np.eye(3, 8, -1) > 0, 30.0),
        )
        return problem.x

    keys = jax.random.split(jax.random.key(0), 300)
    x = np.asarray(jax.jit(jax.vmap(draw), compiler_options=QUICK)(keys))
    assert np.isfinite(x).all()
    assert mechanism == "linear" or np.abs(x).max() < 1e4
    usual = x[:, :20]  # the first of three regimes
    np.testing.assert_allclose(usual.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(usual.std(axis=1), 1, atol=1e-4)


def test_jit_is_eager_and_vmap_is_a_loop():
    simulation = functools.partial(
        simulate.simulate,
        graph=GRAPH,
        num_rows=30,
        mechanism="polynomial",
        heteroscedastic=True,
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
            np.testing.assert_allclose(eager, mapped[i], rtol=1e-3, atol=1e-4)
    assert not np.allclose(batch[0].x[0], batch[0].x[1])


@families
def test_float64_only_if_asked(mechanism):
    def problem_of(key, **options):
        return simulate.simulate(
            key, GRAPH, 10, mechanism=mechanism, heteroscedastic=True, **options
        )[0]

    with jax.enable_x64(True):
        asked = functools.partial(problem_of, dtype=jnp.float64)
        key = jax.random.key(0)
        assert jax.eval_shape(problem_of, key).x.dtype == jnp.float32
        assert jax.eval_shape(asked, key).x.dtype == jnp.float64


@pytest.mark.parametrize("mechanism", ["gaussian_process", "post_nonlinear"])
def test_gradients_are_finite(mechanism):
    def response(amount, sd):
        problem, _ = simulate.simulate(
            jax.random.key(16),
            GRAPH,
            20,
            mechanism=mechanism,
            noise_scale=sd,
            scaling="internal",
            heteroscedastic=True,
            intervention=simulate.shift_intervention(on(1), amount),
        )
        return (problem.x**3).sum()

    gradient = jax.jit(jax.grad(response, (0, 1)), compiler_options=QUICK)(0.7, 1.0)
    assert np.isfinite(gradient).all()
    assert gradient[0] != 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "quantum"}, "mechanism 'quantum' is not one of linear, network"),
        ({"noise": "pink"}, "noise family 'pink'"),
        ({"scaling": "none"}, "scaling 'none'"),
        ({"graph": np.ones((2, 3), bool)}, "graph must be square"),
        ({"num_rows": 1}, "num_rows must be at least 2"),
    ],
)
def test_wrong_options_are_named(options, message):
    options = {"graph": GRAPH, "num_rows": 10, "mechanism": "network", **options}
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            functools.partial(simulate.simulate, **options), jax.random.key(0)
        )


def test_hidden_regimes_leave_the_table_and_no_label():
    problem, _ = compiled(mechanism="network")(
        jax.random.key(0),
        GRAPH,
        40,
        intervention=simulate.shift_intervention(on(1), 1.0),
    )
    hidden = simulate.hide_regimes(problem)
    assert problem.intervened.any()
    assert (hidden.regime == -1).all()
    assert not hidden.intervened.any()
    assert hidden.regime.dtype == problem.regime.dtype
    np.testing.assert_array_equal(hidden.x, problem.x)
