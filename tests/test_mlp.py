import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.core.types import make_problem
from causaljax.mechanisms import last_layer, mlp

N, D, R = 7, 3, 3
CHAIN = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], np.float32)
compiled = jax.jit(mlp.log_prob)
gradients = jax.jit(jax.grad(lambda *args: mlp.log_prob(*args).sum(), argnums=(0, 1)))


def make_params(seed=0, num_regimes=1, noise="gaussian", layers=2, dtype="float32"):
    """Networks that differ between regimes, and scales that are not 1."""
    params = mlp.init(
        jax.random.key(seed),
        D,
        hidden=4,
        layers=layers,
        num_regimes=num_regimes,
        noise=noise,
    )
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(
            np.asarray(leaf) + 0.3 * rng.normal(size=leaf.shape), dtype
        ),
        params,
    )


def make_table(dtype="float32", **changes):
    rng = np.random.default_rng(1)
    regime = np.array([0, 0, 0, 1, 1, 2, 2])
    targets = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1]], bool)
    table = {
        "x": rng.normal(size=(N, D)).astype(dtype),
        "intervened": targets[regime],
        "regime": regime,
        "weight": rng.uniform(0.5, 2, N).astype(dtype),
    }
    return table | changes


def cell(params, graph, row, j, network):
    """The log density of one cell, in plain numpy."""
    values = [float(graph[i, j]) * row[i] if i != j else 0.0 for i in range(D)]
    layers = list(zip(params.weights, params.biases, strict=True))
    for step, (weight, bias) in enumerate(layers):
        values = [
            bias[network, j, k]
            + sum(value * weight[network, j, i, k] for i, value in enumerate(values))
            for k in range(bias.shape[2])
        ]
        if step < len(layers) - 1:
            values = [value / (1 + np.exp(-value)) for value in values]
    scale = np.exp(params.log_scale[network, j])
    if len(values) == 2:
        scale *= np.exp(3 * np.tanh(values[1] / 3))
    error = (row[j] - values[0]) / scale
    return -0.5 * np.log(2 * np.pi) - np.log(scale) - error**2 / 2


@pytest.mark.parametrize("num_regimes", [1, R])
@pytest.mark.parametrize("noise", ["gaussian", "heteroscedastic"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_values_are_those_of_a_loop(num_regimes, noise, layers):
    params = make_params(0, num_regimes, noise, layers)
    table = make_table()
    graph = np.array([[0.3, 1, 0.5], [0.2, 0.7, 1], [0, 0.9, 1]], np.float32)
    plain = jax.tree.map(functools.partial(np.asarray, dtype=float), params)
    expected = np.zeros(D)
    for n in range(N):
        row = table["x"][n].astype(float)
        for j in range(D):
            hit = table["intervened"][n, j]
            if hit and num_regimes == 1:
                continue
            network = table["regime"][n] if hit else 0
            expected[j] += table["weight"][n] * cell(plain, graph, row, j, network)
    actual = compiled(params, graph, make_problem(**table))
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-4)


def test_every_regime_has_its_density():
    params = make_params(num_regimes=R)
    x = jnp.asarray(make_table()["x"])
    densities = mlp.log_density(params, CHAIN, x)
    assert densities.shape == (R, N, D)
    one = jax.tree.map(lambda leaf: leaf[1:2], params)
    np.testing.assert_allclose(
        mlp.log_density(one, CHAIN, x)[0], densities[1], rtol=1e-5
    )


@pytest.mark.parametrize("num_regimes", [1, R])
def test_gradients_match_finite_differences(x64, num_regimes):
    table = make_table("float64")
    params = make_params(0, num_regimes, noise="heteroscedastic", dtype="float64")
    graph = jnp.full((D, D), 0.6)
    weight = jnp.asarray([1.0, -2.0, 0.5])  # variables pull apart

    def value(inputs):
        params, graph, x, row_weight = inputs
        problem = make_problem(**table)._replace(x=x, weight=row_weight)
        return mlp.log_prob(params, graph, problem) @ weight

    inputs = (params, graph, jnp.asarray(table["x"]), jnp.asarray(table["weight"]))
    value = jax.jit(value)
    gradient = jax.jit(jax.grad(value))(inputs)
    rng = np.random.default_rng(0)
    for part in range(4):
        for _ in range(3):
            direction = jax.tree.map(
                lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), inputs[part]
            )

            def moved(step, part=part, direction=direction):
                there = jax.tree.map(lambda a, b: a + step * b, inputs[part], direction)
                return value((*inputs[:part], there, *inputs[part + 1 :]))

            expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
            products = jax.tree.map(
                lambda a, b: (a * b).sum(), gradient[part], direction
            )
            actual = sum(float(leaf) for leaf in jax.tree.leaves(products))
            assert actual == pytest.approx(float(expected), rel=1e-6, abs=1e-7)
            assert abs(actual) > 1e-3


def moved_by(column, graph, **options):
    """How each variable's likelihood changes when a column does."""
    params = make_params(**options)
    table = make_table(intervened=None, regime=None)
    other = table["x"].copy()
    other[:, column] += 1
    values = [
        np.asarray(compiled(params, graph, make_problem(**(table | {"x": x}))))
        for x in (table["x"], other)
    ]
    return np.abs(values[1] - values[0])


@pytest.mark.parametrize("noise", ["gaussian", "heteroscedastic"])
def test_only_parents_and_the_variable_itself_have_a_say(noise):
    for column in range(D):
        moved = moved_by(column, CHAIN, noise=noise)
        heard = CHAIN[column].astype(bool)
        heard[column] = True
        assert (moved[heard] > 1e-3).all()
        np.testing.assert_array_equal(moved[~heard], 0)


def test_no_variable_is_its_own_parent():
    params, problem = make_params(), make_problem(**make_table())
    looped = CHAIN + np.eye(D, dtype=np.float32)
    np.testing.assert_array_equal(
        compiled(params, looped, problem), compiled(params, CHAIN, problem)
    )
    of_params, of_graph = gradients(params, jnp.asarray(looped), problem)
    np.testing.assert_array_equal(np.diag(of_graph), 0)
    own = np.asarray(of_params.weights[0])[0, np.arange(D), np.arange(D)]
    np.testing.assert_array_equal(own, 0)


def test_a_boolean_graph_is_one_of_zeros_and_ones():
    params, problem = make_params(), make_problem(**make_table())
    np.testing.assert_array_equal(
        compiled(params, CHAIN.astype(bool), problem), compiled(params, CHAIN, problem)
    )


def test_a_perfectly_intervened_cell_counts_as_a_cause_only():
    table = make_table()
    rows = table["intervened"][:, 1]
    x = table["x"].copy()
    x[rows, 1] += 5
    params = make_params()
    before, after = (
        np.asarray(compiled(params, CHAIN, make_problem(**(table | {"x": x}))))
        for x in (table["x"], x)
    )
    np.testing.assert_array_equal(before[:2], after[:2])
    assert abs(before[2] - after[2]) > 0.01
    everywhere = make_problem(**make_table(intervened=np.ones((N, D), bool)))
    np.testing.assert_array_equal(compiled(params, CHAIN, everywhere), np.zeros(D))
    for leaf in jax.tree.leaves(gradients(params, jnp.asarray(CHAIN), everywhere)):
        np.testing.assert_array_equal(leaf, 0)


def test_an_imperfect_target_teaches_its_own_network_only():
    problem = make_problem(**make_table())
    of_params, _ = gradients(make_params(num_regimes=R), jnp.asarray(CHAIN), problem)
    taught = np.abs(of_params.log_scale) > 0
    np.testing.assert_array_equal(taught, [[1, 1, 1], [0, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize("regime", [-1, 0, R])
def test_an_imperfect_target_without_a_network_counts_for_nothing(regime):
    table = make_table(regime=np.full(N, regime))
    values = compiled(make_params(num_regimes=R), CHAIN, make_problem(**table))
    first = jax.tree.map(lambda leaf: leaf[:1], make_params(num_regimes=R))
    expected = compiled(first, CHAIN, make_problem(**table))
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("num_regimes", [1, R])
def test_rows_without_weight_or_with_gaps_may_hold_anything(num_regimes):
    params = make_params(num_regimes=num_regimes)
    table = make_table()
    table["weight"][[1, 4]] = 0
    observed = np.ones((N, D), bool)
    observed[[2, 6], [0, 1]] = False
    x = table["x"].copy()
    x[[1, 2, 4, 6]] = 1e30
    keep = [0, 3, 5]
    kept = {name: value[keep] for name, value in table.items()}
    spoiled = make_problem(**(table | {"x": x, "observed": observed}))
    np.testing.assert_allclose(
        compiled(params, CHAIN, spoiled),
        compiled(params, CHAIN, make_problem(**kept)),
        rtol=1e-5,
    )
    for leaf in jax.tree.leaves(gradients(params, jnp.asarray(CHAIN), spoiled)):
        assert np.isfinite(leaf).all()


def test_relabelled_variables_have_relabelled_values():
    params, table = make_params(num_regimes=R, noise="heteroscedastic"), make_table()
    order = np.array([2, 0, 1])
    first, *rest = params.weights
    relabelled = jax.tree.map(
        lambda leaf: leaf[:, order], params._replace(weights=tuple(rest))
    )
    first = first[:, order][:, :, order]
    relabelled = relabelled._replace(weights=(first, *relabelled.weights))
    swapped = {name: table[name][:, order] for name in ("x", "intervened")}
    np.testing.assert_allclose(
        compiled(relabelled, CHAIN[order][:, order], make_problem(**(table | swapped))),
        compiled(params, CHAIN, make_problem(**table))[order],
        rtol=1e-5,
    )


def test_networks_start_alike_in_every_regime(key):
    params = mlp.init(
        key, D, hidden=5, layers=2, num_regimes=R, noise="heteroscedastic"
    )
    shapes = [leaf.shape for leaf in params.weights]
    assert shapes == [(R, D, D, 5), (R, D, 5, 5), (R, D, 5, 2)]
    for leaf in jax.tree.leaves(params):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    np.testing.assert_array_equal(params.log_scale, 0)


def test_means_of_wide_networks_start_of_one_size(key):
    params = mlp.init(key, 200, hidden=64, layers=2)
    sds = [leaf.std() * np.sqrt(leaf.shape[2]) for leaf in params.weights]
    np.testing.assert_allclose(sds, 1, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, not 0"),
        ({"layers": -1}, "layers must be at least 0, not -1"),
        ({"num_regimes": 0}, "num_regimes must be at least 1, not 0"),
    ],
)
def test_impossible_sizes_are_named(key, options, message):
    with pytest.raises(ValueError, match=message):
        mlp.init(key, D, **({"hidden": 4, "layers": 1} | options))


def test_draws_of_last_layers_are_as_sure_as_a_regression():
    """x -> y -> z of straight lines: the standard error of least squares."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    x[:, 1] += x[:, 0]
    x[:, 2] += 2 * x[:, 1]
    counted = np.ones((400, 3), np.float32)
    counted[:200, 1] = 0  # cells that were set tell nothing of y
    params = mlp.init(jax.random.key(0), 3, hidden=1, layers=0)
    weights = np.zeros((1, 3, 3, 1), np.float32)
    weights[0, 1, 0], weights[0, 2, 1] = 1, 2
    params = params._replace(weights=(jnp.asarray(weights),))
    graph = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    draw = jax.jit(last_layer.effect_draws, static_argnames=("num_draws", "num_rows"))
    draws = draw(
        jax.random.key(1),
        params,
        graph,
        x.astype(np.float32),
        counted,
        np.arange(3) == 0,
        np.array([0, 1], np.float32),
        num_draws=300,
        num_rows=10,
    )
    np.testing.assert_allclose(draws.mean(axis=0), [1, 1, 2], atol=0.03)
    errors = [1 / np.linalg.norm(x[200:, 0]), 1 / np.linalg.norm(x[:, 1])]
    both = np.hypot(2 * errors[0], errors[1])  # the product of both slopes
    np.testing.assert_allclose(draws.std(axis=0)[1:], [errors[0], both], rtol=0.15)
    assert draws[:, 0].std() < 1e-6
