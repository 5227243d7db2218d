"""Which method a table asks for, and why."""

import collections
import dataclasses
import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

from causaljax.core.types import Kind
from causaljax.estimators.amortized import AmortizedDAG
from causaljax.estimators.base import BaseGraphEstimator
from causaljax.estimators.cdnod import CDNOD
from causaljax.estimators.fci import FCI
from causaljax.estimators.latent_interventions import LatentInterventionDAG
from causaljax.estimators.linear import LinearDAG
from causaljax.estimators.mixed import MixedDAG
from causaljax.estimators.neural import NeuralDAG
from causaljax.networks.weights import load_weights
from causaljax.tables import frame
from causaljax.tables.scan import Scan, scan_file

METHODS = {
    method.__name__: method
    for method in (
        CDNOD,
        FCI,
        AmortizedDAG,
        LatentInterventionDAG,
        LinearDAG,
        MixedDAG,
        NeuralDAG,
    )
}
"""What may be advised, by name."""

_CLASSES = 0.25  # share of columns from which two classes each are not numbers
_CURVED = 0.1  # share of edges that fail the linear model, from which it is left
_MOST_NEURAL = 25  # columns up to which a fit of ``NeuralDAG`` takes a minute or two
_LEAST_ROWS = 100  # below which no test tells curves from noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advice:
    """A method for a table.

    Attributes:
      method: the name of the estimator.
      settings: arguments of it, besides its defaults.
      reasons: why it is suggested, a sentence each.
      warnings: what makes a graph of this table doubtful, a sentence each.
      diagnostics: numbers that the reasons rest on; of JSON's types.
    """

    method: str
    settings: dict[str, Any]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    diagnostics: dict[str, Any]

    def estimator(self, **options: Any) -> BaseGraphEstimator:
        """The method as it is advised, unfitted.

        Args:
          **options: further arguments, such as ``random_state``.
        """
        return METHODS[self.method](**self.settings | options)

    def __str__(self):
        given = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        lines = [f"{self.method}({given})", *self.reasons]
        return "\n".join([*lines, *(f"Caution: {line}" for line in self.warnings)])


def recommend(
    X: Any,
    *,
    domain: Hashable | None = None,
    hidden_causes: bool = False,
    random_state: Any = 0,
    **known: Any,
) -> Advice:
    """Suggests a method for a table.

    The rules, the first that applies:

    1. A column names the domain of each row, as you say: ``CDNOD``.
    2. Causes may be hidden, as only you can say: ``FCI``.
    3. Rows have regimes: ``LatentInterventionDAG``, which finds what each regime did.
    4. A column has classes without an order, or a quarter of the columns has classes:
       ``MixedDAG``.
    5. Fewer than 100 rows, on which no test has power, and not more columns than the
       shipped network was trained on: ``AmortizedDAG``.
    6. Equations are linear: ``LinearDAG``. They count as linear if fewer than a tenth
       of the edges that it draws fail its test of residuals (``info_["directions"]``).
    7. At most 25 columns: ``NeuralDAG``, which takes a minute or two.
    8. As many columns as the network was trained on: ``AmortizedDAG``; beyond them
       ``LinearDAG(noise="gaussian")``.

    No rule reads the names of columns, and nothing is sent anywhere.

    Args:
      X: as the estimators' ``fit`` takes it.
      domain: the column that says which site or time a row is from, where mechanisms
        may differ; None for none.
      hidden_causes: whether causes of several columns may be missing from the table.
      random_state: as of the estimators.
      **known: ``interventions``, ``regimes``, ``knowledge``, ``kinds``, ``columns`` and
        ``sample_weight``, as ``fit`` takes them.

    Returns:
      The advice.

    Raises:
      ValueError: as ``fit``.

    Example:
      >>> import numpy as np
      >>> from causaljax import recommend
      >>> rng = np.random.default_rng(0)
      >>> cause = rng.normal(size=500)
      >>> table = np.stack([cause, cause + rng.normal(size=500)], axis=1)
      >>> recommend(table).method
      'LinearDAG'
    """
    table = _scanned(X, known)
    return _advised(table, domain, hidden_causes, random_state, None, known)[0]


def discover(
    X: Any,
    *,
    domain: Hashable | None = None,
    hidden_causes: bool = False,
    progress: bool | None = None,
    random_state: Any = 0,
    **known: Any,
) -> BaseGraphEstimator:
    """Learns a causal graph by the method that ``recommend`` suggests.

    Args:
      X: as the estimators' ``fit`` takes it.
      domain: as of ``recommend``.
      hidden_causes: as of ``recommend``.
      progress: as of the estimators.
      random_state: as of the estimators.
      **known: as of ``recommend``.

    Returns:
      The fitted estimator; ``info_["advice"]`` says why it was chosen.

    Raises:
      ValueError: as ``fit``.

    Example:
      >>> import numpy as np
      >>> from causaljax import discover
      >>> rng = np.random.default_rng(0)
      >>> cause = rng.normal(size=500)
      >>> table = np.stack([cause, cause + rng.normal(size=500)], axis=1)
      >>> discover(table).info_["advice"]["method"]
      'LinearDAG'
    """
    X = _scanned(X, known)  # read once
    advice, model = _advised(X, domain, hidden_causes, random_state, progress, known)
    if model is None:
        model = advice.estimator(random_state=random_state, progress=progress)
        model.fit(X, **known)
    else:  # what its fit warned of was recorded
        for doubt in advice.warnings:
            warnings.warn(doubt, stacklevel=2)
    model.info_["advice"] = dataclasses.asdict(advice)
    return model


def _scanned(X, known):
    """What is read of a file; other tables as they are."""
    if not isinstance(X, str | Path):
        return X
    return scan_file(X, kinds=known.get("kinds"), columns=known.get("columns"))


def _advised(X, domain, hidden_causes, random_state, progress, known):
    """The advice, and the estimator as it is advised if it is fitted already."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        names = {"kinds", "columns", "interventions", "knowledge"} & set(known)
        seen = X.sample if isinstance(X, Scan) else frame.as_pandas(X)
        problem, columns = frame.to_problem(
            seen, **{name: known[name] for name in names}
        )
    doubts = [str(warning.message) for warning in caught]
    kinds = collections.Counter(kind.name.lower() for kind in columns.kinds)
    real, d = problem.weight > 0, len(columns.names)
    found = {
        "rows": X.rows if isinstance(X, Scan) else int(real.sum()),
        "columns": d,
        "kinds": dict(kinds),
        "missing_share": float(1 - problem.observed[real].mean()),
        "intervened_share": float(problem.intervened[real].mean()),
    }
    model = None

    def advise(method, *reasons, **settings):
        advice = Advice(
            method=method.__name__,
            settings=settings,
            reasons=reasons,
            warnings=tuple(doubts),
            diagnostics=found,
        )
        return advice, model if method is LinearDAG and not settings else None

    if not isinstance(hidden_causes, bool):
        raise ValueError(f"hidden_causes must be True or False, not {hidden_causes!r}")
    if domain is not None and hidden_causes:
        raise ValueError(
            "domain and hidden_causes ask for two methods, CDNOD and FCI: give one"
        )
    if domain is not None:
        reason = f"Mechanisms may differ by {domain}."
        return advise(CDNOD, reason, domain=domain)
    if hidden_causes:
        reason = "Causes of several columns may be missing from the table."
        return advise(FCI, reason)
    if known.get("regimes") is not None:
        return advise(LatentInterventionDAG, "Rows have regimes.")
    classes = np.isin(columns.kinds, (Kind.BINARY, Kind.ORDINAL, Kind.CATEGORICAL))
    if kinds["categorical"] or classes.mean() >= _CLASSES:
        reason = f"{int(classes.sum())} of {d} columns hold classes."
        return advise(MixedDAG, reason)

    trained = load_weights().card["max_columns"]
    if found["rows"] < _LEAST_ROWS and d <= trained:
        reason = f"{found['rows']} rows do not tell curves from noise."
        return advise(AmortizedDAG, reason)
    model = LinearDAG(random_state=random_state, progress=progress)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.fit(X, **known)
    new = [str(warning.message) for warning in caught]
    doubts += [doubt for doubt in new if doubt not in doubts]
    edges = model.info_["directions"]
    failed = [edge for edge in edges if edge["verdict"] == "dependent"]
    share = len(failed) / max(len(edges), 1)
    found |= {
        "edges": len(edges),
        "edges_not_linear": len(failed),
        "r2_sortability": model.info_["r2_sortability"],
        "nongaussian_columns": len(model.info_["nongaussian_columns"]),
    }
    if share < _CURVED:
        reason = (
            f"{len(edges) - len(failed)} of {len(edges)} edges pass the test of a "
            "linear equation with independent noise."
        )
        return advise(LinearDAG, reason)
    curved = (
        f"{len(failed)} of {len(edges)} edges fail the test of a linear equation with "
        "independent noise: relations are curved, noise is of unequal size, or causes "
        "are hidden."
    )
    doubts.append(
        "all methods but FCI and AmortizedDAG assume that no cause is hidden; edges "
        "that fail the test may join effects of one (hidden_causes=True takes FCI)"
    )
    if d <= _MOST_NEURAL:
        return advise(NeuralDAG, curved)
    if d <= trained:
        return advise(AmortizedDAG, curved)
    many = f"{d} columns are more than the network and NeuralDAG serve."
    return advise(LinearDAG, curved, many, noise="gaussian")
