"""Estimators: scikit-learn's contract, units, determinism, knowledge."""

import dataclasses
import importlib
import inspect
import json
import pkgutil

import hypothesis
import jax
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

import causaljax
from causaljax import (
    FCI,
    PC,
    ContinuousDAG,
    Knowledge,
    LatentInterventionDAG,
    LinearDAG,
    MixedDAG,
    NeuralDAG,
    estimators,
)
from causaljax.cli import command_line
from causaljax.core.types import Posterior
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.kernels import continuous, order_search
from causaljax.tables import frame

METHODS = [getattr(causaljax, name) for name in command_line.METHODS.values()]

QUICK = {"num_steps": 1500}
SETTINGS = {
    "search": LinearDAG(noise="gaussian", num_steps=3),
    "auto": LinearDAG(noise="auto", num_steps=3),
    "nongaussian": LinearDAG(noise="nongaussian", num_steps=3),
    "equal variance": ContinuousDAG(num_steps=1500),
    "descent": ContinuousDAG(noise="gaussian"),
    "concave descent": ContinuousDAG(
        noise="gaussian", concavity=0.1, start_scale=0.05, n_starts=2
    ),
}


@pytest.fixture(scope="module")
def chain():
    """Rows of a -> b -> c with noise of variance 1."""
    rng = np.random.default_rng(0)
    a, e, f = rng.normal(size=(3, 1000))
    b = 2 * a + e
    return pd.DataFrame({"c": f - 1.5 * b, "a": a, "b": b})


def test_every_method_has_a_name_in_the_command_line():
    found = set()
    for file in pkgutil.iter_modules(estimators.__path__):
        module = importlib.import_module(f"causaljax.estimators.{file.name}")
        classes = [value for value in vars(module).values() if inspect.isclass(value)]
        found |= {
            made.__name__
            for made in classes
            if issubclass(made, BaseGraphEstimator) and not inspect.isabstract(made)
        }
    messages = {"FederatedCDNOD"}  # its fit takes no table
    assert found - messages == set(command_line.METHODS.values()), (
        "every method has an entry in METHODS of causaljax/estimators/methods.py"
    )
    for package in (causaljax, estimators):
        assert found <= set(package.__all__), (
            f"every method has an entry in _HOME of {package.__name__}/__init__.py"
        )


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "method",
    [
        ContinuousDAG(num_steps=20),
        pytest.param(PC(), marks=pytest.mark.slow),
        pytest.param(FCI(), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_scikit_learn_contract(method):
    check_estimator(method)


# Another order of columns


@st.composite
def shuffled(draw):
    """A table of few rows, some of its cells set, and an order of its columns."""
    d = draw(st.sampled_from([2, 3, 6]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = rng.normal(size=(20, d)) * 10.0 ** draw(st.integers(-3, 6))
    if draw(st.booleans()):  # ties: classes of two values, as often as not
        values = np.sign(values) * np.where(np.arange(20) % 2, 1, -1)[:, None]
    names = [f"c{k}" for k in range(d)]
    hit = pd.DataFrame(rng.random((20, d)) < 0.2, columns=names)
    edge = draw(st.permutations(names))[:2]
    return pd.DataFrame(values, columns=names), hit, draw(st.permutations(names)), edge


@given(shuffled())
@settings(max_examples=50, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_method_meets_variables_in_an_order_that_belongs_to_the_data(made):
    table, hit, order, edge = made
    distinct = len({tuple(column) for column in table.to_numpy().T}) == len(order)
    varying = (table.std() > 0).all()
    hypothesis.assume(distinct and varying)
    knowledge = Knowledge(required=[edge])

    def met(names):
        problem, columns = frame.to_problem(
            table[list(names)], interventions=hit[list(names)], knowledge=knowledge
        )
        problem, columns, places = frame.sort_variables(problem, columns)
        assert [columns.names[k] for k in places] == list(names)
        return problem, columns

    (one, names), (other, others) = met(table.columns), met(order)
    assert names.names == others.names
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("noise", "d"),
    [("auto", 2), ("auto", 6), ("nongaussian", 3), ("equal_variance", 3)],
)
def test_another_order_of_columns_is_the_same_answer(noise, d):
    """Of x normal and y = x + uniform noise one order said ->, the other --."""
    one = LinearDAG(noise=noise, num_steps=3)
    one = ContinuousDAG() if noise == "equal_variance" else one
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=300)
        rest = rng.normal(size=(300, d - 2)) + x[:, None]
        table = pd.DataFrame(np.column_stack([x, x + rng.uniform(size=300), rest]))
        table.columns = [f"c{k}" for k in range(d)]
        model = clone(one).fit(table)
        order = list(rng.permutation(table.columns))
        other = clone(one).fit(table[order])
        assert other.info_["noise"] == model.info_["noise"]
        for name in ("adjacency_", "cpdag_", "edge_probabilities_", "weights_"):
            expected = getattr(model, name)
            found = getattr(other, name).loc[expected.index, expected.columns]
            np.testing.assert_array_equal(found, expected)
        graphs = other.posterior_.graphs[0]
        np.testing.assert_array_equal(graphs, other.adjacency_)


def test_an_array_of_unknown_axes_is_named_and_not_left_in_another_order(chain):
    class Strength(Stub):
        def _fit_problem(self, problem, columns, bar):
            learned = super()._fit_problem(problem, columns, bar)
            extra = {"strength": np.arange(len(columns.names))}
            posterior = learned.posterior._replace(extra=extra)
            return learned._replace(posterior=posterior)

    with pytest.raises(TypeError, match=r"extra\['strength'\]") as error:
        Strength().fit(chain)
    assert "add it to _VARIABLE_AXES" in str(error.value)

    class Relabelled(Strength):
        def _relabelled_extra(self, extra, places):
            strength = extra.pop("strength")[places]
            return super()._relabelled_extra(extra, places) | {"strength": strength}

    def strongest(table):
        return table.columns[Relabelled().fit(table).posterior_.extra["strength"] == 2]

    assert strongest(chain) == strongest(chain[["b", "c", "a"]])


# Options


@pytest.mark.parametrize(
    ("method", "kernel", "own"),
    [(LinearDAG, order_search, set()), (ContinuousDAG, continuous, {"n_starts"})],
)
def test_every_option_is_one_of_the_kernel(method, kernel, own):
    options = set(inspect.signature(method.__init__).parameters) - {"self"}
    fields = {field.name for field in dataclasses.fields(kernel.Config)}
    own = own | {"n_bootstrap", "progress", "random_state"}
    assert options == (fields - {"interventional", "shapes"}) | own


def test_a_chain_is_learned_in_the_units_of_the_table(chain):
    model = ContinuousDAG(**QUICK).fit(chain)
    assert set(model.graph_.edges) == {("a", "b"), ("b", "c")}
    assert model.weights_.loc["a", "b"] == pytest.approx(2, abs=0.1)
    assert model.graph_.edges["b", "c"]["weight"] == pytest.approx(-1.5, abs=0.1)


UNIT = st.floats(1e-6, 1e6)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(units=st.tuples(UNIT, UNIT, UNIT))
@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"equal variance"}))
def test_units_change_no_edge(chain, name, units):
    units = np.array(units)
    model = clone(SETTINGS[name])
    table = chain
    if name == "nongaussian":
        a, e, f = np.random.default_rng(1).uniform(-1, 1, size=(3, 1000))
        table = pd.DataFrame({"c": f - 1.5 * (a + e), "a": a, "b": a + e})
    plain, weights = model.fit(table).cpdag_, model.weights_.to_numpy()
    scaled = model.fit(table * units)
    assert plain.to_numpy().sum() > 0
    np.testing.assert_array_equal(scaled.cpdag_, plain)
    if (scaled.adjacency_.to_numpy() == (weights != 0)).all():
        expected = weights * units / units[:, None]
        np.testing.assert_allclose(scaled.weights_, expected, rtol=1e-3)


def test_only_a_class_is_claimed_where_only_a_class_is_known(chain):
    model = LinearDAG(noise="gaussian", num_steps=3).fit(chain)
    expected = pd.DataFrame(0, index=list("cab"), columns=list("cab"))
    for one, other in (("a", "b"), ("b", "c")):
        expected.loc[one, other] = expected.loc[other, one] = 1
    assert (model.cpdag_ == expected).all(axis=None)
    assert (model.edge_probabilities_ == expected / 2).all(axis=None)
    assert model.graph_.graph["kind"] == "cpdag"
    assert all(edge["undirected"] for _, _, edge in model.graph_.edges(data=True))
    assert nx.is_directed_acyclic_graph(model.graph_)
    # Knowledge of one edge settles the other, as a - b -> c would be a collider.
    known = Knowledge(required=[("a", "b")])
    model.fit(chain, knowledge=known)
    assert set(model.graph_.edges) == {("a", "b"), ("b", "c")}
    assert (model.cpdag_ == model.adjacency_).all(axis=None)
    assert model.graph_.graph["kind"] == "dag"
    # So does an intervention that tells two variables apart.
    changed = chain.copy()
    changed.loc[:299, "a"] *= 3
    changed.loc[:299, "b"] += 2 * (changed.a - chain.a)[:300]
    changed.loc[:299, "c"] -= 3 * (changed.a - chain.a)[:300]
    model.fit(changed, interventions=["a"] * 300 + [None] * 700)
    assert (model.cpdag_ == model.adjacency_).all(axis=None)


@pytest.mark.parametrize(
    "method", [LinearDAG(noise="gaussian", num_steps=3), MixedDAG(num_steps=3)]
)
def test_a_prior_tells_what_data_cannot(method, chain):
    model, prior = clone(method), pd.DataFrame(0.5, list("abc"), list("abc"))
    prior.loc["c", "b"] = prior.loc["b", "a"] = 0.9
    model.set_params(prior=prior).fit(chain)
    assert set(model.graph_.edges) == {("c", "b"), ("b", "a")}
    assert (model.cpdag_ == model.adjacency_ + model.adjacency_.T).all(axis=None)
    asked = clone(method).set_params(prior=lambda *pair: prior.loc[pair]).fit(chain)
    assert set(asked.graph_.edges) == {("c", "b"), ("b", "a")}
    # What is ruled out is known, and settles the other edge.
    prior.loc["b", "a"] = 0
    model.fit(chain)
    assert set(model.graph_.edges) == {("a", "b"), ("b", "c")}
    assert (model.cpdag_ == model.adjacency_).all(axis=None)
    with pytest.raises(ValueError, match=r"prior has shape \(2, 2\): give a matrix"):
        clone(method).set_params(prior=np.zeros((2, 2))).fit(chain)


def test_noise_is_chosen_and_told(chain):
    normal = LinearDAG(noise="auto", num_steps=3).fit(chain)
    assert normal.info_["noise"] == "gaussian"
    assert normal.info_["nongaussian_evidence"] < 0
    history = normal.info_["history"]
    assert history["step"] == [1, 2, 3]
    assert history["loss"][-1] == pytest.approx(normal.info_["loss"], rel=1e-5)
    assert "accepted" not in history  # which is no number
    assert normal.info_["nongaussian_columns"] == []
    assert not any(edge["claimed"] for edge in normal.info_["directions"])
    assert "Not claimed, as noise near to Gaussian" in " ".join(normal._notes())
    rng = np.random.default_rng(1)
    a, e, f = rng.uniform(-1, 1, size=(3, 1000))
    table = pd.DataFrame({"c": f - 1.5 * (a + e), "a": a, "b": a + e})
    skewed = LinearDAG(noise="auto", num_steps=3).fit(table)
    assert skewed.info_["noise"] == "nongaussian"
    assert skewed.info_["nongaussian_evidence"] > 0
    assert sorted(skewed.info_["nongaussian_columns"]) == ["a", "b", "c"]
    assert set(skewed.graph_.edges) == {("a", "b"), ("b", "c")}
    assert (skewed.cpdag_ == skewed.adjacency_).all(axis=None)
    told = [(edge["cause"], edge["effect"]) for edge in skewed.info_["directions"]]
    assert told == [("a", "b"), ("b", "c")]
    assert {edge["verdict"] for edge in skewed.info_["directions"]} == {"told"}
    json.dumps(skewed.info_, allow_nan=False)
    # Whoever says so is believed, and told what nobody has looked at.
    sure = LinearDAG(noise="nongaussian", num_steps=3).fit(chain)
    assert (sure.cpdag_ == sure.adjacency_).all(axis=None)
    assert "Nothing was tested" in " ".join(sure._notes())


def test_a_doubted_edge_is_open_and_the_reason_told(chain):
    """The curve was taken for non-Gaussian noise, and y -> x said with P = 1."""
    x, e = np.random.default_rng(5).normal(size=(2, 1000))
    curved = pd.DataFrame({"c": chain.c, "x": x, "y": np.exp(x) + e})
    model = LinearDAG(num_steps=3).fit(curved)
    assert model.cpdag_.loc["x", "y"] == model.cpdag_.loc["y", "x"] == 1
    assert model.edge_probabilities_.loc["x", "y"] == 0.5
    assert model.info_["edge_probabilities"] == "share of class members"
    (edge,) = model.info_["directions"]
    assert edge["verdict"] == "dependent"
    assert edge["independence_p"] < 0.01
    notes = " ".join(model._notes())
    assert "the residual is not independent of the cause" in notes
    assert "n_bootstrap estimates them" in notes


def test_sortability_is_told(chain):
    info = ContinuousDAG(**QUICK).fit(chain).info_
    assert info["variance_sortability"] == 1
    assert info["sort_by_variance_shd"] == 0
    assert 0 <= info["r2_sortability"] <= 1


def test_bootstrap_counts_edges(chain):
    model = LinearDAG(noise="gaussian", num_steps=3, n_bootstrap=20).fit(chain)
    probabilities = model.edge_probabilities_
    assert probabilities.loc["a", "b"] + probabilities.loc["b", "a"] > 0.9
    assert model.posterior_.graphs.shape == (20, 3, 3)
    expected = probabilities.loc["a", "c"] + probabilities.loc["c", "a"]
    assert model.info_["edge_probabilities"] == "share of refits"
    joined = model.posterior_.graphs[:, 1, 0] | model.posterior_.graphs[:, 0, 1]
    assert expected == pytest.approx(joined.mean())
    again = LinearDAG(noise="gaussian", num_steps=3, n_bootstrap=20).fit(chain)
    assert again.edge_probabilities_.equals(probabilities)
    # ``effect`` is asked of the class of each refit.
    classes = model.posterior_.extra["essential"]
    assert classes.shape == (20, 3, 3)
    assert (classes >= model.posterior_.graphs).all()
    draws, what = model._graph_draws()
    assert (len(draws), what) == (20, "20 refits on resampled rows")
    assert not model.effect("a", "c", chain).identified


def test_what_is_learned_agrees_with_itself(chain):
    model = ContinuousDAG(**QUICK).fit(chain)
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
    first = ContinuousDAG(**QUICK).fit(chain)
    second = ContinuousDAG(**QUICK).fit(chain)
    np.testing.assert_array_equal(first.weights_, second.weights_)
    pd.testing.assert_frame_equal(chain, before)
    assert not jax.config.jax_enable_x64


def test_a_progress_bar_changes_nothing(chain, capsys):
    plain = ContinuousDAG(**QUICK).fit(chain)
    shown = ContinuousDAG(**QUICK, progress=True).fit(chain)
    np.testing.assert_array_equal(plain.weights_, shown.weights_)
    capsys.readouterr()


def test_column_order_does_not_change_the_graph(chain):
    model = ContinuousDAG(**QUICK)
    edges = set(model.fit(chain).graph_.edges)
    assert set(model.fit(chain[["b", "c", "a"]]).graph_.edges) == edges


def test_refitting_forgets(chain):
    model = ContinuousDAG(**QUICK).fit(chain)
    model.fit(chain[["a", "b"]].to_numpy())
    assert model.n_features_in_ == 2
    assert not hasattr(model, "feature_names_in_")
    assert list(model.adjacency_) == ["x0", "x1"]


def test_knowledge_is_obeyed_against_the_data(chain):
    knowledge = Knowledge(required=[("c", "a")], forbidden=[("b", "c"), ("c", "b")])
    for method in SETTINGS.values():
        model = clone(method).fit(chain, knowledge=knowledge)
        assert ("c", "a") in model.graph_.edges
        assert not model.graph_.has_edge("b", "c")
        assert not model.graph_.has_edge("c", "b")
        assert nx.is_directed_acyclic_graph(model.graph_)


def test_intervened_rows_do_not_speak_of_their_target(chain):
    changed = chain.copy()
    changed.loc[:499, "b"] = np.random.default_rng(5).normal(size=500) * 10
    changed.loc[:499, "c"] = -1.5 * changed.b[:500] + chain.c + 1.5 * chain.b
    targets = ["b"] * 500 + [None] * 500
    model = ContinuousDAG(**QUICK)
    weights = model.fit(changed, interventions=targets).weights_
    assert weights.loc["a", "b"] == pytest.approx(2, abs=0.15)
    assert weights.loc["b", "c"] == pytest.approx(-1.5, abs=0.1)


def test_a_fit_that_did_not_converge_says_so(chain):
    with pytest.warns(UserWarning, match="has not converged; raise num_steps"):
        ContinuousDAG(num_steps=3).fit(chain)


def test_bad_options_are_named_at_fit(chain):
    for method, words in (
        (LinearDAG(noise="x"), "noise must be one of"),
        (LinearDAG(noise="equal_variance"), "noise must be one of"),
        (LinearDAG(bic_weight=-1), "bic_weight must be a number of at least 0"),
        (LinearDAG(perturb=0), "perturb must be a whole number of at least 1"),
        (LinearDAG(n_bootstrap=-1), "n_bootstrap must be a whole number"),
        (LinearDAG(num_steps=0), "num_steps must be a whole number of at least 1"),
        (ContinuousDAG(noise="auto"), "noise must be one of"),
        (ContinuousDAG(acyclicity="x"), "acyclicity must be one of"),
        (ContinuousDAG(l1=np.nan), "l1 must be a number of at least 0"),
        (ContinuousDAG(threshold="a"), "threshold must be a number"),
        (ContinuousDAG(n_starts=0), "n_starts must be a positive"),
        (ContinuousDAG(n_starts=2), "n_starts=2 needs a start_scale above 0"),
        (
            ContinuousDAG(n_starts=2, start_scale=0.1, n_bootstrap=5),
            "n_bootstrap=5 refits from one start",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            method.fit(chain)
    with pytest.raises(ValueError, match="no parameter 'lambda1'"):
        LinearDAG().set_params(lambda1=1)


class Stub(BaseGraphEstimator):
    """Finds nothing and compiles nothing; says which seed it had."""

    def __init__(self, *, progress=None, random_state=0):
        self.progress = progress
        self.random_state = random_state

    def _fit_problem(self, problem, columns, bar):
        graph = np.zeros((len(columns.names),) * 2, bool)
        posterior = Posterior(graph.astype(float), graph[None], np.zeros(1))
        info = {"converged": True, "used": self._seed}
        return FitResult(graph, graph, None, posterior, info)


def seeds(random_state, table, fits=2):
    model = Stub(random_state=random_state)
    assert model.get_params()["random_state"] is random_state
    infos = [model.fit(table).info_ for _ in range(fits)]
    assert model.get_params()["random_state"] is random_state
    assert all(type(info["seed"]) is int for info in infos)
    assert [info["seed"] for info in infos] == [info["used"] for info in infos]
    return [info["seed"] for info in infos]


@pytest.mark.parametrize(
    "seed", [0, 7, np.int64(7), np.uint32(2**32 - 1), np.int8(3), 2**32 - 1]
)
def test_a_whole_number_is_the_seed_of_each_fit(chain, seed):
    assert seeds(seed, chain) == [int(seed)] * 2


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_generators_give_each_fit_a_seed(chain, make):
    first = seeds(make(0), chain, 3)
    assert len(set(first)) == 3
    assert seeds(make(0), chain, 3) == first  # one draw a fit
    assert Stub(random_state=first[1]).fit(chain).info_["seed"] == first[1]
    copy = clone(Stub(random_state=make(0)))
    assert [copy.fit(chain).info_["seed"]] == first[:1]


def test_no_random_state_is_fresh_at_each_fit(chain):
    assert len(set(seeds(None, chain, 4))) == 4


@pytest.mark.parametrize(
    "random_state", [True, np.bool_(False), -1, 2**32, 1.0, "0", np.random, [1], np.nan]
)
def test_other_random_states_are_named(chain, random_state):
    for method in (*METHODS, Stub):
        with pytest.raises(ValueError, match="random_state must be a whole number"):
            method(random_state=random_state).fit(chain)


@pytest.mark.parametrize(
    "model",
    [model for make in (*METHODS, Stub) if not (model := make())._reads_regimes()],
    ids=repr,
)
def test_regimes_that_nobody_reads_are_named(chain, model, monkeypatch):
    # Found before anything else happens.
    monkeypatch.setattr("causaljax.tables.frame.to_problem", lambda *_, **__: None)
    with pytest.raises(ValueError, match="regimes have no meaning") as error:
        model.fit(chain, regimes=["one"] * len(chain))
    for words in ("LatentInterventionDAG", 'NeuralDAG(intervention="imperfect")'):
        assert words in str(error.value)


@pytest.mark.parametrize(
    "model", [LatentInterventionDAG(), NeuralDAG(intervention="imperfect")], ids=repr
)
def test_regimes_are_read_where_it_says_so(chain, model, monkeypatch):
    seen = []
    monkeypatch.setattr(
        type(model), "_fit_problem", lambda _, problem, *__: seen.append(problem)
    )
    with pytest.raises(AttributeError):
        model.fit(chain, regimes=["one"] * 500 + ["two"] * 500)
    np.testing.assert_array_equal(seen[0].regime[:1000], [0] * 500 + [1] * 500)


def test_it_sits_in_a_pipeline(chain):
    pipeline = make_pipeline(FunctionTransformer(), ContinuousDAG(**QUICK))
    assert hasattr(pipeline.fit(chain)[-1], "graph_")
    copy = clone(LinearDAG(bic_weight=0.5))
    assert repr(copy) == "LinearDAG(bic_weight=0.5)"
