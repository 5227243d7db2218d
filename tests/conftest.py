"""Two CPU devices and jax at its strictest, for every test."""

import importlib.metadata
import importlib.util
import os
import pathlib
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # Halves the time of the tests; later versions do not know the flag.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

import jax
import optax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_disable_most_optimizations", True)  # compiles sooner
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# optax raises a float to an integer power here, which "strict" does not let it.
optax.tree.bias_correction = jax.numpy_dtype_promotion("standard")(
    optax.tree.bias_correction
)

# A stand-in for a trained network, where a weights file looks for an architecture.
_path = pathlib.Path(__file__).with_name("stand_in_network.py")
_spec = importlib.util.spec_from_file_location("causaljax.nets.stand_in", _path)
stand_in = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stand_in)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
