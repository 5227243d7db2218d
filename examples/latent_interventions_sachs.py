"""
Experiments without labels
==========================

The protein data come from several experiments. `LatentInterventionDAG` finds them
without their labels, and then with the labels of every tenth cell.
"""

import sys
import warnings

import numpy as np
import pandas as pd

from causaljax import LatentInterventionDAG, load_sachs
from causaljax.reports.evaluation import compare_graphs

sachs = load_sachs()
# All 7466 cells take minutes; every 20th shows how it goes. `all` for the whole table.
every = 1 if "all" in sys.argv[1:] else 20
table = np.log(sachs.data)[::every]
condition = sachs.condition[::every]  # what is hidden; 1 was left alone


def learn(regimes=None):
    """Fits, and prints what was found beside what was done."""
    model = LatentInterventionDAG(
        mechanism="linear", intervention="imperfect", max_regimes=12
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody says which regime was left alone
        model.fit(table, regimes=regimes)
    print(pd.crosstab(condition, model.regimes_.rename("regime")))
    for regime, targets in model.intervention_targets_.iterrows():
        print(regime, "disturbs", ", ".join(targets.index[targets > 0.5]) or "nothing")
    print("edges:", *sorted(f"{u}->{v}" for u, v in model.graph_.edges))
    print("beside the consensus:", compare_graphs(sachs.truth, model.adjacency_))


print("Nothing known")
learn()

print("\nOf every tenth cell the condition is known")
known = np.arange(len(table)) % 10 == 0
learn(condition.where(known))
