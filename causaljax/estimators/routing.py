"""scikit-learn's metadata routing, without importing scikit-learn before it is used."""

import inspect
from collections.abc import Callable
from typing import Any, Self

_TABLE = {"self", "X", "y"}  # what is no metadata of an estimator's methods


class RoutesMetadata:
    """What a scikit-learn pipeline or search hands on to ``fit`` and ``score``."""

    fit: Callable[..., Any]

    def set_fit_request(self, **requests: bool | str | None) -> Self:
        """Says which arguments of ``fit`` scikit-learn's meta-estimators hand on.

        Works where scikit-learn is installed and its metadata routing is switched on:
        ``sklearn.set_config(enable_metadata_routing=True)``.

        Args:
          **requests: True, False, a name by which the caller passes it, or None for an
            error if it is passed; of ``interventions``, ``regimes``, ``sample_weight``,
            ``knowledge``, ``kinds`` and ``columns``.

        Returns:
          The estimator itself.

        Raises:
          ValueError: if a name is no such argument of ``fit``.

        Example:
          >>> from causaljax import LinearDAG
          >>> LinearDAG().set_fit_request(interventions=True)
          LinearDAG()
        """
        return self._set_request("fit", requests)

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """The same of ``score``, for estimators that have one with such arguments."""
        return self._set_request("score", requests)

    def get_metadata_routing(self) -> Any:
        """The requests, as scikit-learn's meta-estimators ask for them."""
        if not hasattr(self, "_metadata_request"):
            return self._new_request()
        return self._metadata_request

    def _set_request(self, method, requests):
        routing = self.get_metadata_routing()
        names = _metadata_of(getattr(self, method, None))
        for name, request in requests.items():
            if name not in names:
                raise ValueError(
                    f"set_{method}_request: {type(self).__name__}.{method} has no "
                    f"{name!r}; it has {names}"
                )
            getattr(routing, method).add_request(param=name, alias=request)
        self._metadata_request = routing  # as scikit-learn's ``clone`` looks for it
        return self

    def _new_request(self):
        # pyrefly: ignore [missing-module-attribute]
        from sklearn.utils.metadata_routing import MetadataRequest

        routing = MetadataRequest(owner=self)
        for method in ("fit", "score"):
            for name in _metadata_of(getattr(self, method, None)):
                getattr(routing, method).add_request(param=name, alias=None)
        return routing


def _metadata_of(method):
    """The names of a method's arguments beside the table."""
    if method is None:
        return []
    return [name for name in inspect.signature(method).parameters if name not in _TABLE]
