"""scikit-learn's contract of parameters, without importing scikit-learn."""

import inspect
from typing import Any, Self

from causaljax.estimators.record import short
from causaljax.estimators.routing import RoutesMetadata


class Parameters(RoutesMetadata):
    """The constructor's arguments, to be read and set by name."""

    random_state: Any

    @classmethod
    def _parameter_names(cls):
        return sorted(set(inspect.signature(cls.__init__).parameters) - {"self"})

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments as they stand; ``deep`` changes nothing."""
        del deep
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Changes constructor arguments.

        Raises:
          ValueError: if a name is not one of them.
        """
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {names}"
                )
            setattr(self, name, value)
        return self

    def _call(self):
        """The constructor with the arguments that were given."""
        defaults = inspect.signature(type(self).__init__).parameters
        changed = ", ".join(
            f"{name}={short(value)}"
            for name, value in self.get_params().items()
            if short(value) != short(defaults[name].default)
        )
        return f"{type(self).__name__}({changed})"

    def __sklearn_tags__(self):
        # pyrefly: ignore [missing-module-attribute]
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=True),
        )
