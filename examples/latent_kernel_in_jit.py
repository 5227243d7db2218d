"""
Hidden regimes inside jit
=========================

The kernel of `LatentInterventionDAG` in a function of yours, for three tables. One
`jax.jit` compiles all rounds of the search. That takes some minutes, because nobody
knows beforehand which parts a table will need. The linear search for candidate edges
works in float64, so the function is traced under `jax.enable_x64(True)`; the rest stays
in float32.
"""

import warnings

import jax
import numpy as np

from causaljax import LatentInterventionDAG, make_problem
from causaljax.core import run
from causaljax.kernels import latent_interventions
from causaljax.kernels.latent_interventions import mixture
from causaljax.kernels.neural.candidates import shipped_candidates

REGIMES = 4


def table(seed, num_rows=768):
    """Rows of a -> b -> c; in a quarter of them each b or c was set, unrecorded."""
    rng = np.random.default_rng(seed)
    a, b, c, value = rng.normal(size=(4, num_rows))
    regime = np.arange(num_rows) % 4
    b = np.where(regime == 1, 3 + 0.3 * value, np.sin(2 * a) + a + 0.3 * b)
    c = np.where(regime == 2, -4 + 0.3 * value, b**2 / 3 + 0.3 * c)
    x = np.stack([a, b, c], axis=1)
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")


config = latent_interventions.Config(
    candidates=shipped_candidates(interventional=True),
    mixture=mixture.Config(
        mechanism="network", max_regimes=REGIMES, num_rows=2048, num_iterations=12
    ),
    cell_price=latent_interventions.CELL_PRICES["network"],
)


@jax.jit
def graph_of(x):
    """The graph ``[d, d]`` and the regime of each row ``[n]``."""
    posterior, _ = run.run(
        latent_interventions.KERNEL, jax.random.key(0), make_problem(x), config
    )
    return posterior.graphs[0], posterior.extra["responsibilities"].argmax(axis=1)


warnings.simplefilter(
    "ignore", UserWarning
)  # nobody says which regime is the reference
for seed in range(3):
    x = table(seed)
    with jax.enable_x64(True):
        graph, regimes = graph_of(x)
    model = LatentInterventionDAG(max_regimes=REGIMES).fit(x)
    same = (np.asarray(graph) == model.adjacency_.to_numpy()).all()
    print(f"table {seed}: as LatentInterventionDAG finds it: {same}")
    print(np.asarray(graph).astype(int).tolist())
