"""
One job over 200 tables
=======================

A table a patient: one job learns a graph of each, and says which edges most patients
share. Every tenth patient has another mechanism, and one file cannot be read.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from causaljax.batch import Job, run_job, summarise

folder = Path(tempfile.mkdtemp())
for number in range(200):
    rng = np.random.default_rng(number)
    dose, age = rng.normal(size=(2, 300))
    level = dose - 0.5 * age + rng.normal(size=300)
    cause = age if number % 10 == 0 else level  # the drug does nothing to every tenth
    response = cause + rng.normal(size=300)
    table = {"dose": dose, "age": age, "level": level, "response": response}
    pd.DataFrame(table).to_csv(folder / f"patient-{number:03d}.csv", index=False)
(folder / "patient-077.csv").write_text("dose,age\n1,2,3\n")

# %%
# `causaljax batch "patient-*.csv" --method linear --set noise=gaussian --out graphs`
# does the same from a shell, and in several processes with `--process 0/4` and so on.
job = Job(
    inputs=["patient-*.csv"],
    method="linear",
    settings={"noise": "gaussian"},
    output="graphs",
    folder=folder,
)
run_job(job, tell=print)
found = summarise(job.output_folder)
print(found.failures["task"].item(), "failed:", found.failures["error"].item())

# %%
# The share of patients whose graph joins a pair.
pairs = found.edges.assign(
    pair=[" - ".join(sorted(pair)) for pair in found.edges[["source", "target"]].values]
)
print((pairs.groupby("pair").size() / 199).round(2).sort_values(ascending=False))

# %%
# Those whose response does not come from the level of the drug.
reached = set(pairs.loc[pairs["pair"] == "level - response", "input"])
others = sorted(set(found.fits.loc[found.fits["fits"] > 0, "input"]) - reached)
print(len(others), "patients without the edge:", *others[:5])
