"""Estimators: scikit-learn's contract, units, determinism, knowledge."""

import inspect

import jax
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from causaljax import Knowledge, LinearDAG
from causaljax.kernels import dagma

ESTIMATORS = {"LinearDAG": (LinearDAG, dagma.Config)}
QUICK = {"num_steps": 1500}


@pytest.fixture(scope="module")
def chain():
    """Rows of a -> b -> c with noise of variance 1."""
    rng = np.random.default_rng(0)
    a, e, f = rng.normal(size=(3, 1000))
    b = 2 * a + e
    return pd.DataFrame({"c": f - 1.5 * b, "a": a, "b": b})


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learn_contract(name):
    check_estimator(ESTIMATORS[name][0](num_steps=20))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_defaults_are_those_of_the_config(name):
    estimator, config = ESTIMATORS[name]
    defaults = inspect.signature(estimator.__init__).parameters
    for field in ("sparsity", "threshold", "learning_rate", "num_steps", "acyclicity"):
        assert defaults[field].default == getattr(config(), field), field


def test_a_chain_is_learned_in_the_units_of_the_table(chain):
    units = [0.01, 1.0, 1000.0]
    model = LinearDAG(noise="equal_variance", **QUICK).fit(chain)
    assert set(model.graph_.edges) == {("a", "b"), ("b", "c")}
    assert model.weights_.loc["a", "b"] == pytest.approx(2, abs=0.1)
    assert model.graph_.edges["b", "c"]["weight"] == pytest.approx(-1.5, abs=0.1)
    # A standardising method gives the same coefficients, in whatever units.
    free = LinearDAG(**QUICK, threshold=0.1).fit(chain)
    scaled = LinearDAG(**QUICK, threshold=0.1).fit(chain * units)
    assert free.graph_.number_of_edges() > 0
    np.testing.assert_array_equal(free.adjacency_, scaled.adjacency_)
    np.testing.assert_allclose(
        scaled.weights_.to_numpy(),
        free.weights_.to_numpy() * units / np.array(units)[:, None],
        rtol=1e-3,
    )


def test_what_is_learned_agrees_with_itself(chain):
    model = LinearDAG(noise="equal_variance", **QUICK).fit(chain)
    assert nx.is_directed_acyclic_graph(model.graph_)
    expected = nx.to_pandas_adjacency(model.graph_, weight=None, dtype=int)
    assert (model.adjacency_ == expected).all(axis=None)
    assert list(model.adjacency_.columns) == ["c", "a", "b"]
    assert ((model.weights_ != 0) == (model.adjacency_ == 1)).all(axis=None)
    assert model.edge_probabilities_.equals(model.adjacency_.astype(np.float32))
    assert model.feature_names_in_.tolist() == ["c", "a", "b"]
    assert model.info_["converged"]
    assert not model.info_["nonfinite"]
    leaves = jax.tree.leaves(model.posterior_)
    assert all(isinstance(leaf, np.ndarray) for leaf in leaves)


def test_same_seed_same_answer_and_the_table_is_left_alone(chain):
    before = chain.copy()
    first = LinearDAG(**QUICK).fit(chain)
    second = LinearDAG(**QUICK).fit(chain)
    np.testing.assert_array_equal(first.weights_, second.weights_)
    pd.testing.assert_frame_equal(chain, before)
    assert not jax.config.jax_enable_x64


def test_a_progress_bar_changes_nothing(chain, capsys):
    plain = LinearDAG(**QUICK).fit(chain)
    shown = LinearDAG(**QUICK, progress=True).fit(chain)
    np.testing.assert_array_equal(plain.weights_, shown.weights_)
    capsys.readouterr()


def test_column_order_does_not_change_the_graph(chain):
    model = LinearDAG(noise="equal_variance", **QUICK)
    edges = set(model.fit(chain).graph_.edges)
    assert set(model.fit(chain[["b", "c", "a"]]).graph_.edges) == edges


def test_refitting_forgets(chain):
    model = LinearDAG(noise="equal_variance", **QUICK).fit(chain)
    model.fit(chain[["a", "b"]].to_numpy())
    assert model.n_features_in_ == 2
    assert not hasattr(model, "feature_names_in_")
    assert list(model.adjacency_) == ["x0", "x1"]


def test_knowledge_is_obeyed_against_the_data(chain):
    knowledge = Knowledge(required=[("c", "a")], forbidden=[("b", "c"), ("c", "b")])
    for noise in ("gaussian", "equal_variance"):
        model = LinearDAG(noise=noise, **QUICK).fit(chain, knowledge=knowledge)
        assert ("c", "a") in model.graph_.edges
        assert not model.graph_.has_edge("b", "c")
        assert not model.graph_.has_edge("c", "b")
        assert nx.is_directed_acyclic_graph(model.graph_)


def test_intervened_rows_do_not_speak_of_their_target(chain):
    changed = chain.copy()
    changed.loc[:499, "b"] = np.random.default_rng(5).normal(size=500) * 10
    changed.loc[:499, "c"] = -1.5 * changed.b[:500] + chain.c + 1.5 * chain.b
    targets = ["b"] * 500 + [None] * 500
    model = LinearDAG(noise="equal_variance", **QUICK)
    weights = model.fit(changed, interventions=targets).weights_
    assert weights.loc["a", "b"] == pytest.approx(2, abs=0.15)
    assert weights.loc["b", "c"] == pytest.approx(-1.5, abs=0.1)


def test_a_fit_that_did_not_converge_says_so(chain):
    with pytest.warns(UserWarning, match="has not converged; raise num_steps"):
        LinearDAG(num_steps=3).fit(chain)


def test_bad_options_are_named_at_fit(chain):
    for options, words in (
        ({"noise": "x"}, "noise must be one of"),
        ({"acyclicity": None}, "acyclicity must be one of"),
        ({"sparsity": np.nan}, "sparsity must be finite"),
        ({"threshold": "a"}, "threshold must be a number"),
        ({"num_steps": 0}, "num_steps must be finite and positive"),
        ({"random_state": None}, "random_state must be an int"),
    ):
        with pytest.raises(ValueError, match=words):
            LinearDAG(**options).fit(chain)
    with pytest.raises(ValueError, match="no parameter 'lambda1'"):
        LinearDAG().set_params(lambda1=1)


def test_it_sits_in_a_pipeline(chain):
    pipeline = make_pipeline(FunctionTransformer(), LinearDAG(**QUICK))
    assert hasattr(pipeline.fit(chain)[-1], "graph_")
    copy = clone(LinearDAG(sparsity=0.5))
    assert repr(copy) == "LinearDAG(sparsity=0.5)"
