"""Fits tables that nobody planned; each must end in a result or in one line.

    python scripts/fuzz_tables.py --tables 2000 --seed 0

A table is drawn with columns of any type, gaps, names with quotes, brackets, newlines
and markup, repeated rows, huge and tiny scales. It goes to an estimator and, as a CSV
file, to the command line. Reported are tracebacks, errors of more than one line, names
that come back altered, and fits of over a minute. Numbers of columns are few, so that
programs are few.
"""

import argparse
import collections
import contextlib
import csv
import functools
import io
import pathlib
import tempfile
import time
import traceback
import warnings

import numpy as np
import pandas as pd

import causaljax
from causaljax.cli import command_line

COLUMNS = (1, 2, 3, 5)
ROWS = (1, 2, 3, 8, 30, 100)
NAMES = [
    *("a", "b c", 'q"uote', "it's", "[red]x[/red]", "[/]", "line\nbreak", "cr\rx"),
    *("tab\t", "a,b", "a;b", " a", "1", "2.5", "NA", "None", "nan", "", "x" * 300),
    *("名前", "é", "\x1b[31m", "\u202e", "{0}", "%s", "from", "to", "row", "regime"),
    *("\\", ":smile:", "a=b", "#", "Unnamed: 0", "id", "b->c", "<b>", "*"),
]


def draw_names(rng: np.random.Generator, d: int) -> list[str]:
    """Names of columns, now and then one twice."""
    names = [NAMES[k] for k in rng.choice(len(NAMES), d, replace=False)]
    if d > 1 and rng.random() < 0.03:
        names[1] = names[0]
    return names


def draw_column(rng: np.random.Generator, n: int, cause: np.ndarray):
    """A column of one of many kinds, some of them with gaps."""
    normal = rng.normal(size=n) + rng.choice([0, 1]) * cause
    words = np.array(["low", "mid", "high", "", "NA", "[b]", "x\ny", "é"])
    mixed = [1, 2.5, "a", None, True]
    makers = {
        "number": lambda: normal,
        "scale": lambda: normal * 10.0 ** rng.integers(-300, 300),
        "offset": lambda: normal + 10.0 ** rng.integers(0, 18),
        "heavy": lambda: rng.standard_cauchy(n),
        "whole": lambda: np.round(5 * normal).astype(int),
        "count": lambda: rng.poisson(20, n),
        "few": lambda: rng.integers(0, 4, n),
        "binary": lambda: normal > 0,
        "constant": lambda: np.full(n, rng.choice([0.0, 1e300, -3.5])),
        "classes": lambda: pd.Categorical(rng.choice(words, n)),
        "ordered": lambda: pd.Categorical(
            rng.choice(words[:3], n), categories=list(words[:3]), ordered=True
        ),
        "text": lambda: rng.choice(words, n),
        "free": lambda: [f"word {k}" for k in rng.integers(0, 10 * n, n)],
        "id": lambda: np.arange(n),
        "date": lambda: pd.date_range("2026-01-01", periods=n),
        "nullable": lambda: pd.array(rng.integers(0, 30, n), dtype="Int64"),
        "mixed": lambda: pd.Series(
            [mixed[k] for k in rng.integers(0, len(mixed), n)], dtype=object
        ),
        "numeric text": lambda: [f"{value:.2f}" for value in normal],
        "comma": lambda: [f"{value:.2f}".replace(".", ",") for value in normal],
        "infinite": lambda: np.where(rng.random(n) < 0.1, np.inf, normal),
        "coded": lambda: np.where(rng.random(n) < 0.1, -99, normal),
        "empty": lambda: np.full(n, np.nan),
    }
    chance = np.ones(len(makers))
    chance[list(makers).index("number")] = 40
    kind = rng.choice(list(makers), p=chance / chance.sum())
    series = pd.Series(makers[kind]())
    if rng.random() < 0.1 and kind not in ("whole", "few", "id", "count", "binary"):
        series = series.mask(rng.random(n) < rng.choice([0.1, 0.6]))
    return series


def draw_table(rng: np.random.Generator) -> pd.DataFrame:
    """A table of few rows and columns."""
    d, n = rng.choice(COLUMNS, p=[0.05, 0.3, 0.35, 0.3]), int(rng.choice(ROWS))
    cause = rng.normal(size=n)
    series = [draw_column(rng, n, cause) for _ in range(d)]
    if d > 1 and rng.random() < 0.1:
        series[1] = series[0]
    table = pd.concat(series, axis=1)
    table.columns = draw_names(rng, d)
    if n > 2 and rng.random() < 0.1:
        table = table.iloc[rng.integers(0, 3, n)].reset_index(drop=True)
    return table


def check_estimator(model, table: pd.DataFrame) -> str:
    """How a fit ends; what is not as it should be begins with a '!'."""
    try:
        model.fit(table)
    except ValueError as error:
        text = str(error)
        return "refused" if "\n" not in text.strip() else f"! two lines: {text}"
    except Exception:
        return f"! {traceback.format_exc()}"
    names = [row["name"] for row in model.info_["columns"] if row["kind"] != "left out"]
    if list(model.adjacency_) != names or not {*names} <= {*map(str, table.columns)}:
        return f"! names came back as {list(model.adjacency_)}"
    if not np.isfinite(model.edge_probabilities_.to_numpy()).all():
        return "! probabilities are not finite"
    return "fitted"


def check_command_line(method: str, folder: pathlib.Path, table: pd.DataFrame) -> str:
    """Likewise of the command line, over a CSV file."""
    path, out = folder / "table.csv", folder / "out"
    table.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    said, printed = io.StringIO(), io.StringIO()
    command = ["fit", str(path), "--method", method, "--out", str(out)]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            code = command_line.main([*command, "--no-cache"])
    except BaseException:
        return f"! {traceback.format_exc()}"
    lines = said.getvalue().splitlines()
    if code == 2:
        fits = len(lines) == 1 and lines[0].startswith("causaljax: error: ")
        return "refused" if fits else f"! {lines}"
    if code or not all(line.startswith("causaljax: warning: ") for line in lines):
        return f"! ended with {code} and {lines}"
    if not all(line.isprintable() for line in printed.getvalue().splitlines()):
        return "! something unprintable was printed"
    names = list(causaljax.read_result(out / "adjacency.csv"))
    for name in out.iterdir():
        name.unlink()
    if not {*names} <= {*map(str, table.columns)}:
        return f"! names came back as {names}"
    return "fitted"


def main() -> None:
    """Draws, fits and counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=["linear", "amortized"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    counts, slowest = collections.Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.tables):
            rng = np.random.default_rng([options.seed, number])
            table = draw_table(rng)
            method = options.methods[number % len(options.methods)]
            model = getattr(causaljax, command_line.METHODS[method])()
            doors = {
                "estimator": functools.partial(check_estimator, model),
                "command": functools.partial(
                    check_command_line, method, pathlib.Path(folder)
                ),
            }
            for door, fit in doors.items():
                start = time.perf_counter()
                end = fit(table)
                took = time.perf_counter() - start
                slowest = max(slowest, took)
                if took > 60:
                    end = f"! took {took:.0f} s"
                if end.startswith("!"):
                    print(f"table {number}, {door}, {method}: {end}", flush=True)
                counts[door, method, end.split()[0]] += 1
    for (door, method, end), count in sorted(counts.items()):
        print(f"{door:9} {method:9} {end:8} {count}")
    print(f"slowest {slowest:.1f} s")


if __name__ == "__main__":
    main()
