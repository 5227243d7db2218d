"""What is known of a graph beforehand, by the names of columns."""

import dataclasses
import difflib
import fnmatch
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pandas as pd

from causaljax.tables import notices

_WILDCARDS = frozenset("*?[")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Edges known beforehand; every method obeys them exactly.

    A statement is about edges and not about paths: with a -> b forbidden, a may still
    cause b through another column.

    Wherever a column is named, a group or a pattern may stand for several. In a
    pattern ``*`` is any text, ``?`` any character and ``[ab]`` one of some. A column
    of exactly that name comes first: "x[1]" is the column "x[1]" if there is one. A
    pair of several causes and several effects is every pair of one of each.

    Args:
      required: pairs (cause, effect) that must be edges.
      forbidden: pairs (cause, effect) that must not be edges.
      tiers: lists of columns in temporal order; no edge leads from a later tier to an
        earlier one. Columns in no tier are free.
      forbidden_within: tiers, by their numbers from 0, or groups or patterns, among
        whose columns there are no edges.
      roots: columns without causes.
      sinks: columns without effects.
      groups: names of sets of columns, ``{name: columns}``.

    Example:
      >>> knowledge = Knowledge(
      ...     tiers=[["age"], ["genes"], ["response"]],
      ...     forbidden_within=["genes"],
      ...     forbidden=[("age", "gene_1?")],
      ...     groups={"genes": ["gene_*"]},
      ... )
    """

    required: Sequence[tuple[Hashable, Hashable]] = ()
    forbidden: Sequence[tuple[Hashable, Hashable]] = ()
    tiers: Sequence[Sequence[Hashable]] = ()
    forbidden_within: Sequence[int | str] = ()
    roots: Sequence[Hashable] = ()
    sinks: Sequence[Hashable] = ()
    groups: Mapping[str, Sequence[Hashable]] = dataclasses.field(default_factory=dict)


_FIELDS = tuple(field.name for field in dataclasses.fields(Knowledge))


def as_knowledge(given: Knowledge | Mapping[str, Any] | None) -> Knowledge:
    """Knowledge from what a user passed: itself, a dict of its fields, or None.

    Raises:
      TypeError: if it is anything else, with what to pass.
      ValueError: if a field is unknown or holds no list.
    """
    if given is None:
        return Knowledge()
    if isinstance(given, Mapping):
        for key in given:
            if key not in _FIELDS:
                raise ValueError(f"knowledge has no {key!r}; {suggest(key, _FIELDS)}")
        given = Knowledge(**given)
    if not isinstance(given, Knowledge):
        raise TypeError(
            f"knowledge is of type {type(given).__name__}: give Knowledge(...) or a "
            f"dict of its fields, {', '.join(_FIELDS)}{_advice(given)}"
        )
    for field in _FIELDS[:-1]:
        _check_listed(getattr(given, field), f"knowledge.{field}")
    if not isinstance(given.groups, Mapping):
        raise ValueError(
            f"knowledge.groups is {given.groups!r}: give a dict, {{name: columns}}"
        )
    for rank, tier in enumerate(given.tiers):
        _check_listed(tier, f"knowledge.tiers[{rank}]")
    for name, members in given.groups.items():
        _check_listed(members, f"knowledge.groups[{name!r}]")
    return given


def _advice(given):
    """How what is no knowledge becomes some."""
    if isinstance(given, pd.DataFrame):
        return "; a table's edges are list(zip(table.cause, table.effect))"
    if isinstance(given, nx.DiGraph):
        return "; a graph's edges are list(graph.edges)"
    if hasattr(given, "__fspath__") or isinstance(given, str):
        return "; causaljax.read_knowledge reads a file"
    return ""


def _check_listed(values, where):
    # An iterator would be used up by the first fit.
    single = isinstance(values, str | bytes | dict | pd.DataFrame | Iterator)
    if single or not isinstance(values, Iterable):
        if isinstance(values, pd.DataFrame):
            raise ValueError(f"{where} is a table: give a list{_advice(values)}")
        raise ValueError(f"{where} is {values!r}: give a list")


class _Named(NamedTuple):
    """What a statement may name."""

    columns: list[str]
    sets: dict[str, list[int]]  # places of columns, by a column's or a group's name
    left_out: Mapping[str, str]  # why, by the name of a column that is no variable


class _Statement(NamedTuple):
    """Edges from each of some columns to each of others, and who says so."""

    words: str
    causes: list[int]
    effects: list[int]


def edge_masks(
    knowledge: Knowledge | Mapping[str, Any] | None,
    names: Sequence[str],
    left_out: Mapping[str, str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """``allowed`` and ``required``, each ``[d, d]`` bool, from edge knowledge.

    The diagonal of ``allowed`` has no meaning.

    Args:
      knowledge: as ``as_knowledge`` takes it.
      names: of the d columns.
      left_out: the table's other columns, and what is done for a statement to name
        them, as what follows "which" in an error.

    Raises:
      TypeError, ValueError: as ``as_knowledge``; if a name is unknown or of a column
        that is left out, or two statements contradict each other, which are named.

    Warns:
      UserWarning: of statements that say nothing.
    """
    knowledge = as_knowledge(knowledge)
    named = _named(knowledge, list(names), left_out or {})
    required = _pairs(knowledge, "required", named)
    tiers, numbers = _tiers(knowledge, named)
    forbidden = [
        *_pairs(knowledge, "forbidden", named),
        *_backwards(tiers),
        *_within(knowledge, tiers, named),
        *_bare(knowledge, named),
    ]
    for words in (*_idle_tiers(tiers, numbers), *_idle_groups(knowledge)):
        notices.warn(words, stacklevel=5)

    d = len(names)
    asked, denied = _mask(required, d), _mask(forbidden, d)
    for i, j in np.argwhere(asked & denied):
        raise ValueError(
            f"knowledge contradicts itself over {names[i]} -> {names[j]}: "
            f"{_who_says(required, i, j)}, but {_who_says(forbidden, i, j)}; remove "
            "one of the two"
        )
    graph = nx.from_numpy_array(asked, create_using=nx.DiGraph)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = nx.find_cycle(graph)
        path = " -> ".join(names[i] for i in [*(i for i, _ in cycle), cycle[0][0]])
        said = dict.fromkeys(_who_says(required, i, j) for i, j in cycle)
        raise ValueError(
            f"knowledge.required closes a cycle, {path}: {', '.join(said)}; remove one "
            "of them"
        )
    return ~denied, asked


def _mask(statements, d):
    mask = np.zeros((d, d), bool)
    for _, causes, effects in statements:
        mask[np.ix_(causes, effects)] = True
    np.fill_diagonal(mask, False)
    return mask


def _who_says(statements, i, j):
    """The first statement about an edge that there is one about."""
    return next(s.words for s in statements if i in s.causes and j in s.effects)


def _named(knowledge, names, left_out):
    columns = _Named(names, {name: [k] for k, name in enumerate(names)}, left_out)
    groups = {}
    for group, members in knowledge.groups.items():
        if str(group) in columns.sets:
            raise ValueError(
                f"knowledge.groups calls a group {group!r}, as a column is called: "
                "give it another name"
            )
        where = f"knowledge.groups[{group!r}]"
        found = {k for name in members for k in _select(name, columns, where)}
        if not found:
            raise ValueError(f"{where} is empty: name its columns or remove it")
        groups[str(group)] = sorted(found)
    return columns._replace(sets=columns.sets | groups)


def _select(name, named, where):
    """The places of the columns that a name or a pattern stands for, one or more."""
    if str(name) in named.sets:
        return named.sets[str(name)]
    pattern = isinstance(name, str) and _WILDCARDS & set(name)
    found = matching(name, named.columns) if pattern else []
    if found:
        return found
    others = list(named.left_out)
    lost = [others[k] for k in matching(str(name), others)]
    if lost:
        raise ValueError(f"{where} names {lost[0]!r}, which {named.left_out[lost[0]]}")
    if pattern:
        raise ValueError(
            f"{where} holds {name!r}, which matches no column; "
            f"{suggest(name, named.columns)}"
        )
    known = list(named.sets)
    return named.sets[known[position(name, known, where)]]


def matching(pattern: str, names: Sequence[str]) -> list[int]:
    """The places of the columns that a name or a pattern of names stands for."""
    if pattern in names:
        return [names.index(pattern)]
    match = fnmatch.fnmatchcase
    return [k for k, name in enumerate(names) if match(name, pattern)]


def _pairs(knowledge, field, named):
    statements, where = [], f"knowledge.{field}"
    for given in getattr(knowledge, field):
        # A set has no order, and of a text "ab" the letters would be meant.
        ordered = isinstance(given, Sequence | np.ndarray) and not isinstance(
            given, str
        )
        pair = tuple(given) if ordered else ()
        if len(pair) != 2:
            raise ValueError(f"{where} holds {given!r}; give pairs (cause, effect)")
        causes, effects = (_select(name, named, where) for name in pair)
        if len(causes) == 1 and causes == effects:
            raise ValueError(
                f"{where} names {named.columns[causes[0]]!r} as its own cause: remove "
                "the pair"
            )
        statements.append(_Statement(f"{field} holds {pair}", causes, effects))
    return statements


def _tiers(knowledge, named):
    """The places of the columns of each tier, and the tiers that are named within."""
    tiers, tier_of = [], {}
    for rank, columns in enumerate(knowledge.tiers):
        tier = {k for name in columns for k in _select(name, named, "knowledge.tiers")}
        for k in sorted(tier):
            if tier_of.setdefault(k, rank) != rank:
                raise ValueError(
                    f"knowledge.tiers puts {named.columns[k]!r} into two tiers, "
                    f"{tier_of[k]} and {rank}: keep one"
                )
        tiers.append(sorted(tier))
    numbers = {int(item) for item in knowledge.forbidden_within if _is_number(item)}
    return tiers, numbers


def _is_number(item):
    return isinstance(item, int | np.integer) and not isinstance(item, bool)


def _backwards(tiers):
    earlier = []
    for rank, tier in enumerate(tiers):
        words = f"tiers forbids edges from tier {rank} to earlier ones"
        yield _Statement(words, tier, list(earlier))
        earlier += tier


def _within(knowledge, tiers, named):
    where = "knowledge.forbidden_within"
    for item in knowledge.forbidden_within:
        if _is_number(item):
            if not 0 <= item < len(tiers):
                raise ValueError(
                    f"{where} names tier {item}; there are {len(tiers)}, counted from 0"
                )
            columns, what = tiers[item], f"tier {item}"
        else:
            columns, what = _select(item, named, where), repr(item)
        if len(columns) < 2:
            notices.warn(
                f"{where} names {what}, which has {len(columns)} column(s): there is "
                "no edge to forbid",
                stacklevel=6,
            )
        words = f"forbidden_within forbids edges within {what}"
        yield _Statement(words, columns, columns)


def _bare(knowledge, named):
    everyone = list(range(len(named.columns)))
    for name in knowledge.roots:
        roots = _select(name, named, "knowledge.roots")
        yield _Statement(f"roots says that {name!r} has no causes", everyone, roots)
    for name in knowledge.sinks:
        sinks = _select(name, named, "knowledge.sinks")
        yield _Statement(f"sinks says that {name!r} has no effects", sinks, everyone)


def _idle_tiers(tiers, numbers):
    for rank, tier in enumerate(tiers):
        if not tier:
            yield f"tier {rank} of knowledge.tiers is empty: it forbids nothing"
    if sum(map(bool, tiers)) == 1 and not numbers:
        yield (
            "knowledge.tiers has columns in one tier alone: it forbids nothing; give "
            "the columns before or after it a tier of their own"
        )


def _idle_groups(knowledge):
    named = {
        str(name)
        for field in ("required", "forbidden", "tiers")
        for names in getattr(knowledge, field)
        for name in names
    }
    for field in ("forbidden_within", "roots", "sinks"):
        named |= {str(name) for name in getattr(knowledge, field)}
    for group in knowledge.groups:
        if str(group) not in named:
            yield f"knowledge.groups has {group!r}, which no statement names"


def suggest(name: Any, names: Sequence[str]) -> str:
    """What to say after an unknown name: the closest one, or all there are."""
    meant = closest(name, names)
    return f"there are {list(names)}" if meant is None else f"did you mean {meant!r}?"


def closest(name: Any, names: Sequence[str]) -> str | None:
    """The known name that is spelled most like an unknown one; None if none is."""
    lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1)
    return lower[close[0]] if close else None


def position(name, names, where):
    """The index of a column name, or an error with the closest match."""
    if isinstance(name, float) and name.is_integer() and str(name) not in names:
        name = int(name)  # as which it was given, had no other been missing
    if str(name) not in names:
        raise ValueError(
            f"{where} names an unknown column {name!r}; {suggest(name, names)}"
        )
    return names.index(str(name))
