"""Fitted models on disk: safetensors with a JSON header, never pickle.

A file holds the numbers of a model as tensors and all else as JSON in the header, where
a value that JSON lacks is an object of one key that says what it is. The header has the
SHA-256 of the whole file (its own digits counted as zeros), so that damage is found; it
is no signature. Nothing of a file is ever executed: of the package's own classes and
functions it names those that a value consists of, and no others can be had.
"""

import dataclasses
import enum
import hashlib
import importlib
import json
import os
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy

FORMAT = 1
"""Of the files that ``write_model`` writes; ``read_model`` reads up to it."""

_KEY, _SUM = "causaljax_model", "sha256"
_NO_SUM = "0" * 64
_PACKAGE = "causaljax."
_MANY = 1000  # cells of text, above which they are a tensor
_PLAIN = (bool, int, float, str)


def write_model(
    path: str | Path, kind: type, state: dict[str, Any], about: Any
) -> None:
    """Writes a model to a file, whole or not at all.

    A file that is there already is replaced once the new one is complete.

    Args:
      path: of the file; its folder must be there.
      kind: the class of the model, of the package.
      state: its attributes: None, numbers, strings, arrays, frames, series, dicts,
        lists, tuples, and dataclasses, NamedTuples and functions of the package.
      about: what a reader of the header may want to know, such as the version; of
        JSON's types.

    Raises:
      ValueError: naming the attribute that a file cannot hold, or the path that
        cannot be written.
    """
    path, tensors = Path(path), {}
    try:
        own = _name_of(kind)
    except _Unknown as unknown:
        raise ValueError(f"{path}: a file cannot hold {unknown}") from None
    encoded = {}
    for name, value in state.items():
        try:
            encoded[name] = _encode(value, tensors)
        except _Unknown as unknown:
            raise ValueError(
                f"{path}: a file cannot hold {name.strip('_')!r}, as it has {unknown}"
            ) from None
    header = {
        "format": FORMAT,
        "class": own,
        "about": about,
        "state": encoded,
    }
    data = safetensors.numpy.save(
        tensors, metadata={_KEY: json.dumps(header), _SUM: _NO_SUM}
    )
    digest = hashlib.sha256(data).hexdigest()
    data = data.replace(_field(_NO_SUM), _field(digest), 1)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            made = Path(folder) / "model"
            made.write_bytes(data)
            os.replace(made, path)
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be written ({error.strerror or error}): name a file in a "
            "folder that is there and has room"
        ) from None


def read_model(path: str | Path) -> tuple[type, dict[str, Any]]:
    """Reads a model that ``write_model`` wrote.

    Args:
      path: of the file.

    Returns:
      The class of the model and its attributes. Arrays are numpy's.

    Raises:
      ValueError: naming the file, if it is missing, damaged, of a newer format, or no
        model.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror or error}): give a file that "
            "save has written"
        ) from None
    damaged = f"{path}: damaged, not whole, or no model of causaljax: save it again"
    try:
        # Which also sees that the header fits the length of the file.
        tensors = safetensors.numpy.load(data)
        size = 8 + int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8:size])["__metadata__"]
        if "causaljax" in metadata:
            raise ValueError(
                f"{path}: holds a network and no fit: give it as pretrained= of "
                "AmortizedDAG"
            )
        header, digest = json.loads(metadata[_KEY]), metadata[_SUM]
        zeroed = data[:size].replace(_field(digest), _field(_NO_SUM), 1) + data[size:]
        if hashlib.sha256(zeroed).hexdigest() != digest:
            raise ValueError(damaged)
        if header["format"] > FORMAT:
            raise ValueError(
                f"{path}: has format {header['format']}, and this version of causaljax "
                f"reads up to {FORMAT}: update causaljax"
            )
    except (safetensors.SafetensorError, UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError(damaged) from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(damaged) from None
    try:
        state = {
            name: _decode(value, tensors) for name, value in header["state"].items()
        }
        return _find(header["class"], type), state
    except (KeyError, TypeError, AttributeError, ValueError, ImportError) as error:
        raise ValueError(
            f"{path}: what it holds is unknown to this version of causaljax ({error})"
        ) from None


def _field(digest):
    return f'"{_SUM}":"{digest}"'.encode()


class _Unknown(Exception):
    """A value that a file cannot hold: in words, and what to do."""


def _encode(value, tensors):
    """A value by JSON's types, its arrays moved into a dict."""
    if value is None or type(value) in _PLAIN:
        return value
    encode = _ENCODERS.get(type(value))
    if encode is not None:
        return encode(value, tensors)
    if isinstance(value, enum.Enum):
        return {"enum": [_name_of(type(value)), value.value]}
    if isinstance(value, np.generic):
        return {"scalar": _encode_array(np.asarray(value), tensors)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, pd.Index):
        return {"index": _encode_index(value, tensors)}
    if hasattr(value, "__array__") and not isinstance(value, np.ndarray):
        if isinstance(value, pd.api.extensions.ExtensionArray):
            raise _Unknown(
                f"an array of type {value.dtype}: make numbers or text of it"
            )
        return _encode_array(np.asarray(value), tensors)  # of jax
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = dict(zip(value._fields, value, strict=True))
        return {"object": [_name_of(type(value)), _encode_fields(fields, tensors)]}
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"object": [_name_of(type(value)), _encode_fields(fields, tensors)]}
    raise _Unknown(
        f"a {type(value).__name__}, {value!r:.60}: make numbers or text of it"
    )


def _encode_fields(fields, tensors):
    return {name: _encode(value, tensors) for name, value in fields.items()}


def _encode_list(value, tensors):
    return [_encode(entry, tensors) for entry in value]


def _encode_text(cells, tensors):
    """Cells that are not all numbers; many of them are no matter for the header."""
    encoded = _encode_list(cells, tensors)
    if len(cells) <= _MANY:
        return encoded
    text = np.frombuffer(json.dumps(encoded).encode(), np.uint8)
    return {"text": _encode_array(text, tensors)}


def _encode_array(value, tensors):
    if value.dtype.kind in "Mm":
        return {
            "time": [str(value.dtype), _encode_array(value.view(np.int64), tensors)]
        }
    if value.dtype.kind in "OU":
        cells = _encode_text(value.ravel().tolist(), tensors)
        return {"objects": [str(value.dtype), list(value.shape), cells]}
    if value.dtype.kind not in "biuf":
        raise _Unknown(f"an array of type {value.dtype}: make numbers or text of it")
    name = str(len(tensors))
    tensors[name] = np.array(value, order="C")  # which, unlike others, keeps shape ()
    return {"tensor": name}


def _encode_index(index, tensors):
    names = _encode_list(index.names, tensors)
    if isinstance(index, pd.RangeIndex):
        return ["range", names, [index.start, index.stop, index.step]]
    if isinstance(index, pd.MultiIndex):
        parts = [index.get_level_values(k) for k in range(index.nlevels)]
        return ["multi", names, [_encode_cells(part, tensors) for part in parts]]
    return ["flat", names, _encode_cells(index, tensors)]


def _encode_cells(cells, tensors):
    """The dtype of an index or a column, and its cells."""
    dtype = cells.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        utc = cells.dt if isinstance(cells, pd.Series) else cells
        plain = utc.tz_convert("UTC")
        plain = (plain.dt if isinstance(cells, pd.Series) else plain).tz_localize(None)
        return [str(dtype), _encode_array(plain.to_numpy(), tensors)]
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return [str(dtype), _encode_array(cells.to_numpy(), tensors)]
    if not isinstance(dtype, np.dtype | pd.StringDtype):
        raise _Unknown(f"cells of type {dtype}: make numbers or text of them")
    return [str(dtype), _encode_text(cells.tolist(), tensors)]


def _encode_series(series, tensors):
    index = _encode_index(series.index, tensors)
    return {
        "series": [_encode(series.name, tensors), index, _encode_cells(series, tensors)]
    }


def _encode_frame(frame, tensors):
    axes = [_encode_index(axis, tensors) for axis in (frame.index, frame.columns)]
    kinds = {
        dtype.kind if isinstance(dtype, np.dtype) else "" for dtype in frame.dtypes
    }
    if len(set(frame.dtypes)) == 1 and kinds <= set("biuf"):
        return {"frame": [*axes, "matrix", _encode_array(frame.to_numpy(), tensors)]}
    columns = [frame.iloc[:, k] for k in range(frame.shape[1])]
    cells = [_encode_cells(column, tensors) for column in columns]
    return {"frame": [*axes, "columns", cells]}


_ENCODERS = {
    list: _encode_list,
    tuple: lambda value, tensors: {"tuple": _encode_list(value, tensors)},
    dict: lambda value, tensors: {
        "dict": [_encode_list(item, tensors) for item in value.items()]
    },
    frozenset: lambda value, tensors: {
        "frozenset": _encode_list(sorted(value, key=repr), tensors)
    },
    np.ndarray: _encode_array,
    pd.Series: _encode_series,
    pd.DataFrame: _encode_frame,
    types.FunctionType: lambda value, tensors: {"function": _name_of(value)},
}


def _name_of(member):
    """The name of a class or function of the package, as "core.types.Posterior"."""
    name = f"{member.__module__}.{member.__qualname__}"
    if not name.startswith(_PACKAGE) or "<" in name:
        what = "a function" if isinstance(member, types.FunctionType) else "a class"
        raise _Unknown(f"{what} that is not causaljax's own, {name}")
    return name.removeprefix(_PACKAGE)


def _find(name, kind):
    """A class or function of the package, by ``_name_of``."""
    module, _, own = name.rpartition(".")
    found = getattr(importlib.import_module(f"{_PACKAGE}{module}"), own)
    if not isinstance(found, kind) or found.__module__ != f"{_PACKAGE}{module}":
        raise ValueError(f"{name} is nothing that a file may hold")
    return found


def _decode(value, tensors):
    if isinstance(value, list):
        return [_decode(entry, tensors) for entry in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    return _DECODERS[kind](content, tensors)


def _decode_object(content, tensors):
    name, fields = content
    kind = _find(name, type)
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        raise ValueError(f"{name} is nothing that a file may hold")
    return kind(**{field: _decode(value, tensors) for field, value in fields.items()})


def _decode_objects(content, tensors):
    dtype, shape, cells = content
    cells = _decode(cells, tensors)
    array = np.empty(len(cells), object)
    array[:] = cells
    return array.reshape(shape).astype(np.dtype(dtype))


def _decode_enum(content, tensors):
    del tensors
    kind = _find(content[0], enum.EnumType)
    return kind(content[1])


def _decode_index(content, tensors):
    form, names, cells = content
    names = [_decode(name, tensors) for name in names]
    if form == "range":
        return pd.RangeIndex(*cells, name=names[0])
    if form == "multi":
        parts = [pd.Index(_decode_cells(part, tensors)) for part in cells]
        return pd.MultiIndex.from_arrays(parts, names=names)
    return pd.Index(_decode_cells(cells, tensors), name=names[0])


def _decode_cells(content, tensors):
    dtype, cells = content
    cells = _decode(cells, tensors)
    if isinstance(cells, list):
        return pd.Series(cells, dtype=dtype)
    if "," in dtype:  # a time zone
        return pd.Series(cells).dt.tz_localize("UTC").astype(dtype)
    return pd.Series(cells, dtype=dtype)


def _decode_series(content, tensors):
    name, index, cells = content
    found = _decode_cells(cells, tensors)
    found.index = _decode_index(index, tensors)
    return found.rename(_decode(name, tensors))


def _decode_frame(content, tensors):
    *axes, form, cells = content
    index, columns = (_decode_index(axis, tensors) for axis in axes)
    if form == "matrix":
        return pd.DataFrame(_decode(cells, tensors), index=index, columns=columns)
    parts = {k: _decode_cells(part, tensors) for k, part in enumerate(cells)}
    found = pd.DataFrame(parts, index=range(len(index)))
    found.index, found.columns = index, columns
    return found


_DECODERS = {
    "tuple": lambda content, tensors: tuple(_decode(content, tensors)),
    "frozenset": lambda content, tensors: frozenset(_decode(content, tensors)),
    "dict": lambda content, tensors: dict(_decode(content, tensors)),
    "tensor": lambda content, tensors: tensors[content].copy(),
    "scalar": lambda content, tensors: _decode(content, tensors)[()],
    "text": lambda content, tensors: _decode(
        json.loads(_decode(content, tensors).tobytes()), tensors
    ),
    "time": lambda content, tensors: _decode(content[1], tensors).view(content[0]),
    "objects": _decode_objects,
    "enum": _decode_enum,
    "object": _decode_object,
    "function": lambda content, tensors: _find(content, types.FunctionType),
    "index": _decode_index,
    "series": _decode_series,
    "frame": _decode_frame,
}
"""By the one key of an object of the header, which ``_encode`` writes."""
