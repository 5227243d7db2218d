"""A table that stays where it is, for federated CD-NOD."""

import secrets
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from causaljax.estimators.federated_messages import (
    Agreement,
    ClientSummary,
    ClientSums,
    check_same_columns,
    check_same_kind,
    sorted_levels,
)
from causaljax.kernels.constraint import federated
from causaljax.tables import frame, notices

_FEW_ROWS = 20  # below which sums are warned of
_MOST_NAMED = 10  # rows that a sentence names


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
      >>> import numpy as np
      >>> from causaljax import FederatedCDNOD, FederatedClient
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
            levels.append(sorted_levels(present))
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
        check_same_columns(self.name, self._columns, "the agreement", agreement.columns)
        parts = []
        for k, name in enumerate(agreement.columns):
            place = self._columns.index(name)
            cells, labels = self._cells[:, place], self._labels[place]
            levels = agreement.levels[k]
            check_same_kind(
                name, self.name, bool(labels), "the agreement", bool(levels)
            )
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
