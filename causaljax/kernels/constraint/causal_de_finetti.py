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

from causaljax.core.options import option
from causaljax.graphs.marks import from_graph
from causaljax.kernels.constraint.questions import BATCHES, Asker, Test


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search.

    Two variables are taken for independent if the p-value is at least ``alpha``.
    """

    alpha: float = option(0.05, above=0, below=1)


class Found(NamedTuple):
    """What a search found."""

    marks: np.ndarray  # [d, d] int8; an edge of undetermined direction has two tails
    order: np.ndarray  # [d] int, causes before effects
    # [d, d] float: at [k, i], of variable i among the first k + 1 of the order, the
    # logarithm of the least p-value of its having no effects there; NaN elsewhere
    log_p_sink: np.ndarray
    log_p_edge: np.ndarray  # [d, d] float, of independence given the rest before
    num_tests: int


def rows_of_pairs(x: np.ndarray, environment: np.ndarray) -> np.ndarray:
    """The first two rows of every environment, side by side.

    Args:
      x: ``[n, d]``.
      environment: ``[n]``, labels; those of one row are left out.

    Returns:
      ``[k, 2 d]``, one row an environment, so that rows are independent: column i is
      variable i of the first row, column d + i of the second.

    Example:
      >>> rows_of_pairs(np.arange(8).reshape(4, 2), np.array([5, 3, 5, 5])).tolist()
      [[0, 1, 4, 5]]
    """
    order = np.argsort(environment, kind="stable")
    sorted_ = np.asarray(environment)[order]
    first = np.flatnonzero(np.append(True, sorted_[1:] != sorted_[:-1])[: len(order)])
    first = first[first + 1 < len(order)]
    first = first[sorted_[first] == sorted_[first + 1]]
    return np.concatenate([x[order[first]], x[order[first + 1]]], axis=1)


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
        environments.
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
