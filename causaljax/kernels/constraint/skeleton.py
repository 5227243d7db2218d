"""Which variables no set separates: the first part of PC and FCI."""

from typing import NamedTuple

import numpy as np

from causaljax.kernels.constraint.questions import Asker, Candidates, candidates, rounds


class Skeleton(NamedTuple):
    """Pairs that are joined, and what separates the others."""

    joined: np.ndarray  # [d, d] bool
    separated: np.ndarray  # [d, d] bool, True where a separating set is known
    separators: np.ndarray  # [d, d, m] int, the set, -1 where it is smaller
    log_p: np.ndarray  # [d, d] float, the largest found; NaN where none was asked


def start(joined: np.ndarray) -> Skeleton:
    """A skeleton of which nothing was asked.

    Args:
      joined: ``[d, d]`` bool, symmetric.
    """
    return Skeleton(
        joined=joined.copy(),
        separated=np.zeros_like(joined),
        separators=np.full((*joined.shape, 0), -1),
        log_p=np.full(joined.shape, np.nan),
    )


def stable_skeleton(
    ask: Asker,
    joined: np.ndarray,
    kept: np.ndarray,
    may_separate: np.ndarray,
    log_alpha: float,
    most_conditions: int,
) -> Skeleton:
    """Removes the edges between variables that a set of neighbours separates.

    Sets of 0, 1, 2, .. variables are tried in turn. The neighbours that sets are made
    of are those at the beginning of a turn, so that the answer does not depend on the
    order of the variables. Sets of those come first that depend most on the variable
    whose neighbours they are; of the sets of a round that separate, the one of the
    largest p-value is taken.

    Args:
      ask: the test.
      joined: ``[d, d]`` bool, symmetric, the edges to begin with.
      kept: ``[d, d]`` bool, symmetric, edges that are not asked about.
      may_separate: ``[d, d]`` bool, [i, k] True if k may be in sets of neighbours of i.
      log_alpha: a set separates if the logarithm of the p-value is at least this.
      most_conditions: the largest size of sets.

    Source: Spirtes, Glymour and Scheines 2000, section 5.4.2; Colombo and Maathuis
    2014, algorithm 4.1, for independence of the order.
    """
    found = start(joined)
    strength = np.where(joined, np.inf, -np.inf)
    for size in range(most_conditions + 1):
        lists = candidates(found.joined & may_separate, strength)
        pairs = np.argwhere(np.triu(found.joined & ~kept))
        if not is_enough(pairs, lists, size):
            break
        found = separate(ask, found, pairs, lists, size, log_alpha)
        if size == 0:
            strength = np.where(np.isnan(found.log_p), np.inf, -found.log_p)
    return found


def is_enough(pairs: np.ndarray, lists: Candidates, size: int) -> bool:
    """Whether some pair has a variable with so many candidates."""
    own = lists.number[pairs] - (lists.place[pairs, pairs[:, ::-1]] >= 0)
    return bool((own >= size).any())


def separate(
    ask: Asker,
    skeleton: Skeleton,
    pairs: np.ndarray,
    lists: Candidates,
    size: int,
    log_alpha: float,
    asked_before: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> Skeleton:
    """Looks for separating sets of one size.

    Args:
      ask: the test.
      skeleton: what is known.
      pairs: ``[p, 2]`` int, those to separate.
      lists: what sets are made of.
      size: of the sets.
      log_alpha: a set separates if the logarithm of the p-value is at least this.
      asked_before: ``[d, d]`` bool; sets that lie in a row of either variable are left
        out.
      before: ``[d, d]`` bool; sets with a member k that [k, i] has for neither variable
        i are left out.

    Returns:
      The skeleton; pairs that a set separates are not joined.
    """
    best, sets = np.full(len(pairs), np.nan), np.full((len(pairs), size), -1)
    waiting = np.ones(len(pairs), bool)
    for asked in rounds(pairs, lists, size, waiting):
        pair, given = asked
        if asked_before is not None:
            known = asked_before[pairs[pair][:, :, None], given[:, None]].all(axis=2)
            new = ~np.any(known, axis=1)
            pair, given = pair[new], given[new]
        if before is not None:
            ends = pairs[pair]
            early = before[given, ends[:, :1]] | before[given, ends[:, 1:]]
            pair, given = pair[early.all(axis=1)], given[early.all(axis=1)]
        log_p = ask(pairs[pair, 0], pairs[pair, 1], given)
        order = np.lexsort((-log_p, pair))
        pair, log_p, given = pair[order], log_p[order], given[order]
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        pair, log_p, given = pair[first], log_p[first], given[first]
        best[pair] = np.fmax(best[pair], log_p)
        done = log_p >= log_alpha
        sets[pair[done]] = given[done]
        waiting[pair[done]] = False
    i, j = pairs.T
    joined, separated = skeleton.joined.copy(), skeleton.separated.copy()
    log_p, separators = skeleton.log_p.copy(), skeleton.separators
    more = max(size - separators.shape[2], 0)
    separators = np.pad(separators, [(0, 0), (0, 0), (0, more)], constant_values=-1)
    log_p[i, j] = log_p[j, i] = np.fmax(log_p[i, j], best)
    i, j, sets = i[~waiting], j[~waiting], sets[~waiting]
    joined[i, j] = joined[j, i] = False
    separated[i, j] = separated[j, i] = True
    separators[i, j, :size] = separators[j, i, :size] = sets
    return Skeleton(joined, separated, separators, log_p)
