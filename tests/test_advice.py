"""Which method a table is given to, and that discover takes it."""

import json

import numpy as np
import pandas as pd
import pytest

from causaljax import LinearDAG, discover, recommend
from causaljax.estimators import advice

NAMES = list("abcd")


def numbers(n=500, bend=lambda x: x, noise=0.5):
    """A chain a -> b -> c -> d."""
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=n)]
    for _ in range(3):
        columns.append(bend(columns[-1]) + noise * rng.normal(size=n))
    return pd.DataFrame(dict(zip(NAMES, columns, strict=True)))


@pytest.fixture
def no_fit(monkeypatch):
    monkeypatch.setattr(LinearDAG, "fit", None)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_kind_of_table_decides_before_anything_is_fitted():
    table = numbers()
    words = np.array(["red", "green", "blue"])[np.arange(500) % 3]
    assert recommend(table.assign(d=words)).method == "MixedDAG"
    told = recommend(table, regimes=np.arange(500) % 3)
    assert told.method == "LatentInterventionDAG"
    short = recommend(table[:60])
    assert short.method == "AmortizedDAG"
    assert "60 rows do not tell curves from noise." in short.reasons
    assert type(short.estimator(random_state=3)).__name__ == "AmortizedDAG"
    hidden = recommend(table, hidden_causes=True)
    assert hidden.method == "FCI"
    assert type(hidden.estimator(n_bootstrap=5)).__name__ == "FCI"
    one_binary = table.assign(d=table.d > 0)
    assert recommend(one_binary).method == "MixedDAG"  # a quarter of the columns


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_linear_equations_stay_with_the_linear_method_and_curved_ones_do_not():
    straight = discover(numbers())
    assert type(straight) is LinearDAG
    said = straight.info_["advice"]
    assert said["method"] == "LinearDAG"
    assert "3 of 3 edges pass the test" in said["reasons"][0]
    assert said["diagnostics"]["kinds"] == {"continuous": 4}
    json.dumps(straight.info_["advice"])
    with pytest.warns(UserWarning, match="rows resemble the rows before them"):
        discover(numbers().sort_values("a"))
    curved = recommend(numbers(bend=lambda x: np.sin(2 * x) + x**2 / 2))
    assert curved.method == "NeuralDAG"
    assert "fail the test of a linear equation" in curved.reasons[0]
    assert any("no cause is hidden" in line for line in curved.warnings)
    assert str(curved).startswith("NeuralDAG()\n")
    copied = numbers().assign(d=lambda table: table.a)
    doubts = recommend(copied).warnings
    assert any("copies of each other" in line for line in doubts)


def test_discover_takes_fci_where_causes_may_be_hidden():
    model = discover(numbers(), hidden_causes=True)
    assert model.info_["advice"]["method"] == "FCI"
    assert "may be missing from the table" in model.summary()
    with pytest.raises(ValueError, match="hidden_causes must be True or False"):
        discover(numbers(), hidden_causes="yes")
    with pytest.raises(ValueError, match="regimes have no meaning for FCI"):
        discover(numbers(), hidden_causes=True, regimes=np.arange(500) % 2)


def test_every_method_that_is_advised_has_a_name_on_the_command_line():
    from causaljax.cli import command_line

    assert set(advice.METHODS) <= set(command_line.METHODS.values())
