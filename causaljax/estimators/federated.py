"""CD-NOD of tables that must not leave the places where they are.

Every client describes its columns (``ClientSummary``), the server makes one scale of
that (``Agreement``), every client sends sums in that scale (``ClientSums``), and the
server learns a graph from them: two messages of each client and one of the server, all
of which may be files.
"""

import dataclasses
import hashlib
import json
import secrets
import sys
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np
import pandas as pd

from causaljax.core.options import check_options, settings
from causaljax.core.types import Kind, MarkedPosterior
from causaljax.estimators.base import FitResult
from causaljax.estimators.constraint_base import BaseConstraintGraph
from causaljax.graphs import marks as end_marks
from causaljax.graphs.marks import Mark
from causaljax.graphs.members import extension
from causaljax.kernels.constraint import cdnod, federated, pc
from causaljax.reports.explanation import Evidence
from causaljax.reports.summary import Lines
from causaljax.tables import frame, model_files, notices
from causaljax.tables.knowledge import Knowledge, edge_masks

VERSION = 1
"""Of what messages hold and mean."""

CLIENT = "(client)"
"""What stands for the client where sets of columns are named."""

_LABELS = (str, int, float)  # what classes are called; booleans are whole numbers
_MOST_WAVES = 50  # more are a mistake, or an attempt to learn of single rows
_HUGE = 1e60  # standard deviations, whose squares are far from overflow
_FEW_ROWS = 20  # below which sums are warned of
_MOST_NAMED = 10  # rows that a sentence names
_PERMUTATIONS = 6  # folded into the key of the draws


class _Message:
    """What is sent, as a file: safetensors with a JSON header and a checksum."""

    _what: ClassVar[str]

    def save(self, path: str | Path) -> None:
        """Writes the message to a file, whole or not at all; never pickle.

        Raises:
          ValueError: naming the path that cannot be written.
        """
        state = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # pyrefly: ignore [bad-argument-type]
        }
        about = {"causaljax": sys.modules["causaljax"].__version__}
        model_files.write_model(path, type(self), state, about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a message that ``save`` wrote. Nothing of the file is executed.

        Raises:
          ValueError: naming the file, if it is missing, damaged, of another version, or
            something else.
        """
        kind, state = model_files.read_model(path)
        if kind is not cls:
            raise ValueError(f"{path}: holds a {kind.__name__}, not {cls._what}")
        if state.get("version") != VERSION:
            raise ValueError(
                f"{path}: is of version {state.get('version')!r}, and this causaljax "
                f"reads version {VERSION}: use one version of causaljax everywhere"
            )
        try:
            message = cls(**state)
            message._check()
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"{path}: is not {cls._what} ({error})") from None
        return message

    def _check(self):
        """Raises ValueError or TypeError if contents do not fit together."""


def _check_numbers(array, shape, what, *, least=-np.inf, most=np.inf):
    if not isinstance(array, np.ndarray) or array.dtype != np.float64:
        raise TypeError(f"{what} holds no float64 numbers")
    if array.shape != shape:
        raise ValueError(f"{what} has shape {array.shape}, not {shape}")
    if not (np.isfinite(array) & (array >= least) & (array <= most)).all():
        raise ValueError(f"{what} holds a number that is not finite or out of range")


def _check_names(names):
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError("names are no different texts")


def _check_levels(levels, d):
    cells = [level for own in levels for level in own]
    if len(levels) != d or not all(isinstance(level, _LABELS) for level in cells):
        raise ValueError("levels are no classes of the columns")


def _check_waves(num_waves):
    whole = isinstance(num_waves, int) and not isinstance(num_waves, bool)
    if not whole or not 0 <= num_waves <= _MOST_WAVES:
        raise ValueError(
            f"num_waves must be a whole number from 0 to {_MOST_WAVES}, not "
            f"{num_waves!r}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientSummary(_Message):
    """The first message of a client: its columns, each by itself."""

    _what: ClassVar[str] = "the summary of a client"

    client: str
    columns: tuple[str, ...]  # d of them
    levels: tuple[tuple, ...]  # of d columns the classes, sorted; () for numbers
    rows: int  # without gaps
    mean: np.ndarray  # [d] float64, of numbers; 0 for classes
    variance: np.ndarray  # [d] float64, likewise
    noise: float
    version: int = VERSION

    def _check(self):
        d = len(self.columns)
        _check_names((self.client,))
        _check_names(self.columns)
        _check_levels(self.levels, d)
        if not isinstance(self.rows, int) or self.rows < 1:
            raise ValueError("there are no rows")
        _check_numbers(self.mean, (d,), "mean")
        _check_numbers(self.variance, (d,), "variance", least=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement(_Message):
    """The message of the server: one scale for all clients.

    Numbers are counted in ``scales`` from ``means``. The waves of a number u are
    sin(k pi u / 5) and cos(k pi u / 5), k up to ``num_waves``.
    """

    _what: ClassVar[str] = "an agreement"

    clients: tuple[str, ...]
    columns: tuple[str, ...]  # d of them, in the order of the first client
    levels: tuple[tuple, ...]  # of d columns the classes of all clients; () for numbers
    means: np.ndarray  # [d] float64
    scales: np.ndarray  # [d] float64
    num_waves: int
    version: int = VERSION

    @property
    def layout(self) -> federated.Layout:
        """Which columns of numbers are summed."""
        return federated.Layout(tuple(map(len, self.levels)), self.num_waves)

    @property
    def digest(self) -> str:
        """Of all that sums depend on: equal for equal agreements, to the last bit."""
        content = [
            self.version,
            self.num_waves,
            *map(list, (self.clients, self.columns)),
        ]
        levels = [
            [[type(level).__name__, level] for level in own] for own in self.levels
        ]
        numbers = [self.means.tobytes().hex(), self.scales.tobytes().hex()]
        text = json.dumps([content, levels, numbers])
        return hashlib.sha256(text.encode()).hexdigest()

    def _check(self):
        d = len(self.columns)
        _check_names(self.clients)
        _check_names(self.columns)
        _check_levels(self.levels, d)
        _check_waves(self.num_waves)
        _check_numbers(self.means, (d,), "means")
        _check_numbers(self.scales, (d,), "scales", least=np.finfo(float).tiny)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientSums(_Message):
    """The second message of a client: sums over its rows, in the scale agreed on.

    Means and central moments stand for the sums, and keep more digits.
    """

    _what: ClassVar[str] = "the sums of a client"

    client: str
    agreement: str  # the digest of
    rows: int
    mean: np.ndarray  # [c] float64, of the c columns that the agreement makes
    products: np.ndarray  # [c (c + 1) / 2] float64, covariances, row after row
    fourth: np.ndarray  # [d] float64, fourth central moments of numbers
    noise: float
    version: int = VERSION

    @property
    def num_numbers(self) -> int:
        """How many numbers are sent."""
        return 1 + len(self.mean) + len(self.products) + len(self.fourth)

    def _check(self):
        c = len(self.mean)
        _check_names((self.client, self.agreement))
        if not isinstance(self.rows, int) or self.rows < 1:
            raise ValueError("there are no rows")
        _check_numbers(self.mean, (c,), "mean", least=-_HUGE, most=_HUGE)
        size = (c * (c + 1) // 2,)
        _check_numbers(self.products, size, "products", least=-_HUGE, most=_HUGE)
        _check_numbers(self.fourth, (len(self.fourth),), "fourth", least=0, most=_HUGE)


class FederatedClient:
    """A table that stays where it is, and the two messages about it.

    ``summarise`` tells the number of rows without gaps, names of columns, classes, and
    means and variances of numbers. ``statistics`` tells means, covariances and fourth
    moments of the columns that the agreement makes (``causaljax.kernels.constraint.
    federated``). Rows are not sent, and that is all that is claimed. Sums tell of
    single rows where rows are few; whoever knows all rows but one can compute that one;
    sums by two agreements, or of a table before and after a change, tell more than
    either. The server is trusted not to choose scales and waves that single out rows.
    ``noise`` makes this harder and graphs worse (``scripts/bench_federated.py noise``).
    It is not calibrated to a privacy budget (epsilon, delta): a cell has no bound.

    Args:
      table: DataFrame or array of two columns or more, as ``fit`` of other estimators
        takes it; not modified. Rows with a gap are left out.
      name: of the client; no two may have the same.
      kinds: of columns, as ``fit`` of other estimators takes them. Columns are numbers,
        or classes without an order; also ordered classes count as such.
      columns: those to take.
      noise: standard deviation of normal noise that is added to every sum over rows,
        in standard deviations of the column (for products and fourth powers, the
        product of those of the factors); 0 for none. The number of rows and the labels
        of classes are sent as they are. The same call gives the same noise, so that
        repeated messages do not average it out.
      random_state: seed of the noise; None takes one from the operating system. Whoever
        knows the seed can take the noise away.

    Raises:
      ValueError: naming the column and the fix.

    Warns:
      UserWarning: naming the rows with gaps; of few rows.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> tables = [rng.normal(size=(200, 2)) for _ in range(3)]
      >>> clients = [FederatedClient(x, name=f"site {k}") for k, x in enumerate(tables)]
      >>> server = FederatedCDNOD()
      >>> agreement = server.agree([client.summarise() for client in clients])
      >>> sums = [client.statistics(agreement) for client in clients]
      >>> server.fit(sums).edges_.shape[0]
      0
    """

    def __init__(
        self,
        table: Any,
        *,
        name: str,
        kinds: Mapping[Any, str] | None = None,
        columns: Sequence[Hashable] | None = None,
        noise: float = 0.0,
        random_state: int | None = None,
    ):
        if not isinstance(name, str) or not name:
            raise ValueError(f"name must be a text, not {name!r}")
        known = isinstance(noise, int | float) and not isinstance(noise, bool)
        if not known or not 0 <= noise < np.inf:
            raise ValueError(f"noise must be a number of at least 0, not {noise!r}")
        self.name, self.noise = name, float(noise)
        self._seed = secrets.randbits(128) if random_state is None else random_state
        problem, read = frame.to_problem(
            table, kinds=kinds, columns=columns, standardise=False, lenient=True
        )
        real = problem.weight > 0
        whole = problem.observed[real].all(axis=1)
        gaps = np.flatnonzero(~whole)
        if not whole.any():
            raise ValueError(
                f"client {name!r}: every row has a gap, and rows with gaps are left "
                "out: fill gaps, or leave the columns out that have most (columns=)"
            )
        if len(gaps):
            named = ", ".join(map(str, gaps[:_MOST_NAMED].tolist()))
            more = ", ..." if len(gaps) > _MOST_NAMED else ""
            notices.warn(
                f"client {name!r}: {len(gaps)} of {len(whole)} rows have gaps and are "
                f"left out: {named}{more} (counted from 0)",
                stacklevel=2,
            )
        self._cells = problem.x[real][whole] * read.scales + read.means
        self._columns = read.names
        # Classes by their labels: codes are of this table alone.
        self._labels = tuple(read.levels)
        self._warn_of_few()

    def summarise(self) -> ClientSummary:
        """The first message."""
        mean, variance, levels = [], [], []
        rng = np.random.default_rng([self._seed, 0])
        share = self.noise / len(self._cells)
        for cells, labels in zip(self._cells.T, self._labels, strict=True):
            centre, square = (0.0, 0.0) if labels else (cells.mean(), cells.var())
            first, second = rng.normal(size=2) * share
            mean.append(centre + first * np.sqrt(square))
            variance.append(max(square + second * square, 0.0))
            present = (
                [labels[k] for k in np.unique(cells).astype(int)] if labels else []
            )
            levels.append(_sorted_levels(present))
        return ClientSummary(
            client=self.name,
            columns=self._columns,
            levels=tuple(levels),
            rows=len(self._cells),
            mean=np.array(mean),
            variance=np.array(variance),
            noise=self.noise,
        )

    def statistics(self, agreement: Agreement) -> ClientSums:
        """The second message.

        Args:
          agreement: of the server that has the client's summary.

        Returns:
          The sums.

        Raises:
          ValueError: if the agreement is of other columns, kinds or classes.

        Warns:
          UserWarning: if the sums are as many numbers as the table has cells.
        """
        if not isinstance(agreement, Agreement):
            raise ValueError(
                f"statistics takes an Agreement, not {agreement!r:.60}: give what "
                "agree of FederatedCDNOD returns, or Agreement.load(path)"
            )
        if self.name not in agreement.clients:
            raise ValueError(
                f"client {self.name!r} is no part of the agreement, which is of "
                f"{list(agreement.clients)}: send the server a summary first"
            )
        _same_columns(self.name, self._columns, "the agreement", agreement.columns)
        parts = []
        for k, name in enumerate(agreement.columns):
            place = self._columns.index(name)
            cells, labels = self._cells[:, place], self._labels[place]
            levels = agreement.levels[k]
            _same_kind(name, self.name, bool(labels), "the agreement", bool(levels))
            if not labels:
                parts.append((cells - agreement.means[k]) / agreement.scales[k])
                continue
            codes = {level: code for code, level in enumerate(levels)}
            unknown = [labels[c] for c in np.unique(cells).astype(int)]
            unknown = [label for label in unknown if label not in codes]
            if unknown:
                raise ValueError(
                    f"column {name!r} of client {self.name!r} has the class "
                    f"{unknown[0]!r}, which the agreement lacks: send the server a new "
                    "summary"
                )
            own = np.array([codes.get(label, 0) for label in labels])
            parts.append(own[cells.astype(int)].astype(np.float64))
        layout, x = agreement.layout, np.stack(parts, axis=1)
        if federated.num_sent(layout) >= x.size:
            notices.warn(
                f"client {self.name!r} sends {federated.num_sent(layout):,} sums of "
                f"{len(x):,} rows, which have {x.size:,} cells: cells might be "
                "computed from so many. Agree on fewer waves (num_waves), or add noise",
                stacklevel=2,
            )
        found = federated.sums(layout, x)
        if self.noise:
            seed = [self._seed, 1, int(agreement.digest, 16)]
            rng = np.random.default_rng(seed)
            found = federated.add_noise(rng, found, self.noise)
        c = len(found.mean[0])
        return ClientSums(
            client=self.name,
            agreement=agreement.digest,
            rows=len(x),
            mean=found.mean[0],
            products=found.covariance[0][np.tril_indices(c)],
            fourth=found.fourth[0],
            noise=self.noise,
        )

    def _warn_of_few(self):
        rows = len(self._cells)
        if rows < _FEW_ROWS:
            notices.warn(
                f"client {self.name!r} has {rows} rows without gaps: sums of so few "
                "tell much of each of them; join it with another client, or add noise",
                stacklevel=3,
            )
        for name, cells, labels in zip(
            self._columns, self._cells.T, self._labels, strict=True
        ):
            counts = np.bincount(cells.astype(int)) if labels else np.zeros(0, int)
            alone = [labels[k] for k in np.flatnonzero(counts == 1)]
            if alone:
                notices.warn(
                    f"column {name!r} of client {self.name!r} has classes of a single "
                    f"row, {alone}, of which sums tell everything: join them with "
                    "others, or leave the column out",
                    stacklevel=3,
                )


def _sorted_levels(levels):
    return tuple(sorted(levels, key=lambda level: (type(level).__name__, level)))


def _same_columns(one, columns, other, others):
    missing = [name for name in others if name not in columns]
    more = [name for name in columns if name not in others]
    if missing or more:
        raise ValueError(
            f"client {one!r} lacks the columns {missing} of {other} and has {more} "
            "besides: give all clients the same columns (columns=)"
        )


def _same_kind(name, one, is_class, other, others_class):
    if is_class != others_class:
        kinds = [
            "classes" if given else "numbers" for given in (is_class, others_class)
        ]
        raise ValueError(
            f"column {name!r} holds {kinds[0]} at client {one!r} and {kinds[1]} at "
            f"{other}: say by kinds= how to read it, everywhere the same"
        )


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
      num_permutations: of the clients in these tests; 999 if None. They need some 50
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
        _check_waves(waves)
        first, whose = given[0], f"client {given[0].client!r}"
        rows = np.array([one.rows for one in given], float)
        share = (rows / rows.sum())[:, None]
        places = []
        for one in given:
            _same_columns(one.client, one.columns, whose, first.columns)
            places.append([one.columns.index(name) for name in first.columns])
        levels = []
        for k, name in enumerate(first.columns):
            own = [one.levels[at[k]] for one, at in zip(given, places, strict=True)]
            for one, present in zip(given, own, strict=True):
                _same_kind(name, one.client, bool(present), whose, bool(own[0]))
            levels.append(_sorted_levels({level for part in own for level in part}))
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
        raise NotImplementedError  # there is no table

    def _learned(self, found, agreed, given, config) -> FitResult:
        d = len(agreed.columns)
        inner, names = found.with_domain, agreed.columns
        shown = end_marks.without_cycles(self._opened(found.marks))
        may = end_marks.may_point(shown)
        sets = inner.separators[:d, :d]
        triples = inner.verdicts.triples
        flags = np.stack([inner.verdicts.collider, inner.verdicts.noncollider], axis=1)
        verdicts = np.concatenate([triples, flags], axis=1).astype(int)
        closed: Any = self._closed(shown)
        certain: Any = np.zeros(1)
        posterior = MarkedPosterior(
            marks=closed[None],
            log_weight=certain,
            extra={
                "log_p": inner.log_p[:d, :d],
                "separated": inner.separated[:d, :d],
                "separators": np.where(sets == d, -1, sets),
                "given_client": (sets == d).any(axis=2),
                "verdicts": verdicts[(triples < d).all(axis=1)],
                "changing": found.changing,
                "change_log_p": inner.log_p[d, :d],
            },
        )
        info = {
            "converged": True,
            "nonfinite": False,
            "config": settings(config.search)
            | {
                "independent_change_alpha": config.independent_change_alpha,
                "num_permutations": config.num_permutations,
                "num_waves": agreed.num_waves,
                "test": self.test,
            },
            "edge_probabilities": "share of class members",
            "test": self.test,
            "num_tests": inner.num_tests,
            "clients": [
                {
                    "name": one.client,
                    "rows": one.rows,
                    "noise": one.noise,
                    "numbers_sent": one.num_numbers,
                }
                for one in given
            ],
            "independent_changes": [
                {
                    "effect": names[sink.variable],
                    "causes": [names[cause] for cause in sink.causes],
                    "score": sink.score,
                    "p_value": sink.p,
                    "taken": sink.taken,
                }
                for sink in found.sinks
            ],
        }
        return FitResult(extension(may), may, None, posterior, info, closed)

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
        reasons, names = super()._reasons(learned, names), list(names)
        for row in learned.info["independent_changes"]:
            for cause in row["causes"] if row["taken"] else ():
                edge = names.index(cause), names.index(row["effect"])
                if learned.marks[edge] == Mark.ARROW:
                    reasons[edge] = (
                        "mechanisms change independently of each other this way "
                        f"(p = {row['p_value']:.2g})"
                    )
        return reasons

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
