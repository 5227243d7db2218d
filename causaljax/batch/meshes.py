"""Arrays on the devices of a mesh, of one process or several."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from causaljax.core.types import Array, Kernel, PyTree


def local_mesh() -> Mesh:
    """The devices of this process along one axis, "fit"."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), ("fit",), axis_types=(AxisType.Auto,), devices=devices
    )


def deal(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays dealt out along their first axis to all devices of a mesh.

    Args:
      tree: of numpy arrays ``[m, ...]``, the same on each process; m is a multiple of
        the number of devices.
      mesh: the devices, along all axes.

    Returns:
      Arrays of jax's, of the same shapes.
    """
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    def dealt(leaf):
        dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
        leaf = leaf.astype(dtype, copy=False)
        return jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: leaf[index]
        )

    return jax.tree.map(dealt, tree)


def gathered(leaf: Array) -> np.ndarray:
    """An array as numpy's on each process, whatever devices its parts are on."""
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    return multihost_utils.process_allgather(leaf, tiled=True)


def on_host(leaf: PyTree) -> PyTree:
    """A setting that any process and device can be given."""
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


def float_mode(kernel: Kernel):
    """The mode in which jax traces a kernel, as ``core.run.run`` asks for it."""
    double = kernel.precision != "single" or jax.config.values["jax_enable_x64"]
    return jax.enable_x64(double)
