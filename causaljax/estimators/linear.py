"""Linear structural equations by a search over orders."""

import math

from causaljax.estimators.cost import Cost
from causaljax.estimators.linear_base import BaseLinearDAG
from causaljax.kernels import order_search


class LinearDAG(BaseLinearDAG):
    """A linear causal graph, x_j = sum_i w_ij x_i + e_j.

    Searches over orders of the variables for the graph of the best penalised
    likelihood (``causaljax.kernels.order_search``).

    Args:
      noise: "gaussian" identifies an equivalence class, see ``cpdag_``.
        "nongaussian" identifies the graph if relations are linear, noise independent
        and no cause hidden; it claims all directions and tests nothing. "auto" begins
        with Gaussian noise and goes on to non-Gaussian for the columns where that
        earns more likelihood than the BIC of two parameters and a test finds their
        equations linear with independent noise. It claims a direction edge by edge,
        see below.
      bic_weight: nats an edge costs, in units of the BIC's log(n)/2; 2 if None.
      prior: probabilities of edges beforehand: a DataFrame or array ``[d, d]``, causes
        as rows, or a function of a cause and an effect. Their log-odds, in nats, join
        the score of the graph; .5 changes nothing, 0 rules an edge out. A direction
        that only the prior tells is open in ``cpdag_``. See
        ``causaljax.tables.priors``.
      perturb: how many variables a step moves at random; 8 if None.
      num_steps: length of the search; 30 if None.
      n_bootstrap: refits on resampled rows from which ``edge_probabilities_`` are
        counted; 0 for none.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    With "auto" an edge has a direction in ``cpdag_`` if the equivalence class compels
    it or non-Gaussian noise tells it, and no test at its two columns fails: residuals
    of effects against functions of their causes, at a level of .01 for all edges
    together. Non-Gaussian noise tells it if both columns are numbers of 20 values and
    more, the noise of each earns more than log(n d) nats by its negentropy, and the
    reversed edge loses more than log(n) nats. ``info_["directions"]`` has each edge
    with its verdict, the reason, the p-value (times the number of edges) and the nats.
    Since doubted colliders are open, ``cpdag_`` may then stand for no class of DAGs.

    ``edge_probabilities_`` are no probabilities without ``n_bootstrap``: 1 for an edge
    of the graph found, 1/2 each way where its direction is open
    (``info_["edge_probabilities"]`` is "share of class members"). With it they are
    shares of the refits, whose noise is chosen once, from all rows.

    Sources: as in the kernel.

    Example:
      >>> import numpy as np
      >>> from causaljax import LinearDAG
      >>> rng = np.random.default_rng(0)
      >>> cause = rng.uniform(size=500)
      >>> table = np.stack([cause, cause + rng.uniform(size=500)], axis=1)
      >>> model = LinearDAG().fit(table)
      >>> model.adjacency_.to_numpy().tolist(), model.info_["noise"]
      ([[0, 1], [0, 0]], 'nongaussian')
    """

    def __init__(
        self,
        *,
        noise="auto",
        bic_weight=None,
        prior=None,
        perturb=None,
        num_steps=None,
        n_bootstrap=0,
        progress=None,
        random_state=0,
    ):
        self.noise = noise
        self.bic_weight = bic_weight
        self.prior = prior
        self.perturb = perturb
        self.num_steps = num_steps
        self.n_bootstrap = n_bootstrap
        self.progress = progress
        self.random_state = random_state

    def _configure(self, interventional):
        options = self._set_options("bic_weight", "perturb", "num_steps")
        config = order_search.Config(
            noise=self.noise, interventional=interventional, **options
        )
        return order_search.KERNEL, config

    def _cost(self, rows, columns):
        # scripts/bench_scale.py large: d tableaux of d^2 and what goes with them.
        memory = 8 * (1.2 * columns**3 + 6 * rows * columns) / 2**30
        seconds = 2.7 * (columns / 100) ** 2.5  # of Gaussian noise
        if self.noise in ("auto", "nongaussian"):
            seconds += 4 * (columns / 100) ** 2 * rows / 1000
        return Cost(seconds, memory)

    def _edge_price(self, info, found, effect):
        assumed = [effect] if info["noise"] == "nongaussian" else []
        if effect in info.get("nongaussian_columns", assumed):
            return None
        candidates = math.log(max(self.n_features_in_ / found.rows, 1))
        return info["config"]["bic_weight"] * (math.log(found.rows) / 2 + candidates)
