"""How columns are read: numbers, classes, and what is no variable."""

import contextlib
import datetime
import json
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from causaljax.core.types import Kind, Posterior
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.tables import frame
from causaljax.tables.frame import to_problem, to_rows

N = 60


class Stub(BaseGraphEstimator):
    """Finds nothing; keeps the problem."""

    def __init__(self, *, progress=None, random_state=0):
        self.progress = progress
        self.random_state = random_state

    def _fit_problem(self, problem, columns, bar):
        self.problem = problem
        graph = np.zeros((len(columns.names),) * 2, bool)
        posterior = Posterior(graph.astype(float), graph[None], np.zeros(1))
        return FitResult(graph, graph, None, posterior, {})


@pytest.fixture
def table():
    """One column of each kind; classes of three frequencies."""
    rng = np.random.default_rng(0)
    grade = pd.Categorical(
        rng.choice(["low", "mid", "high"], N),
        categories=["low", "mid", "high", "top"],
        ordered=True,
    )
    return pd.DataFrame(
        {
            "x": rng.normal(size=N),
            "visits": rng.poisson(30, N),
            "treated": rng.random(N) < 0.4,
            "sex": rng.permutation(["f"] * 35 + ["m"] * 25),
            "ward": rng.permutation(["b"] * 30 + ["c"] * 20 + ["a"] * 10),
            "grade": grade,
        }
    )


def test_each_column_is_read_for_what_it_is(table):
    problem, columns = to_problem(table)
    kinds = [0, Kind.COUNT, Kind.BINARY, Kind.BINARY, Kind.CATEGORICAL, Kind.ORDINAL]
    assert problem.kind.tolist() == list(columns.kinds) == kinds
    classes = ("f", "m"), ("b", "c", "a"), ("low", "mid", "high")
    assert columns.levels == ((), (), (), *classes)
    cells = problem.x[:N] * columns.scales + columns.means
    expected = table.assign(
        treated=table.treated.astype(int),
        sex=table.sex.map({"f": 0, "m": 1}),
        ward=table.ward.map({"b": 0, "c": 1, "a": 2}),
        grade=table.grade.cat.codes,
    )
    np.testing.assert_allclose(cells, expected, atol=1e-12)
    ordered, names, places = frame.sort_variables(problem, columns)
    for k, name in enumerate(columns.names):
        assert names.names[places[k]] == name
        assert names.kinds[places[k]] == ordered.kind[places[k]] == columns.kinds[k]
        assert names.levels[places[k]] == columns.levels[k]


@pytest.mark.parametrize("dtype", ["str", "category", "object"])
@pytest.mark.parametrize("codes", [(0, 1, 2), (2, 0, 1), (7, 5, 6)])
def test_other_names_of_classes_change_nothing(table, dtype, codes):
    plain, _ = to_problem(table)
    words = table.ward.map(dict(zip("abc", ("x", "y", "z"), strict=True)))
    numbers = table.ward.map(dict(zip("abc", codes, strict=True)))
    renamed = table.assign(
        ward=words.astype(dtype), sex=table.sex.map({"f": "W", "m": "M"}).astype(dtype)
    )
    for other, kinds in (
        (renamed, None),
        (table.assign(ward=numbers), {"ward": "categorical"}),
        (table.assign(ward=numbers.astype("category")), None),
    ):
        problem, _ = to_problem(other, kinds=kinds)
        for one, two in zip(plain, problem, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("form", [pl.from_pandas, pa.Table.from_pandas])
def test_other_frames_are_read_alike(table, form):
    table.loc[3, "x"] = table.loc[4, "sex"] = table.loc[5, "ward"] = None
    table["visits"] = table.visits.astype("Int64").mask(table.index == 6)
    table["treated"] = table.treated.astype("boolean").mask(table.index == 7)
    table["ward"] = table.ward.astype("category")
    table["grade"] = table.grade.astype(str)
    before, names = to_problem(table, lenient=True)
    after, others = to_problem(form(table), lenient=True)
    np.testing.assert_array_equal(others.ranges, names.ranges)
    assert others == frame.dataclasses.replace(
        names, means=others.means, scales=others.scales, ranges=others.ranges
    )
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, two)
    gaps = np.argwhere(~np.asarray(after.observed)).tolist()
    assert gaps == [[3, 0], [4, 3], [5, 4], [6, 1], [7, 2]]
    with pytest.warns(UserWarning, match="classes without an order"):
        model = Stub().fit(form(table.dropna().reset_index(drop=True)))
    assert model.feature_names_in_.tolist() == [*table]


def test_an_enumeration_has_an_order():
    order = pl.Enum(["low", "mid", "high"])
    grade = pl.Series("grade", ["mid", "high", "low", "mid"] * 5, dtype=order)
    other = pl.Series("x", np.random.default_rng(0).normal(size=20))
    problem, columns = to_problem(pl.DataFrame([grade, other]))
    assert columns.levels[0] == ("low", "mid", "high")
    assert problem.kind[0] == Kind.ORDINAL


def test_what_the_user_says_of_a_column_holds(table):
    table["score"] = np.arange(N) % 5 + 1
    with pytest.warns(UserWarning, match=r"'score'\] hold whole numbers of few"):
        problem, columns = to_problem(table)
    assert problem.kind[-1] == Kind.CONTINUOUS
    for kind, levels in (
        ("ordinal", (1, 2, 3, 4, 5)),
        ("categorical", (1, 2, 3, 4, 5)),
        ("Count", ()),
        ("continuous", ()),
    ):
        problem, columns = to_problem(table, kinds={"score": kind})
        assert problem.kind[-1] == Kind[kind.upper()]
        assert columns.levels[-1] == levels
        assert columns.described[-1]["note"] == "as asked for"


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"wards": "categorical"}, "unknown column 'wards'; did you mean 'ward'"),
        ({"ward": "class"}, "'ward' the kind 'class': give one of"),
        ({"ward": 3}, "the kind 3"),
        (["ward"], "kinds must be a dict"),
        ({"ward": "count"}, "'ward' holds text or classes and is to be count"),
        ({"ward": "ordinal"}, "'ward' is to be ordinal and has no order"),
        ({"ward": "binary"}, "'ward' is to be binary and has 3 distinct values"),
        ({"visits": "binary"}, "'visits' is to be binary and has"),
        ({"x": "count"}, "'x' is to be a count and holds other numbers"),
        ({"x": "count", "ward": "binary"}, "'x' .*; column 'ward' is to be binary"),
    ],
)
def test_kinds_that_cannot_be_are_named(table, kinds, words):
    with pytest.raises(ValueError, match=words):
        to_problem(table, kinds=kinds)


NO_VARIABLES = {
    "id": lambda n: np.arange(n) + 1000,
    "patientId": lambda n: np.random.default_rng(1).permutation(10 * n)[:n],
    "code": lambda n: [f"p{k:03d}" for k in range(n)],
    "notes": lambda n: [f"note {k // 2}" for k in range(n)],
    "day": lambda n: pd.date_range("2026-01-01", periods=n),
    "date": lambda n: [datetime.date(2026, 1, 1 + k % 9) for k in range(n)],
    "took": lambda n: pd.to_timedelta(np.arange(n) % 7, unit="h"),
}


@pytest.mark.parametrize("name", NO_VARIABLES)
def test_what_is_no_variable_is_left_out_with_a_word(table, name):
    plain, _ = to_problem(table)
    wide = table.copy()
    wide.insert(2, name, NO_VARIABLES[name](N))
    with pytest.warns(UserWarning, match=f"left out: '{name}' ") as caught:
        problem, columns = to_problem(wide)
    assert len(caught) == 1
    assert columns.names == tuple(table)
    assert columns.left_out == (name,)
    assert columns.described[2]["kind"] == "left out"
    for one, two in zip(plain, problem, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(to_rows(wide, columns).x, problem.x, atol=1e-6)
    # A mask of the whole table serves, and what is said beforehand is silent.
    mask = wide.isna()
    mask.loc[3, "x"] = True
    for given in (mask, mask.to_numpy(), mask[list(table)]):
        with pytest.warns(UserWarning, match="left out"):
            problem, _ = to_problem(wide, interventions=given)
        assert np.argwhere(problem.intervened).tolist() == [[3, 0]]
    chosen, _ = to_problem(wide, columns=list(table))
    np.testing.assert_array_equal(chosen.x, plain.x)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("day", r"is left out \(dates or times\): convert it to numbers, or remove it"),
        ("id", r"is left out \(an identifier.*: say by kinds= .*, or remove"),
        ("notes", r"is left out \(free text: .*: say by kinds= .*, or remove"),
    ],
)
def test_knowledge_of_a_column_that_is_left_out_says_why(table, name, words):
    wide = table.assign(**{name: NO_VARIABLES[name](N)})
    tiers = {"tiers": [["x"], [name]]}
    for said in (tiers, {"roots": [name]}, {"forbidden": [("x", f"{name[:2]}*")]}):
        where = f"knowledge.{next(iter(said))} names {name!r}, which {words}"
        with (
            pytest.warns(UserWarning, match="left out"),
            pytest.raises(ValueError, match=where),
        ):
            to_problem(wide, knowledge=said)
    with pytest.raises(ValueError, match=f"names {name!r}, which columns= .*add it"):
        to_problem(wide, knowledge=tiers, columns=list(table))


def test_a_number_that_differs_in_every_row_may_be_a_variable(table):
    incomes = np.random.default_rng(0).choice(200_000, N, replace=False)
    _, columns = to_problem(table.assign(income=incomes))
    assert columns.kinds[-1] == Kind.COUNT
    few = table[:8].assign(k=range(8))[["x", "k"]]
    with pytest.warns(UserWarning, match="few"):
        assert to_problem(few)[1].names == ("x", "k")


def test_columns_are_taken_as_they_are_named(table):
    table["id"] = range(N)
    with pytest.warns(UserWarning, match="rows resemble the rows before them in 1 of"):
        problem, columns = to_problem(table, columns=["ward", "id", "x"])
    assert columns.names == ("ward", "id", "x")
    assert columns.kinds == (Kind.CATEGORICAL, Kind.COUNT, Kind.CONTINUOUS)
    assert to_rows(table[["ward", "id", "x"]], columns).x.shape == problem.x.shape
    table["notes"] = [f"{k} is long" for k in range(N)]
    for asked, words in (
        (["x", "wrad"], "columns names an unknown column 'wrad'; did you mean 'ward'"),
        (["x"], "name at least 2"),
        ("x", "must be a list"),
        (["x", "x"], "occurs 2 times"),
        (["x", "notes"], r"'notes' holds an identifier.*kinds=\{'notes'"),
    ):
        with pytest.raises(ValueError, match=words):
            to_problem(table, columns=asked)
    with pytest.raises(ValueError, match="1 of 3 columns are variables; left out: 'id"):
        to_problem(table[["id", "x", "notes"]])


def test_new_rows_are_coded_as_those_of_the_fit(table):
    problem, columns = to_problem(table)
    rows = to_rows(table[::-1], columns)
    np.testing.assert_allclose(rows.x[:N], problem.x[:N][::-1], atol=1e-6)
    np.testing.assert_array_equal(rows.kind, problem.kind)
    # A class alone in new rows has the code it had in the fit.
    one = to_rows(table[table.ward == "a"], columns)
    np.testing.assert_allclose(one.x[:10, 4], problem.x[:N][table.ward == "a", 4])
    with pytest.raises(ValueError, match=r"'ward' holds 'd' \(row 1\).*\['b', 'c'"):
        to_rows(table[:2].assign(ward=["a", "d"]), columns)


def test_gaps_in_classes_are_gaps(table):
    for name in table:
        table[name] = table[name].astype(object)
        table.loc[::4, name] = None
    table["sex"] = table["sex"].where(table.sex.notna(), " ")  # a blank says nothing
    problem, columns = to_problem(table, lenient=True)
    expected = np.zeros((N, 6), bool)
    expected[::4] = True
    np.testing.assert_array_equal(~problem.observed[:N], expected)
    assert columns.levels[3] == ("f", "m")
    assert [row["gaps"] for row in columns.described] == [15] * 6
    with pytest.warns(UserWarning, match="gaps come with certain values"):
        _, names = to_problem(table.fillna({"visits": 1}))
    with pytest.raises(ValueError, match="'visits' holds 15 NaN.*'grade' holds 15 NaN"):
        to_rows(table, names)


def test_how_columns_were_read_can_be_written(table):
    table["id"] = range(N)
    with pytest.warns(UserWarning, match="left out|classes without an order"):
        model = Stub().fit(table)
    rows = json.loads(json.dumps(model.info_["columns"]))
    assert [row["name"] for row in rows] == list(table)
    assert rows[4] == {
        "name": "ward",
        "kind": "categorical",
        "distinct": 3,
        "gaps": 0,
        "classes": ["b", "c", "a"],
        "note": "",
    }
    assert rows[-1] == {
        "name": "id",
        "kind": "left out",
        "note": "an identifier: another whole number in every row",
    }
    assert list(model.adjacency_) == list(table)[:-1]


def test_classes_taken_for_numbers_are_spoken_of_once(table):
    class Reads(Stub):
        def _reads_classes(self):
            return True

    with pytest.warns(UserWarning, match=r"\['ward'\] hold classes .* Stub reads") as c:
        Stub().fit(table)
    assert len(c) == 1
    assert "MixedDAG" in str(c[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Reads().fit(table)


# Weights


@pytest.fixture
def weights():
    return np.random.default_rng(3).integers(0, 4, N)


def test_a_row_of_weight_two_counts_as_two(table, weights):
    model = Stub()
    problem = model.fit(table[["x", "visits"]], sample_weight=weights).problem
    repeated = table.loc[table.index.repeat(weights)]
    with pytest.warns(UserWarning, match="rows resemble"):
        twin = model.fit(repeated[["x", "visits"]]).problem
    assert problem.weight.sum() == twin.weight.sum() == weights.sum()
    for power in (1, 2, 3):
        one, two = (
            (p.weight[:, None] * p.x**power).sum(axis=0) for p in (problem, twin)
        )
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_rows_without_weight_are_left_out(table, weights):
    targets = ["x" if k % 7 == 0 else None for k in range(N)]
    table = table.drop(columns="ward")
    kept = weights > 0
    with_zero = Stub().fit(table, sample_weight=weights, interventions=targets)
    without = Stub().fit(
        table[kept],
        sample_weight=list(weights[kept]),
        interventions=[t for t, k in zip(targets, kept, strict=True) if k],
    )
    for one, two in zip(with_zero.problem, without.problem, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (with_zero.problem.weight > 0).sum() == kept.sum()


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([1] * 59, r"shape \(59,\), the table has 60 rows"),
        ([1] * 59 + [-1], r"holds -1.0 \(row 59\)"),
        ([1] * 59 + [np.nan], "holds nan"),
        ([0] * 60, "zero in every row"),
        (["a"] * 60, "no numbers"),
        (np.ones((60, 2)), "shape"),
    ],
)
def test_bad_weights_are_named(table, weight, words):
    with pytest.raises(ValueError, match=f"sample_weight.*{words}"):
        Stub().fit(table, sample_weight=weight)


def test_weights_of_a_survey_are_spoken_of(table):
    survey = np.random.default_rng(0).uniform(1000, 3000, N)
    with pytest.warns(UserWarning, match="divide weights of a survey by their mean"):
        Stub().fit(table[["x", "visits"]], sample_weight=survey)
    Stub().fit(table[["x", "visits"]], sample_weight=survey / survey.mean())


# Any table


def columns_of(n):
    """Columns of ``n`` cells of any type; gaps among them."""

    def cells(strategy, gaps=True):
        one = st.none() | strategy if gaps else strategy
        return st.lists(one, min_size=n, max_size=n)

    number = st.floats(width=64) | st.integers(-(10**20), 10**20)
    word = st.sampled_from(["a", "b", "c", "", "NA", "[b]", "1", "2.5", "1,5"])
    day = st.datetimes(max_value=datetime.datetime(2200, 1, 1))
    return st.one_of(
        cells(number, gaps=False),
        cells(st.integers(-3, 3), gaps=False),
        cells(st.floats(-1e3, 1e3), gaps=False),
        cells(number),
        cells(st.booleans()),
        cells(word),
        cells(st.text(max_size=3)),
        cells(day),
        cells(number | word | st.booleans() | day),
        cells(word).map(pd.Categorical),
        cells(st.integers(0, 9)).map(lambda made: pd.array(made, dtype="Int64")),
    )


@st.composite
def tables(draw):
    n = draw(st.sampled_from([1, 2, 3, 12, 30]))
    made = draw(st.lists(columns_of(n), min_size=1, max_size=4))
    names = st.lists(
        st.text(max_size=4) | st.sampled_from(["a", "[/]", "\n", "id"]),
        min_size=len(made),
        max_size=len(made),
    )
    frames = [pd.DataFrame({0: column}) for column in made]
    return pd.concat(frames, axis=1).set_axis(draw(names), axis=1)


@hypothesis.settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
@hypothesis.given(table=tables(), lenient=st.booleans(), chosen=st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_any_table_is_read_or_refused_in_one_line(table, lenient, chosen):
    before = table.copy()
    options = {"columns": list(table)} if chosen else {}
    refused, problem, columns = "", None, None
    try:
        problem, columns = to_problem(table, lenient=lenient, **options)
    except ValueError as error:
        refused = str(error)
    assert "\n" not in refused
    if not refused:
        assert np.isfinite(problem.x).all()
        assert {*columns.names} | {*columns.left_out} == {*table}
        assert len(columns.names) == problem.x.shape[1] >= 2
        json.dumps(columns.described)
        with contextlib.suppress(ValueError):  # to_rows reads no gaps
            rows = to_rows(table, columns)
            np.testing.assert_allclose(rows.x, problem.x, atol=1e-5, rtol=1e-5)
    pd.testing.assert_frame_equal(table, before)


def test_gaps_that_follow_a_column_are_told_from_gaps_at_random():
    rng = np.random.default_rng(0)
    age, income, height = rng.normal(size=(3, 800))
    income = income + age
    table = pd.DataFrame({"age": age, "income": income, "height": height})
    told = {"gaps come with": 0, "no row has": 0}
    for seed in range(20):
        chance = np.random.default_rng(seed).random(table.shape) < 0.2
        for doubt in _said(table.mask(chance)):
            for words in told:
                told[words] += words in doubt
    assert told["gaps come with"] <= 1  # at a level of .01 a table
    assert told["no row has"] == 0
    high = table.assign(income=table.income.where(table.income < 1))
    (doubt,) = [doubt for doubt in _said(high) if "gaps come with" in doubt]
    assert "'income' (with 'age')" in doubt
    half = np.arange(800) < 400
    apart = table.assign(age=table.age.where(half), height=table.height.where(~half))
    (doubt,) = [doubt for doubt in _said(apart) if "no row has" in doubt]
    assert "'age' and 'height'" in doubt


def _said(table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        to_problem(table)
    return [str(warning.message) for warning in caught]
