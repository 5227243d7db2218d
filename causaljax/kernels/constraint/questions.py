"""Lists of questions to a test of independence, made of arrays and asked in batches.

The host makes lists, the device answers them. Batches have few sizes, so that few
programs are compiled.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

Test = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], ArrayLike]
"""``test(x [b], y [b], z [b, m], used [b, m]) -> log_p [b]``: logarithms of p-values.

Question k is whether x[k] and y[k] are independent given those z[k, i] for which
used[k, i]; what z holds elsewhere is some variable and must not matter. Equal questions
get equal answers. NaN is no evidence of independence.
"""

BATCHES = (512, 8192)
"""Numbers of questions that tests of correlations or counts are asked at a time.

Programs are compiled for no others. A batch is filled by asking a question again, so a
test that takes long should get small ones.
"""

_ROUND = 1 << 17  # questions that are made at a time, by memory
_MANY = np.iinfo(np.int64).max // 2


class Asker:
    """Asks a test, and counts.

    Args:
      test: of independence.
      num_variables: d.
      batches: sizes in rising order.
    """

    def __init__(
        self, test: Test, num_variables: int, batches: Sequence[int] = BATCHES
    ):
        self._test, self._batches = test, batches
        self.num_variables = num_variables
        self.num_questions = 0

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The logarithms of p-values, with minus infinity for NaN.

        Args:
          x: ``[b]`` int.
          y: ``[b]`` int.
          z: ``[b, m]`` int, -1 for no variable.

        Returns:
          ``[b]`` float64.
        """
        self.num_questions += len(x)
        width = 2
        while width < z.shape[1]:
            width *= 4
        wide = np.full((len(x), width), -1, np.int32)
        wide[:, : z.shape[1]] = z
        # Either order of a pair is one question: tests may round them differently.
        low = np.minimum(x, y).astype(np.int32)
        high = np.maximum(x, y).astype(np.int32)
        answers, begin = [], 0
        while begin < len(x):
            size = self._size(len(x) - begin)
            take = np.arange(begin, begin + size)
            take[take >= len(x)] = begin  # the filling
            used = wide[take] >= 0
            given = np.where(used, wide[take], 0)
            found = np.asarray(self._test(low[take], high[take], given, used))
            answers.append(found[: len(x) - begin].astype(np.float64))
            begin += size
        log_p = np.concatenate(answers) if answers else np.zeros(0)
        return np.where(np.isnan(log_p), -np.inf, log_p)

    def _size(self, left):
        """The least batch for all, unless that is mostly filling."""
        enough = [size for size in self._batches if size >= left]
        full = [size for size in self._batches if size <= left]
        if full and (not enough or enough[0] > 2 * left):
            return full[-1]
        return enough[0]


class Candidates(NamedTuple):
    """Of each variable, those that sets are made of, in an order."""

    listed: np.ndarray  # [d, m] int, -1 behind the last
    place: np.ndarray  # [d, d] int, where a variable stands in a list, -1 nowhere
    number: np.ndarray  # [d] int


def candidates(member: np.ndarray, strength: np.ndarray) -> Candidates:
    """Lists of candidates, the strongest first.

    Args:
      member: ``[d, d]`` bool, [i, k] True if k may be in sets of i's.
      strength: ``[d, d]`` float, what the k in the list of i are sorted by.
    """
    d = len(member)
    number = member.sum(axis=1)
    order = np.argsort(np.where(member, -strength, np.inf), axis=1, kind="stable")
    behind = np.arange(d) >= number[:, None]
    place = np.empty((d, d), int)
    np.put_along_axis(place, order, np.where(behind, -1, np.arange(d)), axis=1)
    listed = np.where(behind, -1, order)[:, : max(number.max(initial=0), 1)]
    return Candidates(listed=listed, place=place, number=number)


class Round(NamedTuple):
    """Some questions about pairs."""

    pair: np.ndarray  # [b] int, the number of the pair
    sets: np.ndarray  # [b, size] int


def rounds(
    pairs: np.ndarray, lists: Candidates, size: int, waiting: np.ndarray
) -> Iterator[Round]:
    """All sets of some size out of the candidates of either variable of a pair.

    The first round has the first set of each, of the candidates that come first; each
    further one has as many as all before it, or fewer where that is much. Which sets
    meet in a round depends on the order of the candidates and not on that of the
    variables. A set of both lists comes once.

    Args:
      pairs: ``[p, 2]`` int.
      lists: of candidates; of those of one variable, the other is no part.
      size: of the sets.
      waiting: ``[p]`` bool, pairs to ask about, read anew before each round: the caller
        drops pairs as answers come.
    """
    ends = np.stack([pairs, pairs[:, ::-1]])  # [2, p, 2]: whose list, and the other
    owner, other = ends[..., 0], ends[..., 1]
    hole = lists.place[owner, other]
    number = lists.number[owner] - (hole >= 0)
    binomials = _binomials(int(lists.number.max(initial=0)), size)
    total = binomials[np.maximum(number, 0), size]
    begin, step = 0, 1
    while True:
        asked = waiting & (total > begin)
        if not asked.any():
            return
        end = begin + min(step, max(_ROUND // int(asked.sum()), 1))
        side, pair = np.nonzero(asked)
        count = np.minimum(total[side, pair], end) - begin
        line = np.repeat(np.arange(len(pair)), count)
        rank = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count) + begin
        side, pair = side[line], pair[line]
        sets = _subsets(rank, size, binomials)
        sets += (hole[side, pair][:, None] >= 0) & (sets >= hole[side, pair][:, None])
        sets = lists.listed[owner[side, pair][:, None], sets]
        # Where the other list has the set, too: was it asked from there?
        far = lists.place[other[side, pair][:, None], sets]
        gap = hole[1 - side, pair][:, None]
        shared = (far >= 0).all(axis=1)
        far = np.sort(far - ((gap >= 0) & (far > gap)), axis=1)
        rank = binomials[np.maximum(far, 0), np.arange(1, size + 1)].sum(axis=1)
        again = shared & ((rank < begin) | ((rank < end) & (side == 1)))
        yield Round(pair=pair[~again], sets=sets[~again])
        step, begin = end, end


def _binomials(most, size):
    """``[c, s]`` numbers of subsets, capped."""
    table = np.zeros((most + 2, size + 1), np.int64)
    table[:, 0] = 1
    for row in range(1, most + 2):
        table[row, 1:] = np.minimum(table[row - 1, 1:] + table[row - 1, :-1], _MANY)
    return table


def _subsets(rank, size, binomials):
    """The subsets of these ranks among those of a size, ordered by their last places.

    Source: the combinatorial number system, Knuth 2011, section 7.2.1.3.
    """
    found = np.empty((len(rank), size), int)
    for k in range(size, 0, -1):
        column = binomials[:, k]
        found[:, k - 1] = np.searchsorted(column, rank, side="right") - 1
        rank = rank - column[found[:, k - 1]]
    return found
