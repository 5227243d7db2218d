"""Partial ancestral graphs: what the members of a class of MAGs have in common."""

from collections.abc import Callable

import numpy as np

from causaljax.graphs.ancestral import is_mag
from causaljax.graphs.marks import Mark, check_marks, directed, unshielded_triples
from causaljax.graphs.meek import exists
from causaljax.graphs.members import members

_NONE, _TAIL, _ARROW, _CIRCLE = map(int, Mark)

Discriminate = Callable[[int, int, int, int], bool | None]


def mag_to_pag(marks: np.ndarray, *, selection: bool = True) -> np.ndarray:
    """The partial ancestral graph of a MAG's Markov equivalence class.

    A tail or an arrow stands where all members have it, a circle elsewhere.

    Args:
      marks: ``[d, d]`` int, a MAG's.
      selection: whether members with undirected edges count, which only selection
        makes. If not, ``marks`` must have none.

    Returns:
      ``[d, d]`` int8.

    Raises:
      ValueError: if ``marks`` are no MAG's.

    Source: Zhang 2008, "On the completeness of orientation rules for causal discovery
    in the presence of latent confounders and selection bias".

    Example:
      >>> mag_to_pag([[0, 2, 0], [1, 0, 1], [0, 2, 0]]).tolist()  # 0 o-> 1 <-o 2
      [[0, 2, 0], [3, 0, 3], [0, 2, 0]]
    """
    mag = check_marks(marks)
    if not is_mag(mag):
        raise ValueError("marks are not those of a maximal ancestral graph")
    if not selection and ((mag == _TAIL) & (mag.T == _TAIL)).any():
        raise ValueError("without selection, a graph has no undirected edges")
    start, triples = np.where(mag > 0, _CIRCLE, _NONE), unshielded_triples(mag > 0)
    a, b, c = triples.T
    collides = (mag[a, b] == _ARROW) & (mag[c, b] == _ARROW)
    start[a[collides], b[collides]] = start[c[collides], b[collides]] = _ARROW

    def discriminate(first, before, middle, last):
        return not (mag[before, middle] == _ARROW and mag[last, middle] == _ARROW)

    return complete(start, triples[~collides], discriminate, selection=selection)


def complete(
    marks: np.ndarray,
    noncolliders: np.ndarray,
    discriminate: Discriminate,
    *,
    selection: bool = True,
) -> np.ndarray:
    """Replaces the circles that Zhang's rules R1 to R10 can tell.

    A mark that is no circle is never changed, and a rule that asks for one says
    nothing at all. The answer does not depend on the order of the variables, unless
    the marks contradict themselves.

    Args:
      marks: ``[d, d]`` int, with the unshielded colliders (R0) and what is known.
      noncolliders: ``[t, 3]`` int, unshielded triples (a, b, c) that are known to be no
        colliders at b. Rules that rest on such a triple say nothing of others.
      discriminate: ``(first, before, middle, last)`` of a path that discriminates for
        its vertex ``middle``; it answers whether ``middle`` separates first and last:
        True for no collider, False for a collider, None if that is undecided.
      selection: whether to apply R5 to R7, which only selection needs.

    Returns:
      ``[d, d]`` int8.

    Source: Zhang 2008. Where a rule asks for an uncovered path, a walk will do: each of
    the rules R5, R9 and R10 is sound for walks, by the arguments that it is for paths.
    """
    rules = _Rules(np.array(marks, np.int8), noncolliders, discriminate)
    while rules.arrows():
        pass
    changed = True
    while changed:
        changed = rules.discriminating_paths()
        if selection:
            changed |= rules.undirected_cycles()
            changed |= rules.next_to_undirected()
        changed |= rules.tails()
        while rules.arrows():
            changed = True
    return rules.marks


class _Rules:
    """Marks under work; each method says whether it changed some."""

    def __init__(self, marks, noncolliders, discriminate):
        self.marks, self.discriminate = marks, discriminate
        both = np.concatenate([noncolliders, noncolliders[:, ::-1]])
        self.triples = both.reshape(-1, 3).T
        self.joined = marks > 0
        self.apart = ~self.joined & ~np.eye(len(marks), dtype=bool)
        # Walks whose triples are all known to be unshielded noncolliders.
        self.onwards = {(a, b): [] for a, b in np.argwhere(self.joined).tolist()}
        for a, b, c in both.tolist():
            self.onwards[a, b].append(c)

    def _arrow(self, where):
        """Points circles; ``where`` is [d, d] bool."""
        where = where & (self.marks == _CIRCLE)
        self.marks[where] = _ARROW
        return bool(where.any())

    def _tail(self, where):
        where = where & (self.marks == _CIRCLE)
        self.marks[where] = _TAIL
        return bool(where.any())

    def arrows(self):
        """R1 to R3."""
        marks, (a, b, c) = self.marks, self.triples
        # R1: a *-> b o-* c, then b -> c.
        hit = (marks[a, b] == _ARROW) & (marks[c, b] == _CIRCLE)
        hit &= marks[b, c] != _TAIL
        out = np.zeros_like(self.joined)
        out[b[hit], c[hit]] = True
        changed = self._arrow(out) | self._tail(out.T)
        # R2: a -> b *-> c or a *-> b -> c, and a *-o c, then a *-> c.
        into, told = marks == _ARROW, directed(marks)
        changed |= self._arrow(exists(told, into) | exists(into, told))
        # R3: a *-o b o-* c and a *-> k <- * c and b *-o k, then b *-> k.
        pair = (a < c) & (marks[a, b] == _CIRCLE) & (marks[c, b] == _CIRCLE)
        into, (i, j, k) = marks == _ARROW, (a[pair], b[pair], c[pair])
        triple, sink = np.nonzero(into[i] & into[k])
        where = np.zeros_like(self.joined)
        where[j[triple], sink] = True
        return self._arrow(where) | changed

    def discriminating_paths(self):
        """R4: on such a path, whether its last but one is a collider is known."""
        marks = self.marks
        into, told = marks == _ARROW, directed(marks)
        noncolliders, colliders = [], []
        open_at = (marks.T == _CIRCLE) & exists(into, told)  # b o-* c, b *-> a -> c
        for b, c in np.argwhere(open_at).tolist():
            for a in np.flatnonzero(into[b] & told[:, c]).tolist():
                verdicts = {
                    self.discriminate(first, a, b, c)
                    for first in self._firsts(a, b, c, into, told)
                }
                if verdicts == {True}:
                    noncolliders.append((b, c))
                elif verdicts == {False}:
                    colliders.append((a, b, c))
        changed = False
        known = {(b, c) for b, c in noncolliders}
        doubted = {(b, c) for _, b, c in colliders} & known
        for b, c in sorted(known - doubted):
            if marks[c, b] == _CIRCLE and marks[b, c] != _TAIL:
                marks[c, b], marks[b, c], changed = _TAIL, _ARROW, True
        for a, b, c in colliders:
            ends = ((a, b), (c, b), (b, c))
            if (b, c) not in doubted and all(marks[e] != _TAIL for e in ends):
                changed |= any(marks[e] == _CIRCLE for e in ends)
                for end in ends:
                    marks[end] = _ARROW
        return changed

    def _firsts(self, a, b, c, into, told):
        """The first vertices of the shortest paths <.., a, b, c> discriminating b."""
        seen, frontier = {a, b, c}, [a]
        while frontier:
            # All but the first are colliders on the path, and parents of c.
            before = into[:, frontier].any(axis=1)
            before[list(seen)] = False
            found = np.flatnonzero(before & self.apart[:, c]).tolist()
            if found:
                return found
            # An inner one has arrows at both ends of an edge to the frontier.
            both = (into[:, frontier] & into[frontier].T).any(axis=1)
            frontier = np.flatnonzero(before & both & told[:, c]).tolist()
            seen |= set(frontier)
        return []

    def _walks(self, may):
        """Edges of walks over noncolliders: (u, v) -> the (v, w) that may follow."""
        steps = np.argwhere(may).tolist()
        number = {(u, v): k for k, (u, v) in enumerate(steps)}
        follow = [
            [number[v, w] for w in self.onwards[u, v] if (v, w) in number]
            for u, v in steps
        ]
        return number, steps, follow

    def undirected_cycles(self):
        """R5: closed uncovered walks of circles are undirected."""
        circles = (self.marks == _CIRCLE) & (self.marks.T == _CIRCLE)
        number, steps, follow = self._walks(circles)
        # What is on a cycle survives when ends are cut off; then ask one by one.
        left = set(range(len(steps)))
        while True:
            after = {m for k in left for m in follow[k] if m in left}
            inner = {k for k in left & after if any(m in left for m in follow[k])}
            if inner == left:
                break
            left = inner
        where = np.zeros_like(self.joined)
        for k in left:
            if k in _reached(follow, follow[k]):
                u, v = steps[k]
                where[u, v] = where[v, u] = True
        return self._tail(where)

    def next_to_undirected(self):
        """R6 and R7: a - b o-* c, or a -o b o-* c with a, c apart, then b -* c."""
        marks = self.marks
        undirected = ((marks == _TAIL) & (marks.T == _TAIL)).any(axis=0)
        where = np.broadcast_to(undirected, marks.shape)
        changed, (a, b, c) = self._tail(where), self.triples
        hit = (marks[a, b] == _CIRCLE) & (marks[b, a] == _TAIL)
        hit &= marks[c, b] == _CIRCLE
        where = np.zeros_like(self.joined)
        where[c[hit], b[hit]] = True
        return self._tail(where) | changed

    def tails(self):
        """R8 to R10: of a o-> c, whether it is a -> c."""
        marks = self.marks
        asked = (marks == _ARROW) & (marks.T == _CIRCLE)
        if not asked.any():
            return False
        told = directed(marks)
        # R8: a -> b -> c, or a -o b -> c.
        out = (marks.T == _TAIL) & ((marks == _ARROW) | (marks == _CIRCLE))
        where = asked & exists(out, told)
        may = self.joined & (marks != _TAIL) & (marks.T != _ARROW)
        number, steps, follow = self._walks(may)
        ends = {}
        for a in np.flatnonzero(asked.any(axis=1)).tolist():
            for b in np.flatnonzero(may[a]).tolist():
                reached = _reached(follow, [number[a, b]])
                ends[a, b] = np.zeros(len(marks), bool)
                ends[a, b][[steps[k][1] for k in reached]] = True
        for a, c in np.argwhere(asked & ~where).tolist():
            starts = [b for b in np.flatnonzero(may[a]).tolist() if b != c]
            known = self.onwards[c, a]  # (c, a, b) is no collider
            # R9: an uncovered walk that may be directed leads from a to c.
            if any(ends[a, b][c] for b in starts if b in known):
                where[a, c] = True
                continue
            # R10: two such walks, apart at their beginnings, lead to parents of c.
            starts = [b for b in starts if (ends[a, b] & told[:, c]).any()]
            where[a, c] = any(
                other in self.onwards[b, a] for b in starts for other in starts
            )
        return self._tail(where.T)


def _reached(follow, start):
    """Steps that can be reached from some, those among them."""
    seen, waiting = set(start), list(start)
    while waiting:
        new = [k for k in follow[waiting.pop()] if k not in seen]
        seen.update(new)
        waiting += new
    return seen


def is_pag(marks: np.ndarray, *, selection: bool = True) -> bool:
    """Whether marks are those of a Markov equivalence class of MAGs.

    One MAG that must be a member is built, and its class compared.

    Args:
      marks: ``[d, d]`` int.
      selection: as of ``mag_to_pag``.

    Raises:
      ValueError: if they are no matrix of end marks.

    Source: Zhang 2008, theorem 2, for the member: o-> and -o become ->, and the edges
    o-o those of a DAG without unshielded colliders.

    Example:
      >>> is_pag([[0, 3], [3, 0]]), is_pag([[0, 2], [1, 0]])  # o-o, -->
      (True, False)
    """
    marks = check_marks(marks)
    mag = a_member(marks)
    if mag is None or not is_mag(mag):
        return False
    if not selection and ((mag == _TAIL) & (mag.T == _TAIL)).any():
        return False
    return bool((mag_to_pag(mag, selection=selection) == marks).all())


def a_member(marks: np.ndarray) -> np.ndarray | None:
    """One MAG of the class that a PAG stands for.

    Args:
      marks: ``[d, d]`` int, a PAG's.

    Returns:
      ``[d, d]`` int8; None if there is none, so that ``marks`` are no PAG's. Of marks
      that are no PAG's, it need not be a MAG.
    """
    marks = check_marks(marks)
    mag, circle = marks.copy(), marks == _CIRCLE
    mag[circle & (marks.T == _ARROW)] = _TAIL
    mag[circle & (marks.T == _TAIL)] = _ARROW
    dag = next(members(circle & circle.T), None)
    if dag is None:
        return None
    mag[dag], mag[dag.T] = _ARROW, _TAIL
    return mag


def visible(marks: np.ndarray) -> np.ndarray:
    """The directed edges whose variables have no hidden common cause.

    An edge a -> b is visible if some c that is not joined with b has an arrow at a, or
    reaches a by a path into a on which each inner variable is a collider and a parent
    of b. A hidden common cause of a and b would then join c and b.

    Args:
      marks: ``[d, d]`` int, a MAG's or a PAG's.

    Returns:
      ``[d, d]`` bool, True where i -> j is visible.

    Source: Zhang 2008, "Causal reasoning with ancestral graphs", definition 8.

    Example:
      >>> marks = np.zeros((3, 3), int)  # 0 o-> 1 --> 2
      >>> marks[0, 1], marks[1, 0], marks[1, 2], marks[2, 1] = 2, 3, 2, 1
      >>> np.argwhere(visible(marks)).tolist()
      [[1, 2]]
    """
    marks = check_marks(marks)
    joined, parent, arrow = marks > 0, directed(marks), marks == _ARROW
    found = np.zeros_like(joined)
    for a, b in np.argwhere(parent).tolist():
        waiting, seen = [a], {a, b}
        while waiting and not found[a, b]:
            v = waiting.pop()
            for c in np.flatnonzero(arrow[:, v]).tolist():
                if c in seen:
                    continue
                seen.add(c)
                if not joined[c, b]:
                    found[a, b] = True
                elif parent[c, b] and arrow[v, c]:
                    waiting.append(c)
    return found
