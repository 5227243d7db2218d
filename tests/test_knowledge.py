"""Knowledge: what each statement says, what contradicts, what says nothing."""

import fnmatch
import itertools
import re
import warnings

import hypothesis
import hypothesis.strategies as st
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax import Knowledge
from causaljax.tables.knowledge import edge_masks

NAMES = ("age", "sex", "gene_1", "gene_2", "y")


def denied_edges(names=NAMES, **fields):
    allowed, _ = edge_masks(Knowledge(**fields), names)
    return {(names[i], names[j]) for i, j in np.argwhere(~allowed)}


def required_edges(names=NAMES, **fields):
    _, required = edge_masks(Knowledge(**fields), names)
    return {(names[i], names[j]) for i, j in np.argwhere(required)}


def others(name):
    return [other for other in NAMES if other != name]


def test_each_field_says_what_it_says():
    assert denied_edges() == required_edges() == set()
    assert denied_edges(roots=["y"]) == {(name, "y") for name in others("y")}
    assert denied_edges(sinks=["y"]) == {("y", name) for name in others("y")}
    backwards = {("y", "gene_1"), ("y", "gene_2"), ("y", "age")}
    backwards |= {("gene_1", "age"), ("gene_2", "age")}
    tiers = [["age"], ["gene_1", "gene_2"], ["y"]]
    assert denied_edges(tiers=tiers) == backwards
    within = {("gene_1", "gene_2"), ("gene_2", "gene_1")}
    assert denied_edges(tiers=tiers, forbidden_within=[1]) == backwards | within


def test_groups_and_patterns_stand_for_columns():
    genes = {("age", "gene_1"), ("age", "gene_2")}
    assert required_edges(required=[("age", "gene_*")]) == genes
    assert required_edges(required=[("age", "gene_[12]")]) == genes
    assert required_edges(required=[("age", "gene_?")]) == genes
    groups = {"genes": ["gene_*"], "people": ["age", "sex"]}
    pairs = set(itertools.product(["age", "sex"], ["gene_1", "gene_2"]))
    assert denied_edges(groups=groups, forbidden=[("people", "genes")]) == pairs
    told = {"groups": groups, "tiers": [["people"], ["genes"]]}
    assert denied_edges(**told) == {(gene, person) for person, gene in pairs}
    apart = denied_edges(groups={"g": ["age", "y"]}, forbidden_within=["g"])
    assert apart == {("age", "y"), ("y", "age")}
    assert denied_edges(sinks=["s*", "y"]) == denied_edges(sinks=["sex", "y"])
    # Not what a column is to itself.
    assert denied_edges(forbidden=[("age", "*")]) == denied_edges(sinks=["age"])


def test_a_column_of_exactly_that_name_comes_first():
    names = ("x*", "x1", "x2", "y[1]", "y1")
    assert denied_edges(names, forbidden=[("x*", "y1")]) == {("x*", "y1")}
    assert denied_edges(names, forbidden=[("y[1]", "x1")]) == {("y[1]", "x1")}
    assert len(denied_edges(names, forbidden=[("x?", "y1")])) == 3


def test_names_are_those_of_any_type():
    names = ("0", "1", "('a', 1)")
    assert denied_edges(names, forbidden=[(0, 1)]) == {("0", "1")}
    assert denied_edges(names, roots=[("a", 1)]) == {("0", names[2]), ("1", names[2])}
    rows = np.array([["0", "1"], ["1", "0"]])
    assert denied_edges(names, forbidden=rows) == {("0", "1"), ("1", "0")}
    graph = nx.DiGraph([(0, 1)])
    assert required_edges(names, required=graph.edges) == {("0", "1")}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"required": [("age", "gene_*")], "forbidden": [("*", "gene_2")]},
            "over age -> gene_2: required holds ('age', 'gene_*'), but forbidden holds "
            "('*', 'gene_2')",
        ),
        (
            {"required": [("sex", "age")], "roots": ["sex", "age"]},
            "over sex -> age: required holds ('sex', 'age'), but roots says that 'age' "
            "has no causes",
        ),
        (
            {"required": [("y", "age")], "sinks": ["y"]},
            "but sinks says that 'y' has no effects",
        ),
        (
            {"required": [("y", "age")], "tiers": [["age"], ["sex"], ["y"]]},
            "but tiers forbids edges from tier 2 to earlier ones",
        ),
        (
            {"required": [("gene_1", "gene_2")], "forbidden_within": ["gene_*"]},
            "but forbidden_within forbids edges within 'gene_*'",
        ),
        (
            {
                "required": [("age", "gene_2")],
                "tiers": [["age", "gene_2"], ["y"]],
                "forbidden_within": [0],
            },
            "but forbidden_within forbids edges within tier 0",
        ),
        (
            {"required": [("age", "sex"), ("sex", "gene_*"), ("gene_2", "age")]},
            "closes a cycle, age -> sex -> gene_2 -> age: required holds ('age', "
            "'sex'), required holds ('sex', 'gene_*'), required holds ('gene_2', ",
        ),
        ({"required": [("*", "*")]}, "closes a cycle"),
        ({"required": [("age", "ag*")]}, "'age' as its own cause"),
        ({"forbidden": [("genx_*", "y")]}, "no column; did you mean 'gene_"),
        ({"roots": ["Sex"]}, "knowledge.roots names an unknown column 'Sex'; did you"),
        ({"tiers": [["age"], ["a*"]]}, "'age' into two tiers, 0 and 1"),
        ({"tiers": [["age"], "y"]}, "tiers[1] is 'y': give a list"),
        ({"forbidden_within": [1]}, "names tier 1; there are 0"),
        ({"forbidden_within": [-1], "tiers": [["y"]]}, "names tier -1; there are 1"),
        ({"groups": {"age": ["y"]}}, "as a column is called"),
        ({"groups": {"g": []}, "roots": ["g"]}, "groups['g'] is empty"),
        ({"groups": {"g": ["q"]}, "roots": ["g"]}, "groups['g'] names an unknown"),
        ({"groups": ["age"]}, "give a dict"),
        ({"groups": {"genes": ["gene_*"]}, "roots": ["gens"]}, "did you mean 'genes'?"),
        ({"groups": {"g": "age"}}, "knowledge.groups['g'] is 'age': give a list"),
        ({"roots": "age"}, "knowledge.roots is 'age': give a list"),
        ({"required": {"age": "y"}}, "knowledge.required is {'age': 'y'}: give a list"),
        ({"required": zip(["age"], ["y"], strict=True)}, "give a list"),
        ({"required": 3}, "knowledge.required is 3: give a list"),
        ({"required": [{"age", "y"}]}, "give pairs (cause, effect)"),
        ({"required": pd.DataFrame({"cause": ["age"]})}, "list(zip(table.cause"),
    ],
)
def test_contradictions_and_mistakes_are_explained(fields, words):
    with pytest.raises(ValueError, match=".") as error:
        edge_masks(Knowledge(**fields), NAMES)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tiers": [["age", "sex"]]}, "in one tier alone: it forbids nothing"),
        ({"tiers": [["age"], [], ["y"]]}, "tier 1 of knowledge.tiers is empty"),
        ({"forbidden_within": ["age"]}, "'age', which has 1 column(s)"),
        ({"groups": {"g": ["age"]}}, "knowledge.groups has 'g', which no statement"),
    ],
)
def test_what_says_nothing_is_spoken_of(fields, words):
    with pytest.warns(UserWarning, match=re.escape(words)) as caught:
        edge_masks(Knowledge(**fields), NAMES)
    assert len(caught) == 1


def test_what_says_something_is_not():
    groups = {"a": ["age"], "b": ["sex"], "c": ["y"], "d": ["gene_*"]}
    told = {"required": [("a", "d")], "tiers": [["b"], ["y"]], "roots": ["c"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edge_masks(Knowledge(groups=groups, **told), NAMES)
        edge_masks(Knowledge(tiers=[["age", "y"]], forbidden_within=[0]), NAMES)


def test_a_dict_will_do():
    expected = edge_masks(Knowledge(forbidden=[("age", "y")]), NAMES)
    found = edge_masks({"forbidden": [("age", "y")]}, NAMES)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(edge_masks({}, NAMES), edge_masks(None, NAMES))
    with pytest.raises(ValueError, match="has no 'forbid'; did you mean 'forbidden'"):
        edge_masks({"forbid": []}, NAMES)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pd.DataFrame({"cause": ["age"], "effect": ["y"]}), "list(zip(table.cause"),
        ([("age", "y")], "of type list: give Knowledge"),
        ("edges.csv", "read_knowledge reads a file"),
        (nx.DiGraph([("age", "y")]), "list(graph.edges)"),
        (np.ones((5, 5)), "of type ndarray: give Knowledge"),
    ],
)
def test_what_is_no_knowledge_is_said(given, words):
    with pytest.raises(TypeError) as error:
        edge_masks(given, NAMES)
    assert words in str(error.value)


# Any statements, against what they say of one edge after the other

GROUPS = {"people": ["age", "sex"], "genes": ["gene_*"]}
TERMS = [*NAMES, *GROUPS, "*", "gene_*", "?e*", "[as]*"]
_term = st.sampled_from(TERMS)
_pairs = st.lists(st.tuples(_term, _term), max_size=3)
_terms = st.lists(_term, max_size=2)
_statements = st.fixed_dictionaries(
    {
        "required": st.lists(st.tuples(_term, _term), max_size=2),
        "forbidden": _pairs,
        "tiers": st.lists(_terms, max_size=3),
        "roots": st.lists(_term, max_size=1),
        "sinks": st.lists(_term, max_size=1),
        "forbidden_within": st.lists(st.sampled_from([0, 1, *TERMS]), max_size=1),
    }
)


def meant(terms):
    """The columns that some terms stand for."""
    flat = [name for term in terms for name in GROUPS.get(term, [term])]
    return {name for name in NAMES for term in flat if fnmatch.fnmatch(name, term)}


def says(told, field, cause, effect):
    """Whether the statements of one field speak of an edge."""
    if field in ("required", "forbidden"):
        return any(
            cause in meant([one]) and effect in meant([other])
            for one, other in told[field]
        )
    ranks = [meant(tier) for tier in told["tiers"]]
    if field == "tiers":
        return any(
            cause in late and effect in early
            for early, late in itertools.combinations(ranks, 2)
        )
    if field == "forbidden_within":
        sets = [ranks[i] if isinstance(i, int) else meant([i]) for i in told[field]]
        return any({cause, effect} <= columns for columns in sets)
    return (effect if field == "roots" else cause) in meant(told[field])


def is_malformed(told):
    own = any(
        meant([one]) == meant([other]) and len(meant([one])) == 1
        for one, other in (*told["required"], *told["forbidden"])
    )
    ranks = [meant(tier) for tier in told["tiers"]]
    twice = any(a & b for a, b in itertools.combinations(ranks, 2))
    numbers = [i for i in told["forbidden_within"] if isinstance(i, int)]
    return own or twice or any(number >= len(ranks) for number in numbers)


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(told=_statements, order=st.permutations(range(len(NAMES))))
@pytest.mark.filterwarnings("ignore:.*knowledge:UserWarning")
def test_masks_say_what_the_statements_say(told, order):
    names = tuple(NAMES[k] for k in order)
    given = Knowledge(**told, groups=GROUPS)
    if is_malformed(told):
        with pytest.raises(ValueError, match="knowledge"):
            edge_masks(given, names)
        return
    edges = list(itertools.permutations(names, 2))
    required = {edge for edge in edges if says(told, "required", *edge)}
    fields = ("forbidden", "tiers", "forbidden_within", "roots", "sinks")
    denied = {edge for edge in edges if any(says(told, f, *edge) for f in fields)}
    graph = nx.DiGraph(list(required))
    if required & denied or not nx.is_directed_acyclic_graph(graph):
        with pytest.raises(ValueError, match="contradicts itself|closes a cycle"):
            edge_masks(given, names)
        return
    found = edge_masks(given, names)
    allowed, asked = (
        {(names[i], names[j]) for i, j in np.argwhere(mask) if i != j} for mask in found
    )
    assert asked == required
    assert allowed == set(edges) - denied
