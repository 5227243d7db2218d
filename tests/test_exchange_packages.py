"""DoWhy, pgmpy and causal-learn take the graphs; the extra `exchange-test` has them."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax import exchange
from causaljax.tables.edges import marked_edges, to_networkx

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs
AGE, DOSE, PAIN = 'age: "years"', "dose [mg]", "pain\n<1-10>"
NAMES = [AGE, DOSE, PAIN, "alone"]
DIRECTED = [(AGE, DOSE), (AGE, PAIN), (DOSE, PAIN)]


def graph_of(*rows):
    return to_networkx(marked_edges([(*row, {}) for row in rows], NAMES), NAMES)


@pytest.fixture(scope="module")
def table():
    """The effect of the dose on pain is -2; age confounds it."""
    rng = np.random.default_rng(0)
    age, *noise, alone = rng.normal(size=(4, 2000))
    dose = age + noise[0]
    pain = 3 * age - 2 * dose + noise[1]
    return pd.DataFrame(np.stack([age, dose, pain, alone], axis=1), columns=NAMES)


@pytest.fixture(scope="module")
def dag():
    """The first member of a class that leaves age - dose open."""
    rows = [(AGE, DOSE, "---"), (AGE, PAIN, "-->"), (DOSE, PAIN, "-->")]
    return next(exchange.iter_dags(graph_of(*rows)))


def test_dowhy_estimates_an_effect(table, dag):
    dowhy = pytest.importorskip("dowhy")
    plain = {name: f"v {k}" for k, name in enumerate(NAMES)}  # its formulas need them
    graph = nx.relabel_nodes(exchange.to_dowhy(dag), plain)
    model = dowhy.CausalModel(
        table.rename(columns=plain), plain[DOSE], plain[PAIN], graph=graph
    )
    estimand = model.identify_effect(proceed_when_unidentifiable=True)
    assert estimand.get_backdoor_variables() == [plain[AGE]]
    found = model.estimate_effect(
        estimand, method_name="backdoor.linear_regression", test_significance=False
    )
    assert found.value == pytest.approx(-2, abs=0.1)


def test_dowhy_takes_hostile_names(table, dag):
    dowhy = pytest.importorskip("dowhy")
    graph = exchange.to_dowhy(dag)
    model = dowhy.CausalModel(table, DOSE, PAIN, graph=graph)
    estimand = model.identify_effect(proceed_when_unidentifiable=True)
    assert estimand.get_backdoor_variables() == [AGE]


def test_dowhy_fits_mechanisms_to_a_graph(table, dag):
    gcm = pytest.importorskip("dowhy.gcm")
    model = gcm.StructuralCausalModel(exchange.to_dowhy(dag))
    for name in NAMES:
        parents = list(model.graph.predecessors(name))
        mechanism = (
            gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor())
            if parents
            else gcm.EmpiricalDistribution()
        )
        model.set_causal_mechanism(name, mechanism)
    gcm.fit(model, table)
    drawn = gcm.interventional_samples(
        model, {DOSE: lambda dose: dose * 0 + 1}, num_samples_to_draw=4000
    )
    assert drawn[PAIN].mean() == pytest.approx(-2, abs=0.3)


def test_pgmpy_has_a_graph_for_each_kind(table):
    pytest.importorskip("pgmpy")
    from pgmpy import base, models

    dag = exchange.to_pgmpy(graph_of(*[(*pair, "-->") for pair in DIRECTED]))
    assert type(dag) is base.DAG
    assert set(dag.edges) == set(DIRECTED)
    assert set(dag) == set(NAMES)
    linear = models.LinearGaussianBayesianNetwork(dag)
    linear.fit(table)
    assert len(linear.cpds) == 4
    classes = (table > 0).astype(int)
    network = models.DiscreteBayesianNetwork(dag)
    network.fit(classes)
    assert network.check_model()

    open_edges = exchange.to_pgmpy(graph_of((AGE, DOSE, "---"), (DOSE, PAIN, "-->")))
    assert type(open_edges) is base.PDAG
    assert set(map(frozenset, open_edges.undirected_edges)) == {frozenset((AGE, DOSE))}
    assert set(open_edges.directed_edges) == {(DOSE, PAIN)}
    assert set(open_edges) == set(NAMES)

    hidden = exchange.to_pgmpy(graph_of((AGE, DOSE, "<->"), (DOSE, PAIN, "-->")))
    assert type(hidden) is base.ADMG
    assert set(hidden) == set(NAMES)
    assert hidden.get_district(AGE) == {AGE, DOSE}
    assert hidden.get_children(DOSE) == {PAIN}

    with pytest.raises(ValueError, match="pgmpy has no graph with --- between"):
        exchange.to_pgmpy(graph_of((AGE, DOSE, "<->"), (DOSE, PAIN, "---")))


def test_a_matrix_is_that_of_causal_learn():
    pytest.importorskip("causallearn")
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode

    nodes = {name: GraphNode(name) for name in NAMES}
    theirs = GeneralGraph(list(nodes.values()))
    theirs.add_directed_edge(nodes[AGE], nodes[DOSE])
    for a, b, end in ((DOSE, PAIN, Endpoint.TAIL), (AGE, PAIN, Endpoint.ARROW)):
        theirs.add_edge(Edge(nodes[a], nodes[b], end, end))
    ours = exchange.to_causal_learn(
        graph_of((AGE, DOSE, "-->"), (DOSE, PAIN, "---"), (AGE, PAIN, "<->"))
    )
    np.testing.assert_array_equal(ours.to_numpy(), theirs.graph)

    circled = GeneralGraph(list(nodes.values()))
    for a, b, *ends in (
        (AGE, DOSE, Endpoint.CIRCLE, Endpoint.ARROW),
        (DOSE, PAIN, Endpoint.CIRCLE, Endpoint.CIRCLE),
        (PAIN, "alone", Endpoint.TAIL, Endpoint.CIRCLE),
    ):
        circled.add_edge(Edge(nodes[a], nodes[b], *ends))
    ours = exchange.to_causal_learn(
        graph_of((AGE, DOSE, "o->"), (DOSE, PAIN, "o-o"), (PAIN, "alone", "--o"))
    )
    np.testing.assert_array_equal(ours.to_numpy(), circled.graph)
