"""Causal graphs of tables whose mechanisms change over domains or time."""

import contextlib
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from causaljax.core.options import check_options, settings
from causaljax.core.types import Kind
from causaljax.estimators.base import FitResult
from causaljax.estimators.class_levels import is_class
from causaljax.estimators.constraint_base import BaseConstraintGraph
from causaljax.estimators.independence import MEANINGS, NAMES, Chosen, choose
from causaljax.graphs.marks import Mark
from causaljax.kernels.constraint import cdnod, driving_force, pc
from causaljax.scores.independence import domain_regression
from causaljax.scores.independence.asking import asking
from causaljax.tables import frame, notices

_TEST, _CHANGES = 4, 6  # folded into the key of their draws
_ENOUGH = 20  # domains that tell directions
_MOST_CLASSES = 32  # of the degenerate Gaussian test
_REGRESSION = "domain_regression"
_MEANING = "regressions in each domain (means, slopes and spreads that change)"


class CDNOD(BaseConstraintGraph):
    """A causal graph of a table whose mechanisms change over domains or time (CD-NOD).

    One column is the domain: a hospital, a batch, a day. It is a node of the graph and
    no other is its cause. ``domain --> x`` says that the mechanism of x changes: the
    distribution of x given its causes differs between domains. Such edges make the test
    of other columns right where pooled rows would mislead, and tell directions: x is no
    cause of the others that its change does not reach, and between two columns that
    both change, cause and mechanism change independently in the causal direction alone
    (``causaljax.kernels.constraint.cdnod``). It assumes that no common cause is missing
    from the table but what the domain stands for.

    Args:
      domain: the name of the column. One that holds classes has a class a domain. One
        that holds numbers, such as time, has mechanisms that change along it; give
        ``fit`` ``kinds={domain: "categorical"}`` if its numbers are labels.
      test: of independence. "domain_regression" fits lines in each domain, and a cubic
        curve that all share, and sees means, slopes and spreads that change; numbers
        are cut into as many domains as the root of the number of rows. "kci" and "rcit"
        see any change along a domain that is a number, with less power;
        "degenerate_gaussian" sees means that change, also of classes. "auto" is
        "domain_regression" for numbers and "degenerate_gaussian" for tables that have
        classes beside the domain. Others are as of ``PC``.
      alpha: the level of the tests; .05 if None.
      collider_rule: as of ``PC``.
      most_conditions: as of ``PC``.
      direction_score: what tells directions between columns that change: "regression",
        a likelihood ratio of linear regressions in each domain, or "kernel", for curved
        relations, which needs more domains. Some 20 domains are needed.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Attributes:
      changing_: Series of bool, by column, whether its mechanism changes.
      info_: ``info_["direction_tests"]`` lists what was asked of directions between
        columns that change: ``cause``, ``effect``, ``given`` (other columns), ``score``
        (nats of "regression", standard deviations of "kernel"), ``p`` of the
        mechanisms' independence in this direction and ``p_reverse`` in the other, and
        ``verdict``: "taken", "told" or "open".
      marks_: as of ``PC``, as are ``adjacency_``, ``p_values_`` and ``sepsets_``.

    Gaps are filled; the domain has none. Rows in which a cell was set from outside are
    left out.

    Sources: as in the kernel.

    Example: the mean of c and the slope of e change.
      >>> import numpy as np
      >>> import pandas as pd
      >>> from causaljax import CDNOD
      >>> rng = np.random.default_rng(0)
      >>> site = np.repeat(np.arange(20), 30)
      >>> noise = rng.normal(size=(3, 600))
      >>> b = noise[0]
      >>> c = b + rng.uniform(-2, 2, 20)[site] + noise[1]
      >>> e = rng.uniform(0.5, 2, 20)[site] * c + noise[2]
      >>> table = pd.DataFrame({"site": site, "b": b, "c": c, "e": e})
      >>> model = CDNOD(domain="site").fit(table)
      >>> model.changing_.to_dict()
      {'b': False, 'c': True, 'e': True}
      >>> [tuple(row) for row in model.edges_[["source", "target"]].to_numpy().tolist()]
      [('site', 'c'), ('site', 'e'), ('b', 'c'), ('c', 'e')]
    """

    n_bootstrap = 0

    def __init__(
        self,
        *,
        domain=None,
        test="auto",
        alpha=None,
        collider_rule=None,
        most_conditions=None,
        direction_score="regression",
        progress=None,
        random_state=0,
    ):
        self.domain = domain
        self.test = test
        self.alpha = alpha
        self.collider_rule = collider_rule
        self.most_conditions = most_conditions
        self.direction_score = direction_score
        self.progress = progress
        self.random_state = random_state

    def driving_force(self, column: str, data: Any, num_signals: int = 2):
        """What drives the change of a column's mechanism, as signals over the domains.

        Args:
          column: one whose mechanism changes.
          data: rows to estimate from, as ``fit`` takes them, with the columns of
            ``fit``: its table, or others of the same kind.
          num_signals: how many, the strongest first.

        Returns:
          DataFrame, a row a domain (of numbers, 200 values at most) and columns
          ``signal_1``, ``signal_2``, each of mean 0 and variance 1; their signs are
          arbitrary. ``attrs["shares"]`` holds the shares of the variance of the
          mechanism that they have (``kernels.constraint.driving_force``).

        Raises:
          ValueError: for a column that is none of the fit, or does not change.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        changes = [name for name, changing in self.changing_.items() if changing]
        if column not in changes:
            raise ValueError(
                f"the mechanism of {column!r} does not change: choose from {changes}"
            )
        columns = self._table_columns
        cells, _ = frame.to_cells(data, columns)
        names, marks = list(columns.names), self.marks_.to_numpy()
        child, place = names.index(column), names.index(self._domain_name(names))
        told = (marks[:, child] == Mark.ARROW) & (marks[child] == Mark.TAIL)
        told[place] = False
        domain = cells[:, place]
        if is_class(columns.kinds[place]):
            domain = domain.astype(np.int32)
        found = driving_force.driving_force(
            np.delete(cells, place, axis=1).astype(np.float32),
            domain,
            child - (place < child),
            np.delete(told, place),
            driving_force.Config(),
            weight=np.asarray(np.isfinite(cells).all(axis=1)),
            num_signals=num_signals,
        )
        levels = columns.levels[place]
        labels = [levels[int(k)] for k in found.domains] if levels else found.domains
        signals = pd.DataFrame(
            found.signals,
            index=pd.Index(labels, name=names[place]),
            columns=[f"signal_{k + 1}" for k in range(found.signals.shape[1])],
        )
        signals.attrs["shares"] = found.shares.tolist()
        return signals

    def _domain_name(self, names):
        if self.domain is None:
            raise ValueError(
                "CDNOD needs the column that is the domain: CDNOD(domain=...), one of "
                f"{[str(name) for name in names]}"
            )
        for name in names:
            if str(name) == str(self.domain):
                return name
        raise ValueError(
            f"domain: there is no column {self.domain!r}; choose one of "
            f"{[str(name) for name in names]}"
        )

    def _config(self):
        options = self._set_options("alpha", "collider_rule", "most_conditions")
        return cdnod.Config(
            search=pc.Config(**options), direction_score=self.direction_score
        )

    def _reads_classes(self):
        return True

    def _fills_gaps(self, problem, columns):
        return True

    def _num_imputations(self):
        return 1  # rows count, of which there must not be copies

    def _read_table(self, table, sample_weight, **known):
        table = frame.as_pandas(table)
        if not isinstance(table, pd.DataFrame):
            table = pd.DataFrame(np.asarray(table))
        name = self._domain_name(list(table.columns))
        missing = np.flatnonzero(table[name].isna())
        if len(missing):
            raise ValueError(
                f"column {str(name)!r}, the domain, has no value in {len(missing)} "
                f"rows, the first of them {missing[0]}: fill them, or drop the rows"
            )
        kinds = dict(known.get("kinds") or {})
        dtype = table[name].dtype
        kind = pd.api.types
        number = kind.is_numeric_dtype(dtype) and not kind.is_bool_dtype(dtype)
        # A label or a time of every row is no reason to leave the column out.
        kinds.setdefault(name, "continuous" if number else "categorical")
        with without_row_order():
            return super()._read_table(table, sample_weight, **known | {"kinds": kinds})

    def _fit_problem(self, problem, columns, bar):
        config = self._config()
        check_options(config)
        names = [str(name) for name in columns.names]
        place = names.index(str(self._domain_name(names)))
        order = np.append(np.delete(np.arange(len(names)), place), place)
        back = np.argsort(order)
        self._check_rows(problem)
        problem = problem._replace(
            x=problem.x[:, order],
            observed=problem.observed[:, order],
            intervened=problem.intervened[:, order],
            kind=problem.kind[order],
            allowed=problem.allowed[np.ix_(order, order)],
            required=problem.required[np.ix_(order, order)],
            whole=None,
        )
        if problem.required[:, -1].any():
            effect = names[order[int(np.argmax(problem.required[:, -1]))]]
            raise ValueError(
                f"knowledge requires {effect} -> {names[place]}, and the domain has no "
                "causes in the table: leave the edge out"
            )
        domain = self._domain_of(problem, names[place])
        problem, chosen = self._choose(problem, domain, [names[k] for k in order])
        bar.stage("testing")
        key = jax.random.key(self._seed)
        test = asking(
            chosen.test, jax.random.fold_in(key, _TEST), problem, chosen.config
        )
        found = self._search(test, problem, chosen, domain)
        whole = found.with_domain
        marks = whole.marks.copy()
        marks[:-1, :-1] = found.marks
        graphs = self._opened(marks[np.ix_(back, back)])[None]
        config = settings(config)
        info: dict[str, Any] = {
            "config": config.pop("search") | config,
            "edge_probabilities": "share of class members",
            "num_domains": len(np.unique(domain[np.asarray(problem.weight) > 0])),
            "direction_tests": direction_rows(found, [names[k] for k in order]),
        }
        if left_out := self._left_out(problem):
            info["rows_left_out"] = left_out
        sets = np.where(whole.separators >= 0, order[whole.separators], -1)
        square = np.ix_(back, back)
        whole = whole._replace(
            log_p=whole.log_p[square],
            separated=whole.separated[square],
            separators=sets[square],
            verdicts=whole.verdicts._replace(
                triples=order[whole.verdicts.triples].reshape(-1, 3)
            ),
        )
        return self._finished(whole, graphs, chosen.name, info)

    # pyrefly: ignore [bad-override]
    def _search(self, test, problem, chosen, domain: Any = None):
        """Of a table whose last variable is the domain, ``cdnod.Found``."""
        left = ~np.asarray(problem.intervened).any(axis=1)
        return cdnod.search(
            jax.random.fold_in(jax.random.key(self._seed), _CHANGES),
            test,
            problem.x[:, :-1].astype(np.float32),
            domain,
            self._config(),
            np.where(left, problem.weight, 0).astype(np.float32),
            problem.allowed,
            problem.required,
            chosen.batches,
        )

    def _domain_of(self, problem, name):
        """The domain of each row, as of ``cdnod.search``."""
        counted = np.asarray(problem.weight) > 0
        values = problem.x[:, -1]
        number = len(np.unique(values[counted]))
        if number < 2:
            raise ValueError(
                f"column {name!r} holds {number} domain, and what changes shows "
                "between two or more: give rows of others, or take PC"
            )
        if number < _ENOUGH:
            notices.warn(
                f"column {name!r} holds {number} domains: which mechanisms change can "
                f"be seen, but directions between them need some {_ENOUGH}",
                stacklevel=4,
            )
        if not is_class(problem.kind[-1]):
            return np.where(counted, values, values[counted].mean())
        known, codes = np.unique(values[counted], return_inverse=True)
        found = np.full(len(values), len(known) - 1, np.int32)
        found[counted] = codes
        counts = np.bincount(codes)
        if counts.max() < 2:
            raise ValueError(
                f"column {name!r} holds a domain a row: put some together, or give "
                f'numbers such as time (kinds={{{name!r}: "continuous"}})'
            )
        return found

    def _choose(self, problem, domain, names) -> tuple[Any, Chosen]:
        """The problem as a test reads it, and the test."""
        kinds = np.asarray(problem.kind)
        classes = np.array([is_class(kind) for kind in kinds])
        name = self.test
        known = (*NAMES, _REGRESSION)
        if name not in known:
            raise ValueError(f"test must be one of {list(known)}, not {name!r}")
        if name == "auto":
            name = "degenerate_gaussian" if classes[:-1].any() else _REGRESSION
        counted = np.asarray(problem.weight) > 0
        number = not np.issubdtype(domain.dtype, np.integer)
        codes = domain
        if number and name in (_REGRESSION, "degenerate_gaussian"):
            root = max(round(counted.sum() ** 0.5), 2)
            if name != _REGRESSION:
                root = min(root, _MOST_CLASSES)
            codes = np.zeros(len(domain), np.int32)
            codes[counted] = cdnod.cut(domain[counted], root)
        if name in (_REGRESSION, "degenerate_gaussian"):
            x = np.array(problem.x)
            x[:, -1] = codes
            kinds = kinds.copy()
            kinds[-1] = Kind.CATEGORICAL
            problem = problem._replace(x=x, kind=kinds)
        if name != _REGRESSION:
            chosen = choose(name, problem, names)
            # The domain may have many classes, of which each test reads all.
            return problem, chosen._replace(batches=(min(chosen.batches[0], 64),))
        if (kinds[:-1] == Kind.CATEGORICAL).any():
            held = [names[k] for k in np.flatnonzero(kinds[:-1] == Kind.CATEGORICAL)]
            raise ValueError(
                f"test {name} reads numbers, and columns {held} hold classes without "
                'an order: take test="degenerate_gaussian"'
            )
        # Few sizes, so that tables share programs.
        room = 1 << int(codes.max()).bit_length()
        config = domain_regression.Config(num_domains=max(room, 2))
        return problem, Chosen(
            name, domain_regression.DOMAIN_REGRESSION, config, batches=(64,)
        )

    def _notes(self) -> Iterator[str]:
        info = self.info_
        meaning = (MEANINGS | {_REGRESSION: _MEANING})[info["test"]]
        yield (
            f"Tested by {meaning}, {info['num_tests']:,} times, at a level of "
            f"{info['config']['alpha']:g}. A pair is joined unless a set of other "
            "columns makes it independent; that no test found a dependence is no proof "
            "that there is none."
        )
        changing = [str(name) for name, changes in self.changing_.items() if changes]
        yield (
            f"The mechanisms of {', '.join(changing) if changing else 'no column'} "
            f"change over {self.domain} ({info['num_domains']} domains)."
        )
        open_pairs = sorted(
            {
                " and ".join(sorted((entry["cause"], entry["effect"])))
                for entry in info["direction_tests"]
            }
            - {
                " and ".join(sorted((entry["cause"], entry["effect"])))
                for entry in info["direction_tests"]
                if entry["verdict"] == "taken"
            }
        )
        if open_pairs:
            yield (
                f"The changes of {'; '.join(open_pairs)} do not tell enough of the "
                "directions between them."
            )
        if "rows_left_out" in info:
            yield (
                f"{info['rows_left_out']} rows in which a cell was set from outside "
                "were left out."
            )
        yield (
            "Probabilities are not estimated: 1 is a direction that is claimed, 0.5 "
            "one that is open."
        )

    def _reasons(self, learned, names):
        reasons = super()._reasons(learned, names)
        reasons |= told_by_changes(learned, names)
        for i, j in reasons:
            own = str(names[i]) == str(self.domain)
            if own and not self._evidence.required[i, j]:
                reasons[i, j] = f"the mechanism of {names[j]} changes"
        return reasons

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        names = [str(name) for name in columns.names]
        place = names.index(str(self._domain_name(names)))
        changes = self.marks_.to_numpy()[place] == Mark.ARROW
        series = pd.Series(changes, index=pd.Index(columns.names, name="column"))
        self.changing_ = series.drop(columns.names[place]).rename("changing")


@contextlib.contextmanager
def without_row_order() -> Generator[None]:
    """Leaves out the warning that rows resemble the rows before them.

    Rows of one domain do, and a method that knows the domain takes that into account.
    """
    with warnings.catch_warnings(record=True) as caught, notices.keeping():
        warnings.simplefilter("always")
        yield
    for one in caught:
        if not str(one.message).startswith("rows resemble the rows before them"):
            notices.warn(str(one.message), stacklevel=5)


def told_by_changes(
    learned: FitResult, names: Sequence[str]
) -> dict[tuple[int, int], str]:
    """Why edges have a direction that changes of mechanisms tell, by their ends."""
    reasons, place = {}, {str(name): k for k, name in enumerate(names)}
    for entry in learned.info["direction_tests"]:
        ends = place[entry["cause"]], place[entry["effect"]]
        told = np.asarray(learned.marks)[ends] == Mark.ARROW
        if told and entry["verdict"] == "taken":
            reasons[ends] = (
                "cause and mechanism change independently in this direction alone "
                f"(p = {entry['p']:.2g}, of the reverse {entry['p_reverse']:.2g})"
            )
    return reasons


def direction_rows(found: cdnod.Found, names: Sequence[str]) -> list[dict[str, Any]]:
    """What was asked of directions between variables that change, for ``info_``."""
    return [
        {
            "cause": names[one.cause],
            "effect": names[one.effect],
            "given": [names[k] for k in one.given],
            "score": one.score,
            "p": one.p,
            "p_reverse": one.p_reverse,
            "verdict": "taken" if one.taken else "told" if one.told else "open",
        }
        for one in found.directions
    ]
