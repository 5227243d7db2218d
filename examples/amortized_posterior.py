"""
A posterior over graphs
=======================

`AmortizedDAG` returns probabilities of edges in one forward pass. `sample_graphs` draws
whole graphs, and a required edge changes the probabilities of the others.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from causaljax import AmortizedDAG, Knowledge, plot, simulate

graph_key, table_key = jax.random.split(jax.random.key(4))
truth = np.asarray(simulate.erdos_renyi(graph_key, 6, 1))
problem, _ = simulate.simulate(table_key, truth, 500, mechanism="network")
table = pd.DataFrame(np.asarray(problem.x), columns=list("abcdef"))

model = AmortizedDAG().fit(table)
print("P(row causes column):")
print(model.edge_probabilities_.round(2))
print("edges found:", sorted(model.graph_.edges))
print("true edges: ", [("abcdef"[i], "abcdef"[j]) for i, j in np.argwhere(truth)])

# %%
_, axes = plt.subplots(layout="constrained")
plot.edge_probabilities(model, ax=axes)

# %%
# Samples are whole graphs, so they say which edges go together.
graphs = model.sample_graphs(200)
distinct, counts = np.unique(graphs.reshape(200, -1), axis=0, return_counts=True)
print(f"{len(distinct)} different graphs in 200 samples, the likeliest {max(counts)} x")

# %%
# A required edge holds exactly and moves the probabilities of the others.
cause, effect = map(int, np.argwhere(truth)[0])
known = Knowledge(required=[("abcdef"[cause], "abcdef"[effect])])
informed = AmortizedDAG().fit(table, knowledge=known)
change = (informed.edge_probabilities_ - model.edge_probabilities_).abs()
most = change.max().max()
print(f"knowing one edge moves the other probabilities by up to {most:.2f}")
