"""The equivalence class of a DAG from tests of independence."""

from causaljax.estimators.constraint_base import BaseConstraintGraph
from causaljax.kernels.constraint import pc


class PC(BaseConstraintGraph):
    """The equivalence class of a causal graph, by tests of independence (PC).

    Two columns are joined unless a set of their neighbours makes them independent.
    Edges are then directed by unshielded colliders, a -> b <- c where a and c are
    independent without b, and by what follows (``causaljax.kernels.constraint.pc``).
    The answer does not depend on the order of the columns. It assumes that no common
    cause is missing from the table; ``FCI`` does not.

    Args:
      test: of independence. "fisher_z" tests partial correlations, "g_squared" and
        "chi_squared" tables of counts, "degenerate_gaussian" numbers beside indicators
        of classes; "regression" likewise, by logistic regressions of classes, and takes
        a thousand times as long; "kci" any relation of numbers in some hundreds of
        rows, "rcit" and "rcot" in long tables. "auto" is "fisher_z" for tables of numbers, "g_squared"
        for tables of classes and "degenerate_gaussian" for tables of both.
      alpha: the level: a set separates two columns if the p-value is at least this; .05
        if None. No correction is made for the number of tests.
      collider_rule: which sets say that an unshielded triple is a collider: the one
        that separated its ends ("separator"), more than half of all that do
        ("majority"), or all of them ("conservative"); "majority" if None.
      most_conditions: the largest number of columns in a set; no bound if None.
      n_bootstrap: refits on resampled rows from which ``edge_probabilities_`` are
        counted, and of which the shown graph is the majority; 0 for none.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Attributes:
      marks_: DataFrame ``[d, d]`` of end marks, of row i and column j the mark at j: 0
        no edge, 1 a tail, 2 an arrow (``causaljax.graphs.marks``). An edge of two tails
        is undirected. Where the tests contradict each other it need not be a class of
        DAGs.
      adjacency_: DataFrame ``[d, d]`` of 0 and 1, one DAG of those that ``marks_``
        stands for.
      p_values_: DataFrame ``[d, d]``, the largest p-value of all tests of a pair; NaN
        where none was made.
      sepsets_: dict of the sets that separate pairs of columns; ``separators`` returns
        them with their p-values.

    A gap does not count in the tests that need the cell, but for the tests that read
    whole rows ("degenerate_gaussian", "kci", "rcit", "rcot"), for which gaps are
    filled. Rows in which a cell was set from outside are left out.

    Sources: as in the kernel.

    Example:
      >>> import numpy as np
      >>> from causaljax import PC
      >>> rng = np.random.default_rng(0)
      >>> a, b = rng.normal(size=(2, 500))
      >>> table = np.stack([a, b, a + b + rng.normal(size=500)], axis=1)
      >>> PC().fit(table).cpdag_.to_numpy().tolist()
      [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    """

    def __init__(
        self,
        *,
        test="auto",
        alpha=None,
        collider_rule=None,
        most_conditions=None,
        n_bootstrap=0,
        progress=None,
        random_state=0,
    ):
        self.test = test
        self.alpha = alpha
        self.collider_rule = collider_rule
        self.most_conditions = most_conditions
        self.n_bootstrap = n_bootstrap
        self.progress = progress
        self.random_state = random_state

    def _config(self):
        options = self._set_options("alpha", "collider_rule", "most_conditions")
        return pc.Config(**options)

    def _search(self, test, problem, chosen):
        return pc.search(
            test,
            problem.x.shape[1],
            self._config(),
            problem.allowed,
            problem.required,
            chosen.batches,
        )
