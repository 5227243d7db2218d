"""Options of kernels: what ``Config`` fields declare is what is checked."""

import dataclasses
import math

import jax
import pytest
from conftest import kernel_modules

from causaljax.core.options import check_options, option, settings


def by_default(config):
    """A ``Config`` of defaults; what has none, arrays and networks, is None."""
    fields = dataclasses.fields(config)
    given = [field.name for field in fields if field.default is dataclasses.MISSING]
    return config(**dict.fromkeys(given))


CONFIGS = {
    config.__module__.removeprefix("causaljax."): by_default(config)
    for config in (getattr(module, "Config", None) for module in kernel_modules())
    if config is not None
}
"""Those of every kernel and its parts, by the module they are in."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = option(0.1, above=0, below=1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    weight: float = option(2.0, least=0)
    noise: str = option("gaussian", choices=("gaussian", "uniform"))
    num_steps: int = option(30, least=1)
    learned: bool = option(False)
    inner: Inner = Inner()
    start: object = None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1}, "weight must be a number of at least 0, not -1"),
        ({"weight": math.nan}, "weight must be a number of at least 0, not nan"),
        ({"weight": math.inf}, "weight must be a number of at least 0, not inf"),
        ({"weight": "two"}, "weight must be a number of at least 0, not 'two'"),
        ({"weight": None}, "weight must be a number"),
        ({"noise": "cauchy"}, r"noise must be one of \['gaussian', 'uniform'\]"),
        ({"noise": ["gaussian"]}, "noise must be one of"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1, not 0"),
        ({"num_steps": 2.5}, "num_steps must be a whole number of at least 1"),
        ({"num_steps": True}, "num_steps must be a whole number of at least 1"),
        ({"learned": 1}, "learned must be True or False, not 1"),
        ({"inner": Inner(rate=0)}, "rate must be a number above 0 and below 1, not 0"),
        ({"inner": Inner(rate=1)}, "rate must be a number above 0 and below 1, not 1"),
    ],
)
def test_a_wrong_value_is_named(changes, message):
    check_options(Config())
    with pytest.raises(ValueError, match=message):
        check_options(Config(**changes))


def test_settings_are_all_that_was_made_by_option():
    given = settings(Config(weight=3.0, start=[1.0], inner=Inner(rate=0.2)))
    expected = {"weight": 3.0, "noise": "gaussian", "num_steps": 30, "learned": False}
    assert given == expected | {"inner": {"rate": 0.2}}


def test_numbers_are_leaves_and_the_rest_is_static():
    assert sorted(jax.tree.leaves(Config())) == [0.1, 2.0]
    more = jax.tree.structure(Config(num_steps=31))
    assert more != jax.tree.structure(Config())
    assert jax.tree.structure(Config(weight=3.0)) == jax.tree.structure(Config())


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_of_a_kernel_has_bounds(name):
    config = CONFIGS[name]
    check_options(config)
    for field in dataclasses.fields(config):
        if isinstance(field.default, int | float | str):
            assert "bounds" in field.metadata, (
                f"{name}.Config.{field.name}: declare it by "
                f"causaljax.core.options.option({field.default!r}, ...) with its bounds"
            )
        if isinstance(field.default, float):
            changed = dataclasses.replace(config, **{field.name: math.nan})
            with pytest.raises(ValueError, match=f"^{field.name} must be a number"):
                check_options(changed)
        elif isinstance(field.default, str):
            changed = dataclasses.replace(config, **{field.name: "nonsense"})
            with pytest.raises(ValueError, match=f"^{field.name} must be one of"):
                check_options(changed)


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_are_frozen(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONFIGS[name].num_steps = 3
