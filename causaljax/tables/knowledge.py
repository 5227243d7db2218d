"""What is known of a graph beforehand, by the names of columns."""

import dataclasses
import difflib
from collections.abc import Hashable, Sequence
from typing import Any

import networkx as nx
import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Edges known beforehand; every method obeys them exactly.

    Args:
      required: pairs (cause, effect) that must be edges.
      forbidden: pairs (cause, effect) that must not be edges.
      tiers: groups of columns in temporal order; no edge leads from a later group
        to an earlier one. Columns in no group are free.

    Example:
      >>> knowledge = Knowledge(required=[("dose", "response")], tiers=[["age"]])
    """

    required: Sequence[tuple[Hashable, Hashable]] = ()
    forbidden: Sequence[tuple[Hashable, Hashable]] = ()
    tiers: Sequence[Sequence[Hashable]] = ()


def edge_masks(knowledge, names):
    """``allowed`` and ``required``, each ``[d, d]`` bool, from edge knowledge."""
    d = len(names)
    forbidden, required = np.zeros((d, d), bool), np.zeros((d, d), bool)
    for field, mask in (("forbidden", forbidden), ("required", required)):
        for pair in getattr(knowledge, field):
            if isinstance(pair, str) or len(pair) != 2:
                raise ValueError(
                    f"knowledge.{field} holds {pair!r}; give pairs (cause, effect)"
                )
            i, j = (position(name, names, f"knowledge.{field}") for name in pair)
            if i == j:
                raise ValueError(
                    f"knowledge.{field} names {names[i]!r} as its own cause: remove "
                    "the pair"
                )
            mask[i, j] = True

    tier = np.full(d, -1)
    for rank, group in enumerate(knowledge.tiers):
        if isinstance(group, str):
            raise ValueError(
                f"knowledge.tiers holds {group!r}; lists of columns are needed"
            )
        for name in group:
            k = position(name, names, "knowledge.tiers")
            if tier[k] >= 0:
                raise ValueError(
                    f"knowledge.tiers puts {names[k]!r} into two groups: keep one"
                )
            tier[k] = rank
    backwards = (tier[:, None] > tier) & (tier >= 0)

    for i, j in np.argwhere(required & (forbidden | backwards)):
        reason = "forbidden" if forbidden[i, j] else "against the tiers"
        raise ValueError(
            f"knowledge contradicts itself: {names[i]} -> {names[j]} is required and "
            f"{reason}; remove one of the two"
        )
    asked = nx.from_numpy_array(required, create_using=nx.DiGraph)
    if not nx.is_directed_acyclic_graph(asked):
        cycle = [names[i] for i, _ in nx.find_cycle(asked)]
        raise ValueError(
            f"knowledge.required closes a cycle, {' -> '.join([*cycle, cycle[0]])}: "
            "remove one of its edges"
        )
    return ~(forbidden | backwards), required


def suggest(name: Any, names: Sequence[str]) -> str:
    """What to say after an unknown name: the closest one, or all there are."""
    lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else f"there are {list(names)}"


def position(name, names, where):
    """The index of a column name, or an error with the closest match."""
    if isinstance(name, float) and name.is_integer() and str(name) not in names:
        name = int(name)  # as which it was given, had no other been missing
    if str(name) not in names:
        raise ValueError(
            f"{where} names an unknown column {name!r}; {suggest(name, names)}"
        )
    return names.index(str(name))
