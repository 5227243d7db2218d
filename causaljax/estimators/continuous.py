"""Linear structural equations by continuous optimisation."""

from causaljax.estimators.linear_base import BaseLinearDAG
from causaljax.kernels import continuous

_OPTIONS = (
    "acyclicity",
    "l1",
    "concavity",
    "start_scale",
    "threshold",
    "learning_rate",
    "num_steps",
)


class ContinuousDAG(BaseLinearDAG):
    """A linear causal graph by descent under an acyclicity penalty.

    The family of NOTEARS, GOLEM and DAGMA (``causaljax.kernels.continuous``). On
    standardised columns ``LinearDAG`` finds better graphs in less time; this one is
    for columns of one known noise variance, for comparison, and for pipelines that
    differentiate through the fit.

    Args:
      noise: "equal_variance" identifies the graph if all noise has one variance in the
        columns as given, and follows their units if not. "gaussian" identifies an
        equivalence class, see ``cpdag_``.
      acyclicity: "logdet" (DAGMA), "expm" (NOTEARS) or "spectral"; "logdet" if None.
      l1: weight of the summed absolute coefficients; 0.06 if None.
      concavity: 0, or None, prices absolute coefficients; above 0 the price grows
        ever slower and is level from l1 / concavity on (minimax concave).
      start_scale: standard deviation of the coefficients that the descent starts
        from; 0 if None.
      n_starts: how many starts, of which the best is kept; more than one need a
        ``start_scale`` above 0.
      threshold: edges of smaller absolute coefficient are dropped, in standard
        deviations or for equal variances in the units of the columns; 0.3 if None.
      learning_rate: size of the first steps; 0.01 if None.
      num_steps: length of the descent; 10,000 if None.
      n_bootstrap: refits on resampled rows from which ``edge_probabilities_`` are
        counted; 0 for none.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Sources: as in the kernel.
    """

    def __init__(
        self,
        *,
        noise="equal_variance",
        acyclicity=None,
        l1=None,
        concavity=None,
        start_scale=None,
        n_starts=1,
        threshold=None,
        learning_rate=None,
        num_steps=None,
        n_bootstrap=0,
        progress=None,
        random_state=0,
    ):
        self.noise = noise
        self.acyclicity = acyclicity
        self.l1 = l1
        self.concavity = concavity
        self.start_scale = start_scale
        self.n_starts = n_starts
        self.threshold = threshold
        self.learning_rate = learning_rate
        self.num_steps = num_steps
        self.n_bootstrap = n_bootstrap
        self.progress = progress
        self.random_state = random_state

    def _standardises(self):
        return self.noise != "equal_variance"

    def _configure(self, interventional):
        self._check_starts()
        if self.n_starts > 1 and not self.start_scale:
            raise ValueError(
                f"n_starts={self.n_starts} needs a start_scale above 0: without it all "
                "starts are one"
            )
        if self.n_starts > 1 and self.n_bootstrap:
            raise ValueError(
                f"n_bootstrap={self.n_bootstrap} refits from one start: leave "
                f"n_starts={self.n_starts} out"
            )
        config = continuous.Config(
            noise=self.noise,
            interventional=interventional,
            **self._set_options(*_OPTIONS),
        )
        return continuous.KERNEL, config
