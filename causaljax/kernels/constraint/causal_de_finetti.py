"""Causal de Finetti: a unique DAG from environments of two rows or more.

Environments are exchangeable, and each has mechanisms of its own, drawn independently
of each other. Two rows of an environment share them, so a variable's second row tells
of its mechanism. Given all other variables of the first row, a variable without effects
tells of its own mechanism alone; one with effects also tells of theirs.

Source: Guo, Toth, Schoelkopf and Huszar 2023, "Causal de Finetti: on the identification
of invariant causal structure in exchangeable data", theorems 3 and 4.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.options import option
from causaljax.graphs.marks import from_graph
from causaljax.kernels.constraint.questions import BATCHES, Asker, Test


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search.

    Two variables are taken for independent if the p-value is at least ``alpha``.
    ``most_tables`` is how many ordered pairs of rows of an environment are asked and
    put ``together``.
    """

    alpha: float = option(0.05, above=0, below=1)
    most_tables: int = option(6, least=1)


class Found(NamedTuple):
    """What a search found."""

    marks: np.ndarray  # [d, d] int8; an edge of undetermined direction has two tails
    order: np.ndarray  # [d] int, causes before effects
    # [d, d] float: at [k, i], of variable i among the first k + 1 of the order, the
    # logarithm of the least p-value of its having no effects there; NaN elsewhere
    log_p_sink: np.ndarray
    log_p_edge: np.ndarray  # [d, d] float, of independence given the rest before
    num_tests: int


def rows_of_pairs(
    x: np.ndarray, environment: np.ndarray, most_tables: int = 1
) -> np.ndarray:
    """Two rows of every environment, side by side.

    Args:
      x: ``[n, d]``.
      environment: ``[n]``, labels; those of one row are left out.
      most_tables: how many ordered pairs of rows are taken of each environment.

    Returns:
      ``[t, k, 2 d]``, tables of one row an environment, so that the rows of a table are
      independent: column i is variable i of one row, column d + i of another. The first
      table has the first two rows. There are as many tables as the largest environment
      has ordered pairs, and ``most_tables`` at most; smaller ones repeat theirs.

    Example:
      >>> x, environment = np.arange(8).reshape(4, 2), np.array([5, 3, 5, 5])
      >>> rows_of_pairs(x, environment).tolist()
      [[[0, 1, 4, 5]]]
      >>> rows_of_pairs(x, environment, most_tables=3)[1:].tolist()
      [[[4, 5, 6, 7]], [[6, 7, 0, 1]]]
    """
    environment = np.asarray(environment)
    order = np.argsort(environment, kind="stable")
    _, first, size = np.unique(
        environment[order], return_index=True, return_counts=True
    )
    first, size = first[size > 1], size[size > 1]
    number = int(np.minimum((size * (size - 1)).max(initial=0), most_tables))
    # Pairs of neighbours come first, then those two rows apart, and so on.
    place = np.arange(number)[:, None] % (size * (size - 1))
    one = place % size
    other = (one + 1 + place // size) % size
    return np.concatenate([x[order[first + one]], x[order[first + other]]], axis=2)


def normal_scores(x: np.ndarray) -> np.ndarray:
    """Columns with the ranks of a normal distribution.

    What is independent stays so. Kernels of standardised columns see less of those
    that have far values.

    Args:
      x: ``[n, d]`` float. Equal values get the mean of their ranks.

    Returns:
      ``[n, d]`` float.

    Example:
      >>> normal_scores(np.array([[1.0], [9.0], [2.0]])).round(2) + 0.0
      array([[-0.97],
             [ 0.97],
             [ 0.  ]], dtype=float32)
    """
    shares = np.empty(x.shape)
    for column, share in zip(x.T, shares.T, strict=True):
        _, of_row, counts = np.unique(column, return_inverse=True, return_counts=True)
        share[:] = ((np.cumsum(counts) - counts / 2) / max(len(x), 1))[of_row]
    return np.asarray(_quantiles(shares.astype(x.dtype)))


_quantiles = quick_jit(jax.scipy.special.ndtri, once=True)


def together(tests: Sequence[Test]) -> Test:
    """One test of the answers of several, which may depend on each other.

    With p_t the p-values, the mean of ``tan(pi (1/2 - p_t))`` is about as large under
    independence as that of one of them, however they depend on each other (Cauchy's
    combination). The power is that of the smallest ones.

    Args:
      tests: of the same variables, of other rows of the same environments.

    Returns:
      The test.

    Source: Liu and Xie 2020, "Cauchy combination test".

    Example:
      >>> answers = [np.log([0.02, 0.5]), np.log([0.02, 0.2])]
      >>> tests = [lambda x, y, z, used, log_p=log_p: log_p for log_p in answers]
      >>> np.exp(together(tests)(None, None, None, None)).round(2).tolist()
      [0.02, 0.31]
    """
    if len(tests) == 1:
        return tests[0]

    def test(x, y, z, used):
        log_p = np.stack([np.asarray(one(x, y, z, used), np.float64) for one in tests])
        # A p-value near 1 would outweigh all others.
        p = np.minimum(np.exp(log_p), 0.99)
        far = np.logaddexp.reduce(-log_p) - math.log(len(tests))
        small = log_p.min(axis=0) < math.log(1e-8)  # tan(pi / 2 - a) is 1 / a
        mean = np.tan(np.pi * (0.5 - np.where(small, 0.5, p))).mean(axis=0)
        return np.where(small, -far, np.log(0.5 - np.arctan(mean) / np.pi))

    return test


def search(
    test: Test, num_variables: int, config: Config, batches: Sequence[int] = BATCHES
) -> Found:
    """Finds a DAG by taking one variable without effects away after another.

    Of those that are left, i has no effects if its first row is independent of the
    second row of each other one, given the first rows of all others. The one for which
    the least of these p-values is largest is taken away. Then i is a cause of a later
    j if they depend on each other given all others before j. An edge i -> j is sure if
    it was denied that i has no effects when j was taken away; else its direction is
    undetermined, as it is where mechanisms do not vary.

    Args:
      test: of independence of 2 d variables, columns as of ``rows_of_pairs``, its rows
        environments; or several such tests ``together``.
      num_variables: d.
      config: settings.
      batches: as of ``pc.search``.

    Returns:
      The graph and what it rests on. Some 200 environments are needed for a direction.
    """
    d, ask = num_variables, Asker(test, 2 * num_variables, batches)
    log_alpha = math.log(config.alpha)
    left, order = list(range(d)), np.zeros(d, int)
    log_p_sink = np.full((d, d), np.nan)
    for place in range(d - 1, 0, -1):
        pairs = [(i, k) for i in left for k in left if i != k]
        own, other = np.transpose(pairs)
        given = np.array([[k for k in left if k != i] for i in own])
        log_p = ask(own, other + d, given).reshape(len(left), -1).min(axis=1)
        log_p_sink[place, left] = log_p
        order[place] = left.pop(int(np.argmax(log_p)))
    if d:
        order[0] = left[0]
        log_p_sink[0, order[0]] = 0
    log_p_edge = np.full((d, d), np.nan)
    graph = np.zeros((d, d), bool)
    for place in range(1, d):
        before, effect = order[:place], order[place]
        given = np.array([[k for k in before if k != i] for i in before])
        given = given.reshape(place, place - 1)
        log_p = ask(before, np.full(place, effect), given)
        log_p_edge[before, effect] = log_p
        cause = before[log_p < log_alpha]
        graph[cause, effect] = True
        graph[effect, cause] = log_p_sink[place, cause] >= log_alpha
    return Found(
        marks=from_graph(graph),
        order=order,
        log_p_sink=log_p_sink,
        log_p_edge=log_p_edge,
        num_tests=ask.num_questions,
    )
