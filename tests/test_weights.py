"""Weights files: what comes back, and what is refused."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from conftest import make_weights

from causaljax.networks import weights


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "own.safetensors"
    weights.save_weights(path, make_weights())
    return path


def test_what_is_saved_comes_back(saved):
    given, got = make_weights(), weights.load_weights(saved)
    assert got.network == given.network
    assert hash(got.network) == hash(given.network)
    assert got.card == given.card
    assert got.calibration.threshold == given.calibration.threshold
    assert jax.tree.structure(got) == jax.tree.structure(given)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(given), strict=True):
        if not isinstance(other, str):
            np.testing.assert_array_equal(one, other)
    assert repr(got) == "Weights('random')"


def test_a_reference_may_be_missing(saved):
    weights.save_weights(saved, make_weights()._replace(reference=None))
    assert weights.load_weights(saved).reference is None


def rewrite(path, change):
    """Saves a file again after a change of its header or its tensors."""
    with safetensors.safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["causaljax"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    metadata = {"causaljax": json.dumps(header)}
    safetensors.numpy.save_file(tensors, path, metadata=metadata)


EDGE = "params/layers/edge"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h, t: t.update({EDGE: t[EDGE][:-1].copy()}), r"\[5, 1\] and not"),
        (lambda h, t: t.update({EDGE: t[EDGE].astype("f8")}), "float64"),
        (lambda h, t: t.update({EDGE: t[EDGE] * np.nan}), "not finite"),
        (lambda h, t: t.pop(EDGE), f"{EDGE} is missing"),
        (lambda h, t: t.update(more=t[EDGE]), "unknown tensors"),
        (lambda h, t: h.update(format=9), "format 9"),
        (lambda h, t: h.update(architecture="os.path"), "'os.path' is not an"),
        (lambda h, t: h.update(architecture="nothing"), "'nothing' is not an"),
        (lambda h, t: h["network"].update(depth=3), "depth"),
        (lambda h, t: h["network"].update(width=9), "and not float32"),
        (lambda h, t: h.update(temperature=[1]), "three numbers"),
        (lambda h, t: h.update(threshold=2), "threshold"),
        (lambda h, t: h["card"].pop("max_columns"), "max_columns"),
        (lambda h, t: h.pop("card"), "card"),
    ],
)
def test_damaged_files_are_named(saved, change, words):
    rewrite(saved, change)
    with pytest.raises(ValueError, match=words) as caught:
        weights.load_weights(saved)
    assert str(caught.value).startswith(str(saved))


def test_other_files_are_named(saved, tmp_path):
    with pytest.raises(ValueError, match=r"none\.safetensors: no such file"):
        weights.load_weights(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="no weights of the name 'pair-v9'"):
        weights.load_weights("pair-v9")
    content = saved.read_bytes()
    for damaged in (b"", b"text", content[:-4]):
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot be read as safetensors"):
            weights.load_weights(saved)
    safetensors.numpy.save_file({"a": np.zeros(2, np.float32)}, saved)
    with pytest.raises(ValueError, match="not a network of causaljax"):
        weights.load_weights(saved)


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        weights.save_weights(tmp_path / "own.npz", make_weights())
    with pytest.raises(ValueError, match="the card lacks"):
        weights.save_weights(
            tmp_path / "own.safetensors", make_weights()._replace(card={})
        )


def test_what_ships_loads():
    for name in weights.shipped():
        loaded = weights.load_weights(name)
        assert loaded.card["name"] == name
        assert loaded.card["max_columns"] >= 2
