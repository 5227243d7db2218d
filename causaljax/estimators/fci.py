"""What hidden causes and selection leave of a causal graph, from tests."""

import numpy as np

from causaljax.estimators.constraint_base import BaseConstraintGraph
from causaljax.graphs import pag
from causaljax.graphs.marks import Mark
from causaljax.kernels.constraint import fci


class FCI(BaseConstraintGraph):
    """What can be said of causes if some may be missing from the table (FCI).

    The answer is a partial ancestral graph: of each edge it says at either end whether
    that column is a cause of the other one (a tail), is none (an arrow), or may be
    either (a circle). An edge ``<->`` says that neither is a cause of the other and
    that a cause of both is missing from the table
    (``causaljax.kernels.constraint.fci``).

    Args:
      test: as of ``PC``.
      alpha: as of ``PC``.
      collider_rule: as of ``PC``.
      most_conditions: as of ``PC``.
      far_sets: whether sets of columns that are no neighbours are tried, too. Without
        them the search is fast, and some edges may stay that are none (as in RFCI).
      most_far_conditions: the largest number of columns in such a set; 4 if None.
      selection: whether the rows may have been selected by what the columns cause, as
        patients of a hospital are. Edges ``---`` and ``--o`` then tell of selection.
      n_bootstrap: refits on resampled rows. The shown graph has a tail or an arrow
        where more than half of the refits have it, else a circle; 0 for none.
      progress: as of ``PC``.
      random_state: as of ``PC``.

    Attributes:
      marks_: DataFrame ``[d, d]`` of end marks, of row i and column j the mark at j: 0
        no edge, 1 a tail, 2 an arrow, 3 a circle (``causaljax.graphs.marks``).
      visible_: DataFrame ``[d, d]`` of 0 and 1, the edges ``-->`` whose two columns
        have no hidden common cause; of others there may be one.
      edges_: as of all estimators, with marks ``-->``, ``o->``, ``o-o`` and ``<->``.
      adjacency_: DataFrame ``[d, d]`` of 0 and 1, the directed edges of one graph of
        those that ``marks_`` stands for: the one that is nearest to a DAG.
      cpdag_: the same, with both directions of an edge that may point either way.
      p_values_, sepsets_: as of ``PC``.

    Knowledge is of causes, direct or not: a forbidden edge a -> b puts an arrow at a,
    should the two be joined, and a pair that is forbidden both ways may be joined by
    ``<->``. A required edge is there. Gaps and rows with cells set from outside are
    treated as by ``PC``.

    Sources: as in the kernel; Zhang 2008, "Causal reasoning with ancestral graphs", for
    ``visible_``.

    Example:
      >>> import numpy as np
      >>> from causaljax import FCI
      >>> rng = np.random.default_rng(0)
      >>> hidden, a, b = rng.normal(size=(3, 1000))
      >>> x = a + hidden + rng.normal(size=1000)
      >>> y = b + hidden + rng.normal(size=1000)
      >>> model = FCI().fit(np.stack([a, x, y, b], axis=1))
      >>> for row in model.edges_.itertuples():
      ...     print(row.source, row.mark, row.target)
      x0 o-> x1
      x3 o-> x2
      x1 <-> x2
    """

    _open_mark = Mark.CIRCLE
    _follows = "the rules for ancestral graphs tell it (Zhang 2008)"

    def __init__(
        self,
        *,
        test="auto",
        alpha=None,
        collider_rule=None,
        most_conditions=None,
        far_sets=True,
        most_far_conditions=None,
        selection=False,
        n_bootstrap=0,
        progress=None,
        random_state=0,
    ):
        self.test = test
        self.alpha = alpha
        self.collider_rule = collider_rule
        self.most_conditions = most_conditions
        self.far_sets = far_sets
        self.most_far_conditions = most_far_conditions
        self.selection = selection
        self.n_bootstrap = n_bootstrap
        self.progress = progress
        self.random_state = random_state

    def _config(self):
        options = self._set_options("alpha", "collider_rule", "most_conditions")
        for name in ("far_sets", "selection"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} must be True or False, not {getattr(self, name)!r}"
                )
        if self.most_far_conditions is not None and not self.far_sets:
            raise ValueError(
                "most_far_conditions has no meaning without far_sets: leave it out"
            )
        far = 4 if self.most_far_conditions is None else self.most_far_conditions
        return fci.Config(
            far_sets=self.far_sets,
            most_far_conditions=far,
            selection=self.selection,
            **options,
        )

    def _search(self, test, problem, chosen):
        return fci.search(
            test,
            problem.x.shape[1],
            self._config(),
            problem.allowed,
            problem.required,
            chosen.batches,
        )

    def _why(self, marks, i, j, colliders, told):
        if (marks[i, j], marks[j, i]) == (Mark.ARROW, Mark.ARROW):
            return "neither is a cause of the other, and no set separates them"
        if (marks[i, j], marks[j, i]) == (Mark.ARROW, Mark.TAIL):
            hidden = "there may be a hidden common cause as well"
            if pag.visible(marks)[i, j]:
                hidden = "a hidden common cause of the two is ruled out"
            return f"{super()._why(marks, i, j, colliders, told)}; {hidden}"
        return super()._why(marks, i, j, colliders, told)

    def _hidden_causes(self):
        marks = self.marks_.to_numpy()
        seen = pag.visible(marks)
        return (marks > 0) & ~seen & ~seen.T

    def _notes(self):
        yield from super()._notes()
        marks = self.marks_.to_numpy()
        number = int(pag.visible(marks).sum())
        told = int(((marks == Mark.ARROW) & (marks.T == Mark.TAIL)).sum())
        yield (
            f"Of {told} edges -->, {number} rule out a hidden common cause of their "
            "two columns (visible_); a common cause may join the others as well."
        )
        if self.selection:
            yield (
                "A mark --- says that either column is a cause of the other or of what "
                "the rows were selected by."
            )

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        seen = pag.visible(np.asarray(learned.marks)).astype(int)
        self.visible_ = self.marks_.copy()
        self.visible_.iloc[:, :] = seen
