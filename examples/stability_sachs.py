"""
Stability selection by 500 bootstraps
=====================================

A batch job fits the protein data and 500 bootstraps of them. Edges that most of the
bootstraps find are drawn. Stopped and started again, a job of the same folder goes on.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from causaljax import load_sachs, plot
from causaljax.batch import Job, run_job, summarise

sachs = load_sachs()
folder = Path(tempfile.mkdtemp())
sachs.observational.map(np.log).to_csv(folder / "sachs.csv", index=False)

job = Job(
    inputs=["sachs.csv"],
    method="linear",
    settings={"noise": "gaussian"},
    bootstraps=500,
    output="results",
    folder=folder,
)
report = run_job(job, tell=print)
found = summarise(job.output_folder, threshold=0.9)

# %%
# Of the pairs that at least 90 % of the bootstraps join, a false one is rare if false
# pairs are alike. The number is a guide: its theorem is about halves of the rows, for
# which a job has ``subsamples`` in place of ``bootstraps``.
stable = found.edges[found.edges["stable"]]
shown = ["source", "target", "adjacent", "forward", "backward", "open"]
print(stable[shown].round(2).to_string(index=False))
bound = found.fits["false_bound"].item()
print(f"{len(stable)} stable pairs, about {bound:.1f} of them false at most")

# %%
# Width is the share of bootstraps that claim the direction, or that leave it open.
sure = stable["forward"] > 0.5
edges = stable.assign(
    mark=np.where(sure, "-->", "---"),
    probability=np.where(sure, stable["forward"], 0.5),
    stability=stable["adjacent"],
    meaning="share of bootstraps",
    weight=np.nan,
    effect_size=np.nan,
    why="",
)
_, axes = plt.subplots(figsize=(9, 6), layout="constrained")
plot.graph(edges, ax=axes)

# %%
# How often each pair is joined, and which of the pairs the consensus graph joins.
_, axes = plt.subplots(figsize=(6, 8), layout="constrained")
names = [f"{row.source} - {row.target}" for row in found.edges.itertuples()]
truth = sachs.truth | sachs.truth.T
ends = zip(found.edges["source"], found.edges["target"], strict=True)
known = [bool(truth.at[source, target]) for source, target in ends]
colors = np.where(known, "#0072b2", "#bbbbbb")
axes.barh(names[::-1], found.edges["adjacent"][::-1], color=colors[::-1])
axes.axvline(0.9, color="black", linewidth=1)
axes.set(xlabel="share of 500 bootstraps (blue: in the consensus graph)")
axes.tick_params(labelsize=7)
