"""Adjustment sets, identification, regressions, and what ``effect`` says of them."""

import functools
import itertools
import warnings

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax import LinearDAG
from causaljax.core.types import Posterior
from causaljax.effects import adjustment, identification, regression
from causaljax.effects.result import Effect, interval
from causaljax.estimators.base import BaseGraphEstimator, FitResult

PAIRS = [(i, j) for i in range(4) for j in range(4) if i != j]
NAMES = ["a", "b", "c", "d"]


def all_dags(d=4):
    """All 543 DAGs of four variables."""
    for cells in itertools.product((0, 1), repeat=d * (d - 1)):
        graph = np.zeros((d, d), bool)
        graph[~np.eye(d, dtype=bool)] = cells
        if not np.linalg.matrix_power(graph.astype(int), d).any():
            yield graph


DAGS = list(all_dags())
# In every way of naming the variables these are all of them.
ORDERED = [graph for graph in DAGS if not np.tril(graph).any()]


def linear_model(graph, hidden=(), seed=0):
    """Total effects ``[d, d]`` and covariance of the first d, by random weights."""
    d, rng = len(graph), np.random.default_rng(seed)
    size = d + len(hidden)
    weights = np.zeros((size, size))
    weights[:d, :d] = graph * rng.uniform(0.5, 1.5, graph.shape)
    for k, pair in enumerate(hidden):
        weights[d + k, list(pair)] = rng.uniform(0.5, 1.5, 2)
    total = np.linalg.inv(np.eye(size) - weights)
    variances = rng.uniform(0.5, 1.5, size)
    covariance = total.T @ np.diag(variances) @ total
    return total[:d, :d], covariance[:d, :d]


def slope(covariance, i, j, given):
    """The coefficient of i in the regression of j, and its variance times n."""
    taken = [i, *sorted(given)]
    inner = np.linalg.inv(covariance[np.ix_(taken, taken)])
    cross = covariance[taken, j]
    return (inner @ cross)[0], (covariance[j, j] - cross @ inner @ cross) * inner[0, 0]


def subsets(i, j, d=4):
    others = [k for k in range(d) if k not in (i, j)]
    for size in range(len(others) + 1):
        yield from map(frozenset, itertools.combinations(others, size))


@functools.cache
def valid_sets(key, i, j, hidden=()):
    """By algebra: the sets that give the total effect whatever the weights."""
    graph = np.frombuffer(key, bool).reshape(4, 4)
    models = [linear_model(graph, hidden, seed) for seed in (0, 1)]
    return {
        given
        for given in subsets(i, j)
        if all(
            abs(slope(covariance, i, j, given)[0] - total[i, j]) < 1e-9
            for total, covariance in models
        )
    }


def test_the_optimal_set_is_valid_and_of_least_variance_in_all_dags():
    assert (len(DAGS), len(ORDERED)) == (543, 64)
    for graph in ORDERED:
        total, covariance = linear_model(graph)
        for i, j in PAIRS:
            given = adjustment.optimal_set(graph, i, j)
            assert (given is None) == (abs(total[i, j]) < 1e-12)
            if given is None:
                continue
            valid = valid_sets(graph.tobytes(), i, j)
            assert given in valid
            variances = [slope(covariance, i, j, one)[1] for one in valid]
            assert slope(covariance, i, j, given)[1] <= min(variances) + 1e-9


def test_valid_sets_are_those_that_algebra_finds():
    """Where a path leads to the outcome; the criterion refuses some others."""
    for graph in ORDERED:
        for i, j in PAIRS:
            if adjustment.reachable(graph)[i, j]:
                found = {
                    z for z in subsets(i, j) if adjustment.is_valid(graph, i, j, z)
                }
                assert found == valid_sets(graph.tobytes(), i, j)


def test_hidden_causes_leave_a_set_or_none():
    rng, without, other = np.random.default_rng(0), 0, 0
    for _ in range(30):
        graph = DAGS[rng.integers(len(DAGS))]
        count = rng.integers(1, 3)
        chosen = rng.choice(6, count, replace=False)
        pairs = [list(itertools.combinations(range(4), 2))[k] for k in chosen]
        hidden = np.zeros((4, 4), bool)
        for i, j in pairs:
            hidden[i, j] = hidden[j, i] = True
        for i, j in PAIRS:
            best = adjustment.optimal_set(graph, i, j)
            if best is None:
                continue
            given = adjustment.adjustment_set(graph, i, j, hidden)
            valid = valid_sets(graph.tobytes(), i, j, tuple(pairs))
            assert given in valid if valid else given is None
            without, other = without + (not valid), other + bool(valid - {best})
            found = identification.identify(graph, graph, i, j, NAMES, hidden)
            assert found.identified == bool(valid)
            if not valid:
                assert "hidden common cause is likely ('" in found.reason
    assert without > 10
    assert other > 10


def class_key(graph):
    """Skeleton and unshielded colliders."""
    adjacent = graph | graph.T
    colliders = {
        (i, k, j)
        for k in range(len(graph))
        for i, j in itertools.combinations(np.flatnonzero(graph[:, k]).tolist(), 2)
        if not adjacent[i, j]
    }
    return adjacent.tobytes(), frozenset(colliders)


@functools.cache
def classes():
    groups = {}
    for graph in DAGS:
        groups.setdefault(class_key(graph), []).append(graph)
    return list(groups.values())


def assert_identified_by_members(members):
    """What ``identify`` says of a class against all its members."""
    claims = np.any(members, axis=0)
    _, covariance = linear_model(members[0])
    counts = np.zeros(2, int)
    for i, j in PAIRS:
        found = identification.identify(claims, members[-1], i, j, NAMES)
        reach = [bool(adjustment.reachable(graph)[i, j]) for graph in members]
        if not any(reach):
            shared = {None}
        elif all(reach):
            valid = [valid_sets(graph.tobytes(), i, j) for graph in members]
            shared = set.intersection(*valid)
        else:
            shared = set()
        assert found.identified == bool(shared), (claims, i, j)
        counts[int(found.identified)] += 1
        effects = {
            0.0
            if graph[j, i]
            else slope(covariance, i, j, np.flatnonzero(graph[:, i]).tolist())[0]
            for graph in members
        }
        if found.identified:
            given = found.possible[0].given
            assert given in shared
        else:
            assert f"'{NAMES[i]}' --- '" in found.reason
            assert found.reason.endswith("open")
        mine = {
            slope(covariance, i, j, one.given)[0] if one.reaches else 0.0
            for one in found.possible
        }
        assert {round(v, 9) + 0.0 for v in mine} == {round(v, 9) + 0.0 for v in effects}
    return counts


def test_an_effect_is_identified_if_all_members_share_a_set():
    assert len(classes()) == 185
    named = [
        members
        for members in classes()
        if any(not np.tril(one).any() for one in members)
    ]
    counts = sum(assert_identified_by_members(members) for members in named)
    assert (counts > 50).all()


def test_knowledge_narrows_a_class():
    rng = np.random.default_rng(0)
    large = [members for members in classes() if len(members) > 3]
    for members in large[::4]:
        told = members[rng.integers(len(members))]
        i, j = rng.permutation(np.argwhere(told))[0]
        assert_identified_by_members([graph for graph in members if graph[i, j]])


def test_directions_that_are_doubted_leave_the_causes_to_adjust_for():
    graph = np.zeros((4, 4), bool)  # c -> a -> b <- d, c -> d: the collider is doubted
    graph[[2, 0, 3, 2], [0, 1, 1, 3]] = True
    claims = graph.copy()
    claims[1, 3] = True
    found = identification.identify(claims, graph, 0, 1, NAMES)
    assert found.identified
    assert found.possible[0].given == {2}  # d may be an effect of b
    assert adjustment.optimal_set(graph, 0, 1) == {3}
    found = identification.identify(claims, graph, 3, 1, NAMES)
    assert found.reason == "the direction of 'd' --- 'b' is open"


# Regressions and intervals


def test_the_regression_is_that_of_the_normal_equations():
    rng = np.random.default_rng(0)
    given = rng.normal(size=(60, 2))
    cause = given[:, :1] + rng.normal(size=(60, 1))
    outcome = 2 * cause[:, 0] + given @ [1, -1] + rng.normal(size=60) * cause[:, 0]
    fit = regression.regress(outcome, cause, np.array([3.0]), given)
    x = np.column_stack([cause, np.ones(60), given])
    inverse = np.linalg.inv(x.T @ x)
    solved = inverse @ x.T @ outcome
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    scaled = x * ((outcome - x @ solved) / (1 - leverage))[:, None]
    error = np.sqrt((inverse @ scaled.T @ scaled @ inverse)[0, 0])
    assert fit.estimate == pytest.approx(3 * solved[0])
    assert fit.error == pytest.approx(3 * error)
    assert fit.freedom == 56
    # A column twice, and one that is constant, change nothing.
    more = np.column_stack([given, given[:, 0], np.ones(60)])
    again = regression.regress(outcome, cause, np.array([3.0]), more)
    assert again == pytest.approx(fit)


def test_intervals_hold_the_effect_as_often_as_they_say():
    """Noise that grows with the cause; classical intervals hold it in 77 of 100."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        cause = rng.normal(size=(80, 1))
        outcome = cause[:, 0] + cause[:, 0] * rng.normal(size=80)
        fit = regression.regress(outcome, cause, np.ones(1), np.zeros((80, 0)))
        low, high = interval([fit], np.ones(1), 0.9)
        held += low <= 1 <= high
    assert 0.84 < held / 200 < 0.95


def test_the_interval_of_a_mixture_has_the_share_that_it_says():
    rng = np.random.default_rng(0)
    fits = [regression.Fit(*row) for row in ((0.0, 0.0, 1), (1.0, 0.1, 9), (3, 1.0, 5))]
    weights = np.array([0.2, 0.5, 0.3])
    chosen = rng.choice(3, 200_000, p=weights)
    centre, error, freedom = np.array(fits).T[:, chosen]
    drawn = centre + error * rng.standard_t(freedom)
    expected = np.quantile(drawn, [0.1, 0.9])
    assert interval(fits, weights, 0.8) == pytest.approx(expected, abs=0.03)


# ``effect`` of estimators


class Given(BaseGraphEstimator):
    """An estimator that is told its answer."""

    progress, random_state = False, 0

    def __init__(self, claims, graph, hidden=None, draws=()):
        self.claims, self.graph, self.hidden, self.draws = claims, graph, hidden, draws

    def _reads_classes(self):
        return True

    def _fit_problem(self, problem, columns, bar):
        places = [NAMES.index(name) for name in columns.names]
        square = np.ix_(places, places)
        graph, claims = self.graph[square], self.claims[square]
        extra = {} if self.hidden is None else {"confounder_prob": self.hidden[square]}
        posterior = Posterior(graph * 1.0, graph[None], np.zeros(1), extra)
        return FitResult(graph, claims, None, posterior, {})

    def _graph_draws(self):
        return [(graph, graph) for graph in self.draws], f"{len(self.draws)} draws"


CHAIN = np.zeros((4, 4), bool)  # d -> a -> b -> c, d -> c
CHAIN[[3, 0, 1, 3], [0, 1, 2, 2]] = True


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    d = rng.normal(size=400)
    a = d + rng.normal(size=400)
    b = 0.5 * a + rng.normal(size=400)
    c = 2 * b - d + rng.normal(size=400)
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": d})


def fitted(table, graph=CHAIN, claims=None, **options):
    return Given(graph if claims is None else claims, graph, **options).fit(table)


def test_an_effect_is_that_of_a_regression_on_the_set(table):
    model = fitted(table)
    found = model.effect("a", "c", table)
    x = np.column_stack([table[["a", "d"]], np.ones(400)])
    expected = np.linalg.lstsq(x, table["c"], rcond=None)[0][0]
    assert found.estimate == pytest.approx(expected)
    assert found.interval[0] < 1 < found.interval[1]
    assert (found.adjusted_for, found.rows, found.level) == (("d",), 400, 0.9)
    low, high = found.interval
    assert str(found).splitlines() == [
        f"Effect of 'a' on 'c', for one unit more of 'a': {expected:.4g} "
        f"(90 % interval {low:.4g} to {high:.4g}).",
        "Adjusted for: 'd'.",
        "Estimated by linear regression, from 400 rows.",
        "The interval covers the sampling of rows, given the graph.",
    ]
    wider = model.effect("a", "c", table, values=(-1, 1), level=0.99)
    assert wider.estimate == pytest.approx(2 * expected)
    assert wider.interval[0] < 2 * low
    none = model.effect("c", "a", table)
    assert (none.estimate, none.interval, none.adjusted_for) == (0.0, (0.0, 0.0), None)
    assert str(none).splitlines()[1:] == [
        "In the graph no directed path leads from cause to outcome.",
        "Estimated by the graph alone, from 400 rows.",
        "The interval covers nothing: in this graph the effect is 0 whatever the rows.",
    ]


def test_values_outside_the_table_are_warned_of(table):
    model = fitted(table)
    top = f"{table['a'].max():g}"
    with pytest.warns(UserWarning, match=f"'a' = 500 is outside the table.* {top}:"):
        found = model.effect("a", "c", table, values=(0, 500))
    assert "Caution: 'a' = 500 is outside" in str(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.effect("a", "c", table, values=(0, 1))


def test_open_directions_and_hidden_causes_are_not_identified(table):
    claims = CHAIN.copy()
    claims[0, 3] = True
    found = fitted(table, claims=claims).effect("a", "c", table)
    assert found.estimate is found.interval is None
    assert not found.identified
    assert found.reason == "the direction of 'a' --- 'd' is open"
    x = table[["a"]].to_numpy(), np.ones(1)
    plain = regression.regress(table["c"].to_numpy(), *x, np.zeros((400, 0)))
    held = fitted(table).effect("a", "c", table).estimate
    assert found.possible == pytest.approx(sorted([held, plain.estimate]))
    assert "not identified, as the direction of 'a' --- 'd' is open." in str(found)
    hidden = np.zeros((4, 4))
    hidden[0, 2] = hidden[2, 0] = 0.8
    found = fitted(table, hidden=hidden).effect("a", "c", table)
    assert "('a' <-> 'c')" in found.reason
    assert (found.estimate, found.possible) == (None, ())
    assert fitted(table, hidden=hidden).effect("a", "b", table).identified


def test_the_interval_covers_the_doubt_of_the_graph(table):
    alone = fitted(table).effect("a", "c", table)
    reversed_graph = CHAIN.copy()
    reversed_graph[0, 1], reversed_graph[1, 0] = False, True
    model = fitted(table, draws=[CHAIN, CHAIN, CHAIN, reversed_graph])
    found = model.effect("a", "c", table)
    assert found.estimate == pytest.approx(0.75 * alone.estimate)
    assert found.interval[0] == 0
    assert found.interval[1] == pytest.approx(alone.interval[1], abs=0.05)
    assert "(4 draws; in 75 % of them a directed path" in found.covers


def test_rows_that_do_not_count_are_told_of(table):
    rows, clean = table.copy(), fitted(table)
    expected = clean.effect("a", "c", table[100:]).estimate
    rows.loc[:99, "b"] = 7.0
    targets = ["b"] * 100 + [None] * 300
    with pytest.warns(UserWarning, match="100 rows in which the outcome or a column"):
        found = clean.effect("a", "c", rows, interventions=targets)
    assert found.estimate == pytest.approx(expected)
    assert found.rows == 300
    knowing = Given(CHAIN, CHAIN).fit(rows, interventions=targets)
    with pytest.warns(UserWarning, match="nothing is told: give interventions="):
        knowing.effect("d", "a", rows)
    # Other columns than those on the way may be set.
    targets = ["d"] * 100 + ["a"] * 300
    assert clean.effect("a", "c", table, interventions=targets).rows == 400
    gaps = table.copy()
    gaps.loc[:4, "d"] = np.nan
    with pytest.warns(UserWarning, match="5 rows with a gap"):
        assert clean.effect("a", "c", gaps).rows == 395
    gaps.loc[1:, "b"] = np.nan  # on the way, and not of the regression
    with pytest.warns(UserWarning, match="5 rows with a gap"):
        assert clean.effect("a", "c", gaps).rows == 395


def test_classes_are_contrasted_by_name():
    rng = np.random.default_rng(0)
    ward = rng.choice(["x", "y", "z"], 600, p=[0.5, 0.3, 0.2])
    sick = rng.random(600) < np.where(ward == "z", 0.7, 0.2)
    cells = {
        "a": ward,
        "b": np.where(sick, "yes", "no"),
        "c": rng.normal(size=600) + (ward == "y"),
        "d": rng.normal(size=600),
    }
    table = pd.DataFrame(cells)
    graph = np.zeros((4, 4), bool)
    graph[0, [1, 2]] = graph[3, 2] = True
    model = fitted(table, graph=graph)
    share = pd.Series(sick).groupby(ward).mean()
    found = model.effect("a", "b", table, values=("x", "z"))
    assert found.estimate == pytest.approx(share["z"] - share["x"])
    assert found.outcome_class == "yes"  # the rarer one
    assert "on the probability of 'b' = 'yes', from 'x' to 'z'" in str(found)
    other = model.effect("a", "b", table, values=("z", "x"), outcome_class="no")
    assert other.estimate == pytest.approx(found.estimate)
    assert other.interval == pytest.approx(found.interval)
    mean = model.effect("a", "c", table, values=("x", "y"))
    assert mean.estimate == pytest.approx(1, abs=0.3)
    assert mean.adjusted_for == ("d",)
    for call, message in (
        (lambda: model.effect("a", "b", table), "has the classes .* name two of them"),
        (lambda: model.effect("a", "b", table, values="xz"), "must be a pair"),
        (lambda: model.effect("a", "b", table, values=("x", "w")), "has no class 'w'"),
        (lambda: model.effect("b", "a", table), "name the one whose probability"),
        (lambda: model.effect("d", "c", table, outcome_class=1), "holds numbers"),
        (lambda: model.effect("d", "c", table, values=("u", 1)), "a finite number"),
        (lambda: model.effect("d", "c", table, values=(1, 1)), "two that differ"),
        (lambda: model.effect("q", "c", table), "no column 'q'"),
        (lambda: model.effect("c", "c", table), "named twice"),
        (lambda: model.effect("d", "c", table, level=90), "level must be above 0"),
        (lambda: model.effect("d", "c", table[["a", "b"]]), "give those of fit"),
        (
            lambda: model.effect("d", "c", table.assign(d=1.0)),
            "'d' does not vary as asked in the rows that count once 'a' is held",
        ),
        (lambda: model.effect("d", "c", table[:3]), "3 rows are too few"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(AttributeError, match="has not been fitted"):
        Given(CHAIN, CHAIN).effect("a", "b", table)


def test_names_are_no_markup():
    name = "<script>\x1b[1m&'\n"
    found = Effect(
        cause=name,
        outcome=name,
        change=name,
        unit=name,
        identified=True,
        reaches=True,
        estimate=1.0,
        interval=(0.0, 2.0),
        level=0.9,
        adjusted_for=(name,),
        warnings=(name,),
    )
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in found._repr_html_() + str(found)
    assert len(str(found).splitlines()) == 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what DoWhy imports
def test_dowhy_estimates_the_same_on_the_same_graph():
    """Needs an environment with ``dowhy``, which asks for an older scipy."""
    dowhy = pytest.importorskip("dowhy")
    rng = np.random.default_rng(0)
    d, e, f, g = rng.uniform(-1, 1, (4, 800))
    a = d + e
    b = a + 0.5 * f
    table = pd.DataFrame({"a a": a, "b": b, "c": b - 2 * d + g, "d": d})
    model = LinearDAG(progress=False).fit(table)
    graph = nx.DiGraph(list(model.graph_.edges))
    compared = 0
    for cause, outcome in itertools.permutations(table, 2):
        found = model.effect(cause, outcome, table)
        if not nx.has_path(graph, cause, outcome):
            continue
        asked = dowhy.CausalModel(table, cause, outcome, graph=graph)
        theirs = asked.estimate_effect(
            asked.identify_effect(proceed_when_unidentifiable=True),
            method_name="backdoor.linear_regression",
            control_value=0,
            treatment_value=1,
        )
        assert found.identified
        assert found.interval[0] < theirs.value < found.interval[1]
        compared += 1
    assert compared >= 4
