"""Which unshielded triples are colliders, by what separates their ends."""

from typing import NamedTuple

import numpy as np

from causaljax.graphs.marks import unshielded_triples
from causaljax.kernels.constraint.questions import Asker, Candidates, candidates, rounds
from causaljax.kernels.constraint.skeleton import Skeleton, is_enough, separate

RULES = ("separator", "majority", "conservative")


class Verdicts(NamedTuple):
    """Unshielded triples (a, b, c), each a collider at b, none, or undecided."""

    triples: np.ndarray  # [t, 3] int
    collider: np.ndarray  # [t] bool
    noncollider: np.ndarray  # [t] bool


def judge(
    ask: Asker,
    skeleton: Skeleton,
    rule: str,
    may_separate: np.ndarray,
    log_alpha: float,
    most_conditions: int,
) -> tuple[Skeleton, Verdicts]:
    """Judges every unshielded triple.

    By "separator", the set that separated a and c says it: b is a collider if it is not
    in the set. By the others, all sets of neighbours of a or of c that separate them
    say it: "conservative" asks for all of them to agree, "majority" for more than half.
    Sets larger than all that separated something before are tried only where no
    smaller one separates.

    Where a and c are apart because knowledge says so, and were never asked about, a
    separating set of their neighbours is looked for now. If there is none, the triple
    is undecided: that no set was looked for is no sign of a collider.

    Args:
      ask: the test.
      skeleton: that was found.
      rule: of ``RULES``.
      may_separate: as of ``stable_skeleton``.
      log_alpha: as of ``stable_skeleton``.
      most_conditions: as of ``stable_skeleton``.

    Returns:
      The skeleton, with the sets that were found now, and the verdicts.

    Source: Ramsey, Spirtes and Zhang 2006 (conservative); Colombo and Maathuis 2014
    (majority).
    """
    triples = unshielded_triples(skeleton.joined)
    a, b, c = triples.T
    strength = np.where(np.isnan(skeleton.log_p), np.inf, -skeleton.log_p)
    lists = candidates(skeleton.joined & may_separate, strength)
    if rule == "separator":
        pairs = _distinct(triples[~skeleton.separated[a, c]])
        for size in range(most_conditions + 1):
            pairs = pairs[~skeleton.separated[*pairs.T]]
            if not is_enough(pairs, lists, size):
                break
            skeleton = separate(ask, skeleton, pairs, lists, size, log_alpha)
        decided = skeleton.separated[a, c]
        inside = (skeleton.separators[a, c] == b[:, None]).any(axis=1)
        collider, noncollider = decided & ~inside, decided & inside
    else:
        with_b, all_sets = _shares(
            ask, skeleton, triples, lists, log_alpha, most_conditions
        )
        if rule == "majority":
            collider, noncollider = 2 * with_b < all_sets, 2 * with_b > all_sets
        else:
            collider, noncollider = with_b == 0, with_b == all_sets
        # A set further off may have separated what no set of neighbours does.
        inside = (skeleton.separators[a, c] == b[:, None]).any(axis=1)
        far = (all_sets == 0) & skeleton.separated[a, c]
        collider = np.where(all_sets > 0, collider, far & ~inside)
        noncollider = np.where(all_sets > 0, noncollider, far & inside)
    return skeleton, Verdicts(triples, collider, noncollider)


def _distinct(triples):
    return np.unique(triples[:, [0, 2]], axis=0)


def _shares(ask, skeleton, triples, lists: Candidates, log_alpha, most_conditions):
    """Of each triple, how many separating sets have its middle, and how many all."""
    pairs, number = np.unique(triples[:, [0, 2]], axis=0, return_inverse=True)
    number = number.ravel()
    all_sets = np.zeros(len(pairs), int)
    with_member = np.zeros((len(pairs), ask.num_variables), int)
    for size in range(most_conditions + 1):
        large = size > skeleton.separators.shape[2]
        waiting = (all_sets == 0) if large else np.ones(len(pairs), bool)
        if not is_enough(pairs[waiting], lists, size):
            break
        for pair, sets in rounds(pairs, lists, size, waiting):
            done = ask(pairs[pair, 0], pairs[pair, 1], sets) >= log_alpha
            np.add.at(all_sets, pair[done], 1)
            np.add.at(with_member, (pair[done][:, None], sets[done]), 1)
    return with_member[number, triples[:, 1]], all_sets[number]
