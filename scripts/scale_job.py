"""Batch jobs: many tables by `causaljax batch`, with one process and with two.

Beside it the same fits in a Python loop over the warm estimator. Each run has an output
folder of its own; compiled programs are those of the first run, which is not counted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

SETTINGS = {
    "linear": {"noise": "gaussian"},
    "amortized": {},
    "neural": {},
}
"""Methods, and their settings where they are not the defaults."""


def make_tables(folder: Path, number: int, rows: int, columns: int) -> None:
    """Linear Gaussian tables of two edges a column, as CSV."""
    for k in range(number):
        rng = np.random.default_rng(k)
        edges = np.triu(rng.random((columns, columns)) < 4 / (columns - 1), 1)
        signs = rng.choice([-1, 1], edges.shape)
        weights = edges * rng.uniform(0.5, 1.5, edges.shape) * signs
        x = np.linalg.solve(
            (np.eye(columns) - weights).T, rng.normal(size=(columns, rows))
        ).T
        names = [f"x{j}" for j in range(columns)]
        pd.DataFrame(x, columns=names).to_csv(folder / f"t{k:03d}.csv", index=False)


def batch(folder: Path, method: str, out: str, processes: int, tables: str) -> float:
    """Seconds of a job of so many processes, from their start to the last end."""
    settings = [f"{name}={value}" for name, value in SETTINGS[method].items()]
    command = [
        *(sys.executable, "-m", "causaljax", "batch", tables, "--method", method),
        *(word for setting in settings for word in ("--set", setting)),
        *("--out", out),
    ]
    # One thread a process, also of a single one: the work is the same.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    cores = sorted(os.sched_getaffinity(0))
    start = time.perf_counter()
    running = []
    for index in range(processes):
        core = {cores[index % len(cores)]}
        running.append(
            subprocess.Popen(
                [*command, "--process", f"{index}/{processes}"],
                cwd=folder,
                env=os.environ | threads | {"XLA_FLAGS": flags},
                stdout=subprocess.DEVNULL,
                preexec_fn=lambda core=core: os.sched_setaffinity(0, core),
            )
        )
    for process in running:
        if process.wait():
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start


def loop(folder: Path, method: str) -> float:
    """Seconds of the same fits in a loop, warm, in this process of one core."""
    from causaljax.estimators.methods import make

    def fit(path):
        estimator = make(method, SETTINGS[method])
        estimator.set_params(progress=False).fit(pd.read_csv(path))

    paths = sorted(folder.glob("*.csv"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(paths[0])
        start = time.perf_counter()
        for path in paths:
            fit(path)
        return time.perf_counter() - start


def compare(options: argparse.Namespace) -> None:
    """Times a job in one process and in two, and a loop over warm fits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{name}/programs"
        make_tables(folder, options.tables, options.rows, options.columns)
        print("| method | fits | 1 process | 2 processes | share | loop, warm |")
        print("|---|---|---|---|---|---|")
        for method in options.methods:
            batch(folder, method, f"{method}-first", 1, "t00[01].csv")
            one = batch(folder, method, f"{method}-1", 1, "t*.csv")
            two = batch(folder, method, f"{method}-2", 2, "t*.csv")
            affinity = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(affinity)})
            warm = loop(folder, method)
            os.sched_setaffinity(0, affinity)
            print(
                f"| {method} | {options.tables} | {one:.1f} s | {two:.1f} s | "
                f"{two / one:.2f} | {warm:.1f} s |",
                flush=True,
            )


def add(subparsers) -> None:
    """The subcommands of this module."""
    parser = subparsers.add_parser("job", help="a job in one process and in two")
    parser.set_defaults(run=compare)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument(
        "--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS)
    )
