"""
From a DataFrame to a graph
===========================

Protein signalling in human T cells: a first graph, its distance to the consensus graph,
and a graph that obeys what is known.
"""

import numpy as np

from causaljax import Knowledge, LinearDAG, load_sachs
from causaljax.reports.evaluation import compare_graphs

sachs = load_sachs()
table = np.log(sachs.observational)  # 853 cells, 11 proteins

model = LinearDAG().fit(table)
print(model.graph_)
print(compare_graphs(sachs.truth, model.adjacency_))

# What is known beforehand is obeyed exactly.
known = Knowledge(required=[("PKA", "Akt")], forbidden=[("P38", "PKC")])
model.fit(table, knowledge=known)
print(sorted(model.graph_.edges))
