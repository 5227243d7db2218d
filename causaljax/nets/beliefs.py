"""What a network says about a table before calibration and knowledge."""

from typing import NamedTuple

from causaljax.types import Array


class Beliefs(NamedTuple):
    """Logits of a network; (0, edge[i, j], edge[j, i]) are one softmax a pair."""

    edge: Array  # [d, d] log-odds of i -> j against no edge
    ancestor: Array  # [d, d] logit that i is an ancestor of j
    order: Array  # [d] higher for causes: logit of i before j is order[i] - order[j]
    target: Array  # [d] logit of having been a target in some hidden regime
