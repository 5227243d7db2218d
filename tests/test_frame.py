"""What users get wrong is named, and what they passed is left alone."""

import contextlib

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from causaljax import Knowledge
from causaljax.core.problem import padded_size
from causaljax.core.types import Kind
from causaljax.tables import frame
from causaljax.tables.frame import to_rows


def to_problem(table, **options):
    """What ``frame.to_problem`` says of the table's own rows; the rest is padding."""
    problem, columns = frame.to_problem(table, **options)
    n = len(table)
    assert len(problem.x) == padded_size(n)
    assert not problem.weight[n:].any()
    assert (problem.weight[:n] == 1).all()
    assert (problem.regime[n:] == -1).all()
    own = {name: getattr(problem, name)[:n] for name in problem._fields[:5]}
    return problem._replace(**own), columns


NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def table():
    values = np.random.default_rng(0).normal(size=(30, 4)) * [1, 10, 100, 1e6] + 5
    return pd.DataFrame(values, columns=NAMES)


def test_columns_are_centred_and_standardised(table):
    problem, columns = to_problem(table)
    x = np.asarray(problem.x)
    assert x.dtype == np.float64  # kernels of single precision narrow it
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(x * columns.scales + columns.means, table, rtol=1e-5)


def test_columns_as_given_are_only_centred(table):
    problem, columns = to_problem(table, standardise=False)
    np.testing.assert_allclose(
        np.asarray(problem.x), table - table.mean(), rtol=1e-4, atol=1e-4
    )
    assert columns.scales.tolist() == [1, 1, 1, 1]


def test_numbers_of_every_kind_are_accepted(table):
    table["a"] = np.arange(30)[::-1] % 17
    table["b"] = pd.array([True, False] * 15, dtype="boolean")
    table["c"] = pd.array([1, 2, 5] * 10, dtype="Int64")
    table["d"] = table["d"].astype("float32")
    with pytest.warns(UserWarning, match=r"\['c'\] hold whole numbers of few values"):
        problem, columns = to_problem(table)
    assert problem.kind.tolist() == [Kind.COUNT, Kind.BINARY, 0, 0]
    assert columns.levels == ((),) * 4
    objects = table.astype({"d": object})  # as frames of mixed origin have them
    again, _ = to_problem(objects, kinds={"c": "continuous"})
    assert again.kind.tolist() == problem.kind.tolist()
    np.testing.assert_array_equal(again.x, problem.x)


def test_array_columns_get_names():
    _, columns = to_problem(np.random.default_rng(0).normal(size=(15, 2)))
    assert columns.names == ("x0", "x1")


def broken(column, value):
    def spoil(table):
        table.loc[7, column] = value
        return table

    return spoil


def repeat_name(table):
    return table.set_axis(["a", "b", "a", "d"], axis=1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken("c", np.inf), ["'c'", "1 inf", "row 7", "drop"]),
        (broken("c", -np.inf), ["'c'", "1 inf"]),
        (lambda t: t.assign(c=3.0), ["'c'", "constant (3", "drop it"]),
        (lambda t: t.assign(c=1e9), ["'c'", "constant"]),
        (repeat_name, ["'a'", "2 times", "a name of its own"]),
        (lambda t: t.assign(d="text"), ["'d'", "constant ('text' in"]),
        (lambda t: t.assign(d=[1, "a"] * 15), ["'d'", "['int', 'str']", "convert"]),
        (lambda t: t.assign(d=[[1]] * 30), ["'d'", "['list']", "convert"]),
        (lambda t: t.assign(d=[10**400, 1] * 15), ["'d'", "beyond 1e308"]),
        (lambda t: t.assign(d=t.d + 1j), ["'d'", "complex"]),
        (lambda t: t.assign(d=t.d.astype(str)), ["'d'", "numbers as text"]),
        (
            lambda t: t.assign(d=[*map(str, t.d[:-1]), "n.d."]),
            ["'d'", "text among numbers (1 cells, the first 'n.d.' in row 29)"],
        ),
        (
            lambda t: t.assign(d=[f"{k},5" for k in range(30)]),
            ["'d'", "decimal commas", "--decimal ','"],
        ),
        (
            lambda t: t.assign(b=np.nan, c=t.c.mask(t.c.index == 7, np.inf)),
            ["column 'b' holds no value at all"],
        ),
        (
            lambda t: t.assign(a=t.a.mask(t.a.index == 3), c=[[1]] * 30, d=1j),
            ["'c' holds cells", "'d' is of type complex"],
        ),
        (lambda t: t.assign(a=1, c="x"), ["'a' is constant (1 ", "'c' is constant"]),
        (lambda t: t.iloc[:1], ["1 sample", "2 rows"]),
        (lambda t: t.iloc[:0], ["0 sample"]),
        (lambda t: t[["a"]], ["1 feature", "2 columns"]),
        (lambda t: t[[]], ["0 feature"]),
        (lambda t: t["a"].to_numpy(), ["1 dimension"]),
    ],
)
def test_bad_tables_are_named(table, spoil, words):
    with pytest.raises(ValueError, match=".") as error:
        to_problem(spoil(table))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "redundant",
    [
        lambda t: t.assign(d=t.a),
        lambda t: t.assign(d=3 * t.a - 2),
        lambda t: t.assign(d=t.a - 2 * t.c),
    ],
)
def test_redundant_columns_are_warned_of(table, redundant):
    with pytest.warns(UserWarning, match=r"\['a'.*'d'\] are") as caught:
        to_problem(redundant(table))
    assert "'b'" not in str(caught[0].message)


def test_interventions_in_every_form_mean_the_same(table):
    mask = np.zeros((30, 4), bool)
    mask[3, 1] = mask[4, 2] = mask[4, 0] = True
    names = [None] * 30
    names[3], names[4] = "b", ["c", "a"]
    shuffled = pd.DataFrame(mask, columns=NAMES)[["d", "b", "a", "c"]]
    for form in (mask, names, pd.Series(names), shuffled):
        problem, _ = to_problem(table, interventions=form)
        np.testing.assert_array_equal(problem.intervened, mask)
    counted = table.set_axis([1, 2, 3, 4], axis=1)
    for form in ([1.0, None], pd.Series([1, None]), ["1", np.nan]):
        problem, _ = to_problem(counted, interventions=[*form, *[None] * 28])
        assert np.argwhere(problem.intervened).tolist() == [[0, 0]]
    blank = pd.Series([np.nan] * 30)
    assert not to_problem(table, interventions=blank)[0].intervened.any()


@pytest.mark.parametrize(
    ("interventions", "words"),
    [
        (["b"] * 29, ["29 entries", "30 rows"]),
        (["b"] * 29 + ["B"], ["row 29", "'B'", "did you mean 'b'"]),
        (["b"] * 29 + ["zzz"], ["row 29", "'zzz'", "there are"]),
        (np.zeros((30, 3), bool), ["(30, 3)", "(30, 4)"]),
        (np.full((30, 4), 2), ["True and False"]),
        (pd.DataFrame(np.zeros((30, 3), bool), columns=NAMES[:3]), ["'d'", "add"]),
    ],
)
def test_bad_interventions_are_named(table, interventions, words):
    with pytest.raises(ValueError, match="interventions") as error:
        to_problem(table, interventions=interventions)
    for word in words:
        assert word in str(error.value)


def test_a_variable_that_was_always_set_is_warned_of(table):
    with pytest.warns(UserWarning, match="'b' is intervened on in every row"):
        to_problem(table, interventions=["b"] * 30)


def test_regimes_become_codes(table):
    labels = ["x", None, "y", "x", np.nan] + ["y"] * 25
    problem, _ = to_problem(table, regimes=labels)
    assert problem.regime[:5].tolist() == [0, -1, 1, 0, -1]
    assert to_problem(table)[0].regime.tolist() == [-1] * 30
    with pytest.raises(ValueError, match="29 entries, the table has 30 rows"):
        to_problem(table, regimes=labels[1:])


def test_knowledge_becomes_masks(table):
    knowledge = Knowledge(
        required=[("a", "b")], forbidden=[("c", "d")], tiers=[["a", "c"], ["d"]]
    )
    problem, _ = to_problem(table, knowledge=knowledge)
    assert np.argwhere(problem.required).tolist() == [[0, 1]]
    denied = ~np.asarray(problem.allowed) & ~np.eye(4, dtype=bool)
    assert np.argwhere(denied).tolist() == [[2, 3], [3, 0], [3, 2]]


@pytest.mark.parametrize(
    ("knowledge", "words"),
    [
        ({"required": [("a", "B")]}, ["required", "'B'", "did you mean 'b'"]),
        ({"forbidden": [("q", "a")]}, ["forbidden", "'q'"]),
        ({"tiers": [["a"], ["x"]]}, ["tiers", "'x'"]),
        ({"required": [("a", "a")]}, ["'a'", "its own cause"]),
        ({"required": ["ab"]}, ["pairs"]),
        ({"required": [("a", "b", "c")]}, ["pairs"]),
        (
            {"required": [("a", "b")], "forbidden": [("a", "b")]},
            ["a -> b", "forbidden"],
        ),
        ({"required": [("a", "b")], "tiers": [["b"], ["a"]]}, ["a -> b", "tiers"]),
        ({"required": [("a", "b"), ("b", "c"), ("c", "a")]}, ["cycle", "a -> b -> c"]),
        ({"tiers": [["a"], ["a"]]}, ["'a'", "two tiers"]),
        ({"tiers": ["ab"]}, ["tiers[0] is 'ab': give a list"]),
    ],
)
def test_bad_knowledge_is_named(table, knowledge, words):
    with pytest.raises(ValueError, match=".") as error:
        to_problem(table, knowledge=Knowledge(**knowledge))
    for word in words:
        assert word in str(error.value)


def test_nothing_the_user_passed_is_modified(table):
    mask = pd.DataFrame(np.eye(30, 4, dtype=bool), columns=NAMES)
    names = ["a"] + [None] * 29
    before = table.copy(), mask.copy(), list(names)
    to_problem(table, interventions=mask, regimes=names)
    to_problem(table, interventions=names)
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(mask, before[1])
    assert names == before[2]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_huge_columns_have_scales_and_huge_constants_none():
    """Squares of what rounding leaves of their zeros overflow."""
    table = pd.DataFrame(np.full((5, 2), 1.79045204e236), columns=["a", "b"])
    with pytest.raises(ValueError, match="column 'a' is constant"):
        to_problem(table)
    rows = np.random.default_rng(0).normal(size=(50, 2))
    problem, columns = to_problem(pd.DataFrame(1e200 * rows, columns=["a", "b"]))
    np.testing.assert_allclose(columns.scales, 1e200 * rows.std(axis=0))
    expected = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    np.testing.assert_allclose(problem.x, expected, rtol=1e-5, atol=1e-5)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    values=hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 6), st.integers(0, 4)),
        elements=st.floats(allow_nan=True, allow_infinity=True, width=64),
    ),
    names=st.lists(st.text(max_size=3), min_size=4, max_size=4),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid:RuntimeWarning")
def test_any_frame_is_fitted_for_use_or_refused(values, names):
    table = pd.DataFrame(values, columns=names[: values.shape[1]])
    before = table.copy()
    flat = len(values) < 2 or (values == values[:1]).all(axis=0).any()
    repeated = table.columns.duplicated().any()
    if flat or repeated or table.shape[1] < 2 or np.isinf(values).any():
        with pytest.raises(ValueError, match="column|sample|feature"):
            to_problem(table)
    else:
        with contextlib.suppress(ValueError):  # a column may be flat up to rounding
            problem, _ = to_problem(table)
            assert np.isfinite(np.asarray(problem.x)).all()
    pd.testing.assert_frame_equal(table, before)


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(order=st.permutations(NAMES))
def test_column_order_only_relabels(order):
    values = np.random.default_rng(1).normal(size=(20, 4))
    table = pd.DataFrame(values, columns=NAMES)
    knowledge = Knowledge(required=[("a", "b")], tiers=[["a"], ["d"]])
    plain, _ = to_problem(table, knowledge=knowledge)
    moved, columns = to_problem(table[order], knowledge=knowledge)
    place = [columns.names.index(name) for name in NAMES]
    np.testing.assert_array_equal(np.asarray(moved.x)[:, place], plain.x)
    for field in ("allowed", "required"):
        mask = np.asarray(getattr(moved, field))[np.ix_(place, place)]
        np.testing.assert_array_equal(mask, getattr(plain, field))


@pytest.mark.parametrize(
    ("spoil", "interventions"),
    [
        (lambda t: t[:1], None),
        (lambda t: t[:3], ["a"] * 3),  # always, and fewer than columns
        (lambda t: t.assign(b=2.0), None),
        (lambda t: t.assign(d=t.a, c=3 * t.a - 2), None),
        (lambda t: t.assign(b=t.b.where(t.b.index > 1, 1e5)), None),
    ],
)
def test_rows_to_be_judged_need_not_make_a_graph(table, spoil, interventions):
    _, columns = to_problem(table)
    rows = spoil(table)
    problem = to_rows(rows, columns, interventions=interventions)
    assert (problem.weight == (np.arange(128) < len(rows))).all()
    x = np.asarray(problem.x)[: len(rows)]
    expected = (rows - columns.means) / columns.scales
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)
    assert problem.intervened[:, 0].any() == (interventions is not None)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t[:0], "0 sample"),
        (lambda t: t[["b", "a", "c", "d"]], "give those of fit in their order"),
        (lambda t: t[["a", "b"]], "give those of fit in their order"),
        (lambda t: t.assign(b=np.nan), "'b' holds 30 NaN"),
        (lambda t: t.assign(b="x"), "'b' is of type .*, not numeric as it was in fit"),
        (lambda t: t.to_numpy()[0], "1 dimension"),
    ],
)
def test_rows_of_other_tables_are_named(table, spoil, words):
    _, columns = to_problem(table)
    with pytest.raises(ValueError, match=words):
        to_rows(spoil(table), columns)


def test_far_rows_and_short_tables_are_warned_of():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(1000, 3)), columns=list("abc"))
    to_problem(table)
    table["heavy"] = rng.standard_t(3, size=1000)
    to_problem(table)  # a tail that a method may cope with
    table.loc[:49, "b"] += 20
    with pytest.warns(UserWarning, match=r"columns \['b'\].*'b' 50 of 1000"):
        to_problem(table)
    targets = ["b"] * 50 + [None] * 950
    to_problem(table, interventions=targets)  # that is what interventions do
    with pytest.warns(UserWarning, match="3 rows for 4 columns.*of 0.97, as chance"):
        to_problem(table.iloc[100:103])


def test_gaps_pass_and_flat_columns_where_the_method_reads_them(table):
    whole, _ = to_problem(table, lenient=True)
    np.testing.assert_array_equal(whole.x, to_problem(table)[0].x)
    table.iloc[::5, 1] = np.nan
    problem, columns = to_problem(table)
    np.testing.assert_array_equal(problem.observed, table.notna())
    x = np.asarray(problem.x)
    assert not x[::5, 1].any()
    seen = x[np.asarray(problem.observed[:, 1]), 1]
    assert seen.mean() == pytest.approx(0, abs=1e-6)
    assert seen.std() == pytest.approx(1, rel=1e-5)
    assert columns.means[1] == pytest.approx(table["b"].mean())
    with pytest.warns(UserWarning, match="column 'c' is constant"):
        flat, columns = to_problem(table.assign(c=1e8), lenient=True)
    assert not np.asarray(flat.x[:, 2]).any()
    assert columns.scales[2] == 1
    with pytest.raises(ValueError, match="column 'a' holds no value at all"):
        to_problem(table.assign(a=np.nan))
    with pytest.raises(ValueError, match="column 'a' holds 30 inf"):
        to_problem(table.assign(a=np.inf), lenient=True)
