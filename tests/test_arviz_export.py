"""Draws as arviz holds them."""

import sys

import jax
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS

from causaljax.probabilistic import arviz_export, mcmc_to_arviz, to_arviz, to_numpyro

pytestmark = pytest.mark.usefixtures("numpyro_rules")

NAMES = ["age", "dose", "weight"]


def draws():
    return np.triu(np.random.default_rng(0).random((2, 50, 3, 3)) < 0.5, 1)


def test_graphs_have_their_names():
    graphs = draws()
    logs = graphs.sum(axis=(2, 3)) * 0.5
    found = to_arviz(graphs, NAMES, log_prob=logs)
    graph = found.posterior["graph"]
    assert graph.dims == ("chain", "draw", "cause", "effect")
    one = graph.sel(cause="age", effect="weight", chain=1).to_numpy()
    np.testing.assert_array_equal(one, graphs[1, :, 0, 2])
    np.testing.assert_array_equal(found.posterior["num_edges"], graphs.sum(axis=(2, 3)))
    np.testing.assert_array_equal(found.sample_stats["lp"], logs)
    assert "sample_stats" not in to_arviz(graphs, NAMES).groups()
    share = graph.mean(("chain", "draw")).sel(cause="dose", effect="weight")
    assert float(share) == graphs[:, :, 1, 2].mean()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((draws()[0], NAMES), r"shape \[chains, draws, 3, 3\].*\(50, 3, 3\)"),
        ((draws(), NAMES[:2]), r"\[chains, draws, 2, 2\]"),
    ],
)
def test_shapes_that_do_not_fit_are_told(arguments, said):
    with pytest.raises(ValueError, match=said):
        to_arviz(*arguments)
    with pytest.raises(ValueError, match=r"log_prob must .*\(2, 50\).*\(50,\)"):
        to_arviz(draws(), NAMES, log_prob=np.zeros(50))


def test_the_extra_is_named_where_arviz_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"pip install 'causaljax\[arviz\]'"):
        arviz_export.to_arviz(draws(), NAMES)


@pytest.mark.slow
def test_parameters_have_the_names_of_edges_and_columns():
    import networkx as nx

    graph = nx.DiGraph([("age", "dose"), ("dose", "well")])
    kinds = {"dose": "student_t", "well": "logistic"}
    model = to_numpyro(graph, likelihood=kinds)
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[:, 2] = x[:, 2] > 0
    kernel = NUTS(model, max_tree_depth=2)
    mcmc = MCMC(kernel, num_warmup=5, num_samples=10, progress_bar=False)
    mcmc.run(jax.random.key(0), x)
    found = mcmc_to_arviz(mcmc, model)
    posterior = found.posterior
    np.testing.assert_array_equal(
        posterior["weights"].sel(edge="dose -> well", chain=0),
        mcmc.get_samples()["weights"][:, 1],
    )
    assert list(posterior["intercepts"]["column"]) == ["age", "dose", "well"]
    assert list(posterior["scales"]["number"]) == ["age", "dose"]
    assert list(posterior["degrees"]["heavy_tailed"]) == ["dose"]
    assert found.log_likelihood["well"].shape == (1, 10, 20)
