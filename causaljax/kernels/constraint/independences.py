"""All independences of a few variables, from a test."""

import math
from collections.abc import Sequence

import numpy as np

from causaljax.graphs import independence_models
from causaljax.kernels.constraint.questions import BATCHES, Asker, Test


def ask_all(
    test: Test, num_variables: int, alpha: float, batches: Sequence[int] = BATCHES
) -> np.ndarray:
    """Asks a test about every pair given every set of others.

    Args:
      test: of independence; see ``questions.Test``.
      num_variables: d, at most 7.
      alpha: a pair is independent given a set if the p-value is at least this.
      batches: how many questions the test is asked at a time, sizes in rising order.

    Returns:
      ``[d, d, 2**d]`` bool, as ``graphs.independence_models`` has it. Of finite data it
      is what the tests said: it may contradict itself as no distribution does.

    Raises:
      ValueError: if there are more than 7 variables.

    Example:
      >>> from causaljax.graphs.marks import from_graph
      >>> from causaljax.graphs.separation import Separation
      >>> chain = Separation(from_graph([[0, 1, 0], [0, 0, 1], [0, 0, 0]])).test()
      >>> np.argwhere(ask_all(chain, 3, 0.05)).tolist()  # 0 and 2, given 1
      [[0, 2, 2], [2, 0, 2]]
    """
    d = num_variables
    independence_models.check_size(d)
    x, y, given = independence_models.statements(d)
    held = (given[:, None] >> np.arange(d) & 1).astype(bool)
    # Members first; what is behind the last is none.
    order = np.argsort(~held, axis=1, kind="stable")
    sets = np.where(np.take_along_axis(held, order, axis=1), order, -1)
    ask = Asker(test, d, batches)
    log_p = ask(x, y, sets[:, : max(d - 2, 0)])
    independent = np.zeros((d, d, 2**d), bool)
    independent[x, y, given] = independent[y, x, given] = log_p >= math.log(alpha)
    return independent
