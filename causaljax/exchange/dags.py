"""The DAGs of an equivalence class, as graphs of networkx."""

import itertools
from collections.abc import Iterator

import networkx as nx

from causaljax.exchange.source import Source, marked
from causaljax.graphs.members import members
from causaljax.tables.edges import CIRCLED, claims


def iter_dags(source: Source) -> Iterator[nx.DiGraph]:
    """The DAGs that a graph with edges of open direction stands for, one by one.

    They are all ways to direct the edges ``---`` such that there is no cycle and no
    collider a -> c <- b, a and b apart, but those that the graph has directed. Of a
    CPDAG they are its Markov equivalence class. A graph may leave open more than a
    CPDAG does, as ``LinearDAG`` does where it doubts a direction. If it doubts a
    collider, no DAG given here has it, and ``adjacency_`` is not among them. Pairs
    ``<->`` are left out.

    Args:
      source: a fitted estimator or a networkx graph.

    Returns:
      Iterator of ``networkx.DiGraph`` over all names, without attributes. Of two,
      look at the first pair, in the order of the names, that they direct differently:
      the one that directs it onwards comes first. There may be d! of them; none is
      computed before it is asked for.

    Raises:
      ValueError: if no DAG is such, so that the graph stands for no class, or if an
        edge has a circle for an end.

    Example:
      >>> chain = nx.path_graph(["a", "b", "c"])
      >>> for dag in iter_dags(chain):
      ...     print(*dag.edges)
      ('a', 'b') ('b', 'c')
      ('b', 'a') ('b', 'c')
      ('b', 'a') ('c', 'b')
    """
    edges, names = marked(source)
    for row in edges[edges["mark"].isin(CIRCLED)].to_dict("records"):
        raise ValueError(
            f"{row['source']!r} {row['mark']} {row['target']!r} has a circle for an "
            "end. Such a graph stands for graphs with hidden variables, not for DAGs "
            "of the columns: fit a method that assumes no hidden causes, or write --> "
            "or --- in place of marks with a circle"
        )
    found = members(claims(edges, names).to_numpy(bool))
    first = next(found, None)
    if first is None:
        raise ValueError(
            "the graph stands for no DAG: however its open edges are directed, there "
            "is a cycle or a collider that it has not directed; take adjacency_, the "
            "one graph found"
        )
    return (_as_networkx(dag, names) for dag in itertools.chain([first], found))


def _as_networkx(dag, names):
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(
        (names[i], names[j]) for i, j in zip(*dag.nonzero(), strict=True)
    )
    return graph
