"""States of a fit in progress on disk, by orbax."""

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jax
import numpy as np

from causaljax.batch.output import sealed, unsealed, write_whole
from causaljax.batch.stopping import Preempted, Unwritable
from causaljax.core.types import PyTree
from causaljax.tables.errors import CodedError
from causaljax.tables.files import fingerprint


class Checkpoints:
    """Keeps the states of the runs of one fit; an estimator's ``_saver_of``.

    A state goes to disk when the last one is old enough, and at once when the process
    is asked to stop.

    Args:
      folder: of this fit, absolute; made with its first state.
      seconds: from one state on disk to the next.
      asked: whether the process has to stop.

    Attributes:
      notices: what is to say of files that were damaged.
    """

    def __init__(self, folder: Path, seconds: float, asked: Callable[[], bool]):
        self._folder, self._seconds, self._asked = folder, seconds, asked
        self._last = time.monotonic()
        self.notices: list[str] = []

    def __call__(self, run: str) -> "_RunSaver":
        """The saver of a run, by its name."""
        return _RunSaver(self, self._folder / f"run-{quote(run, safe='')}")

    def remove(self) -> None:
        """Removes the states, which a fit that has ended does not need."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # there are those of other processes
            self._folder.parent.rmdir()

    def due(self) -> bool:
        """Whether a state is to be kept now."""
        return self._asked() or time.monotonic() - self._last >= self._seconds

    def kept(self) -> None:
        """Notes that a state has been kept, and stops the process if it is asked to.

        Raises:
          Preempted: if so.
        """
        self._last = time.monotonic()
        if self._asked():
            raise Preempted


class _RunSaver:
    """A ``core.run.Saver``: a folder a state, and its seal beside it.

    Both are named by the number of steps.
    """

    def __init__(self, fit: Checkpoints, folder: Path):
        self._fit, self._folder = fit, folder

    def restore(self, like: PyTree) -> PyTree | None:
        """The newest state that is whole, or None."""
        for seal in reversed(self._seals()):
            state = _read(seal, like)
            if state is not None:
                return state
            self._fit.notices.append(
                f"{seal}: is cut or was changed, or its folder; the fit went on "
                "without it"
            )
        return None

    def save(self, state: PyTree) -> None:
        """Keeps a state if one is due; older ones are then removed."""
        if not self._fit.due():
            return
        before, seal = self._seals(), self._folder / f"{int(state.step):08d}.json"
        try:
            _write(seal, state)
        except Exception as error:  # orbax and its storage have errors of their own
            raise Unwritable(
                "unwritable_output",
                f"{seal}: the state of a fit cannot be written ({error}); what was "
                "done before is kept: make room, and start again",
            ) from None
        for old in before:
            if old != seal:
                _remove(old)
        self._fit.kept()

    def _seals(self):
        return sorted(self._folder.glob("*.json"))


def _write(seal: Path, state: PyTree) -> None:
    """A folder by orbax, and then the checksums of its files, which make it valid."""
    import orbax.checkpoint as ocp

    _remove(seal)  # one that was damaged
    leaves = {
        name: np.asarray(leaf) for name, leaf in _named(jax.tree.leaves(state)).items()
    }
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(seal.with_suffix(""), leaves)
    write_whole(seal, sealed(_checksums(seal)))


def _read(seal: Path, like: PyTree) -> PyTree | None:
    """A state as ``like`` has it; None if it is not what was written."""
    import orbax.checkpoint as ocp

    try:
        whole = unsealed(seal) == _checksums(seal)
    except CodedError:
        whole = False
    if not whole:  # orbax must not see it: its storage reads on in the background
        return None
    with ocp.StandardCheckpointer() as checkpointer:
        kept: Any = checkpointer.restore(seal.with_suffix(""))
    wanted, form = jax.tree.flatten(like)
    named = _named(wanted)
    if {name: (leaf.shape, leaf.dtype) for name, leaf in kept.items()} != {
        name: (np.shape(leaf), np.asarray(leaf).dtype) for name, leaf in named.items()
    }:
        return None
    # Parts of a kernel that run one by one may tell numpy's arrays from jax's.
    named |= {
        name: jax.device_put(leaf) if isinstance(named[name], jax.Array) else leaf
        for name, leaf in kept.items()
    }
    leaves = [named.get(_name(k), leaf) for k, leaf in enumerate(wanted)]
    return jax.tree.unflatten(form, leaves)


def _name(number):
    return f"{number:05d}"


def _named(leaves):
    """Leaves by their numbers, but for those without entries, which orbax refuses."""
    return {_name(k): leaf for k, leaf in enumerate(leaves) if np.size(leaf)}


def _remove(seal):
    seal.unlink(missing_ok=True)
    shutil.rmtree(seal.with_suffix(""), ignore_errors=True)


def _checksums(seal):
    """SHA-256 of all files of a state, by their paths."""
    folder = seal.with_suffix("")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): fingerprint(path) for path in files}
