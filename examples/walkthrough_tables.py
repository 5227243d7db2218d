"""Writes the tables of docs/walkthroughs.md into a folder: from files to graphs.

    python examples/walkthrough_tables.py FOLDER

``nhefs.csv.gz`` is real (``examples/data/nhefs.md``). The others are simulated: genes
that regulate each other, batches of which each disturbed something, and a survey.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

NHEFS = Path(__file__).parent / "data" / "nhefs.csv.gz"


def genes(rng: np.random.Generator) -> pd.DataFrame:
    """100 genes in 400 samples: 8 regulators, each of some ten others."""
    x = rng.normal(size=(400, 100))
    for target in range(8, 100):
        for regulator in rng.choice(8, rng.integers(1, 3), replace=False):
            x[:, target] += (
                rng.choice([-1, 1]) * rng.uniform(0.6, 1.2) * x[:, regulator]
            )
    return pd.DataFrame(x, columns=[f"gene{k:03d}" for k in range(100)]).round(4)


def batches(rng: np.random.Generator) -> pd.DataFrame:
    """Four columns in three batches; batch B set ``heat``, batch C set ``yield``."""
    n = 900
    batch = np.repeat(["A", "B", "C"], n // 3)
    feed = rng.normal(size=n)
    heat = np.where(
        batch == "B", rng.normal(3, 0.3, n), feed + 0.5 * rng.normal(size=n)
    )
    speed = rng.normal(size=n)
    made = heat - speed + 0.5 * rng.normal(size=n)
    made = np.where(batch == "C", rng.normal(4, 0.3, n), made)
    table = pd.DataFrame({"feed": feed, "heat": heat, "speed": speed, "yield": made})
    return table.round(4).assign(batch=batch)


def survey(rng: np.random.Generator) -> pd.DataFrame:
    """School, training and wage, with a region in words and gaps."""
    n = 1000
    region = rng.choice(["north", "south", "east"], n, p=[0.5, 0.3, 0.2])
    school = rng.normal(size=n) + 0.8 * (region == "south")
    training = school + rng.normal(size=n)
    wage = np.exp(0.4 * training + 0.3 * school + 0.3 * rng.normal(size=n))
    table = pd.DataFrame(
        {"region": region, "school": school, "training": training, "log_wage": wage}
    )
    table["log_wage"] = np.log(table["log_wage"])
    table = table.round(3)
    table.loc[rng.random(n) < 0.1, "training"] = np.nan
    return table


def write(folder: Path) -> None:
    """Writes all four."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(NHEFS, folder)
    for make in (genes, batches, survey):
        table = make(np.random.default_rng(0))
        table.to_csv(folder / f"{make.__name__}.csv", index=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    write(Path(sys.argv[1]))
