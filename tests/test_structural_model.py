"""Structural equations as a model of numpyro, against densities by scipy."""

import jax
import networkx as nx
import numpy as np
import numpyro
import pandas as pd
import pytest
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, Predictive
from numpyro.infer.util import log_density
from scipy import stats

from causaljax.probabilistic import to_numpyro
from causaljax.scores import bge_weights

pytestmark = pytest.mark.usefixtures("numpyro_rules")

GRAPH = np.array([[0, 1, 1], [0, 0, 0], [0, 1, 0]], bool)  # 0 -> 2 -> 1, 0 -> 1
X = np.random.default_rng(0).normal(size=(5, 3))
HIT = np.random.default_rng(1).random((5, 3)) < 0.3
MEANS, SPREADS = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 3.0])
PARAMETERS = {
    "weights": np.array([0.7, -1.2, 0.4]),  # 0 -> 1, 0 -> 2, 2 -> 1
    "intercepts": np.array([0.1, -0.3, 0.2]),
    "scales": np.array([0.9, 1.3, 0.6]),
}


def density(model, x, parameters, **about):
    found, _ = log_density(model, (x,), about, parameters)
    return float(found)


def of_equations(x, parameters):
    """Centres of all cells by the equations, from the definition."""
    weights = np.zeros((3, 3))
    weights[[0, 0, 2], [1, 2, 1]] = parameters["weights"]
    return parameters["intercepts"] + (x - MEANS) @ weights


@pytest.mark.parametrize("kind", ["gaussian", "laplace", "student_t"])
def test_the_density_is_that_of_the_equations(kind):
    model = to_numpyro(GRAPH, likelihood=kind, means=MEANS, spreads=SPREADS)
    parameters = dict(PARAMETERS)
    centres, scales = of_equations(X, parameters) + MEANS, parameters["scales"]
    ratios = SPREADS[[1, 2, 1]] / SPREADS[[0, 0, 2]]
    prior = stats.norm.logpdf(parameters["weights"], scale=ratios).sum()
    prior += stats.norm.logpdf(parameters["intercepts"], scale=SPREADS).sum()
    prior += stats.halfnorm.logpdf(scales, scale=SPREADS).sum()
    noise = {"gaussian": stats.norm, "laplace": stats.laplace}.get(kind)
    if kind == "student_t":
        parameters["degrees"] = np.array([3.0, 4.0, 5.0])
        noise = stats.t(parameters["degrees"])
        prior += stats.gamma.logpdf(parameters["degrees"], 2, scale=10).sum()
        cells = noise.logpdf((X - centres) / scales) - np.log(scales)
    else:
        cells = noise.logpdf(X, centres, scales)
    found = density(model, X, parameters)
    np.testing.assert_allclose(found, prior + cells.sum(), rtol=1e-5)
    # Cells that were set from outside do not count, but their values are parents.
    found = density(model, X, parameters, intervened=HIT)
    np.testing.assert_allclose(found, prior + cells[~HIT].sum(), rtol=1e-5)


def test_a_column_of_two_classes():
    x = X.copy()
    x[:, 1] = x[:, 1] > 0
    model = to_numpyro(
        GRAPH, likelihood={"x1": "logistic"}, means=MEANS, spreads=SPREADS
    )
    parameters = PARAMETERS | {"scales": PARAMETERS["scales"][[0, 2]]}
    logit = of_equations(x, parameters)
    cells = stats.norm.logpdf(x, logit + MEANS, PARAMETERS["scales"])
    cells[:, 1] = -np.log1p(np.exp(np.where(x[:, 1] == 1, -1, 1) * logit[:, 1]))
    ratios = np.array([2.5, SPREADS[2], 2.5]) / SPREADS[[0, 0, 2]]
    prior = stats.norm.logpdf(parameters["weights"], scale=ratios).sum()
    prior += stats.norm.logpdf(parameters["intercepts"], scale=[2, 2.5, 3]).sum()
    prior += stats.halfnorm.logpdf(parameters["scales"], scale=SPREADS[[0, 2]]).sum()
    found = density(model, x, parameters)
    np.testing.assert_allclose(found, prior + cells.sum(), rtol=1e-5)


def test_graphs_of_every_kind_and_no_edge():
    names = ["dose", "weight", "age"]
    frame = pd.DataFrame(GRAPH.astype(int), names, names)
    directed = nx.DiGraph([("dose", "weight"), ("dose", "age"), ("age", "weight")])
    one, two = to_numpyro(frame), to_numpyro(directed)
    assert one.names == two.names == names
    assert one.edges == two.edges == [(0, 1), (0, 2), (2, 1)]
    alone = to_numpyro(np.zeros((2, 2), bool))
    drawn = Predictive(alone, num_samples=3)(jax.random.key(0), num_rows=4)
    assert {name: value.shape for name, value in drawn.items()} == {
        "intercepts": (3, 2),
        "scales": (3, 2),
        "x0": (3, 4),
        "x1": (3, 4),
    }
    assert not alone.weight_matrix(np.zeros((3, 0))).any()


def test_do_changes_what_follows_by_the_total_effect():
    model = to_numpyro(GRAPH, means=MEANS, spreads=SPREADS)
    samples = {name: value[None] for name, value in PARAMETERS.items()}
    means = []
    for value in (0.0, 1.0):
        forced = handlers.do(model, data={"x0": value})
        drawn = Predictive(forced, samples)(jax.random.key(1), num_rows=50)
        means.append(np.mean(drawn["x1"]))  # the same noise in both
    weights = model.weight_matrix(PARAMETERS["weights"])
    effects = bge_weights.total_effects(weights)
    assert np.isclose(effects[0, 1], 0.7 - 1.2 * 0.4)
    np.testing.assert_allclose(means[1] - means[0], effects[0, 1], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_nuts_finds_the_weights(kind):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 3)) if kind == "gaussian" else rng.standard_t(2, (300, 3))
    x[:, 2] += 0.8 * x[:, 0]
    hit = np.zeros(x.shape, bool)
    hit[200:, 2] = True
    x[200:, 2] = rng.normal(size=100)
    x[:, 1] += 0.5 * x[:, 0] - 0.6 * x[:, 2]
    model = to_numpyro(GRAPH, likelihood=kind)
    mcmc = MCMC(NUTS(model), num_warmup=300, num_samples=500, progress_bar=False)
    mcmc.run(jax.random.key(0), x, intervened=hit)
    draws = mcmc.get_samples()["weights"]
    error = np.asarray(draws.mean(axis=0)) - [0.5, 0.8, -0.6]
    assert (np.abs(error) < 4 * np.asarray(draws.std(axis=0))).all()
    assert np.abs(error).max() < 0.2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: to_numpyro(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a")])),
            "cycle: 'a' -> 'b' -> 'c' -> 'a'; remove",
        ),
        (lambda: to_numpyro(np.ones((2, 2))), "cycle: 'x0' -> 'x0'"),
        (lambda: to_numpyro(nx.Graph([("a", "b")])), "undirected"),
        (lambda: to_numpyro(np.zeros((2, 3))), r"square matrix.*\(2, 3\)"),
        (lambda: to_numpyro(GRAPH, likelihood="cauchy"), "'cauchy': write one of"),
        (lambda: to_numpyro(GRAPH, likelihood={"z": "laplace"}), "no column"),
        (lambda: to_numpyro(GRAPH, spreads=[1, 0, 1]), "that of 'x1' is not"),
        (lambda: to_numpyro(GRAPH, means=[1]), r"means must .*\(1,\)"),
        (lambda: to_numpyro(nx.DiGraph([("scales", "b")])), "'scales' has the name"),
        (lambda: to_numpyro(nx.DiGraph([(1, "1")])), "two columns are called '1'"),
        (lambda: to_numpyro(GRAPH)(), "give x, or num_rows"),
        (lambda: to_numpyro(GRAPH)(X, num_rows=3), "not both"),
        (lambda: to_numpyro(GRAPH)(X[:, :2]), r"\(5, 2\).*\[n, 3\]"),
        (lambda: to_numpyro(GRAPH)(num_rows=2, intervened=HIT), "handlers.do"),
        (lambda: to_numpyro(GRAPH)(X, intervened=HIT[:2]), "must be the same"),
        (
            lambda: to_numpyro(GRAPH)(np.where(X[1, 2] == X, np.nan, X)),
            "'x2' of x has a gap",
        ),
        (
            lambda: to_numpyro(GRAPH, likelihood="logistic")(X),
            "'x0' is logistic and must hold 0 and 1",
        ),
    ],
)
def test_mistakes_are_told(make, said):
    with numpyro.handlers.seed(rng_seed=0), pytest.raises(ValueError, match=said):
        make()


def test_hidden_causes_are_told():
    graph = nx.DiGraph([("a", "b")], confounded='[["a", "b", 0.9]]')
    with pytest.warns(UserWarning, match="hidden common cause"):
        to_numpyro(graph)
