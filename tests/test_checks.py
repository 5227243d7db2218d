"""What a table makes doubtful is said, once, and only where it is so."""

import warnings

import numpy as np
import pandas as pd
import pytest

from causaljax.tables.frame import to_problem

N = 400


def said(table, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        to_problem(table, **options)
    return [str(warning.message) for warning in caught]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(N, 6)), columns=list("abcdef"))


def test_nothing_is_said_of_a_plain_table(table):
    assert said(table) == []
    assert said(table.assign(f=np.arange(N)[::-1] % 2, e=np.arange(N) * 7 % 31)) == []


def test_groups_of_copies_are_reported_exactly(table):
    table["b"], table["d"] = 3 * table.a - 2, -table.c
    first, second = said(table)
    assert first.startswith("columns ['a', 'b'] are copies of each other")
    assert second.startswith("columns ['c', 'd'] are copies of each other")
    table["f"] = table.a
    assert said(table)[0].startswith("columns ['a', 'b', 'f'] are copies")


def test_sums_are_reported_with_their_parts(table):
    table["d"] = table.a + table.b + table.c
    assert [line[:52] for line in said(table)] == [
        "columns ['a', 'b', 'c', 'd'] are linearly dependent:"
    ]
    table["f"] = table.a - table.b
    (line,) = said(table)
    assert line.startswith(
        "columns ['a', 'b', 'c', 'd', 'f'] are linearly dependent by 2"
    )


@pytest.mark.parametrize("columns", [2, 3, 5])
def test_a_variable_that_was_split_is_reported_as_one(table, columns):
    codes = np.random.default_rng(1).integers(columns, size=N)
    split = pd.get_dummies(pd.Series(codes), prefix="k")
    lines = said(pd.concat([table, split], axis=1))
    assert len(lines) == 1
    assert str([*split]) in lines[0]
    words = "copies" if columns == 2 else "indicators that sum to one"
    assert words in lines[0]


def test_rows_in_time_order_are_noticed(table):
    walks = table.cumsum()
    assert [line[:50] for line in said(walks)] == [
        "rows resemble the rows before them in 6 of 6 colum"
    ]
    assert said(walks.sample(frac=1, random_state=0)) == []
    one = table.assign(a=walks.a)  # a sixth of the columns
    assert said(one) == []
    # Blocks of interventions and of regimes explain it.
    assert said(walks, regimes=np.arange(N) // 50) == []
    assert said(walks, interventions=["a"] * 9 + [None] * (N - 9)) == []


def test_repeated_rows_are_noticed(table):
    again = pd.concat([table[:16]] * 25)
    assert any("only 16 of the 400 rows are distinct" in line for line in said(again))
    classes = (table > 0).astype(int)  # of which chance makes copies
    assert said(classes) == []


@pytest.mark.parametrize("code", [-99, 999, -9, 9999, 1e6])
def test_codes_of_missing_cells_are_suspected(table, code):
    table.loc[::40, "c"] = code
    (line,) = said(table)
    assert line.startswith(f"column 'c' holds {code:g} in 10 rows, far beyond")
    assert f"replace({code:g}, nan)" in line


def test_values_that_belong_are_no_codes(table):
    rng = np.random.default_rng(0)
    table["a"] = rng.integers(0, 100, N)  # 99 is one of them
    table["b"] = np.maximum(table.b, -1)  # censored
    table["c"] = rng.integers(1, 13, N)
    table["d"] = rng.choice([6, 7, 8, 9], N)
    lines = said(table, kinds={"d": "continuous"})
    assert lines == []
    targets = ["e" if k % 40 == 0 else None for k in range(N)]
    table.loc[::40, "e"] = 99  # what it was set to
    assert said(table, kinds={"d": "continuous"}, interventions=targets) == []


def test_a_rare_event_is_spoken_of(table):
    table["e"] = 0.0
    table.loc[[5, 80, 200], "e"] = 1
    (line,) = said(table)
    assert line.startswith("all but a few rows share one value in 'e' (3 of 400)")
    table.loc[:9, "e"] = 1
    assert said(table) == []


def test_gaps_make_no_outliers(table):
    """The filler of 45 % gaps was the median, from which all else lay far."""
    table.loc[table.index % 20 < 9, "b"] = np.nan
    assert said(table, lenient=True) == []
    table.loc[table.index % 20 < 11, "c"] = np.nan
    table.loc[table.index % 20 < 19, "d"] = np.nan
    (line,) = said(table, lenient=True)
    assert "missing in 'c' (55%), 'd' (95%)" in line


@pytest.mark.parametrize("n", [6, 8])
def test_few_rows_are_spoken_of(table, n):
    (line,) = said(table[:n])
    assert f"the table has {n} rows" in line


def test_many_names_are_not_all_listed():
    table = pd.DataFrame(np.random.default_rng(0).integers(0, 5, size=(N, 30)))
    (line,) = said(table)
    assert "'19'] and 10 more hold whole numbers" in line


@pytest.mark.parametrize("word", ["control", "none", "None", "", "observational"])
def test_untouched_rows_are_none(table, word):
    with pytest.raises(ValueError, match=r"row 1, .*a row in which nothing .* None"):
        to_problem(table, interventions=["a"] + [word] * (N - 1))
    named = table.rename(columns={"b": word})
    assert said(named, interventions=[word] + [None] * (N - 1)) == []


@pytest.mark.parametrize("both", ["b,c", "b, c", "b;c", "b c", "b+c"])
def test_several_targets_are_a_list(table, both):
    with pytest.raises(ValueError, match=r"as a list, \['b', 'c'\], in a file sep"):
        to_problem(table, interventions=[both] + [None] * (N - 1))
