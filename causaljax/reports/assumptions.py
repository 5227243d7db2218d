"""Which assumptions of constraint-based methods a table of independences breaks."""

import dataclasses
from collections.abc import Sequence

import networkx as nx
import numpy as np
import pandas as pd

from causaljax.graphs import independence_models, meek
from causaljax.graphs.independence_models import Statement, Violation
from causaljax.graphs.members import members

_SHOWN = 5  # violations of a condition that are printed

_MEANINGS = {
    "semigraphoid": "no distribution does this: some tests are wrong",
    "intersection": "columns determine one another, or some tests are wrong",
    "composition": "columns tell together what none tells alone, or tests are wrong",
    "singleton transitivity": "normal variables do not do this",
    "Markov": "the graph lacks an edge or has a wrong one",
    "faithfulness": "independences that the graph does not explain",
    "adjacency faithfulness": "PC and FCI lose these edges",
    "orientation faithfulness": "PC and FCI may direct these edges wrongly",
    "ordered upward stability": "paths cancel, or columns tell something together only",
    "ordered downward stability": "a column separates what it is no cause of",
    "V-OUS": "these triples look like colliders",
    "collider-stability": "these triples do not look like colliders",
}
"""What a violation says, by the condition."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AssumptionReport:
    """What a table of independences says of a graph, and of itself.

    Printed, it is sentences.

    Attributes:
      graph: ``[d, d]`` 0/1, the DAG that was given.
      independences: a row for each pair ``x``, ``y`` and each set ``given`` of other
        columns, a tuple, with ``independent``, True or False.
      violations: a row for each violation: the ``condition``, the columns ``x``, ``y``
        and ``z`` that it is about (``z`` is None where it is about a pair), the set
        ``given`` besides, a tuple, and the ``sentence`` that tells it.
      counts: how many violations there are of each condition, 0 where it holds.
      natural_graph: ``[d, d]`` 0/1, the equivalence class that natural structure
        learning finds, undirected edges at both places; None if it finds none.
    """

    graph: pd.DataFrame
    independences: pd.DataFrame
    violations: pd.DataFrame
    counts: pd.Series
    natural_graph: pd.DataFrame | None
    _independent: np.ndarray = dataclasses.field(repr=False)

    @property
    def faithful(self) -> bool:
        """Whether the independences are exactly the separations of the graph."""
        return not (self.counts["Markov"] or self.counts["faithfulness"])

    def minimal_graphs(self) -> list[pd.DataFrame]:
        """The classes of DAGs that fit all independences and say as many as any.

        All DAGs are gone through: every separation of such a class is an independence
        of the table, and no other such class has all of its separations and more.

        Returns:
          CPDAGs, ``[d, d]`` 0/1, those of fewer edges first. If the table is faithful
          to a DAG, that is the only one.

        Raises:
          ValueError: if there are more than 5 columns.
        """
        names = list(self.graph.columns)
        found = independence_models.minimal_classes(self._independent)
        return [_framed(each.graph, names) for each in found]

    def __str__(self):
        number, total = self.independences["independent"].sum(), len(self.independences)
        lines = [
            f"{number} of {total} statements of independence hold among "
            f"{_listed([str(name) for name in self.graph.columns])}."
        ]
        kept = [str(name) for name, count in self.counts.items() if not count]
        if kept:
            lines.append(f"What holds: {', '.join(kept)}.")
        for name, count in self.counts[self.counts > 0].items():
            times = "once" if count == 1 else f"{count} times"
            lines.append(f"{name} is violated {times} ({_MEANINGS[str(name)]}):")
            told = self.violations.loc[self.violations["condition"] == name, "sentence"]
            lines += [f"- {sentence}" for sentence in told[:_SHOWN]]
            if count > _SHOWN:
                lines.append(f"- and {count - _SHOWN} more, in violations")
        return "\n".join([*lines, self._learned()])

    def _learned(self):
        if self.natural_graph is None:
            return "Natural structure learning finds no DAG: colliders contradict."
        expected = meek.completed(self.graph.to_numpy())
        if (self.natural_graph.to_numpy() == expected).all():
            return "Natural structure learning finds the class of the graph."
        names = [str(name) for name in self.graph.columns]
        found = self.natural_graph.to_numpy().astype(bool)
        edges = [
            f"{names[i]} {'->' if not found[j, i] else '-'} {names[j]}"
            for i, j in np.argwhere(found)
            if not found[j, i] or i < j
        ]
        said = ", ".join(edges) if edges else "no edge"
        member = next(members(found))
        odd = independence_models.markov(self._independent, member)
        doubt = ", although that graph separates what is dependent" if odd else ""
        return f"Natural structure learning finds another class: {said}{doubt}."


def assumption_report(
    independent: np.ndarray, graph: np.ndarray, names: Sequence[str]
) -> AssumptionReport:
    """Checks all conditions of ``graphs.independence_models``.

    Args:
      independent: ``[d, d, 2**d]`` bool.
      graph: ``[d, d]`` bool, acyclic.
      names: d of them.

    Returns:
      The report.

    Raises:
      ValueError: if ``independent`` is no table of independences.
    """
    independent = independence_models.check_model(independent)
    graph, names = np.asarray(graph, bool), list(names)
    found = {name: check(independent) for name, check in _AXIOMS.items()}
    found |= {name: check(independent, graph) for name, check in _CONDITIONS.items()}
    rows = [
        (name, *_columns(each, names), _sentence(name, each, graph, names))
        for name, violations in found.items()
        for each in violations
    ]
    x, y, given = independence_models.statements(len(names))
    statements = {
        "x": [names[i] for i in x],
        "y": [names[j] for j in y],
        "given": [
            tuple(names[k] for k in independence_models.members_of(each))
            for each in given.tolist()
        ],
        "independent": independent[x, y, given],
    }
    natural = independence_models.natural_graph(independent)
    return AssumptionReport(
        graph=_framed(graph, names),
        independences=pd.DataFrame(statements),
        violations=pd.DataFrame(
            rows,
            columns=["condition", "x", "y", "z", "given", "sentence"],
            dtype=object,
        ),
        counts=pd.Series(
            {name: len(each) for name, each in found.items()}, name="violations"
        ),
        natural_graph=None if natural is None else _framed(natural, names),
        _independent=independent,
    )


_AXIOMS = independence_models.AXIOMS
_CONDITIONS = independence_models.CONDITIONS


def read_dag(graph: pd.DataFrame | np.ndarray | nx.DiGraph):
    """A DAG as a matrix, with the names of its variables.

    Args:
      graph: ``[d, d]`` 0/1, 1 where row -> column, or a directed graph.

    Returns:
      ``(matrix [d, d] bool, names or None)``.

    Raises:
      ValueError: if it is not square, not 0/1, names rows and columns differently, or
        has a cycle; an edge without a direction is a cycle of two.
    """
    names = None
    if isinstance(graph, nx.DiGraph):
        names = [str(name) for name in graph]
        for i, j, about in graph.edges(data=True):
            if about.get("undirected"):
                raise _undirected(i, j)
        matrix = np.array([[graph.has_edge(i, j) for j in graph] for i in graph], float)
    elif isinstance(graph, pd.DataFrame):
        names = [str(name) for name in graph.columns]
        rows = [str(name) for name in graph.index]
        if sorted(rows) != sorted(names):
            raise ValueError(
                "the rows and columns of graph must name the same variables; these are "
                f"of one only: {sorted(set(rows) ^ set(names))}"
            )
        matrix = graph.to_numpy(float, na_value=np.nan)
        matrix = matrix[[rows.index(name) for name in names]]
    else:
        matrix = np.asarray(graph, float)
    if names is not None and len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise ValueError(f"graph names {twice!r} twice: rename one")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            "graph must be a matrix [d, d] with d at least 2, not of shape "
            f"{matrix.shape}"
        )
    if not np.isin(matrix, (0, 1)).all():
        raise ValueError("graph must hold only 0 and 1: set a threshold first")
    matrix = matrix.astype(bool)
    shown = names or [str(k) for k in range(len(matrix))]
    for i, j in np.argwhere(matrix & matrix.T & ~np.eye(len(matrix), dtype=bool)):
        raise _undirected(shown[i], shown[j])
    directed = nx.from_numpy_array(matrix, create_using=nx.DiGraph)
    if not nx.is_directed_acyclic_graph(directed):
        cycle = [shown[source] for source, _ in nx.find_cycle(directed)]
        raise ValueError(
            f"graph must be acyclic; it has the cycle {' -> '.join([*cycle, cycle[0]])}"
        )
    return matrix, names


def _undirected(i, j):
    return ValueError(
        f"graph must be a DAG; its edge {i} - {j} has no direction: give a member of "
        "the class, such as adjacency_ of an estimator"
    )


def _framed(matrix, names):
    return pd.DataFrame(
        np.asarray(matrix, int),
        index=pd.Index(names, name="from"),
        columns=pd.Index(names, name="to"),
    )


def _columns(violation: Violation, names):
    """x, y, z (or None) and the set, by name."""
    x, y, *rest = (names[k] for k in violation.variables)
    given = tuple(names[k] for k in violation.given)
    return x, y, rest[0] if rest else None, given


def _sentence(condition, violation: Violation, graph, names):
    names = [str(name) for name in names]
    holds = ", ".join(_told(each, "independent", names) for each in violation.holds)
    missing = " and ".join(
        _told(each, "dependent", names) for each in violation.missing
    )
    x, y, *rest = violation.variables
    if condition == "Markov":
        return f"the graph separates the two, but {missing}"
    if condition == "faithfulness":
        return f"{holds}, but the graph does not separate them so"
    if condition == "adjacency faithfulness":
        cause, effect = (x, y) if graph[x, y] else (y, x)
        return f"{names[cause]} -> {names[effect]} is an edge, but {holds}"
    z = rest[0]
    triple = f"{names[x]} {'->' if graph[x, z] else '<-'} {names[z]} "
    triple += f"{'<-' if graph[y, z] else '->'} {names[y]}"
    if condition == "orientation faithfulness":
        return f"of {triple}, {holds}"
    if condition == "V-OUS":
        return f"of {triple}, {holds}, but {missing}"
    if condition == "collider-stability":
        return (
            f"of {triple}, no set separates {names[x]} and {names[y]} so that "
            f"{names[z]} joins them"
        )
    cause = {
        "ordered upward stability": f", and {names[z]} is a cause of one of these",
        "ordered downward stability": f", and {names[z]} is a cause of none of these",
    }
    return f"{holds}, but {missing}{cause.get(condition, '')}"


def _told(statement: Statement, said, names):
    given = [names[k] for k in statement.given]
    behind = f" given {_listed(given)}" if given else ""
    return f"{names[statement.x]} and {names[statement.y]} are {said}{behind}"


def _listed(words):
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
