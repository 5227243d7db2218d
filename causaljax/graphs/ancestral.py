"""Maximal ancestral graphs: DAGs seen through hidden and selected variables."""

from collections.abc import Sequence

import numpy as np

from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark, check_marks, directed


def is_mag(marks: np.ndarray) -> bool:
    """Whether marks are those of a maximal ancestral graph.

    There are no circles. No arrow points at an ancestor of the variable that it comes
    from, or at a variable that has an undirected edge. Variables that are not joined
    can be separated: no inducing path joins them, which is one whose inner variables
    are all colliders and ancestors of an end.

    Args:
      marks: ``[d, d]`` int.

    Raises:
      ValueError: if they are no matrix of end marks.

    Source: Richardson and Spirtes 2002, definition 3.1 and theorem 4.2.

    Example:
      >>> is_mag([[0, 2, 0], [2, 0, 2], [0, 2, 0]])  # 0 <-> 1 <-> 2
      True
      >>> is_mag([[0, 2], [3, 0]])  # 0 o-> 1
      False
    """
    marks = check_marks(marks)
    if (marks == Mark.CIRCLE).any():
        return False
    above, into = ancestors(directed(marks)), marks == Mark.ARROW
    if (into & above.T).any():  # i *-> j, and j is an ancestor of i
        return False
    if (((marks == Mark.TAIL) & (marks.T == Mark.TAIL)).any(0) & into.any(0)).any():
        return False
    both = into & into.T
    return not any(
        _inducing_path(both, into, above, i, j)
        for i, j in np.argwhere(np.triu(marks == 0, 1))
    )


def _inducing_path(both, into, above, i, j):
    inner = above[:, i] | above[:, j]
    inner[[i, j]] = False
    reached = inner & into[i]
    while True:
        if (reached & into[j]).any():
            return True
        further = reached | (inner & both[reached].any(axis=0))
        if (further == reached).all():
            return False
        reached = further


def latent_projection(
    graph: np.ndarray, latent: Sequence[int] = (), selected: Sequence[int] = ()
) -> np.ndarray:
    """The maximal ancestral graph of a DAG over the variables that are observed.

    Two variables are joined if no set of observed ones separates them, given those that
    selection is by. The mark at i of the edge i, j is a tail if i is an ancestor of j
    or of a selected variable, and an arrow otherwise.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      latent: places of hidden variables.
      selected: places of variables by whose values rows were selected.

    Returns:
      ``[m, m]`` int8, over the others in the order that they had.

    Source: Richardson and Spirtes 2002, section 4.2: two variables can be separated if
    and only if their observed ancestors, and those of the selected, separate them.

    Example:
      >>> graph = np.zeros((3, 3), bool)
      >>> graph[2, :2] = True  # 2 causes 0 and 1
      >>> latent_projection(graph, latent=[2]).tolist()  # 0 <-> 1
      [[0, 2], [2, 0]]
    """
    graph = np.asarray(graph, bool)
    above = ancestors(graph)
    hidden = np.zeros(len(graph), bool)
    hidden[list(latent)] = True
    chosen = np.zeros(len(graph), bool)
    chosen[list(selected)] = True
    if (hidden & chosen).any():
        raise ValueError(
            f"variable {np.argmax(hidden & chosen)} is both latent and selected"
        )
    shown = np.flatnonzero(~hidden & ~chosen)
    of_selected = np.any(above & chosen, axis=1)
    tail = above | of_selected[:, None]
    marks = np.zeros(graph.shape, np.int8)
    for i, j in ((i, j) for i in shown for j in shown if i < j):
        kept = above[:, i] | above[:, j] | of_selected
        if not _joined_through(graph, kept, hidden, i, j):
            continue
        for a, b in ((i, j), (j, i)):
            marks[b, a] = Mark.TAIL if tail[a, b] else Mark.ARROW
    return marks[np.ix_(shown, shown)]


def _joined_through(graph, kept, hidden, i, j):
    """Whether the hidden ones join i and j in the moral graph of those kept."""
    parents = graph & kept[:, None] & kept
    moral = parents.astype(np.float32)
    moral = parents | parents.T | (moral @ moral.T > 0)
    reached = moral[i]
    while not reached[j]:
        further = reached | moral[reached & hidden].any(axis=0)
        if (further == reached).all():
            return False
        reached = further
    return True
