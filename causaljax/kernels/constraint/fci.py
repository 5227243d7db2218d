"""FCI: what hidden causes and selection leave of a graph, from tests."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np

from causaljax.core.options import option
from causaljax.graphs import pag
from causaljax.graphs.blocks import blocks
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark
from causaljax.kernels.constraint.colliders import RULES, Verdicts, judge
from causaljax.kernels.constraint.pc import Found, read_knowledge
from causaljax.kernels.constraint.questions import BATCHES, Asker, Test, candidates
from causaljax.kernels.constraint.skeleton import (
    Skeleton,
    is_enough,
    separate,
    stable_skeleton,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search.

    A set separates two variables if the p-value is at least ``alpha``.
    ``collider_rule`` is of ``colliders.judge``. Sets of neighbours have
    ``most_conditions`` variables at most. ``far_sets`` says whether sets of variables
    that are no neighbours are tried afterwards, of ``most_far_conditions`` variables at
    most; without them the search is fast, and may keep edges that are none.
    ``selection`` says whether rows may have been selected by what the columns cause;
    if not, there are no undirected edges.
    """

    alpha: float = option(0.05, above=0, below=1)
    collider_rule: str = option("majority", choices=RULES)
    most_conditions: int = option(1000, least=0)
    far_sets: bool = option(True)
    most_far_conditions: int = option(1000, least=0)
    selection: bool = option(True)


def search(
    test: Test,
    num_variables: int,
    config: Config,
    allowed: np.ndarray | None = None,
    required: np.ndarray | None = None,
    batches: Sequence[int] = BATCHES,
) -> Found:
    """Finds the partial ancestral graph of the independences of a test.

    With a test that knows a DAG and hides some of its variables, or is given some, the
    answer is the class of the DAG's projection (``graphs.pag.mag_to_pag``), unless
    sets are limited.

    Knowledge is of ancestors: a forbidden edge i -> j puts an arrow at i, should i and
    j be joined, and says nothing of the mark at j. A pair that is forbidden both ways
    may be joined by i <-> j. A required edge i -> j is there, directed so. Where
    ``selection`` is on, such variables are taken not to cause selection.

    Args:
      test: of independence; see ``questions.Test``.
      num_variables: d, of those observed.
      config: settings.
      allowed: ``[d, d]`` bool, False where an edge is forbidden; None is none.
      required: ``[d, d]`` bool, True where an edge is demanded, acyclic; None is none.
      batches: how many questions the test is asked at a time, sizes in rising order.

    Returns:
      The graph, with circles where members of the class differ, and what it rests on.
      It does not depend on the order of the variables, except where p-values are equal.
      Of finite data, it need not be a class of MAGs (``graphs.pag.is_pag``).

    Source: Spirtes, Meek and Richardson 1995; Zhang 2008; Colombo and Maathuis 2014;
    Colombo et al. 2012 for ``far_sets`` off.

    Example:
      >>> from causaljax.graphs.marks import from_graph
      >>> from causaljax.graphs.separation import Separation
      >>> collider = from_graph([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
      >>> search(Separation(collider).test(), 3, Config()).marks.tolist()
      [[0, 0, 2], [0, 0, 2], [3, 3, 0]]
    """
    d, ask = num_variables, Asker(test, num_variables, batches)
    allowed, required = read_knowledge(d, allowed, required)
    log_alpha, most = math.log(config.alpha), config.most_conditions
    kept, apart = required | required.T, ~np.eye(d, dtype=bool)
    skeleton = stable_skeleton(ask, apart, kept, apart, log_alpha, most)
    skeleton, verdicts = judge(
        ask, skeleton, config.collider_rule, apart, log_alpha, most
    )
    if config.far_sets:
        marks = _start(skeleton.joined, verdicts, allowed, required)
        skeleton = _remove_far(ask, skeleton, verdicts, kept, marks, log_alpha, config)
        skeleton, verdicts = judge(
            ask, skeleton, config.collider_rule, apart, log_alpha, most
        )
    marks = _start(skeleton.joined, verdicts, allowed, required)

    def discriminate(first, before, middle, last):
        if not skeleton.separated[first, last]:
            return None
        return bool((skeleton.separators[first, last] == middle).any())

    noncolliders = verdicts.triples[verdicts.noncollider]
    marks = pag.complete(marks, noncolliders, discriminate, selection=config.selection)
    return Found(
        marks=marks,
        separated=skeleton.separated,
        separators=skeleton.separators,
        log_p=skeleton.log_p,
        verdicts=verdicts,
        num_tests=ask.num_questions,
    )


def _start(joined, verdicts, allowed, required):
    """Circles, what is known beforehand, and the unshielded colliders (R0)."""
    marks = np.where(joined, Mark.CIRCLE, Mark.NONE).astype(np.int8)
    marks[joined & ~allowed.T] = Mark.ARROW
    marks[required.T] = Mark.TAIL
    marks[required] = Mark.ARROW
    a, b, c = verdicts.triples[verdicts.collider].T
    fits = (marks[a, b] != Mark.TAIL) & (marks[c, b] != Mark.TAIL)
    a, b, c = a[fits], b[fits], c[fits]
    marks[a, b] = marks[c, b] = Mark.ARROW
    return marks


def _remove_far(ask, skeleton: Skeleton, verdicts, kept, marks, log_alpha, config):
    """Removes edges between variables that a set further off separates.

    Sets are of variables on paths between the two: those of their block. Each member
    may be an ancestor of one of the two: no arrow of an unshielded collider, or of
    knowledge, is against it on some path. Two variables that any set separates are
    separated by a set of their ancestors. With finite data, the others would mostly
    take away edges that are there.

    Source: Colombo, Maathuis, Kalisch and Richardson 2012, section 3; Spirtes, Glymour
    and Scheines 2000, section 6.7, for the ancestors.
    """
    # [k, i] True if k may be an ancestor of i.
    early = ancestors((marks > 0) & (marks.T != Mark.ARROW))
    near = skeleton.joined
    strength = np.where(np.isnan(skeleton.log_p), np.inf, -skeleton.log_p)
    possible, parts = possible_separators(near, verdicts), blocks(near)
    for size in range(1, config.most_far_conditions + 1):
        before = near if size <= config.most_conditions else None
        going = []
        for part in parts:
            inside = part & part[:, None]
            pairs = np.argwhere(np.triu(skeleton.joined & ~kept & inside))
            lists = candidates(possible & inside, strength)
            if is_enough(pairs, lists, size):
                skeleton = separate(
                    ask, skeleton, pairs, lists, size, log_alpha, before, early
                )
                going.append(part)
        parts = going
    return skeleton


def possible_separators(joined: np.ndarray, verdicts: Verdicts) -> np.ndarray:
    """Which variables may have to be in a set that separates a variable from another.

    They are those that a walk leads to of which each inner variable is a collider, or
    undecided, or has the variables before and after it joined.

    Args:
      joined: ``[d, d]`` bool, symmetric.
      verdicts: of its unshielded triples.

    Returns:
      ``[d, d]`` bool, [i, k] True if k is one for i.

    Source: Spirtes, Glymour and Scheines 2000, section 6.7: Possible-D-SEP.
    """
    arrow = np.zeros_like(joined)
    a, b, c = verdicts.triples[verdicts.collider].T
    arrow[a, b] = arrow[c, b] = True
    undecided = set()
    for a, b, c in verdicts.triples[~verdicts.collider & ~verdicts.noncollider]:
        undecided |= {(a, b, c), (c, b, a)}
    # Steps u -> v as the bits of integers; each with those that may follow it.
    steps = np.argwhere(joined).tolist()
    number = {(u, v): k for k, (u, v) in enumerate(steps)}
    near = [np.flatnonzero(row).tolist() for row in joined]
    follow = []
    for u, v in steps:
        after = joined[v] & (joined[u] | (arrow[u, v] & arrow[:, v]))
        after[u] = False
        ends = np.flatnonzero(after).tolist()
        if undecided:
            ends += [w for w in near[v] if (u, v, w) in undecided]
        follow.append(sum({1 << number[v, w] for w in ends}))
    reached = np.zeros_like(joined)
    for i in range(len(joined)):
        waiting = sum(1 << number[i, v] for v in near[i])
        seen = waiting
        while waiting:
            bit = waiting & -waiting
            waiting ^= bit
            step = bit.bit_length() - 1
            reached[i, steps[step][1]] = True
            new = follow[step] & ~seen
            seen |= new
            waiting |= new
    np.fill_diagonal(reached, False)
    return reached
