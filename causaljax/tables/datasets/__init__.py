"""Real tables whose causal graph is known, shipped with the package.

Beside each table lies a README with its provenance, licence and traps.
"""

import dataclasses
import importlib.resources

import pandas as pd

__all__ = ["DATASETS", "Dataset", "load_sachs"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A table, how its rows came about and the graph behind it.

    ``data``, ``condition`` and ``interventions`` have one row a sample and the
    same index, 0 to n - 1.

    Attributes:
      description: what it is, where it comes from, what to mind.
      data: ``[n, d]`` float, all rows, natural scale.
      condition: ``[n]`` int, the experimental condition; 1 is the reference.
      interventions: ``[n]``, name of the column that was acted on, None where no
        single column was; the form that ``fit(interventions=...)`` takes.
      truth: ``[d, d]`` int, 1 where row -> column, acyclic; in ``data``'s order.
    """

    description: str
    data: pd.DataFrame = dataclasses.field(repr=False)
    condition: pd.Series = dataclasses.field(repr=False)
    interventions: pd.Series = dataclasses.field(repr=False)
    truth: pd.DataFrame = dataclasses.field(repr=False)

    @property
    def observational(self) -> pd.DataFrame:
        """The rows of condition 1, a copy."""
        return self.data[self.condition == 1].copy()

    @property
    def interventional(self) -> pd.DataFrame:
        """The rows in which a known column was acted on, a copy."""
        return self.data[self.interventions.notna()].copy()


def load_sachs() -> Dataset:
    """Protein signalling in human T cells by flow cytometry, 7466 cells x 11.

    Nine conditions. Condition 1 is what the literature calls the observational
    data: 853 rows. Condition 2 (902 rows) is a second baseline, a general
    stimulation without a target; it counts neither as observational nor as
    interventional. Conditions 3 to 9 (5711 rows) have a known target.

    The reagents change a molecule's activity; its measured level, which is the
    column, may stay or even rise, so the targets are no perfect interventions on
    these columns. The truth is the consensus graph of 17 edges; graphs of 18
    and 20 edges are in use as well, so name it beside a score. More traps are in
    ``datasets/sachs/README.md``.

    Returns:
      The data set, fresh at each call.

    Source: Sachs et al. 2005; graph: Bayesian Network Repository (bnlearn).

    Example:
      >>> sachs = load_sachs()
      >>> sachs.observational.shape, sachs.interventional.shape
      ((853, 11), (5711, 11))
      >>> int(sachs.truth.loc["Raf", "Mek"])
      1
    """
    folder = importlib.resources.files("causaljax.tables.datasets") / "sachs"
    with (folder / "sachs_interventional_7466.csv.gz").open("rb") as file:
        table = pd.read_csv(file, compression="gzip")
    with (folder / "conditions.csv").open("rb") as file:
        conditions = pd.read_csv(file, keep_default_na=False)
    with (folder / "edges_sachs17.csv").open("rb") as file:
        edges = pd.read_csv(file)

    condition = table.pop("condition")
    targets = dict(zip(conditions["condition"], conditions["target"], strict=True))
    interventions = [targets[label] or None for label in condition]
    truth = pd.DataFrame(0, index=table.columns, columns=table.columns)
    for cause, effect in edges.itertuples(index=False):
        truth.loc[cause, effect] = 1
    return Dataset(
        description=(
            "Sachs et al. 2005: 11 phosphorylated proteins and phospholipids in "
            "7466 human T cells, 9 conditions; truth: the consensus graph of 17 "
            "edges (bnlearn)."
        ),
        data=table,
        condition=condition,
        interventions=pd.Series(interventions, dtype=object, name="intervention"),
        truth=truth,
    )


DATASETS = {"sachs": load_sachs}
"""The loaders by name."""
