"""Are the answers of this device those of a CPU, and what do fits cost on it?

    python scripts/check_device.py            on the device that jax finds first
    python scripts/check_device.py --store    writes the answers to compare with

Each kernel fits one small table: seconds of the first fit, most of which is
compilation, of a warm fit, and of a warm fit in a batch (`batch.parallel.run_sharded`,
all local devices). Edge probabilities may differ by 0.02, and the last loss by 0.1 %
or 0.001 nats: devices add numbers up in other orders, and a descent carries
that along. Sampled graphs are not compared. The exit code is 1 if an answer differs.
Needs no network and under 5 minutes.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import numpy as np

from causaljax.batch import parallel
from causaljax.core import run
from causaljax.core.types import Kind, make_problem
from causaljax.kernels import (
    amortized,
    continuous,
    latent_interventions,
    mixed_order,
    neural,
    order_search,
)
from causaljax.kernels.latent_interventions import mixture
from causaljax.kernels.neural import equations, pruning
from causaljax.networks.weights import load_weights

STORED = Path(__file__).with_name("check_device.npz")
BATCH = 8
PROBABILITY, LOSS = 0.02, 1e-3
"""Tolerances, absolute and of the loss relative, too."""


def table(classes: bool = False, rows: int = 256) -> np.ndarray:
    """A chain and a collider, ``[rows, 5]``, of uniform noise."""
    rng = np.random.default_rng(0)
    a, b, c, d, e = rng.uniform(-1, 1, (5, rows))
    b = a + 0.6 * b
    c = 0.8 * b + 0.5 * c
    e = 0.7 * c - d + 0.5 * e
    x = np.stack([a, b, c, d, e], axis=1)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    if classes:
        x[:, :2] = x[:, :2] > 0
    return x.astype(np.float32)


def checks():
    """Name, kernel, config and problem of each check."""
    problem = make_problem(table())
    kinds = np.array([Kind.BINARY] * 2 + [Kind.CONTINUOUS] * 3)
    mixed = make_problem(table(classes=True), kind=kinds)
    start = np.triu(np.full((5, 5), 0.5, np.float32), 1)
    for noise in ("gaussian", "auto"):
        config = order_search.Config(noise=noise, num_steps=6, interventional=False)
        yield f"linear {noise}", order_search.KERNEL, config, problem
    yield "mixed", mixed_order.KERNEL, mixed_order.Config(num_steps=4), mixed
    config = continuous.Config(num_steps=2000, interventional=False)
    yield "continuous", continuous.KERNEL, config, problem
    yield "amortized", amortized.KERNEL, amortized.configure(load_weights()), problem
    config = neural.Config(
        prior=start,
        pruning=pruning.Config(num_steps=6, hidden=4),
        equations=equations.Config(num_steps=4, num_updates=200),
    )
    yield "neural", neural.KERNEL, config, problem
    config = latent_interventions.Config(
        prior=start,
        mixture=mixture.Config(
            mechanism="linear", max_regimes=3, num_iterations=4, num_steps=6
        ),
        num_doubtful=2,
    )
    yield "hidden regimes", latent_interventions.LINEAR_KERNEL, config, problem


def seconds_of(function) -> tuple[float, tuple]:
    """Seconds of a call until its answer is on the host, and the answer."""
    start = time.perf_counter()
    answer = jax.tree.map(np.asarray, function())
    return time.perf_counter() - start, answer


def differences(name: str, answer: tuple, stored) -> list[str]:
    """What of an answer is not as it was stored."""
    found = []
    for kind, value, relative, absolute in (
        ("edge probabilities", answer[0].edge_prob, 0, PROBABILITY),
        ("loss", answer[1].loss, LOSS, LOSS),
    ):
        expected = stored[f"{name}, {kind}"]
        if not np.allclose(value, expected, relative, absolute):
            most = np.abs(value - expected).max()
            found.append(f"{kind} differ by {most:.2g}")
    return found


def main() -> int:
    """Prints a line a kernel; 1 if an answer differs from the stored one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help="keep these answers")
    parser.add_argument("--only", nargs="+", help="names of kernels")
    options = parser.parse_args()
    devices = jax.local_devices()
    print(f"jax {jax.__version__}, {len(devices)} x {devices[0].device_kind}")
    stored = {} if options.store else dict(np.load(STORED, allow_pickle=False))
    failed = 0
    print(f"{'seconds':18}  first    warm  in a batch of {BATCH}")
    for name, kernel, config, problem in checks():
        if options.only and name not in options.only:
            continue
        keys = run.numbered_keys(jax.random.key(0), np.arange(BATCH))

        def fit(kernel=kernel, config=config, problem=problem, keys=keys):
            return run.run(kernel, keys[0], problem, config)

        first, answer = seconds_of(fit)
        warm, _ = seconds_of(fit)
        line = f"{name:18}{first:7.2f}{warm:8.3f}"
        found = [] if options.store else differences(name, answer, stored)
        if options.store:
            stored[f"{name}, edge probabilities"] = answer[0].edge_prob
            stored[f"{name}, loss"] = answer[1].loss
        elif not kernel.staged:
            many = jax.tree.map(lambda leaf: np.stack([leaf] * BATCH), problem)

            def batch(kernel=kernel, config=config, many=many, keys=keys):
                return parallel.run_sharded(kernel, keys, many, config)

            _, answers = seconds_of(batch)
            line += f"{seconds_of(batch)[0] / BATCH:8.3f}"
            alone = jax.tree.map(lambda leaf: leaf[0], answers)
            found += [f"{said} in a batch" for said in differences(name, alone, stored)]
        print(line + "".join(f"  DIFFERS: {said}" for said in found), flush=True)
        failed += bool(found)
    if options.store:
        np.savez_compressed(STORED, **stored)
    else:
        print(f"{failed} kernels differ from the stored answers of a CPU")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
