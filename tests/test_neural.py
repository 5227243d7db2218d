"""Networks of structural equations, the neural kernel and NeuralDAG."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from conftest import assert_edges_agree, assert_saved_alike

from causaljax import Knowledge, NeuralDAG, load
from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.kernels import neural
from causaljax.kernels.neural import equations, pruning
from causaljax.kernels.neural.candidates import informed
from causaljax.mechanisms import mlp

SMALL = equations.Config(hidden=16, layers=1, num_updates=400, num_steps=1, held_out=0)
OPTIONS = {"hidden": 16, "layers": 1, "num_updates": 600}
CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)  # x -> y -> z
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


@jax.jit
def trained(problem, graph, config):
    """State and mean loss after all steps of training."""
    state = equations.init(jax.random.key(0), problem, config)

    def step(state, number):
        key = jax.random.fold_in(jax.random.key(1), number)
        return equations.train(key, state, graph, problem, config)

    return jax.lax.scan(step, state, jnp.arange(config.num_steps))


@pytest.mark.slow
def test_some_of_the_rows_held_out_judge_as_all_do():
    table, hit = chain(20_000)
    problem, graph = problem_of(table, hit), jnp.asarray(CHAIN)
    config = dataclasses.replace(SMALL, held_out=0.2, held_out_rows=20_000)
    all_rows, _ = trained(problem, graph, config)
    few = dataclasses.replace(config, held_out_rows=2000)
    some, _ = trained(problem, graph, few)
    # Training is the same; the loss is that of 2,000 rows of 4,000.
    for one, other in zip(*map(jax.tree.leaves, (all_rows, some)), strict=True):
        if one.ndim:
            np.testing.assert_array_equal(one, other)
    assert some.best_loss != all_rows.best_loss
    assert abs(some.best_loss - all_rows.best_loss) < 0.1


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
    problem = problem_of(x, None)
    graph = jnp.array([[False, True], [False, False]])
    config = dataclasses.replace(SMALL, noise="gaussian", layers=0, num_steps=4)
    state, losses = trained(problem, graph, config)
    x = np.asarray(problem.x, float)
    expected = least_squares(x, [], 0)[2] + least_squares(x, [0], 1)[2]
    value = log_prob(state.networks, graph, problem)
    assert value.sum() / 2000 == pytest.approx(expected, abs=0.005)
    assert -losses[-1] == pytest.approx(expected, abs=0.05)


def test_equations_hold_for_new_rows_where_columns_have_few_values():
    """A scale that falls without end gave new rows thousands of nats less."""
    rng = np.random.default_rng(3)
    sort = rng.integers(0, 3, 600)
    x = np.stack([sort, (sort + (rng.random(600) < 0.02)) % 3], axis=1).astype(float)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    problem = problem_of(x[:400], None)
    graph = jnp.array([[False, True], [False, False]])
    config = dataclasses.replace(
        SMALL, noise="heteroscedastic", num_steps=4, held_out=0.2
    )
    state, losses = trained(problem, graph, config)
    assert (state.held_out > 0).sum() == 79
    fresh = log_prob(state.best, graph, problem_of(x[400:], None)).sum() / 200
    assert abs(float(fresh) + float(state.best_loss)) < 1
    assert abs(float(fresh) + losses[-1]) < 1
    # No density is above that of the values' rounding.
    scale = jnp.exp(state.best.log_floor[0, 1])
    step = np.diff(np.unique(problem.x[:, 1])).min()
    assert float(scale) == pytest.approx(step / np.sqrt(12), rel=1e-3)


def test_rows_that_are_set_or_have_gaps_teach_nothing_of_their_target():
    table, hit = chain()
    problem = problem_of(table, hit)
    # z has no children, so what it was set to plays no part at all.
    other = np.array(problem.x)
    other[hit[:, 2], 2] += 3
    observed = np.ones(other.shape, bool)
    observed[:60, 1] = False
    kept = problem._replace(observed=jnp.asarray(observed))
    other[:60] = 1e6
    config = dataclasses.replace(SMALL, num_updates=20)
    one, _ = trained(kept, CHAIN, config)
    two, _ = trained(kept._replace(x=jnp.asarray(other)), CHAIN, config)
    networks = [state.networks.weights[-1][0, 2] for state in (one, two)]
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
    problem = make_problem(table.astype("float32"), intervened=hit, regime=regime)
    config = dataclasses.replace(
        SMALL,
        noise="gaussian",
        intervention="imperfect",
        num_regimes=3,
        num_targeted=2,
        layers=0,
        num_updates=1600,
    )
    state, _ = trained(problem, jnp.array([[False, True], [False, False]]), config)
    slopes = state.networks.weights[0][:, 1, 0, 0]
    np.testing.assert_allclose(slopes, [1, -2, 0], atol=0.1)


def test_the_kernel_finds_a_chain_from_a_guess():
    """Without a network and without a prior; its equations are those of the graph."""
    problem = problem_of(*chain())
    config = neural.Config(equations=dataclasses.replace(SMALL, num_steps=2))
    assert config.num_steps == pruning.Config().num_steps + 2
    trace = []
    posterior, info = run.run(
        neural.KERNEL,
        jax.random.key(0),
        problem,
        config,
        num_chunks=config.num_steps,
        on_chunk=lambda _, info: trace.append(
            jax.tree.map(lambda leaf: leaf.item(), info)
        ),
    )
    np.testing.assert_array_equal(posterior.graphs[0], CHAIN)
    assert info.converged
    prob = np.asarray(posterior.edge_prob)
    assert (prob[CHAIN] > 0.9).all()
    assert (prob[~CHAIN] < 0.5).all()
    # The graph has a loss throughout, its equations once it is there.
    pruned = [np.isnan(step.equations_loss) for step in trace]
    assert pruned == [True] * pruning.Config().num_steps + [False] * 2
    assert trace[-1].loss == trace[-2].loss == trace[-3].loss
    nats = log_prob(posterior.extra["networks"], CHAIN, problem).sum() / 600
    assert float(nats) == pytest.approx(-trace[-1].equations_loss, abs=0.4)


def test_a_prior_decides_what_is_considered():
    problem = problem_of(*chain())
    prior = np.where(CHAIN, 0.9, 0).astype("float32")
    prior[1, 2] = 0  # an edge that is there, and ruled out
    config = neural.Config(prior=prior, equations=dataclasses.replace(SMALL))
    posterior, _ = run.run(neural.KERNEL, jax.random.key(0), problem, config)
    assert posterior.graphs[0][0, 1]
    assert not posterior.graphs[0][1, 2]
    assert posterior.edge_prob[1, 2] == 0


def test_beliefs_add_their_log_odds_to_what_data_say():
    found = jnp.array([[0, 0.2, 0.7], [0.999, 0.5, 0.0], [1.0, 0.3, 0.6]], "float32")
    same = informed(found, np.full((3, 3), 0.5))
    np.testing.assert_allclose(same, np.clip(found, 0.005, 0.995), rtol=1e-5)
    assert (informed(found, np.zeros((3, 3))) == 0).all()
    assert (informed(found, np.ones((3, 3))) == 1).all()
    odds = same / (1 - same)
    told = informed(found, np.full((3, 3), 0.8))
    np.testing.assert_allclose(told / (1 - told), 4 * odds, rtol=1e-3)


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
    # Settings of the parts: both have hidden units.
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


def test_samples_follow_the_equations(fitted, tmp_path):
    model, frame, hit = fitted
    drawn = model.sample(4000, do={"y": 4.0})  # y is 1 above its own 0 of 3
    assert list(drawn.columns) == list("xyz")
    assert (drawn.y == 4).all()
    assert drawn.z.mean() == pytest.approx(100, abs=1)  # y^2 - y = 0
    assert drawn.x.mean() == pytest.approx(frame.x.mean(), abs=0.25)
    effect = model.average_causal_effect("y", (4.0, 3.5))
    assert effect["z"] == pytest.approx(-0.25 * 5, abs=0.6)
    assert effect["x"] == 0
    assert effect["y"] == pytest.approx(-0.5)
    asked = {"values": (4.0, 3.5), "interventions": hit}
    found = model.effect("y", "z", frame, **asked)
    assert found.estimate == pytest.approx(effect["z"])
    low, high = found.interval
    assert low < -0.25 * 5 < high
    assert 0.02 < high - low < 2
    assert model.effect("y", "x", frame, **asked).interval == (0, 0)
    with pytest.warns(UserWarning, match="'y' = 500 is outside the table, which has"):
        model.sample(5, do={"y": 500})
    with pytest.warns(UserWarning, match="'y' = 500 is outside the table, which has"):
        model.effect("y", "z", frame, values=(4, 500), interventions=hit)
    pd.testing.assert_frame_equal(model.sample(50), model.sample(50))
    assert_saved_alike(
        model,
        tmp_path,
        lambda model: model.sample(50, do={"y": 4.0}),
        lambda model: model.score(frame, interventions=hit),
        lambda model: model.average_causal_effect("y", (4.0, 3.5)),
        lambda model: str(model.effect("y", "z", frame, **asked)),
        lambda model: model.explain("x", "z"),
    )
    assert_edges_agree(model, tmp_path)
    # The seed is that of the fit, whatever it was drawn from.
    other = copy.copy(model).set_params(random_state=None)
    pd.testing.assert_frame_equal(model.sample(50), other.sample(50))


def test_a_prior_of_the_user_informs_the_candidates(fitted, tmp_path):
    model, frame, hit = fitted
    prior = pd.DataFrame(0.9 * CHAIN, index=list("xyz"), columns=list("xyz"))
    unsure = NeuralDAG(**OPTIONS, prior=np.full((3, 3), 0.5))
    unsure.fit(frame, interventions=hit)
    np.testing.assert_allclose(
        unsure.edge_probabilities_, model.edge_probabilities_, rtol=1e-3, atol=1e-6
    )
    order = ["z", "x", "y"]
    given = NeuralDAG(**OPTIONS, prior=prior.loc[order, order])
    given.fit(frame, interventions=hit)
    assert set(given.graph_.edges) == {("x", "y"), ("y", "z")}
    # An array is in the order of the table's columns.
    array = NeuralDAG(**OPTIONS, prior=prior.loc[order, order].to_numpy())
    array.fit(frame[order], interventions=pd.DataFrame(hit, columns=list("xyz"))[order])
    assert set(array.graph_.edges) == {("x", "y"), ("y", "z")}
    # A question is asked of pairs of names.
    asked = NeuralDAG(**OPTIONS, prior=lambda *pair: prior.loc[pair])
    asked.fit(frame, interventions=hit)
    assert asked.edge_probabilities_.equals(given.edge_probabilities_)
    asked.save(tmp_path / "asked")  # what it answered, as a file holds no function
    assert load(tmp_path / "asked").prior.equals(prior.rename_axis(index=None))
    assert "The prior gave x --> y 0.9" in str(asked.explain("x", "y"))
    nothing = NeuralDAG(**OPTIONS, prior=np.zeros((3, 3))).fit(frame)
    assert not nothing.graph_.edges
    for wrong, message in (
        (np.zeros((2, 2)), "prior has shape \\(2, 2\\): give a matrix of shape"),
        (np.full((3, 3), 2.0), "prior holds 2.0 for 'x' -> 'y': give probabilities"),
        (prior.rename(index={"x": "q"}), "the rows of prior are"),
    ):
        with pytest.raises(ValueError, match=message):
            NeuralDAG(prior=wrong).fit(frame)


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
