"""The neural kernel and NeuralDAG, against closed forms and known equations."""

import copy
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from causaljax import Knowledge, NeuralDAG, run
from causaljax.graphs.ops import is_acyclic
from causaljax.kernels import neural, pruning
from causaljax.models import mlp
from causaljax.types import make_problem

SMALL = neural.Config(hidden=16, layers=1, num_steps=4, num_updates=150)
OPTIONS = {"hidden": 16, "layers": 1, "num_updates": 600}
CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)  # x -> y -> z
BEGUN = np.where(CHAIN, 0.9, 0.1).astype("float32")
# Compiled once each, for all tests that do with them.
HASTY = dataclasses.replace(SMALL, num_steps=1, num_updates=20)
STARTED = dataclasses.replace(SMALL, num_steps=2, start=BEGUN)
log_prob = jax.jit(mlp.log_prob)


def chain(n=600, seed=0):
    """y = sin(2 x), z = y^2 - y, both with noise; every third row sets one of them."""
    rng = np.random.default_rng(seed)
    hit = np.zeros((n, 3), bool)
    hit[np.arange(n) % 3 == 1, 1] = True
    hit[np.arange(n) % 3 == 2, 2] = True
    set_to = rng.normal(1, 1, size=(n, 3))
    x = rng.normal(size=n)
    y = np.where(hit[:, 1], set_to[:, 1], np.sin(2 * x) + 0.2 * rng.normal(size=n))
    z = np.where(hit[:, 2], set_to[:, 2], y**2 - y + 0.3 * rng.normal(size=n))
    return np.stack([x, y, z], axis=1), hit


def problem_of(table, hit, **knowledge):
    x = (table - table.mean(axis=0)) / table.std(axis=0)
    return make_problem(x.astype("float32"), intervened=hit, **knowledge)


def fit(problem, config=SMALL, seed=0):
    answer = run.run(neural.KERNEL, jax.random.key(seed), problem, config)
    return jax.tree.map(np.asarray, answer)


def least_squares(x, parents, j):
    """The Gaussian log-likelihood of a regression, in closed form; nats a row."""
    inputs = np.column_stack([x[:, parents], np.ones(len(x))])
    coefficients = np.linalg.lstsq(inputs, x[:, j], rcond=None)[0]
    variance = np.mean((x[:, j] - inputs @ coefficients) ** 2)
    return coefficients, variance, -0.5 * (np.log(2 * np.pi * variance) + 1)


def test_a_linear_network_has_the_likelihood_of_a_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    x[:, 1] += x[:, 0]
    x[:, 2] += 0.5 * x[:, 1] - x[:, 0]
    params = mlp.init(jax.random.key(0), 3, hidden=1, layers=0)
    weights, bias = np.zeros((1, 3, 3, 1)), np.zeros((1, 3, 1))
    scale, expected = np.zeros((1, 3)), np.zeros(3)
    for j in range(3):
        parents = list(range(j))
        coefficients, variance, expected[j] = least_squares(x, parents, j)
        weights[0, j, parents, 0] = coefficients[:-1]
        bias[0, j, 0] = coefficients[-1]
        scale[0, j] = 0.5 * np.log(variance)
    params = params._replace(
        weights=(jnp.asarray(weights, "float32"),),
        biases=(jnp.asarray(bias, "float32"),),
        log_scale=jnp.asarray(scale, "float32"),
    )
    graph = np.triu(np.ones((3, 3), bool), 1)
    value = log_prob(params, graph, make_problem(x.astype("float32")))
    np.testing.assert_allclose(value / 500, expected, rtol=1e-4)


def test_linear_networks_learn_the_regression():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 2))
    x[:, 1] += 2 * x[:, 0]
    problem = problem_of(x, None, required=[[0, 1], [0, 0]])
    config = dataclasses.replace(SMALL, noise="gaussian", layers=0, num_updates=400)
    posterior, info = fit(problem, config)
    x = np.asarray(problem.x, float)
    expected = least_squares(x, [], 0)[2] + least_squares(x, [0], 1)[2]
    value = log_prob(posterior.extra["networks"], posterior.graphs[0], problem)
    assert value.sum() / 2000 == pytest.approx(expected, abs=0.005)
    price = 0.5 * np.log(2000) / 400
    assert -info.loss == pytest.approx(expected - price, abs=0.1)


@pytest.mark.parametrize("noise", ["heteroscedastic", "flow"])
def test_a_nonlinear_chain_is_found_from_nothing(noise):
    posterior, info = fit(problem_of(*chain()), dataclasses.replace(SMALL, noise=noise))
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)
    assert info.converged
    assert (posterior.edge_prob[CHAIN] > 0.9).all()
    assert (posterior.edge_prob[~CHAIN] < 0.5).all()


def test_knowledge_is_obeyed_against_the_data():
    allowed, required = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    allowed[0, 1] = False
    required[2, 0] = True
    problem = problem_of(*chain(), allowed=allowed, required=required)
    for config in (HASTY, STARTED):
        posterior, _ = fit(problem, config)
        graph = posterior.graphs[0]
        assert graph[2, 0]
        assert not graph[0, 1]
        assert is_acyclic(graph)
        assert posterior.edge_prob[2, 0] == 1
        assert posterior.edge_prob[0, 1] == posterior.edge_prob[0, 2] == 0


def test_a_good_start_is_kept():
    posterior, _ = fit(problem_of(*chain()), STARTED)
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)


def test_rows_that_are_set_teach_nothing_of_their_target():
    table, hit = chain()
    problem = problem_of(table, hit)
    # z has no children, so what it was set to plays no part at all.
    other = np.array(problem.x)
    other[hit[:, 2], 2] += 3
    one = fit(problem, HASTY)
    two = fit(problem._replace(x=jnp.asarray(other)), HASTY)
    networks = [answer[0].extra["networks"].weights[-1][0, 2] for answer in (one, two)]
    assert not hit[:, 2].all()
    np.testing.assert_array_equal(*networks)


def test_imperfect_interventions_have_networks_of_their_own():
    rng = np.random.default_rng(0)
    n = 900
    regime = np.arange(n) % 3
    x = rng.normal(size=n)
    slope = np.array([1.0, -2.0, 0.0])[regime]
    y = slope * x + 0.3 * rng.normal(size=n)
    table, hit = np.stack([x, y], axis=1), np.zeros((n, 2), bool)
    hit[:, 1] = regime > 0
    problem = make_problem(
        table.astype("float32"),
        intervened=hit,
        regime=regime,
        required=[[0, 1], [0, 0]],
    )
    config = dataclasses.replace(
        SMALL,
        noise="gaussian",
        interventions="imperfect",
        num_regimes=3,
        num_targeted=2,
        layers=0,
        num_updates=400,
        learning_rate=0.02,
    )
    posterior, _ = fit(problem, config)
    slopes = posterior.extra["networks"].weights[0][:, 1, 0, 0]
    np.testing.assert_allclose(slopes, [1, -2, 0], atol=0.1)


def test_held_out_likelihood_has_true_gradients(x64):
    table, hit = chain(90)
    problem = problem_of(table, hit)
    problem = problem._replace(
        x=jnp.asarray(problem.x, "float64"), weight=jnp.ones(90, "float64")
    )
    config = dataclasses.replace(
        SMALL, num_steps=1, num_updates=10, start=jnp.asarray(CHAIN, "float64")
    )

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
    def loss(x, rate, penalty):
        settings = dataclasses.replace(config, learning_rate=rate, penalty=penalty)
        table = problem._replace(x=x)
        state = neural.KERNEL.init(jax.random.key(0), table, settings)
        _, info = neural.KERNEL.step(jax.random.key(1), state, table, settings)
        return info.loss

    at = (problem.x, jnp.asarray(0.01), jnp.asarray(1.0))
    gradient = loss(*at)[1]
    rng = np.random.default_rng(0)
    for k, part in enumerate(at):
        direction, small = jnp.asarray(rng.normal(size=part.shape)), 1e-6
        ends = [
            loss(*at[:k], part + sign * small * direction, *at[k + 1 :])[0]
            for sign in (1, -1)
        ]
        slope = float(ends[0] - ends[1]) / (2 * small)
        actual = float((gradient[k] * direction).sum())
        assert abs(slope) > 1e-4
        assert actual == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": "x"}, "noise must be one of"),
        ({"interventions": "x"}, "interventions must be one of"),
        ({"penalty": -1}, "penalty must be finite and at least 0"),
        ({"learning_rate": 0}, "learning_rate must be finite and positive"),
        ({"learning_rate": "a"}, "learning_rate must be a number"),
        ({"hidden": 0}, "hidden must be a whole number of at least 1"),
        ({"layers": 1.5}, "layers must be a whole number of at least 0"),
        ({"num_updates": True}, "num_updates must be a whole number"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        neural.check_config(dataclasses.replace(SMALL, **changes))


# The estimator


@pytest.fixture(scope="module")
def fitted():
    table, hit = chain()
    frame = pd.DataFrame(table * [2, 1, 5] + [0, 3, 100], columns=list("xyz"))
    return NeuralDAG(**OPTIONS).fit(frame, interventions=hit), frame, hit


def test_the_graph_has_names(fitted):
    model, _, _ = fitted
    assert set(model.graph_.edges) == {("x", "y"), ("y", "z")}
    assert model.edge_probabilities_.loc["x", "y"] > 0.9
    assert (model.cpdag_ == model.adjacency_).all(axis=None)
    # Each kernel's own settings: both have hidden units.
    assert model.info_["config"]["equations"]["hidden"] == 16
    assert model.info_["config"]["pruning"]["hidden"] == pruning.Config().hidden


def test_another_order_of_columns_is_the_same_answer(fitted):
    model, frame, hit = fitted
    order = ["z", "x", "y"]
    hit = pd.DataFrame(hit, columns=list("xyz"))
    other = NeuralDAG(**OPTIONS).fit(frame[order], interventions=hit[order])
    for name in ("adjacency_", "edge_probabilities_", "effects_"):
        expected = getattr(model, name)
        found = getattr(other, name).loc[list("xyz"), list("xyz")]
        np.testing.assert_array_equal(found, expected)
    assert other.score(frame[order], interventions=hit[order]) == pytest.approx(
        model.score(frame, interventions=hit), abs=1e-4
    )
    effects = [m.average_causal_effect("x", (0.0, 1.0)) for m in (model, other)]
    assert effects[1]["y"] == pytest.approx(effects[0]["y"], abs=0.1)


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_probabilities_of_a_pair_leave_room_for_no_edge(order):
    """Both directions of a pair were stated with .75 each."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "y": x + rng.uniform(-1, 1, size=300)})
    model = NeuralDAG(num_updates=10).fit(frame[list(order)])
    prob = model.edge_probabilities_.to_numpy()
    assert (prob + prob.T).max() <= 1 + 1e-6
    assert (prob > prob.T)[model.adjacency_.to_numpy() > 0].all()


def test_score_is_in_the_units_of_the_table(fitted):
    model, frame, hit = fitted
    value = model.score(frame, interventions=hit)
    z = (frame - frame.mean()) / frame.std(ddof=0)
    problem = make_problem(z.to_numpy("float32"), intervened=hit)
    nats = log_prob(model.networks_, model.adjacency_.to_numpy(), problem)
    free = (~hit).mean(axis=0) @ np.log(frame.std(ddof=0))
    assert value == pytest.approx(float(nats.sum()) / len(frame) - free, abs=1e-4)
    # Rows are added up one by one: few, flat or always set, without a warning.
    ones = [model.score(frame[k : k + 1], interventions=hit[k : k + 1]) for k in (0, 1)]
    both = model.score(frame[:2], interventions=hit[:2])
    assert both == pytest.approx(np.mean(ones), abs=1e-4)
    assert np.isfinite(model.score(frame[:9].assign(x=1.0), interventions=["x"] * 9))


def test_samples_follow_the_equations(fitted):
    model, frame, _ = fitted
    drawn = model.sample(4000, do={"y": 4.0})  # y is 1 above its own 0 of 3
    assert list(drawn.columns) == list("xyz")
    assert (drawn.y == 4).all()
    assert drawn.z.mean() == pytest.approx(100, abs=1)  # y^2 - y = 0
    assert drawn.x.mean() == pytest.approx(frame.x.mean(), abs=0.25)
    effect = model.average_causal_effect("y", (4.0, 3.5))
    assert effect["z"] == pytest.approx(-0.25 * 5, abs=0.6)
    assert effect["x"] == 0
    assert effect["y"] == pytest.approx(-0.5)
    pd.testing.assert_frame_equal(model.sample(50), model.sample(50))
    # The seed is that of the fit, whatever it was drawn from.
    other = copy.copy(model).set_params(random_state=None)
    pd.testing.assert_frame_equal(model.sample(50), other.sample(50))


def test_questions_that_make_no_sense_are_named(fitted):
    model, frame, _ = fitted
    for call, message in (
        (lambda: model.sample(0), "n must be a positive whole number"),
        (lambda: model.sample(5, do={"q": 1}), "do names an unknown column 'q'"),
        (lambda: model.sample(5, do={"x": np.nan}), "give a finite number"),
        (lambda: model.average_causal_effect("x", (1, 2, 3)), "must be a pair"),
        (lambda: model.score(frame[["y", "x", "z"]]), "give those of fit"),
        (lambda: NeuralDAG(n_starts=True).fit(frame), "n_starts must be a positive"),
        (lambda: NeuralDAG(n_starts=0).fit(frame), "n_starts must be a positive"),
        (lambda: NeuralDAG(noise="x").fit(frame), "noise must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(AttributeError, match="fit a table"):
        NeuralDAG().sample(3)


def test_same_seed_same_answer_and_knowledge_holds(fitted):
    model, frame, hit = fitted
    again = NeuralDAG(**OPTIONS).fit(frame, interventions=hit)
    assert again.edge_probabilities_.equals(model.edge_probabilities_)
    knowledge = Knowledge(required=[("z", "x")], forbidden=[("x", "y")])
    told = NeuralDAG(**OPTIONS).fit(frame, interventions=hit, knowledge=knowledge)
    assert told.adjacency_.loc["z", "x"] == 1
    assert told.adjacency_.loc["x", "y"] == 0
