"""
A cause that nobody measured
============================

Sales of ice cream and of sun cream rise on hot days. A table without the temperature
joins the two, and a method that takes all causes to be there has to call one of them a
cause of the other, or leave it open. ``FCI`` says that neither is: advertising moves
one and not the other, and so does a festival the other one.
"""

import numpy as np
import pandas as pd

import causaljax

rng = np.random.default_rng(0)
days = 1000
heat, festival, advertising = rng.normal(size=(3, days))
ice_cream = heat + festival + rng.normal(size=days)
sun_cream = heat + advertising + rng.normal(size=days)
table = pd.DataFrame(
    {
        "festival": festival,
        "ice cream": ice_cream,
        "sun cream": sun_cream,
        "advertising": advertising,
        "waste": ice_cream + rng.normal(size=days),
    }
)

# %%
# PC takes the temperature to be in the table.

print("PC", causaljax.PC().fit(table).edges_[["source", "mark", "target"]], sep="\n")

# %%
# FCI finds that a cause is missing. The edge from ice cream to waste is visible: no
# missing cause of these two would fit the independences.

model = causaljax.FCI().fit(table)
print("FCI", model.edges_[["source", "mark", "target"]], sep="\n")
print(model.explain("ice cream", "sun cream"))
names = [str(name) for name in table]
seen = np.argwhere(model.visible_.to_numpy() == 1).tolist()
print("visible:", [(names[i], names[j]) for i, j in seen])

# %%
# So the effect of ice cream on waste is identified, and that on sun cream is none.

print(model.effect("ice cream", "waste", table))
print(model.effect("ice cream", "sun cream", table))
