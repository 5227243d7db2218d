"""CD-NOD of tables that must not leave the places where they are."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

import jax
import numpy as np
import pandas as pd

from causaljax.core.options import check_options, settings
from causaljax.core.types import Kind
from causaljax.estimators.base import FitResult
from causaljax.estimators.cdnod import direction_rows, told_by_changes
from causaljax.estimators.constraint_base import BaseConstraintGraph
from causaljax.estimators.federated_messages import (
    VERSION,
    Agreement,
    ClientSummary,
    ClientSums,
    check_same_columns,
    check_same_kind,
    check_waves,
    sorted_levels,
)
from causaljax.kernels.constraint import cdnod, federated, pc
from causaljax.reports.explanation import Evidence
from causaljax.reports.summary import Lines
from causaljax.tables import frame, notices
from causaljax.tables.knowledge import Knowledge, edge_masks

CLIENT = "(client)"
"""What stands for the client where sets of columns are named."""

_PERMUTATIONS = 6  # folded into the key of the draws


class FederatedCDNOD(BaseConstraintGraph):
    """The causal graph of clients that send sums of their rows, and what differs there.

    The clients share one graph; mechanisms of some variables, those that are
    "changing", differ from client to client. Rows do not leave a client: see
    ``FederatedClient``, which has an example. The tests of independence give the
    p-values that all rows together would give
    (``causaljax.kernels.constraint.federated``); the search is that of CD-NOD
    (``causaljax.kernels.constraint.cdnod``), with the client for a domain.

    Args:
      num_waves: how many sines and how many cosines of a number serve for relations
        that are curved; 2 if None, 0 tests linear relations. A client with d columns
        of numbers sends about (1 + 2 num_waves)^2 d^2 / 2 numbers.
      alpha: as of ``PC``.
      collider_rule: as of ``PC``.
      most_conditions: as of ``PC``.
      independent_change_alpha: level of the tests whether mechanisms change
        independently of each other, which direct edges between changing variables; .05
        if None.
      num_permutations: of the clients in these tests; 199 if None. They need some 20
        clients, and with fewer than 4 they can tell nothing.
      progress: not used, as a fit is short.
      random_state: seed of the permutations, as of ``PC``.

    Attributes:
      changing_: Series of bool by column, whether its mechanism differs between
        clients. For this the client is adjacent to the column, given any set tried.
      change_p_values_: Series of the largest p-value of the tests of that.
      marks_, edges_, adjacency_, cpdag_, graph_, p_values_, sepsets_: as of ``PC``;
        ``"(client)"`` in a set is the client.

    Sources: as in the kernels.
    """

    test, n_bootstrap = "federated", 0
    _agreement: Agreement | None = None

    def __init__(
        self,
        *,
        num_waves=None,
        alpha=None,
        collider_rule=None,
        most_conditions=None,
        independent_change_alpha=None,
        num_permutations=None,
        progress=None,
        random_state=0,
    ):
        self.num_waves = num_waves
        self.alpha = alpha
        self.collider_rule = collider_rule
        self.most_conditions = most_conditions
        self.independent_change_alpha = independent_change_alpha
        self.num_permutations = num_permutations
        self.progress = progress
        self.random_state = random_state

    def agree(self, summaries: Iterable[ClientSummary]) -> Agreement:
        """Makes one scale for all clients.

        Args:
          summaries: one of each client.

        Returns:
          The agreement, to be sent to all of them. The estimator keeps it for ``fit``.

        Raises:
          ValueError: naming the client, the column and the fix.

        Warns:
          UserWarning: of columns that are the same in all rows of all clients.
        """
        given = _checked(summaries, ClientSummary, "summarise")
        waves = 2 if self.num_waves is None else self.num_waves
        check_waves(waves)
        first, whose = given[0], f"client {given[0].client!r}"
        rows = np.array([one.rows for one in given], float)
        share = (rows / rows.sum())[:, None]
        places = []
        for one in given:
            check_same_columns(one.client, one.columns, whose, first.columns)
            places.append([one.columns.index(name) for name in first.columns])
        levels = []
        for k, name in enumerate(first.columns):
            own = [one.levels[at[k]] for one, at in zip(given, places, strict=True)]
            for one, present in zip(given, own, strict=True):
                check_same_kind(name, one.client, bool(present), whose, bool(own[0]))
            levels.append(sorted_levels({level for part in own for level in part}))
        pairs = list(zip(given, places, strict=True))
        mean = np.stack([one.mean[at] for one, at in pairs])
        variance = np.stack([one.variance[at] for one, at in pairs])
        centre = (share * mean).sum(axis=0)
        spread = np.sqrt((share * (variance + (mean - centre) ** 2)).sum(axis=0))
        largest = np.maximum(np.abs(mean).max(axis=0), np.finfo(float).tiny)
        constant = spread <= 1e-12 * largest
        constant = np.where([bool(own) for own in levels], False, constant)
        constant |= [len(own) == 1 for own in levels]
        if constant.any():
            named = [first.columns[k] for k in np.flatnonzero(constant)]
            notices.warn(
                f"columns {named} are the same in all rows of all clients: they have "
                "neither causes nor effects here",
                stacklevel=2,
            )
        self._agreement = Agreement(
            clients=tuple(sorted(one.client for one in given)),
            columns=first.columns,
            levels=tuple(levels),
            means=centre,
            scales=np.where(spread > 1e-12 * largest, spread, 1.0),
            num_waves=waves,
        )
        return self._agreement

    # pyrefly: ignore [bad-override]
    def fit(
        self,
        statistics: Iterable[ClientSums],
        y: None = None,
        *,
        agreement: Agreement | None = None,
        knowledge: Knowledge | Mapping[str, Any] | None = None,
    ) -> Self:
        """Learns a graph from the sums of the clients.

        Args:
          statistics: of each client, in any order.
          y: ignored.
          agreement: that they were made by; that of ``agree`` if left out.
          knowledge: as of all estimators.

        Returns:
          The estimator itself.

        Raises:
          ValueError: naming the client and the fix.

        Warns:
          UserWarning: naming clients of the agreement that are missing.
        """
        del y
        self._seed, start = self._new_seed(), time.perf_counter()
        agreed = self._agreement if agreement is None else agreement
        if not isinstance(agreed, Agreement):
            raise ValueError(
                "fit lacks the agreement that the sums were made by: call agree first, "
                "or give agreement="
            )
        with notices.keeping() as warned:
            given = _checked(statistics, ClientSums, "statistics")
            given = sorted(given, key=lambda one: one.client)
            _check_sums(given, agreed)
            allowed, required = edge_masks(knowledge, agreed.columns)
            config = self._config()
            check_options(config)
            self._agreement, sums = agreed, _joined(given)
            key = jax.random.fold_in(jax.random.key(self._seed), _PERMUTATIONS)
            found = federated.search(
                key, agreed.layout, sums, config, allowed, required
            )
        columns = _read_columns(agreed)
        self._prior_given = None
        self._evidence = _gathered(agreed, sums, allowed, required)
        learned = self._learned(found, agreed, given, config)
        info = learned.info | {
            "seconds": time.perf_counter() - start,
            "rows": int(sums.count.sum()),
            "warnings": warned,
        }
        names = pd.DataFrame(columns=list(agreed.columns))
        self._store(learned._replace(info=info), columns, names)
        return self

    def _config(self):
        search = self._set_options("alpha", "collider_rule", "most_conditions")
        own = self._set_options("independent_change_alpha", "num_permutations")
        return cdnod.Config(search=pc.Config(**search), **own)

    def _search(self, test, problem, chosen):
        raise TypeError("FederatedCDNOD is fitted to messages of clients, not to rows")

    def _learned(self, found, agreed, given, config) -> FitResult:
        d = len(agreed.columns)
        inner, names = found.with_domain, agreed.columns
        sets, verdicts = inner.separators[:d, :d], inner.verdicts
        own = (verdicts.triples < d).all(axis=1)
        rows = inner._replace(
            log_p=inner.log_p[:d, :d],
            separated=inner.separated[:d, :d],
            separators=np.where(sets == d, -1, sets),
            verdicts=type(verdicts)(*(leaf[own] for leaf in verdicts)),
        )
        info = {
            "config": settings(config.search)
            | {
                "independent_change_alpha": config.independent_change_alpha,
                "num_permutations": config.num_permutations,
                "num_waves": agreed.num_waves,
            },
            "edge_probabilities": "share of class members",
            "clients": [
                {
                    "name": one.client,
                    "rows": one.rows,
                    "noise": one.noise,
                    "numbers_sent": one.num_numbers,
                }
                for one in given
            ],
            "direction_tests": direction_rows(found, names),
        }
        learned = self._finished(rows, self._opened(found.marks)[None], self.test, info)
        learned.posterior.extra.update(
            {
                "given_client": (sets == d).any(axis=2),
                "changing": found.changing,
                "change_log_p": inner.log_p[d, :d],
            }
        )
        return learned

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        extra, names = learned.posterior.extra, list(columns.names)
        index = pd.Index(names, name="column")
        self.changing_ = pd.Series(extra["changing"], index=index, name="changing")
        self.change_p_values_ = pd.Series(
            np.exp(extra["change_log_p"]), index=index, name="p_value"
        )
        for i, j in np.argwhere(np.triu(extra["given_client"])).tolist():
            self.sepsets_[names[i], names[j]] += (CLIENT,)

    def _reasons(self, learned, names):
        return super()._reasons(learned, names) | told_by_changes(learned, names)

    _follows = (
        "else there would be a cycle or another collider, also with the client as a "
        "cause of the columns that change"
    )

    def _shown_tables(self):
        rows = [
            [name, f"{p:.2g}"]
            for name, p in self.change_p_values_[self.changing_].items()
        ]
        yield Lines(["mechanism differs between clients", "largest p-value"], rows)

    def _notes(self):
        info = self.info_
        clients, config = info["clients"], info["config"]
        relations = "linear or curved and additive" if config["num_waves"] else "linear"
        yield (
            f"Learned from sums of {len(clients)} clients, tested for {relations} "
            f"relations {info['num_tests']:,} times at a level of {config['alpha']:g}. "
            "That no test found a dependence is no proof that there is none."
        )
        if any(one["noise"] for one in clients):
            yield (
                "Clients added noise to their sums, of which the tests know nothing: "
                "p-values are too small or too large by chance, the more so the fewer "
                "rows a client has. No privacy budget was computed."
            )
        yield (
            "Probabilities are not estimated: 1 is a direction that is claimed, "
            "0.5 one that is open."
        )


def _checked(messages, kind, method):
    """Messages of one kind of two clients or more."""
    given = list(messages)
    for message in given:
        if not isinstance(message, kind):
            raise ValueError(
                f"expected messages of the class {kind.__name__}, not "
                f"{message!r:.60}: give what {method} of FederatedClient returns, or "
                f"{kind.__name__}.load(path)"
            )
        if message.version != VERSION:
            raise ValueError(
                f"the message of client {message.client!r} is of version "
                f"{message.version}, not {VERSION}: use one version of causaljax"
            )
        message._check()
    names = [message.client for message in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"client {twice[0]!r} is there {names.count(twice[0])} times: give each "
            "client once, and a name of its own"
        )
    if len(given) < 2:
        raise ValueError(f"{len(given)} client(s): give messages of at least 2")
    return given


def _check_sums(given, agreed):
    other = [one.client for one in given if one.agreement != agreed.digest]
    if other:
        raise ValueError(
            f"the sums of clients {other} were made by another agreement: have them "
            "made again, by this one"
        )
    c = federated.num_columns(agreed.layout)
    for one in given:
        if len(one.mean) != c or len(one.fourth) != len(agreed.columns):
            raise ValueError(
                f"the sums of client {one.client!r} have {len(one.mean)} columns, and "
                f"the agreement makes {c}: have them made again"
            )
    seen: dict[bytes, str] = {}
    for one in given:
        content = one.mean.tobytes() + one.products.tobytes()
        if content in seen:
            raise ValueError(
                f"clients {seen[content]!r} and {one.client!r} sent the same sums: "
                "give each table once"
            )
        seen[content] = one.client
    missing = sorted(set(agreed.clients) - {one.client for one in given})
    if missing:
        notices.warn(
            f"clients {missing} of the agreement sent no sums: the graph is learned "
            "without them",
            stacklevel=3,
        )


def _joined(given):
    parts = []
    for one in given:
        c = len(one.mean)
        covariance = np.zeros((c, c))
        covariance[np.tril_indices(c)] = one.products
        covariance = np.tril(covariance) + np.tril(covariance, -1).T
        parts.append(
            federated.Sums(
                np.array([one.rows], float),
                one.mean[None],
                covariance[None],
                one.fourth[None],
            )
        )
    return federated.join(parts)


def _read_columns(agreed):
    """The columns as other estimators know them."""
    kinds = tuple(Kind.CATEGORICAL if own else Kind.CONTINUOUS for own in agreed.levels)
    described = tuple(
        {
            "name": name,
            "kind": kind.name.lower(),
            "distinct": len(own) or "",
            "gaps": 0,
            "classes": [str(level) for level in own],
            "note": "",
        }
        for name, kind, own in zip(agreed.columns, kinds, agreed.levels, strict=True)
    )
    return frame.Columns(
        names=agreed.columns,
        means=np.where([bool(own) for own in agreed.levels], 0, agreed.means),
        scales=agreed.scales,
        kinds=kinds,
        levels=agreed.levels,
        described=described,
    )


def _gathered(agreed, sums, allowed, required):
    """What ``explain`` asks of the rows of all clients."""
    widths = [len(own) - 1 if own else 1 for own in agreed.levels]
    plain = federated.Layout(agreed.layout.levels, 0)
    taken = federated.variable_columns(agreed.layout)
    count, d = sums.count, len(widths)
    total, mean = count.sum(), sums.mean[:, taken]
    products = sums.covariance[:, taken][:, :, taken]
    products = (count[:, None, None] * products).sum(axis=0)
    products = products + (count[:, None] * mean).T @ mean
    m = federated.num_columns(plain)
    first = np.broadcast_to((count @ mean)[:, None], (m, m))
    return Evidence(
        block=np.repeat(np.arange(d), widths),
        hit=np.zeros((1, d), bool),
        totals=np.full((1, m, m), total),
        sums=np.array(first[None]),
        products=products[None],
        told_apart=np.zeros((d, d), bool),
        allowed=allowed,
        required=required,
        prior=None,
    )
