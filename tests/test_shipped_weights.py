"""The network that ships with the package, on tables it has never seen."""

import functools
import warnings

import jax
import numpy as np
import pandas as pd
import pytest

from causaljax import AmortizedDAG, Knowledge, simulate
from causaljax.networks.weights import load_weights
from causaljax.reports.evaluation import compare_graphs

WEIGHTS = load_weights()
MODEL = AmortizedDAG(pretrained=WEIGHTS)
ORDER = np.array([3, 5, 0, 1, 4, 2])
UNITS = np.array([1e4, 1, 1e-3, 7, 50, 2])
KINDS = {"linear": "exponential", "network": "gaussian"}  # noise of mechanisms


@functools.cache
def tables(mechanism, noise, d=6, count=8):
    """Graphs and tables of 400 rows, all of a kind in one program."""

    def draw(key):
        graph_key, table_key = jax.random.split(key)
        graph = simulate.erdos_renyi(graph_key, d, 1)
        problem, _ = simulate.simulate(
            table_key, graph, 400, mechanism=mechanism, noise=noise, scaling="internal"
        )
        return graph, problem.x

    keys = jax.random.split(jax.random.key(91), count)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(draw))(keys))


def fit_together(drawn, **known):
    """Models by name, all from one program, and what was warned of."""
    flat = [table for several in drawn.values() for table in several]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = iter(MODEL.fit_many(flat, **known))
    fitted = {name: [next(models) for _ in several] for name, several in drawn.items()}
    return fitted, [str(warning.message) for warning in caught]


def beliefs(model):
    return model.edge_probabilities_.to_numpy()


@pytest.fixture(scope="module")
def six():
    """Models of tables of six columns."""
    drawn = {name: tables(name, noise)[1] for name, noise in KINDS.items()}
    rng = np.random.default_rng(3)
    holes = rng.uniform(size=drawn["linear"].shape) < 0.2
    x = drawn["network"][0]
    return fit_together(
        drawn
        | {
            "holed": np.where(holes, np.nan, drawn["linear"]),
            "unrelated": np.random.default_rng(0).normal(size=(4, 400, 6)),
            "moved": [x[:, ORDER]],
            "scaled": [x * UNITS + 3],
            "constant": [np.where(np.arange(6) == 5, 2.0, x)],
            "copy": [x[:, [0, 1, 2, 3, 4, 0]]],
            "n < d": [x[:4]],
            "n = 30": [x[:30]],
            "strange": [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)],
        }
    )


@pytest.fixture(scope="module")
def two():
    """Models of tables of two columns; in the last, one was set."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    y = 0.8 * x + 0.6 * rng.normal(size=1000)
    rng = np.random.default_rng(2)
    n = 800
    done = np.arange(n) < n // 2
    cause = np.where(done, rng.choice([-2.0, 2.0], n), rng.normal(size=n))
    effect = 0.8 * cause + 0.6 * rng.normal(size=n)
    return fit_together(
        {
            "network": tables("network", "gaussian", d=2, count=4)[1],
            "normal": [np.stack([x, y], 1)],
            "set": [pd.DataFrame({"effect": effect, "cause": cause})],
        },
        interventions=[None] * 5 + [list(np.where(done, "cause", None))],
    )[0]


def scores(models, mechanism):
    graphs = tables(mechanism, KINDS[mechanism])[0]
    return pd.DataFrame(
        [
            compare_graphs(graph, model.adjacency_, strength=model.edge_probabilities_)
            for graph, model in zip(graphs, models, strict=True)
        ]
    ).mean()


@pytest.mark.parametrize(("mechanism", "least"), [("linear", 0.85), ("network", 0.8)])
def test_it_recovers_most_edges_of_graphs_that_are_identified(six, mechanism, least):
    found = scores(six[0][mechanism], mechanism)
    assert found["f1"] > least
    assert found["auroc"] > 0.95


def test_it_does_not_claim_directions_that_linear_gaussian_data_cannot_tell(two):
    prob = beliefs(two["normal"][0])
    assert prob.sum() > 0.95
    assert abs(prob[0, 1] - prob[1, 0]) < 0.25


def test_pure_noise_has_no_edges(six):
    for model in six[0]["unrelated"]:
        assert beliefs(model).sum() < 1.5
        assert model.adjacency_.to_numpy().sum() == 0


def test_known_interventions_turn_what_data_alone_leave_open(two):
    assert two["set"][0].edge_probabilities_.loc["cause", "effect"] > 0.9


def test_order_and_units_of_columns_change_nothing(six):
    prob = beliefs(six[0]["network"][0])
    moved, scaled = (beliefs(six[0][name][0]) for name in ("moved", "scaled"))
    np.testing.assert_allclose(prob[ORDER][:, ORDER], moved, atol=1e-5)
    np.testing.assert_allclose(scaled, prob, atol=1e-4)


def test_missing_cells_cost_little(six):
    whole, holed = (scores(six[0][name], "linear") for name in ("linear", "holed"))
    assert holed["auroc"] > whole["auroc"] - 0.05


@pytest.mark.slow
def test_knowledge_holds_and_informs_the_rest():
    # Of a linear table with normal noise, whose directions are open.
    (graph, *_), (x, *_) = tables("linear", "gaussian", count=1)
    names = [f"x{k}" for k in range(6)]
    causes, effects = np.nonzero(graph)
    known = list(
        zip(np.array(names)[causes[:3]], np.array(names)[effects[:3]], strict=True)
    )
    table = pd.DataFrame(x, columns=names)
    model = MODEL.fit(table, knowledge=Knowledge(required=known))
    samples = model.sample_graphs(20)
    for cause, effect in known:
        i, j = names.index(cause), names.index(effect)
        assert model.edge_probabilities_.loc[cause, effect] == 1
        assert samples[:, i, j].all()


def test_small_tables_of_the_trained_kinds_are_familiar(six, two):
    for model in six[0]["network"] + two["network"]:
        assert model.ood_score_ < 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the table has 3 columns:UserWarning")
def test_tables_of_three_columns_are_familiar():
    for model in MODEL.fit_many(tables("network", "gaussian", d=3, count=4)[1]):
        assert model.ood_score_ < 1


@pytest.mark.parametrize("awkward", ["constant", "copy", "n < d", "n = 30"])
def test_awkward_tables_have_an_answer(six, awkward):
    prob = beliefs(six[0][awkward][0])
    assert prob.shape == (6, 6)
    assert np.isfinite(prob).all()
    assert (prob + prob.T <= 1 + 1e-5).all()


@pytest.mark.slow
def test_more_columns_than_in_training_work_with_a_warning():
    x = np.random.default_rng(4).normal(size=(120, 101))
    with pytest.warns(UserWarning, match="trained on up to 100"):
        prob = MODEL.fit(x).edge_probabilities_
    assert np.isfinite(prob.to_numpy()).all()


def test_a_table_of_another_world_is_called_strange(six):
    fitted, said = six
    assert fitted["strange"][0].ood_score_ > 1
    assert any("unlike those" in words for words in said)
