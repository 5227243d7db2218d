"""The network that ships with the package, on tables it has never seen."""

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
pytestmark = pytest.mark.filterwarnings("ignore:the table has [23] columns:UserWarning")


def tables(mechanism, noise="gaussian", d=6, n=400, count=8):
    drawn = []
    for key in jax.random.split(jax.random.key(91), count):
        graph_key, table_key = jax.random.split(key)
        graph = simulate.erdos_renyi(graph_key, d, 1)
        problem, _ = simulate.simulate(
            table_key, graph, n, mechanism=mechanism, noise=noise, scaling="internal"
        )
        drawn.append((np.asarray(graph), np.asarray(problem.x)))
    return drawn


@pytest.mark.parametrize(
    ("mechanism", "noise", "least"),
    [("linear", "exponential", 0.85), ("network", "gaussian", 0.8)],
)
def test_it_recovers_most_edges_of_graphs_that_are_identified(mechanism, noise, least):
    graphs, data = zip(*tables(mechanism, noise), strict=True)
    scores = [
        compare_graphs(graph, model.adjacency_, strength=model.edge_probabilities_)
        for graph, model in zip(graphs, MODEL.fit_many(data), strict=True)
    ]
    assert np.mean([score["f1"] for score in scores]) > least
    assert np.mean([score["auroc"] for score in scores]) > 0.95


def test_it_does_not_claim_directions_that_linear_gaussian_data_cannot_tell():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    y = 0.8 * x + 0.6 * rng.normal(size=1000)
    prob = MODEL.fit(np.stack([x, y], 1)).edge_probabilities_.to_numpy()
    assert prob.sum() > 0.95
    assert abs(prob[0, 1] - prob[1, 0]) < 0.25


def test_pure_noise_has_no_edges():
    tables = [np.random.default_rng(seed).normal(size=(1000, 6)) for seed in range(4)]
    for model in MODEL.fit_many(tables):
        assert model.edge_probabilities_.to_numpy().sum() < 1.5
        assert model.adjacency_.to_numpy().sum() == 0


@pytest.mark.filterwarnings("ignore:the table is unlike")  # values of two kinds
def test_known_interventions_turn_what_data_alone_leave_open():
    rng = np.random.default_rng(2)
    n = 800
    done = np.arange(n) < n // 2
    cause = np.where(done, rng.choice([-2.0, 2.0], n), rng.normal(size=n))
    effect = 0.8 * cause + 0.6 * rng.normal(size=n)
    table = pd.DataFrame({"effect": effect, "cause": cause})
    targets = np.where(done, "cause", None)
    model = MODEL.fit(table, interventions=list(targets))
    assert model.edge_probabilities_.loc["cause", "effect"] > 0.9


def test_order_and_units_of_columns_change_nothing():
    (_, x), *_ = tables("network", count=1)
    prob = MODEL.fit(x).edge_probabilities_.to_numpy()
    order = np.array([3, 5, 0, 1, 4, 2])
    moved = MODEL.fit(x[:, order]).edge_probabilities_.to_numpy()
    np.testing.assert_allclose(prob[order][:, order], moved, atol=1e-5)
    scaled = x * np.array([1e4, 1, 1e-3, 7, 50, 2]) + 3
    np.testing.assert_allclose(
        MODEL.fit(scaled).edge_probabilities_.to_numpy(), prob, atol=1e-4
    )


def test_missing_cells_cost_little():
    graphs, data = zip(*tables("linear", "exponential", n=600), strict=True)
    rng = np.random.default_rng(3)
    holed = [np.where(rng.uniform(size=x.shape) < 0.2, np.nan, x) for x in data]

    def mean_area(data):
        return np.mean([
            compare_graphs(
                graph, model.adjacency_, strength=model.edge_probabilities_
            )["auroc"]
            for graph, model in zip(graphs, MODEL.fit_many(data), strict=True)
        ])  # fmt: skip

    assert mean_area(holed) > mean_area(data) - 0.05


def test_knowledge_holds_and_informs_the_rest():
    (graph, x), *_ = tables("linear", count=1)  # Gaussian: directions are open
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


@pytest.mark.parametrize("d", [2, 3, 6])
def test_small_tables_of_the_trained_kinds_are_familiar(d):
    drawn = tables("network", d=d, count=4)
    for model in MODEL.fit_many([x for _, x in drawn]):
        assert model.ood_score_ < 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: np.concatenate([x, np.full((len(x), 1), 2.0)], 1),
        lambda x: np.concatenate([x, x[:, :1]], 1),
        lambda x: x[:4],
        lambda x: x[:30],
        lambda x: x[:, :2],
    ],
    ids=["constant", "copy", "n < d", "n = 30", "d = 2"],
)
def test_awkward_tables_have_an_answer(spoil):
    (_, x), *_ = tables("network", count=1)
    x = spoil(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prob = MODEL.fit(x).edge_probabilities_.to_numpy()
    assert prob.shape == (x.shape[1],) * 2
    assert np.isfinite(prob).all()
    assert (prob + prob.T <= 1 + 1e-5).all()


def test_more_columns_than_in_training_work_with_a_warning():
    x = np.random.default_rng(4).normal(size=(120, 101))
    with pytest.warns(UserWarning, match="trained on up to 50"):
        prob = MODEL.fit(x).edge_probabilities_
    assert np.isfinite(prob.to_numpy()).all()


@pytest.mark.filterwarnings("ignore:rows resemble the rows:UserWarning")
@pytest.mark.filterwarnings("ignore:only .* rows are distinct:UserWarning")
@pytest.mark.filterwarnings("ignore:6 of 6 columns hold classes:UserWarning")
def test_a_table_of_another_world_is_called_strange():
    rng = np.random.default_rng(5)
    x = np.repeat(rng.integers(0, 2, size=(20, 6)), 40, axis=0) + 0.0
    with pytest.warns(UserWarning, match="unlike those"):
        strange = MODEL.fit(x)
    assert strange.ood_score_ > 1
    (_, familiar), *_ = tables("network", count=1)
    assert MODEL.fit(familiar).ood_score_ < 1
