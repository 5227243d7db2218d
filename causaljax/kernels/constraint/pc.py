"""PC: the equivalence class of a DAG without hidden causes, from tests."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from causaljax.core.options import option
from causaljax.graphs import meek
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import from_graph
from causaljax.kernels.constraint.colliders import RULES, Verdicts, judge
from causaljax.kernels.constraint.questions import BATCHES, Asker, Test
from causaljax.kernels.constraint.skeleton import stable_skeleton


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search.

    A set separates two variables if the p-value is at least ``alpha``.
    ``collider_rule`` is of ``colliders.judge``. Sets have ``most_conditions`` variables
    at most.
    """

    alpha: float = option(0.05, above=0, below=1)
    collider_rule: str = option("majority", choices=RULES)
    most_conditions: int = option(1000, least=0)


class Found(NamedTuple):
    """What a search found."""

    marks: np.ndarray  # [d, d] int8, of ``graphs.marks``
    separated: np.ndarray  # [d, d] bool, True where a separating set was found
    separators: np.ndarray  # [d, d, m] int, the set, -1 where it is smaller
    log_p: np.ndarray  # [d, d] float, the largest of the pair; NaN if never asked
    verdicts: Verdicts  # of the unshielded triples
    num_tests: int


def search(
    test: Test,
    num_variables: int,
    config: Config,
    allowed: np.ndarray | None = None,
    required: np.ndarray | None = None,
    batches: Sequence[int] = BATCHES,
) -> Found:
    """Finds the graph whose separations are the independences of a test.

    The skeleton comes first, then knowledge directs edges, then unshielded colliders
    do, those of the largest p-value first, then Meek's rules. What directs an edge
    later never turns it. With a test that knows a DAG, the answer is the DAG's
    equivalence class, or what knowledge leaves of it.

    Knowledge is of edges: pairs forbidden both ways are apart, required edges are not
    tested, and a variable that cannot be a cause of i is in no set that separates i
    as one of its neighbours. Where knowledge could direct edges along a cycle only, the
    one of the largest p-value is taken away.

    Args:
      test: of independence; see ``questions.Test``.
      num_variables: d.
      config: settings.
      allowed: ``[d, d]`` bool, False where an edge is forbidden; None is none.
      required: ``[d, d]`` bool, True where an edge is demanded, acyclic; None is none.
      batches: how many questions the test is asked at a time, sizes in rising order.

    Returns:
      The graph, partially directed, and what it rests on. It does not depend on the
      order of the variables, except where p-values are equal. Of finite data, it need
      not be a class of DAGs (``meek.is_cpdag``).

    Source: Spirtes, Glymour and Scheines 2000; Colombo and Maathuis 2014; Meek 1995.

    Example:
      >>> from causaljax.graphs.separation import Separation
      >>> collider = from_graph([[0, 0, 1], [0, 0, 1], [0, 0, 0]])  # 0 -> 2 <- 1
      >>> search(Separation(collider).test(), 3, Config()).marks.tolist()
      [[0, 0, 2], [0, 0, 2], [1, 1, 0]]
    """
    d, ask = num_variables, Asker(test, num_variables, batches)
    allowed, required = read_knowledge(d, allowed, required)
    log_alpha, most = math.log(config.alpha), config.most_conditions
    kept = required | required.T
    skeleton = stable_skeleton(
        ask, allowed | allowed.T, kept, allowed.T, log_alpha, most
    )
    skeleton = _without_cycles(skeleton, allowed, required)
    skeleton, verdicts = judge(
        ask, skeleton, config.collider_rule, allowed.T, log_alpha, most
    )
    graph = meek.with_knowledge(skeleton.joined, allowed, required)
    graph = _with_colliders(graph, verdicts, skeleton.log_p)
    noncolliders = verdicts.triples[verdicts.noncollider]
    graph = meek.close(graph, noncolliders, allowed)
    return Found(
        marks=from_graph(graph),
        separated=skeleton.separated,
        separators=skeleton.separators,
        log_p=skeleton.log_p,
        verdicts=verdicts,
        num_tests=ask.num_questions,
    )


def read_knowledge(
    num_variables: int, allowed: np.ndarray | None, required: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Knowledge as two matrices, ``[d, d]`` bool.

    Args:
      num_variables: d.
      allowed: False where an edge is forbidden; None is nowhere.
      required: True where an edge is demanded; None is nowhere.

    Returns:
      ``allowed``, without the reverse of what is required, and ``required``.
    """
    d = num_variables
    demanded = np.zeros((d, d), bool) if required is None else np.array(required, bool)
    free = np.ones((d, d), bool) if allowed is None else np.array(allowed, bool)
    return (free | demanded) & ~demanded.T & ~np.eye(d, dtype=bool), demanded


def _without_cycles(skeleton, allowed, required):
    """Takes away edges that knowledge could direct along a cycle only.

    One of them is none, whatever the tests say: that of the largest p-value goes.
    """
    joined = skeleton.joined.copy()
    while True:
        graph = meek.with_knowledge(joined, allowed, required)
        told = graph & ~graph.T
        closing = told & ancestors(told).T & ~required
        if not closing.any():
            return skeleton._replace(joined=joined)
        log_p = np.where(closing, np.fmax(skeleton.log_p, -np.inf), np.nan)
        i, j = np.unravel_index(np.nanargmax(log_p), log_p.shape)
        joined[i, j] = joined[j, i] = False


def _with_colliders(graph, verdicts, log_p):
    """Directs unshielded colliders unless they contradict what is directed."""
    graph = graph.copy()
    triples = verdicts.triples[verdicts.collider]
    order = np.argsort(-log_p[triples[:, 0], triples[:, 2]], kind="stable")
    above = ancestors(graph & ~graph.T)
    for a, b, c in triples[order].tolist():
        # Both edges must be open or directed so, and close no cycle.
        if graph[a, b] and graph[c, b] and not (above[b, a] or above[b, c]):
            graph[b, a] = graph[b, c] = False
            before = above[:, a] | above[:, c]
            above |= before[:, None] & above[b]
    return graph
