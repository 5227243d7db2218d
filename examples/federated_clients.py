"""
Two hospitals and a server
==========================

Rows of patients stay in the hospital that has them. What leaves it are two files: a
description of the columns, and sums in the scale that the server made of the
descriptions. The server learns one graph, and whose mechanism differs.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from causaljax.estimators import (
    Agreement,
    ClientSummary,
    ClientSums,
    FederatedCDNOD,
    FederatedClient,
)


def patients(seed, rows, gain):
    """A table of one hospital; the response to the level is its own."""
    rng = np.random.default_rng(seed)
    dose, age = rng.normal(size=(2, rows))
    level = dose - np.sin(age) + 0.5 * rng.normal(size=rows)
    response = gain * level + rng.normal(size=rows)
    sex = rng.choice(["f", "m"], rows)
    table = {"dose": dose, "age": age, "level": level, "response": response, "sex": sex}
    return pd.DataFrame(table)


post = Path(tempfile.mkdtemp())  # what is sent
north = FederatedClient(patients(0, rows=400, gain=2.0), name="north")
south = FederatedClient(patients(1, rows=250, gain=0.5), name="south")

# %%
# Each hospital describes its columns: rows, means, variances, classes.
for client in (north, south):
    client.summarise().save(post / f"{client.name}-summary.safetensors")

# %%
# The server makes one scale for both.
server = FederatedCDNOD()
summaries = [
    ClientSummary.load(path) for path in sorted(post.glob("*-summary.safetensors"))
]
server.agree(summaries).save(post / "agreement.safetensors")

# %%
# Each hospital sends means, covariances and fourth moments in that scale.
for client in (north, south):
    agreement = Agreement.load(post / "agreement.safetensors")
    client.statistics(agreement).save(post / f"{client.name}.safetensors")
for path in sorted(post.iterdir()):
    print(f"{path.name:28s} {path.stat().st_size:6d} bytes")

# %%
# The server never sees a row. ``random_state`` is the seed of a permutation test only.
sums = [ClientSums.load(post / f"{name}.safetensors") for name in ("north", "south")]
server.fit(sums)
print(server.summary())
changing = server.changing_.index[server.changing_].tolist()
print("mechanism differs between clients:", changing)
print(server.explain("dose", "response"))
