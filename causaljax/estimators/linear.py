"""Linear structural equations."""

from causaljax.estimators.base import BaseGraphEstimator
from causaljax.kernels import dagma


class LinearDAG(BaseGraphEstimator):
    """A linear causal graph by differentiable scoring (NOTEARS, GOLEM, DAGMA).

    Minimises a linear Gaussian score plus a sparsity term under an acyclicity
    penalty; see ``causaljax.kernels.dagma``.

    Args:
      noise: "gaussian", noise variances are free and columns are standardised, so
        that units do not matter; the data then identify no more than an
        equivalence class, of which one member is returned. "equal_variance", all
        noise has one variance in the columns as given; where that holds the graph
        is identified, where it does not the result follows the units.
      acyclicity: "logdet" (DAGMA), "expm" (NOTEARS) or "spectral".
      sparsity: weight of the summed absolute coefficients, at least 0.
      threshold: edges of smaller absolute coefficient are dropped; in standard
        deviations, or for equal variances in the units of the columns.
      learning_rate: size of the first steps, above 0.
      num_steps: how many steps the descent takes.
      progress: show a progress bar.
      random_state: seed; this method draws no random numbers.

    Source: Bello, Aragam and Ravikumar 2022 (DAGMA).

    Example:
      >>> import numpy as np
      >>> from causaljax import LinearDAG
      >>> cause = np.random.default_rng(0).normal(size=500)
      >>> effect = 2 * cause + np.random.default_rng(1).normal(size=500)
      >>> model = LinearDAG(noise="equal_variance", num_steps=2000)
      >>> model.fit(np.stack([cause, effect], axis=1)).adjacency_.to_numpy().tolist()
      [[0, 1], [0, 0]]
    """

    def __init__(
        self,
        *,
        noise="gaussian",
        acyclicity="logdet",
        sparsity=0.06,
        threshold=0.3,
        learning_rate=0.01,
        num_steps=13_000,
        progress=False,
        random_state=0,
    ):
        self.noise = noise
        self.acyclicity = acyclicity
        self.sparsity = sparsity
        self.threshold = threshold
        self.learning_rate = learning_rate
        self.num_steps = num_steps
        self.progress = progress
        self.random_state = random_state

    def _standardises(self):
        return self.noise != "equal_variance"

    def _configure(self, problem):
        config = dagma.Config(
            noise=self.noise,
            acyclicity=self.acyclicity,
            sparsity=self.sparsity,
            threshold=self.threshold,
            learning_rate=self.learning_rate,
            num_steps=self.num_steps,
            interventional=bool(problem.intervened.any()),
        )
        dagma.check_config(config)
        return dagma.KERNEL, config
