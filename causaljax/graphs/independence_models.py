"""Tables of all independences of a few variables: their laws, and what graphs say.

A table is ``[d, d, 2**d]`` bool: at [i, j, given] whether variables i and j are
independent given the set whose members are the bits of ``given``. It is symmetric in i
and j, and False where i = j or the set has one of the two. Statements about sets of
variables need no room of their own: where the semigraphoid axioms hold, those about
pairs determine them (Lnenicka and Matus 2007).

Nothing here is traced. The number of statements, d (d - 1) / 2 times 2**(d - 2), is 672
for 7 variables.

Sources: Pearl 1988, "Probabilistic reasoning in intelligent systems", section 3.1, for
semigraphoid, intersection, composition and weak transitivity; Lnenicka and Matus 2007,
"On Gaussian conditional independence structures", for their forms of single variables;
Ramsey, Spirtes and Zhang 2006, "Adjacency-faithfulness and conservative causal
inference"; Sadeghi 2017, "Faithfulness of probability distributions and graphs", for
ordered stabilities; Sadeghi and Soo 2022, "Conditions and assumptions for
constraint-based causal structure learning", for V-OUS, collider-stability and natural
structure learning. The text of the last was not at hand: the definitions of
``v_stability``, ``collider_stability`` and ``natural_graph`` are from memory and not
checked against it.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from causaljax.graphs import meek
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import unshielded_triples
from causaljax.graphs.members import members

MOST_VARIABLES = 7
"""For more, tables of all independences are too long to ask for or to read."""

MOST_SEARCHED = 5
"""Variables up to which all graphs can be gone through."""


class Statement(NamedTuple):
    """That x and y are independent given a set, or that they are not."""

    x: int
    y: int
    given: tuple[int, ...]


class Violation(NamedTuple):
    """What a condition demands and a table of independences does not have.

    ``variables`` are the pair or the triple (x, y, z) that the condition speaks of, as
    its function says; ``given`` is the set besides them. Because of what ``holds``, the
    condition demands the independences ``missing``, or one of them where it says so, or
    that what holds did not.
    """

    variables: tuple[int, ...]
    given: tuple[int, ...]
    holds: tuple[Statement, ...]
    missing: tuple[Statement, ...]


def check_model(independent: np.ndarray) -> np.ndarray:
    """Makes sure that an array is a table of independences.

    Args:
      independent: ``[d, d, 2**d]`` bool.

    Returns:
      The same.

    Raises:
      ValueError: if the shape or the type is another, d is above 7, or the table is not
        symmetric, or if it has a variable that is independent of itself or given.
    """
    independent = np.asarray(independent)
    d = len(independent) if independent.ndim == 3 else 0
    if independent.shape != (d, d, 2**d) or independent.dtype != bool:
        raise ValueError(
            "a table of independences must be bool of shape [d, d, 2**d], not "
            f"{independent.dtype} of {independent.shape}"
        )
    check_size(d)
    if (independent != independent.swapaxes(0, 1)).any():
        raise ValueError("a table of independences must be symmetric in its two axes")
    if (independent & ~_proper(d)).any():
        raise ValueError("a variable is independent of itself, or given, in the table")
    return independent


def check_size(num_variables: int, most: int = MOST_VARIABLES) -> None:
    """Raises ValueError if variables are more than ``most``."""
    if num_variables > most:
        raise ValueError(
            f"{num_variables} variables are too many, {most} at most: choose columns "
            "(for a graph, a variable with its neighbours and theirs)"
        )


def statements(num_variables: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All statements, as (i, j, given), ``[k]`` int each, with i < j."""
    i, j, given = np.nonzero(_proper(num_variables))
    first = i < j
    return i[first], j[first], given[first]


def members_of(given: int) -> tuple[int, ...]:
    """The variables of a set."""
    return tuple(k for k in range(given.bit_length()) if given >> k & 1)


def of_dags(graphs: np.ndarray) -> np.ndarray:
    """What DAGs say is independent: the d-separations of each.

    Args:
      graphs: ``[g, d, d]`` bool, acyclic.

    Returns:
      ``[g, d, d, 2**d]`` bool.

    Example:
      >>> collider = np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0]], bool)  # 0 -> 1 <- 2
      >>> table = of_dags(collider[None])[0]
      >>> bool(table[0, 2, 0b000]), bool(table[0, 2, 0b010])
      (True, False)
    """
    graphs = np.asarray(graphs, bool)
    g, d, _ = graphs.shape
    found = np.zeros((g, d, d, 2**d), bool)
    upward = graphs.swapaxes(1, 2)
    for given in range(2**d):
        held = (given >> np.arange(d) & 1).astype(bool)
        # Walks as steps between ends of edges: at v by its tail, then at v by an arrow.
        step = np.zeros((g, 2 * d, 2 * d), np.float32)
        step[:, :d, :d] = upward & ~held[:, None]
        step[:, :d, d:] = graphs & ~held[:, None]
        step[:, d:, :d] = upward & held[:, None]
        step[:, d:, d:] = graphs & ~held[:, None]
        step += np.eye(2 * d, dtype=np.float32)
        for _ in range(math.ceil(math.log2(max(2 * d, 2)))):
            step = (step @ step > 0).astype(np.float32)
        found[..., given] = ~((step[:, :d, :d] + step[:, :d, d:]) > 0)
    return found & _proper(d)


def semigraphoid(independent: np.ndarray) -> list[Violation]:
    """Where the semigraphoid axioms fail, which all distributions have.

    For x, y, z and every set C of others: x ind y | C and x ind z | C y imply
    x ind z | C and x ind y | C z. Of pairs, this is decomposition, weak union and
    contraction. A table of tests can fail it, a distribution cannot.
    """
    x, y, z, c = _triples(len(independent))
    return _unless(
        independent,
        (x, y, z, c),
        [(x, y, c), (x, z, c | 1 << y)],
        [(x, z, c), (x, y, c | 1 << z)],
    )


def intersection(independent: np.ndarray) -> list[Violation]:
    """Where intersection fails: x ind y | C z and x ind z | C y, but x not of both.

    It demands x ind y | C and x ind z | C. Distributions with positive densities have
    it; copies of columns and sums of others break it.
    """
    x, y, z, c = _triples(len(independent), ordered=(1, 2))
    return _unless(
        independent,
        (x, y, z, c),
        [(x, y, c | 1 << z), (x, z, c | 1 << y)],
        [(x, y, c), (x, z, c)],
    )


def composition(independent: np.ndarray) -> list[Violation]:
    """Where composition fails: x ind y | C and x ind z | C, but x not of both.

    It demands x ind y | C z and x ind z | C y. Normal distributions have it; x = y XOR
    z with fair coins breaks it.
    """
    x, y, z, c = _triples(len(independent), ordered=(1, 2))
    return _unless(
        independent,
        (x, y, z, c),
        [(x, y, c), (x, z, c)],
        [(x, y, c | 1 << z), (x, z, c | 1 << y)],
    )


def singleton_transitivity(independent: np.ndarray) -> list[Violation]:
    """Where x ind y | C and x ind y | C z, but neither x ind z | C nor y ind z | C.

    One of the latter is demanded; both are named as missing. Normal and binary
    distributions have it; a variable of four classes can carry x and y apart.
    """
    x, y, z, c = _triples(len(independent), ordered=(0, 1))
    return _unless(
        independent,
        (x, y, z, c),
        [(x, y, c), (x, y, c | 1 << z)],
        [(x, z, c), (y, z, c)],
        either=True,
    )


def markov(independent: np.ndarray, graph: np.ndarray) -> list[Violation]:
    """Pairs x, y that a DAG separates given C, and that are dependent given C."""
    said = of_dags(np.asarray(graph, bool)[None])[0]
    x, y, c = statements(len(independent))
    wrong = said[x, y, c] & ~independent[x, y, c]
    return [Violation((s.x, s.y), s.given, (), (s,)) for s in _named(x, y, c, wrong)]


def faithfulness(independent: np.ndarray, graph: np.ndarray) -> list[Violation]:
    """Pairs x, y that are independent given C, and that a DAG does not separate."""
    said = of_dags(np.asarray(graph, bool)[None])[0]
    x, y, c = statements(len(independent))
    wrong = ~said[x, y, c] & independent[x, y, c]
    return _unwanted(x, y, c, wrong)


def adjacency_faithfulness(
    independent: np.ndarray, graph: np.ndarray
) -> list[Violation]:
    """Pairs x, y that a DAG joins, and that are independent given some C.

    The rest of faithfulness does not matter for the skeleton.
    """
    graph = np.asarray(graph, bool)
    x, y, c = statements(len(independent))
    return _unwanted(x, y, c, (graph | graph.T)[x, y] & independent[x, y, c])


def orientation_faithfulness(
    independent: np.ndarray, graph: np.ndarray
) -> list[Violation]:
    """Unshielded triples x - z - y that a set C says something wrong of.

    If z is a collider, x and y must be dependent given every set that has it; else,
    given every set that has it not. C, the set given, may have z.
    """
    x, y, z, c = _unshielded(graph)
    held = np.where(_collides(graph, x, y, z), c | 1 << z, c)
    wrong = independent[x, y, held]
    return [
        Violation((s.x, s.y, k), s.given, (s,), ())
        for s, k in zip(_named(x, y, held, wrong), z[wrong].tolist(), strict=True)
    ]


def upward_stability(independent: np.ndarray, graph: np.ndarray) -> list[Violation]:
    """Where x ind y | C, but not given C z, although z is a cause of x, y or C.

    Causes are ancestors in the DAG, whose order is that of the condition.
    """
    x, y, z, c = _triples(len(independent), ordered=(0, 1))
    early = _is_above(graph, x, y, z, c)
    return _unless(
        independent,
        tuple(part[early] for part in (x, y, z, c)),
        [(x[early], y[early], c[early])],
        [(x[early], y[early], (c | 1 << z)[early])],
    )


def downward_stability(independent: np.ndarray, graph: np.ndarray) -> list[Violation]:
    """Where x ind y | C z, but not given C, although z is no cause of x, y or C.

    Causes are ancestors in the DAG, whose order is that of the condition.
    """
    x, y, z, c = _triples(len(independent), ordered=(0, 1))
    late = ~_is_above(graph, x, y, z, c)
    return _unless(
        independent,
        tuple(part[late] for part in (x, y, z, c)),
        [(x[late], y[late], (c | 1 << z)[late])],
        [(x[late], y[late], c[late])],
    )


def v_stability(independent: np.ndarray, graph: np.ndarray) -> list[Violation]:
    """V-OUS: where x ind y | C but not given C z, of x - z - y without a collider at z.

    The triple is unshielded. Its z is a cause of x or of y, so that this is ordered
    upward stability, of such triples alone.
    """
    x, y, z, c = _unshielded(graph)
    chosen = ~_collides(graph, x, y, z)
    x, y, z, c = (part[chosen] for part in (x, y, z, c))
    return _unless(independent, (x, y, z, c), [(x, y, c)], [(x, y, c | 1 << z)])


def collider_stability(independent: np.ndarray, graph: np.ndarray) -> list[Violation]:
    """Unshielded colliders x -> z <- y that no set shows.

    The condition demands some C with x ind y | C and not x ind y | C z. The set given
    of a violation is empty: it is about all sets. That C separates follows from the
    Markov property; that z then opens is the condition's own.
    """
    x, y, z, c = _unshielded(graph)
    found = _shown(independent, x, y, z, c)[x, y, z]
    wrong = ~found & _collides(graph, x, y, z) & (c == 0)
    triples = np.stack([x, y, z], axis=1)[wrong].tolist()
    return [Violation(tuple(triple), (), (), ()) for triple in triples]


def joined(independent: np.ndarray) -> np.ndarray:
    """The pairs that no set separates, ``[d, d]`` bool."""
    return ~independent.any(axis=2) & ~np.eye(len(independent), dtype=bool)


def natural_graph(independent: np.ndarray) -> np.ndarray | None:
    """The class of DAGs that a table of independences shows, by natural learning.

    Pairs that no set separates are joined. Of an unshielded triple x - z - y, z is a
    collider if there is a C with x ind y | C and not x ind y | C z. Meek's rules direct
    the rest. Where adjacency faithfulness, V-OUS and collider-stability hold of the
    true DAG, this is its class. No axiom is used.

    Args:
      independent: ``[d, d, 2**d]`` bool.

    Returns:
      ``[d, d]`` bool, the CPDAG, undirected edges at both places; None if the
      colliders contradict one another, so that no DAG has them.

    Source: Sadeghi and Soo 2022; Spirtes, Glymour and Scheines 2000, section 5.4.1
    (SGS), which looks for colliders in another way.
    """
    joins = joined(independent)
    x, y, z, c = _sets_of_triples(joins)
    collider = _shown(independent, x, y, z, c)
    shown = collider[x, y, z]
    into = np.zeros_like(joins)
    into[x[shown], z[shown]] = into[y[shown], z[shown]] = True
    if (into & into.T).any():
        return None
    graph = meek.close(joins & ~into.T)
    dag = next(members(graph), None)
    if dag is None or (_collides(dag, x, y, z) != collider[x, y, z]).any():
        return None
    return meek.completed(dag)


class Class(NamedTuple):
    """A Markov equivalence class whose separations a table has."""

    graph: np.ndarray  # [d, d] bool, the CPDAG, undirected edges at both places
    faithful: bool  # whether the table has no other independences


def minimal_classes(independent: np.ndarray) -> list[Class]:
    """The classes of DAGs that a table is Markov to, and which no other improves on.

    All separations of such a class are independences of the table, and no class of
    which this is true has all of them and others. One is always there. If the table is
    faithful to a DAG, its class is the only one. All DAGs are gone through.

    Args:
      independent: ``[d, d, 2**d]`` bool, of 5 variables at most; 5 take some seconds
        the first time.

    Returns:
      The classes, those of fewer edges first.

    Raises:
      ValueError: if there are more than 5 variables.

    Source: Pearl 2009, "Causality", definition 2.3.4, for minimality.
    """
    d = len(independent)
    check_size(d, MOST_SEARCHED)
    graphs, said = _classes(d)
    x, y, c = statements(d)
    has = independent[x, y, c]
    fitting = np.flatnonzero(~(said & ~has).any(axis=1))
    rows = said[fitting].astype(np.int32)
    shared, size = rows @ rows.T, rows.sum(axis=1)
    # [a, b] whether b says all that a says, and more.
    worse = (shared == size[:, None]) & (size[:, None] < size)
    least = fitting[~worse.any(axis=1)]
    least = least[np.argsort(graphs[least].sum(axis=(1, 2)), kind="stable")]
    return [
        Class(meek.completed(graphs[k]), bool((said[k] == has).all())) for k in least
    ]


@functools.cache
def _classes(d):
    """A DAG of every class, ``[g, d, d]``, and what it says, ``[g, k]`` bool."""
    i, j = np.triu_indices(d, 1)
    kinds = np.array(list(itertools.product(range(3), repeat=len(i))), np.int8)
    graphs = np.zeros((len(kinds), d, d), bool)
    graphs[:, i, j], graphs[:, j, i] = kinds == 1, kinds == 2
    paths = graphs.astype(np.float32)
    for _ in range(math.ceil(math.log2(max(d, 2)))):
        paths = ((paths + paths @ paths) > 0).astype(np.float32)
    graphs = graphs[~np.diagonal(paths, axis1=1, axis2=2).any(axis=1)]
    joins = graphs | graphs.swapaxes(1, 2)
    colliders = graphs[:, :, :, None] & graphs.swapaxes(1, 2)[:, None]
    colliders &= (~joins & ~np.eye(d, dtype=bool))[:, :, None]
    sign = np.concatenate(
        [joins.reshape(len(graphs), -1), colliders.reshape(len(graphs), -1)], axis=1
    )
    _, first = np.unique(np.packbits(sign, axis=1), axis=0, return_index=True)
    graphs = graphs[first]
    x, y, c = statements(d)
    return graphs, of_dags(graphs)[:, x, y, c]


def _proper(d):
    """``[d, d, 2**d]`` bool, where a table may be True."""
    held = (np.arange(2**d) >> np.arange(d)[:, None] & 1).astype(bool)
    apart = ~np.eye(d, dtype=bool)
    return apart[:, :, None] & ~held[:, None] & ~held[None]


def _triples(d, ordered=None):
    """Distinct x, y, z with every set of others, ``[k]`` int each.

    ``ordered`` are the places of two of them that may be exchanged.
    """
    axes = np.meshgrid(*[np.arange(d)] * 3, np.arange(2**d), indexing="ij")
    x, y, z, c = (part.ravel() for part in axes)
    fits = (x != y) & (x != z) & (y != z)
    fits &= (c & (1 << x | 1 << y | 1 << z)) == 0
    if ordered is not None:
        parts = x, y, z
        fits &= parts[ordered[0]] < parts[ordered[1]]
    return x[fits], y[fits], z[fits], c[fits]


def _sets_of_triples(joins):
    """Unshielded x - z - y, x < y, with every set of others, ``[k]`` int each."""
    d = len(joins)
    x, z, y = unshielded_triples(joins).T
    c = np.arange(2**d)
    fits = (c & (1 << x | 1 << y | 1 << z)[:, None]) == 0
    row, c = np.nonzero(fits)
    return x[row], y[row], z[row], c


def _unshielded(graph):
    graph = np.asarray(graph, bool)
    return _sets_of_triples(graph | graph.T)


def _shown(independent, x, y, z, c):
    """``[d, d, d]`` bool: whether some of the sets c separates x and y, and z opens."""
    found = np.zeros((len(independent),) * 3, bool)
    opened = independent[x, y, c] & ~independent[x, y, c | 1 << z]
    np.logical_or.at(found, (x, y, z), opened)
    return found


def _collides(graph, x, y, z):
    graph = np.asarray(graph, bool)
    return graph[x, z] & graph[y, z]


def _is_above(graph, x, y, z, c):
    """Whether z is an ancestor of x, of y or of a member of c."""
    above = ancestors(graph)
    below = (above * (1 << np.arange(len(above)))).sum(axis=1)
    return (below[z] & (c | 1 << x | 1 << y)) != 0


def _unless(independent, triples, premise, demanded, either=False):
    """The violations of an axiom: the premise holds, what it demands does not.

    Args:
      independent: the table.
      triples: (x, y, z, c), ``[k]`` int each.
      premise: statements as (i, j, given), ``[k]`` int each.
      demanded: likewise.
      either: whether one of those demanded is enough.
    """
    x, y, z, c = triples
    holds = np.ones(len(x), bool)
    for i, j, given in premise:
        holds &= independent[i, j, given]
    found = np.stack([independent[i, j, given] for i, j, given in demanded])
    wrong = holds & ~(found.any(axis=0) if either else found.all(axis=0))
    violations = []
    for k in np.flatnonzero(wrong):
        held = tuple(_statement(*(part[k] for part in s)) for s in premise)
        missing = tuple(
            _statement(*(part[k] for part in s))
            for s, there in zip(demanded, found[:, k], strict=True)
            if not there
        )
        triple = int(x[k]), int(y[k]), int(z[k])
        violations.append(Violation(triple, members_of(int(c[k])), held, missing))
    return violations


def _named(x, y, c, chosen):
    return [
        _statement(*row) for row in zip(x[chosen], y[chosen], c[chosen], strict=True)
    ]


def _unwanted(x, y, c, wrong):
    return [Violation((s.x, s.y), s.given, (s,), ()) for s in _named(x, y, c, wrong)]


def _statement(i, j, given):
    return Statement(int(i), int(j), members_of(int(given)))


AXIOMS: dict[str, Callable[[np.ndarray], list[Violation]]] = {
    "semigraphoid": semigraphoid,
    "intersection": intersection,
    "composition": composition,
    "singleton transitivity": singleton_transitivity,
}
"""Conditions of a table alone, by their names."""

CONDITIONS: dict[str, Callable[[np.ndarray, np.ndarray], list[Violation]]] = {
    "Markov": markov,
    "faithfulness": faithfulness,
    "adjacency faithfulness": adjacency_faithfulness,
    "orientation faithfulness": orientation_faithfulness,
    "ordered upward stability": upward_stability,
    "ordered downward stability": downward_stability,
    "V-OUS": v_stability,
    "collider-stability": collider_stability,
}
"""Conditions of a table and a DAG, by their names."""
