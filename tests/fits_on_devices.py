"""A process of `test_parallel`: batches of fits on one device and on all, compared.

    python fits_on_devices.py DEVICES [host:port,count,index] [ROW ...]

Prints a line for each row of the contract whose answers are the same, to the last bit
but for the probabilities of `neural`.
"""

import sys

import conftest  # jax at its strictest
import jax
import numpy as np
from jax.sharding import AxisType

from causaljax.batch import parallel, processes
from causaljax.core import run

NUM_FITS = 9  # for 8 devices


def bits(answer):
    """All numbers of an answer, by their names."""
    found, _ = jax.tree.flatten_with_path(answer)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


def main(num_devices, distributed, names):
    jax.config.update("jax_num_cpu_devices", num_devices)
    jax.config.update("jax_disable_most_optimizations", False)  # which reorders sums
    jax.config.update("jax_debug_key_reuse", False)  # see `batched` in test_contract
    processes.start(distributed)
    import test_contract  # makes arrays

    index, count = processes.share()
    everything = jax.make_mesh(
        (num_devices * count // 2, 2), ("fit", "more"), axis_types=(AxisType.Auto,) * 2
    )
    one = jax.make_mesh(
        (1,), ("fit",), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:1]
    )
    assert everything.size == num_devices * count
    keys = run.numbered_keys(jax.random.key(0), np.arange(NUM_FITS))
    for name in names:
        row = test_contract.REGISTRY[name]
        problems = [row.problem(seed) for seed in range(NUM_FITS)]
        problems = jax.tree.map(lambda *leaves: np.stack(leaves), *problems)
        configs = [
            test_contract.with_setting(row.config, row.sweep[0], 0.01 + 0.1 * k)
            for k in range(NUM_FITS)
        ]
        answers = [
            bits(parallel.run_sharded(row.kernel, keys, problems, configs, mesh))
            for mesh in (one, everything)
        ]
        for where, leaf in answers[0].items():
            # Effects and probabilities of `neural` differ in the last place between a
            # program for one device and one for several (jaxlib 0.10, CPU).
            rtol = 1e-6 if name == "neural" and leaf.dtype.kind == "f" else 0
            np.testing.assert_allclose(
                answers[1][where], leaf, rtol, rtol / 10, err_msg=where
            )
            assert len(leaf) == NUM_FITS
        assert len(np.unique(answers[0]["[0].edge_prob"], axis=0)) > 1
        sys.stdout.write(f"{index} {name} same\n")


if __name__ == "__main__":
    assert conftest
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
