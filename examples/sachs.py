"""
From a DataFrame to a graph
===========================

Protein signalling in human T cells: a first graph, its distance to the consensus graph,
and a graph that obeys what is known.
"""

import matplotlib.pyplot as plt
import numpy as np

from causaljax import Knowledge, LinearDAG, load_sachs, plot
from causaljax.reports.evaluation import compare_graphs

sachs = load_sachs()
table = np.log(sachs.observational)  # 853 cells, 11 proteins

model = LinearDAG().fit(table)
print(model.graph_)
print(compare_graphs(sachs.truth, model.adjacency_))

# %%
# Width tells the probability of an edge, and the mark tells its direction.
_, axes = plt.subplots(figsize=(9, 6), layout="constrained")
plot.graph(model, ax=axes)

# %%
# The graph beside the consensus graph of the biologists.
_, axes = plt.subplots(figsize=(9, 8), layout="constrained")
plot.comparison(sachs.truth, model, labels=("consensus", "LinearDAG"), ax=axes)

# %%
# The cells of one edge, with the line that was fitted.
edge = model.edges_.iloc[0]
_, axes = plt.subplots(layout="constrained")
plot.edge(model, edge["source"], edge["target"], table, ax=axes)

# %%
# What is known beforehand is obeyed exactly.
known = Knowledge(required=[("PKA", "Akt")], forbidden=[("P38", "PKC")])
model.fit(table, knowledge=known)
print(sorted(model.graph_.edges))
