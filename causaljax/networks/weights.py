"""Trained networks on disk: safetensors with a JSON header, never pickle.

The header says which architecture and size the tensors fit, how their logits are
calibrated and what they were trained on; nothing is ever looked for on the network.
"""

import dataclasses
import functools
import importlib
import importlib.resources
import json
from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy

from causaljax.networks.network import Calibration, Weights, network_of
from causaljax.networks.out_of_distribution import Reference

_NETS = "causaljax.networks"
_SUFFIX = ".safetensors"
_PARAMS, _REFERENCE = "params/", "reference/"  # what tensors' names begin with
_FORMAT = 3


def shipped() -> list[str]:
    """Names of the weights inside the package."""
    folder = _shipped_folder()
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if _SUFFIX in name)


def load_weights(name_or_path: str | Path = "pair-v3") -> Weights:
    """Reads weights that ship with the package, or from a file.

    Args:
      name_or_path: one of ``shipped()``, or the path of a .safetensors file.

    Raises:
      ValueError: if there is no such file, or it is damaged or of another kind.
    """
    source = Path(name_or_path)
    if source.suffix != _SUFFIX:
        if str(name_or_path) not in shipped():
            raise ValueError(
                f"no weights of the name {str(name_or_path)!r} ship with causaljax; "
                f"there are {shipped()}; or give the path of a {_SUFFIX} file"
            )
        source = _shipped_folder() / f"{name_or_path}{_SUFFIX}"
    if not source.is_file():
        raise ValueError(f"{source}: no such file")
    try:
        with (
            importlib.resources.as_file(source) as path,
            safetensors.safe_open(path, framework="numpy") as file,
        ):
            header = (file.metadata() or {}).get("causaljax")
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{source}: cannot be read as safetensors: {error}") from None
    if header is None:
        raise ValueError(f"{source}: holds tensors, but not a network of causaljax")
    try:
        return _assemble(json.loads(header), tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{source}: damaged, or of another version: {error}") from None


def save_weights(path: str | Path, weights: Weights) -> None:
    """Writes a network to a .safetensors file that ``load_weights`` reads.

    Raises:
      ValueError: if the path does not end in .safetensors, or the card lacks an entry.
    """
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise ValueError(f"{path}: name a file that ends in {_SUFFIX}")
    missing = {"name", "max_columns"} - weights.card.keys()
    if missing:
        raise ValueError(f"the card lacks {sorted(missing)}")
    network, calibration = weights.network, weights.calibration
    header = {
        "format": _FORMAT,
        "architecture": network.inputs.__module__.removeprefix(f"{_NETS}."),
        "network": dataclasses.asdict(network.config),
        "temperature": np.asarray(calibration.temperature).tolist(),
        "confounder_temperature": np.asarray(
            calibration.confounder_temperature
        ).tolist(),
        "threshold": float(calibration.threshold),
        "card": weights.card,
    }
    tensors = _flatten(weights.params, _PARAMS)
    if weights.reference is not None:
        tensors |= _flatten(weights.reference._asdict(), _REFERENCE)
    metadata = {"causaljax": json.dumps(header)}
    safetensors.numpy.save_file(tensors, path, metadata=metadata)


def _shipped_folder():
    return importlib.resources.files("causaljax.networks") / "pretrained"


@functools.cache
def _shapes(module, config):
    """The shapes of an architecture's weights, traced once: that takes a while."""
    return jax.eval_shape(lambda: module.init_params(jax.random.key(0), config))


def _assemble(header, tensors):
    """Weights from the header and the tensors, once they are seen to fit."""
    if header["format"] != _FORMAT:
        raise ValueError(f"format {header['format']!r} and not {_FORMAT}")
    module = _architecture(header["architecture"])
    config = module.NetworkConfig(
        **{name: _hashable(value) for name, value in header["network"].items()}
    )
    expected = _shapes(module, config)
    params = _take(tensors, expected, _PARAMS)
    reference = None
    if f"{_REFERENCE}mean" in tensors:
        sizes, size = tensors[f"{_REFERENCE}mean"].shape
        shapes = {
            "num_variables": (sizes,),
            "mean": (sizes, size),
            "scale": (sizes, size),
            "whitener": (size, size),
            "limit": (sizes,),
        }
        expected = {
            name: jax.ShapeDtypeStruct(shape, np.float32)
            for name, shape in shapes.items()
        }
        reference = Reference(**_take(tensors, expected, _REFERENCE))
    if tensors:
        raise ValueError(f"unknown tensors {sorted(tensors)}")
    temperatures = [
        np.array(header[name], np.float32)
        for name in ("temperature", "confounder_temperature")
    ]
    edges, confounders = temperatures
    calibration = Calibration(edges, confounders, float(header["threshold"]))
    if any(temperature.shape != (3,) for temperature in temperatures):
        raise ValueError("a temperature must be three numbers")
    if not (np.isfinite(temperatures).all() and 0 <= calibration.threshold < 1):
        raise ValueError("temperatures must be finite, threshold from 0 to below 1")
    card = header["card"]
    if not {"name", "max_columns"} <= card.keys():
        raise ValueError("the card lacks name or max_columns")
    return Weights(params, network_of(module, config), calibration, reference, card)


def _architecture(name):
    """A module of ``causaljax.networks``, and nothing else, by its name."""
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"{name!r} is not an architecture")
    try:
        return importlib.import_module(f"{_NETS}.{name}")
    except ImportError:
        raise ValueError(f"{name!r} is not an architecture") from None


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _name(path, prefix):
    return prefix + "/".join(str(entry.key) for entry in path)


def _flatten(tree, prefix):
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {
        _name(path, prefix): np.array(leaf, np.float32, order="C")
        for path, leaf in leaves
    }


def _take(tensors, expected, prefix):
    """Moves a tree's tensors out of a dict, checking each; numpy arrays."""
    leaves, structure = jax.tree.flatten_with_path(expected)
    taken = []
    for path, leaf in leaves:
        name = _name(path, prefix)
        if name not in tensors:
            raise ValueError(f"the tensor {name} is missing")
        tensor = tensors.pop(name)
        if (tensor.shape, tensor.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"the tensor {name} is {tensor.dtype} {list(tensor.shape)} and not "
                f"{leaf.dtype} {list(leaf.shape)}"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(f"the tensor {name} is not finite")
        taken.append(tensor)
    return jax.tree.unflatten(structure, taken)
