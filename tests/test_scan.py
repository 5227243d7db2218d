"""Tables read part by part: exact sums, one sample, the answers of whole tables."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from causaljax import AmortizedDAG, LinearDAG, MixedDAG, discover
from causaljax.cli import command_line
from causaljax.core.types import make_problem
from causaljax.kernels import amortized
from causaljax.tables import files, frame, reading, scan
from causaljax.tables.moments import merge, moments_of
from causaljax.tables.scan import Scan, row_keys, scan_file


@pytest.fixture(scope="module")
def table():
    """Numbers of many and few values, classes, a rare one among them."""
    rng = np.random.default_rng(0)
    n = 3000
    a, b = rng.normal(size=(2, n))
    c = 0.7 * a + 0.5 * b + rng.normal(size=n)
    noisy = c + rng.normal(size=n)
    told = pd.DataFrame(
        {
            "a": a,
            "b": 1e6 + b,
            "c": c * 1e-9,
            "text": np.where(noisy > 1, "hi", np.where(noisy > 0, "mid", "low")),
            "two": (b + rng.normal(size=n) > 0).astype(int),
            "count": rng.poisson(20, n),
            "ward": rng.integers(1, 5, n),
        }
    )
    told.loc[17, "text"] = "rare"
    return told


def cut(table, *marks):
    bounds = [0, *sorted(marks), len(table)]
    return [table[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
    st.integers(0, 2**32), st.lists(st.integers(0, 400), max_size=5), st.floats(-9, 9)
)
def test_moments_do_not_depend_on_the_parts(seed, marks, offset):
    rng = np.random.default_rng(seed)
    columns = rng.gamma(1.0, size=(3, 400)) * 10.0 ** rng.integers(-6, 6, (3, 1))
    columns += 10.0**offset
    merged = None
    for a, b in zip([0, *sorted(marks)], [*sorted(marks), 400], strict=True):
        if a < b:
            part = moments_of(columns[:, a:b])
            merged = part if merged is None else merge(merged, part)
    whole = moments_of(columns)
    spread = np.sqrt(whole.products.diagonal() / 400)
    # What rounding of the numbers themselves does to sums of their differences.
    digits = 1e-15 * (1 + np.abs(whole.mean) / np.maximum(spread, 1e-300)) * 400
    scale = np.outer(spread, spread) * 400
    assert (np.abs(merged.products - whole.products) <= scale * digits.max()).all()
    assert (np.abs(merged.mean - whole.mean) <= spread * digits).all()
    for name, power in (("cubes", 3), ("fourths", 4)):
        gap = np.abs(getattr(merged, name) - getattr(whole, name))
        size = 400 * np.abs((columns - whole.mean[:, None]) / spread[:, None]) ** power
        assert (gap <= spread**power * size.sum(axis=1) * digits).all()


@pytest.mark.parametrize("marks", [[1], [2999, 5], [65, 66, 1000]], ids=str)
def test_a_scan_does_not_depend_on_the_parts(table, marks):
    one = Scan([table], sample_rows=100)
    other = Scan(cut(table, *marks), sample_rows=100)
    pd.testing.assert_frame_equal(one.sample, other.sample)
    levels = [(), (), (), ("low", "hi", "mid", "rare"), (), (), ()]
    first, second = (each.whole(each.names, levels) for each in (one, other))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * np.abs(a).max())
    for name in table:
        assert one.counts(name) == other.counts(name)
        assert one.range(name) == other.range(name)
        pd.testing.assert_series_equal(one.column(name)[0], other.column(name)[0])


def test_sums_are_those_of_the_table(table):
    read = Scan(cut(table, 1000), sample_rows=100)
    levels = [()] * 3 + [("low", "hi", "mid", "rare")] + [()] * 3
    found = read.whole(read.names, levels)
    codes = {level: code for code, level in enumerate(levels[3])}
    numbers = table.assign(text=table["text"].map(codes)).to_numpy(float)
    np.testing.assert_allclose(found.mean, numbers.mean(axis=0), rtol=1e-12)
    expected = np.cov(numbers.T, ddof=0)
    spread = np.sqrt(expected.diagonal())
    gap = (found.covariance - expected) / np.outer(spread, spread)
    assert np.abs(gap).max() < 1e-12
    scores = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    moments = np.stack([(scores**k).mean(axis=0) for k in (3, 4)], axis=1)
    np.testing.assert_allclose(found.shape, moments, rtol=1e-9, atol=1e-9)


def test_rows_of_a_sample_are_drawn_alike():
    keys = np.concatenate([row_keys(np.arange(1000), seed) for seed in range(50)])
    assert len(set(keys.tolist())) == len(keys)
    drawn = np.argsort(keys.reshape(50, 1000), axis=1)[:, :100]
    counts = np.bincount(drawn.ravel() // 100)
    assert np.abs(counts - 500).max() < 100  # 4.7 standard deviations


def test_columns_are_read_as_in_the_table(table):
    kinds = {"ward": "categorical"}
    whole = frame.to_problem(table, kinds=kinds)[1]
    read = Scan(cut(table, 700, 1900), sample_rows=200, classes=["ward"])
    sampled = frame.to_problem(read.sample, kinds=kinds, scan=read)[1]
    assert sampled.kinds == whole.kinds
    assert sampled.levels == whole.levels
    assert sampled.names == whole.names
    np.testing.assert_array_equal(sampled.ranges, whole.ranges)
    np.testing.assert_allclose(sampled.means, whole.means, rtol=1e-12)
    np.testing.assert_allclose(sampled.scales, whole.scales, rtol=1e-9)
    for told, expected in zip(sampled.described, whole.described, strict=True):
        if expected["distinct"] > 1000:  # of the sample
            told, expected = told | {"distinct": 0}, expected | {"distinct": 0}
        assert told == expected


def edges_of(model):
    return model.edges_.drop(columns=["probability", "weight"])


NUMBERS = ["a", "b", "c", "two"]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (LinearDAG(noise="gaussian"), NUMBERS),
        (MixedDAG(), ["a", "c", "text", "ward"]),
    ],
    ids=["linear", "mixed"],
)
def test_answers_are_those_of_the_table(model, names, table):
    table = table[names]
    kinds = {"ward": "categorical"} if "ward" in names else None
    whole = model.fit(table, kinds=kinds)
    expected, loss = edges_of(whole), whole.info_["loss"]
    read = Scan(cut(table, 1234), sample_rows=200, classes=["ward"])
    sampled = model.fit(read, kinds=kinds)
    pd.testing.assert_frame_equal(edges_of(sampled), expected)
    assert abs(sampled.info_["loss"] - loss) < 1e-9
    assert sampled.info_["rows"] == 3000
    assert sampled.info_["sample"]["rows"] == 200
    assert "are those of all rows" in sampled.summary()


def test_files_give_the_answer_of_the_table(table, tmp_path, monkeypatch):
    table = table[NUMBERS]
    monkeypatch.setattr(scan, "SAMPLE_ROWS", 200)
    table.to_parquet(tmp_path / "t.parquet", row_group_size=700)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.tsv.gz", index=False, sep="\t")
    model = LinearDAG(noise="gaussian")
    expected = edges_of(model.fit(table))
    for name in ("t.parquet", "t.csv", "t.tsv.gz"):
        found = model.fit(str(tmp_path / name))
        pd.testing.assert_frame_equal(edges_of(found), expected)
        assert found.info_["rows"] == 3000


def test_a_small_file_is_a_table(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    model = LinearDAG(noise="gaussian")
    expected = model.fit(table, columns=NUMBERS).weights_
    found = model.fit(tmp_path / "t.csv", columns=NUMBERS)
    pd.testing.assert_frame_equal(found.weights_, expected)
    assert "sample" not in found.info_


def test_classes_that_a_scan_was_not_told_of_are_left_to_the_sample(table):
    read = Scan([table], sample_rows=100)
    problem, _ = frame.to_problem(read.sample, kinds={"ward": "categorical"}, scan=read)
    assert problem.whole is None


@pytest.mark.slow
def test_ordered_classes_are_read_as_in_the_table(table):
    size = pd.qcut(table["c"], 4, labels=["s", "m", "l", "xl"])
    table = table[["a", "two"]].assign(size=size, b=table["b"] > 1e6)
    model = MixedDAG()
    expected = edges_of(model.fit(table))
    read = Scan(cut(table, 11, 1234), sample_rows=200)
    pd.testing.assert_frame_equal(edges_of(model.fit(read)), expected)


@pytest.mark.slow
def test_gaps_are_left_to_the_sample(table):
    table = table[["a", "b", "c"]].copy()
    table.loc[5, "a"] = np.nan
    model = LinearDAG(noise="gaussian").fit(Scan(cut(table, 100), sample_rows=2000))
    assert model.info_["sample"] == {"rows": 2000, "of_all_rows": ""}
    assert "Learned from a sample of 2,000 of 3,000 rows" in model.summary()


def test_names_are_only_names(tmp_path):
    rng = np.random.default_rng(0)
    names = ["__proto__", "<b>x</b>", "a,b\n=1", "\x1b[31m"]
    table = pd.DataFrame(rng.normal(size=(300, 4)), columns=names)
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.parquet", "t.csv"):
        read = scan_file(tmp_path / name, columns=names[::-1])
        assert read.names == tuple(names[::-1])
        np.testing.assert_allclose(read.sample[names], table)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz"])
def test_a_broken_file_is_named(name, table, tmp_path):
    path = tmp_path / name
    table.to_parquet(path) if "parquet" in name else table.to_csv(path, index=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name}: cannot be read as"):
        scan_file(path)


def test_mistakes_are_named(table, tmp_path):
    mixed = pd.DataFrame({"a": ["1", "2", "x"], "b": [1, 2, 3]})
    parts = [mixed[:2].assign(a=[1.0, 2.0]), mixed[2:]]
    with pytest.raises(ValueError, match="column 'a' holds numbers up to row 2.* 'x'"):
        Scan(parts)
    with pytest.raises(ValueError, match="from row 2 on the columns are"):
        Scan([parts[0], parts[1].rename(columns={"b": "c"})])
    endless = table[["a", "c"]].copy()
    endless.loc[1500, "c"] = np.inf
    with pytest.raises(ValueError, match=r"'c' holds 1 inf \(first in row 1500\)"):
        LinearDAG().fit(Scan([endless], sample_rows=20))
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="unknown column 'nine'"):
        LinearDAG().fit(tmp_path / "t.csv", columns=["a", "nine"])
    for name, entries in (("interventions", [None]), ("sample_weight", [1.0])):
        with pytest.raises(ValueError, match=f"{name} has one entry a row"):
            LinearDAG().fit(tmp_path / "t.csv", **{name: entries})
    with pytest.raises(ValueError, match="n_bootstrap draws rows"):
        LinearDAG(n_bootstrap=5).fit(tmp_path / "t.csv")


def test_text_that_begins_as_text_stays_text(tmp_path):
    cells = ["x", "1", "2"] * 100 + ["1", "2"] * 100
    table = pd.DataFrame({"t": cells, "n": np.arange(500) % 7})
    table.to_csv(tmp_path / "t.csv", index=False)
    parts = [*files.read_parts(tmp_path / "t.csv", rows=200)]
    assert [len(part) for part in parts] == [200, 200, 100]
    assert Scan(parts).counts("t") == {"x": 100, "1": 200, "2": 200}


def test_the_command_line_reads_large_files_part_by_part(
    table, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(reading, "STREAMED_BYTES", 1000)
    monkeypatch.setattr(scan, "SAMPLE_ROWS", 200)
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    command = ["fit", str(path), "--method", "linear", "--set", "noise=gaussian"]
    command += ["--no-cache", "--json", "--drop", "text,count", "--drop", "ward"]
    assert command_line.main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"]["data"]["rows"] == 3000
    assert told["result"]["variables"] == NUMBERS
    assert told["result"]["diagnostics"]["sample"]["rows"] == 200
    assert command_line.main([*command, "--weights-column", "a"]) == 2
    assert "read part by part" in capsys.readouterr().out
    assert command_line.main([*command, "--drop", "nine"]) == 2
    assert "the table has no 'nine'" in capsys.readouterr().out


@pytest.mark.slow
def test_shapes_of_noise_are_seen_in_the_sample():
    rng = np.random.default_rng(1)
    n = 200_000
    a = rng.uniform(size=n)
    b = a + rng.uniform(size=n)
    normal = rng.normal(size=(2, n))
    c = normal[0] + normal[1]
    table = pd.DataFrame({"a": a, "b": b, "c": c, "d": normal[1]})
    for seed in range(5):
        read = Scan(cut(table, 77_777), sample_rows=20_000, seed=seed)
        model = LinearDAG().fit(read)
        held = LinearDAG().fit(read.sample)
        for told in ("nongaussian_columns", "noise"):
            assert sorted(model.info_[told]) == sorted(held.info_[told])
        assert model.cpdag_.loc["a", "b"]
        assert not model.cpdag_.loc["b", "a"]
        assert model.cpdag_.loc["c", "d"]
        assert model.cpdag_.loc["d", "c"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:columns .'ward'. hold whole numbers:UserWarning")
def test_other_methods_learn_from_the_sample(table, tmp_path):
    read = Scan(cut(table, 1234), sample_rows=1000)
    found = AmortizedDAG().fit(read)
    expected = AmortizedDAG().fit(read.sample.reset_index(drop=True))
    pd.testing.assert_frame_equal(edges_of(found), edges_of(expected))
    assert found.info_["sample"] == {"rows": 1000, "of_all_rows": ""}
    table.to_parquet(tmp_path / "t.parquet")
    assert discover(tmp_path / "t.parquet").info_["advice"]["diagnostics"]["rows"]


def test_a_long_table_is_read_by_rows_spread_along_it():
    problem = make_problem(np.arange(400.0, dtype=np.float32).reshape(200, 2))
    few = amortized.kernel._thinned(problem, 50)
    assert set(np.diff(few.x[:, 0]).tolist()) <= {6, 8, 10}  # each fourth, rounded
    assert few.weight.sum() == 50
    assert amortized.kernel._thinned(problem, 200) is problem
