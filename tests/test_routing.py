"""scikit-learn's metadata routing: what pipelines and searches hand on to ``fit``."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import check_is_fitted

from causaljax import LatentInterventionDAG, LinearDAG, NeuralDAG

TABLE = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 3)), columns=list("abc"))
METADATA = {
    "interventions": [None] * 6 + ["b"] * 6,
    "regimes": [0] * 6 + [1] * 6,
    "sample_weight": np.arange(12.0),
}


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def told(monkeypatch):
    """What ``fit`` was told, each time; nothing is fitted."""
    seen = []

    def fit(
        self,
        X,
        y=None,
        *,
        interventions=None,
        regimes=None,
        knowledge=None,
        kinds=None,
        columns=None,
        sample_weight=None,
    ):
        seen.append(
            {
                "interventions": interventions,
                "regimes": regimes,
                "sample_weight": sample_weight,
            }
        )
        return self

    monkeypatch.setattr(LatentInterventionDAG, "fit", fit)
    return seen


def requested():
    return LatentInterventionDAG().set_fit_request(
        interventions=True, regimes=True, sample_weight="weight"
    )


@pytest.mark.usefixtures("routing")
def test_a_pipeline_hands_on_what_was_requested(told):
    pipeline = make_pipeline(FunctionTransformer(), requested())
    known = dict(METADATA)
    pipeline.fit(TABLE, weight=known.pop("sample_weight"), **known)
    (given,) = told
    assert given["interventions"] == METADATA["interventions"]
    assert given["regimes"] == METADATA["regimes"]
    np.testing.assert_array_equal(given["sample_weight"], METADATA["sample_weight"])


@pytest.mark.usefixtures("routing")
def test_folds_get_their_rows_of_it(told):
    known = dict(METADATA)
    params = {"weight": known.pop("sample_weight"), **known}
    scoring = lambda model, X, y=None: 0.0  # noqa: E731
    cross_validate(requested(), TABLE, params=params, cv=3, scoring=scoring)
    assert len(told) == 3
    for start, given in zip((0, 4, 8), told, strict=True):
        kept = [row for row in range(12) if not start <= row < start + 4]
        assert list(given["sample_weight"]) == [float(row) for row in kept]
        assert given["interventions"] == [METADATA["interventions"][k] for k in kept]


@pytest.mark.usefixtures("routing", "told")
def test_what_nobody_requested_is_refused():
    pipeline = make_pipeline(FunctionTransformer(), LatentInterventionDAG())
    with pytest.raises(UnsetMetadataPassedError, match="regimes"):
        pipeline.fit(TABLE, regimes=METADATA["regimes"])


def test_a_clone_keeps_its_requests():
    again = clone(LinearDAG().set_fit_request(interventions=True))
    assert get_routing_for_object(again).fit.requests["interventions"] is True
    assert get_routing_for_object(again).fit.requests["sample_weight"] is None
    assert "X" not in get_routing_for_object(again).fit.requests
    scored = NeuralDAG().set_score_request(interventions=True)
    assert get_routing_for_object(scored).score.requests == {"interventions": True}


def test_a_name_that_is_no_argument_is_refused():
    with pytest.raises(ValueError, match="LinearDAG.fit has no 'weights'; it has"):
        LinearDAG().set_fit_request(weights=True)
    with pytest.raises(ValueError, match="LinearDAG.score has no 'interventions'"):
        LinearDAG().set_score_request(interventions=True)


def test_scikit_learn_sees_whether_a_model_is_fitted():
    model = LinearDAG()
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    model.edges_ = pd.DataFrame()
    check_is_fitted(model)
