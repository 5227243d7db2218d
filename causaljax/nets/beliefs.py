"""What every network of this room says of a table."""

from typing import NamedTuple

from causaljax.types import Array


class Beliefs(NamedTuple):
    """Log odds about a graph, from one table; what is known has already entered.

    Three of the four are helpers in training; only ``edge`` makes a posterior.
    """

    edge: Array
    """``[d, d]``: i -> j at [i, j], against no edge between i and j. The three cases
    of a pair are softmax(0, edge[i, j], edge[j, i]). The diagonal means nothing."""
    ancestor: Array
    """``[d, d]``: log odds that a directed path leads from i to j, at [i, j]. The
    diagonal means nothing."""
    order: Array
    """``[d]``: greater for causes; order[i] - order[j] are the log odds that i stands
    before j, of pairs joined by a directed path."""
    target: Array
    """``[d]``: log odds that the variable was intervened on in rows that do not say
    so."""
