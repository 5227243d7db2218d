"""Fine-tuning: what is learned, what is told, what is refused."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_weights, stand_in

from causaljax import AmortizedDAG
from causaljax.core.types import make_problem
from causaljax.networks import fine_tuning, weights
from causaljax.networks.training import losses

RANDOM = make_weights()
MODEL = AmortizedDAG(pretrained=RANDOM)


def simulate(key):
    """Of four variables, each causes the next."""
    noise = jax.random.normal(key, (100, 4))
    x = [noise[:, 0]]
    for k in range(1, 4):
        x.append(0.8 * x[-1] + 0.6 * noise[:, k])
    graph = jnp.eye(4, k=1, dtype=bool)
    return make_problem(jnp.stack(x, axis=1)), graph


def loss_of(trained):
    problem, graph = simulate(jax.random.key(9))
    inputs = stand_in.inputs(problem, None)
    told = problem.allowed, problem.required
    beliefs = stand_in.edge_logits(trained.params, inputs, *told, None)
    return losses(beliefs, graph, jnp.zeros_like(graph)).edge


def test_fine_tuning_learns_the_simulator(tmp_path, monkeypatch):
    before = jax.tree.map(np.array, RANDOM.params)
    # A clock that goes on by a second whenever it is looked at.
    clock = types.SimpleNamespace(perf_counter=itertools.count(0.0).__next__)
    monkeypatch.setattr(fine_tuning, "time", clock)
    monkeypatch.setattr(
        fine_tuning, "_RATE", 0.03
    )  # the stand-in is no trained network
    model = MODEL.fine_tune(simulate, minutes=4)
    jax.tree.map(np.testing.assert_array_equal, RANDOM.params, before)
    tuned = model.pretrained
    assert loss_of(tuned) < loss_of(RANDOM) - 0.2
    assert tuned.card["fine_tuning"]["tables"] > 1000
    assert tuned.card["name"] == "random, fine-tuned"
    assert tuned.card["max_columns"] == 12
    x = np.asarray(simulate(jax.random.key(9))[0].x)
    model.fit(x)
    assert model.ood_score_ < 2  # these tables are now familiar
    path = tmp_path / "tuned.safetensors"
    weights.save_weights(path, tuned)
    again = AmortizedDAG(pretrained=path).fit(x)
    assert again.edge_probabilities_.equals(model.edge_probabilities_)


def test_mistakes_in_simulators_are_named():
    graph = jnp.eye(4, k=1, dtype=bool)
    given = simulate(jax.random.key(0))[0]
    for wrong, words in (
        (lambda key: given, r"must return a pair|Problem first"),
        (lambda key: (given.x, graph), "must return a Problem first"),
        (lambda key: (given, graph.astype(int)), "graph must be bool of shape"),
        (lambda key: (given, graph[:2]), "graph must be bool of shape"),
    ):
        with pytest.raises(ValueError, match=words):
            MODEL.fine_tune(wrong, minutes=1)
    for minutes in (0, "x", np.inf):
        with pytest.raises(ValueError, match="minutes must be a positive number"):
            MODEL.fine_tune(simulate, minutes=minutes)
