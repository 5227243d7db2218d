"""Batches of independent fits: one process or two, a batch or a loop, beside rivals.

The work is the same for all: `--fits` linear tables of `--columns` columns and `--rows`
rows with two edges a column. Times are of warm programs.
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

METHODS = "linear", "lingam", "amortized", "continuous", "neural"
RIVALS = {"linear": "dagma", "lingam": "andrey_lingam"}
"""Who does the work of a method."""


def tables(numbers, rows: int, columns: int, noise: str) -> np.ndarray:
    """``[fits, rows, columns]``, columns of standard deviation 1; one seed a table."""
    found = []
    for number in numbers:
        rng = np.random.default_rng(number)
        edges = np.triu(rng.random((columns, columns)) < 4 / (columns - 1), 1)
        signs = rng.choice([-1, 1], edges.shape)
        weights = edges * rng.uniform(0.5, 1.5, edges.shape) * signs
        draw = {"gaussian": rng.normal, "uniform": rng.uniform}[noise]
        errors = (
            draw(-1, 1, (rows, columns))
            if noise == "uniform"
            else draw(size=(rows, columns))
        )
        x = np.linalg.solve((np.eye(columns) - weights).T, errors.T).T
        order = rng.permutation(columns)
        found.append(((x - x.mean(axis=0)) / x.std(axis=0))[:, order])
    return np.stack(found).astype(np.float32)


def noise_of(method: str) -> str:
    """The noise of a method's tables."""
    return "uniform" if method == "lingam" else "gaussian"


def method_of(name: str):
    """A kernel and its settings, as of the estimators."""
    from causaljax.kernels import amortized, continuous, neural, order_search
    from causaljax.networks.weights import load_weights

    if name in ("linear", "lingam"):
        noise = "gaussian" if name == "linear" else "nongaussian"
        config = order_search.Config(noise=noise, interventional=False)
        return order_search.KERNEL, config
    if name == "amortized":
        return amortized.KERNEL, amortized.configure(load_weights())
    if name == "continuous":
        return continuous.KERNEL, continuous.Config(interventional=False)
    return neural.KERNEL, neural.Config()


def problems_of(numbers, options):
    """Padded problems of some numbers, for ``options.method``."""
    from causaljax.core.problem import pad_rows, padded_size
    from causaljax.core.types import make_problem

    x = tables(numbers, options.rows, options.columns, noise_of(options.method))
    return [pad_rows(make_problem(table), padded_size(options.rows)) for table in x]


def stacked(problems):
    """Problems of one shape as one."""
    import jax

    return jax.tree.map(lambda *leaves: np.stack(leaves), *problems)


def seconds_of(function, clock=time.perf_counter) -> float:
    """Seconds of a call."""
    start = clock()
    function()
    return clock() - start


# One process of one thread, told when to start


def work(options) -> None:
    """Fits a share; prints "ready" when compiled, then waits for a line to begin."""
    import jax

    from causaljax.batch import parallel
    from causaljax.core import run

    numbers = np.arange(options.index, options.fits, options.count)
    kernel, config = method_of(options.method)
    problems = stacked(problems_of(numbers, options))
    keys = run.numbered_keys(jax.random.key(0), numbers)

    def fit():
        return parallel.run_sharded(kernel, keys, problems, config)

    if options.loop:
        alone = [jax.tree.map(lambda leaf, k=k: leaf[k], problems) for k in numbers]

        def fit():
            for key, problem in zip(keys, alone, strict=True):
                jax.tree.map(np.asarray, run.run(kernel, key, problem, config))

    first = seconds_of(fit)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"first": first, "warm": seconds_of(fit)}), flush=True)


def processes(options, count: int, loop: bool = False) -> float:
    """Seconds that processes of one thread each need for all fits, side by side."""
    begun = []
    for index in range(count):
        command = [sys.executable, __file__, "work", "--method", options.method]
        command += ["--index", str(index), "--count", str(count)]
        command += ["--loop"] * loop
        for name in ("fits", "rows", "columns"):
            command += [f"--{name}", str(getattr(options, name))]
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS")}
        begun.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | threads | {"JAX_PLATFORMS": "cpu"},
                # XLA makes as many threads as the process may use cores.
                preexec_fn=lambda index=index: os.sched_setaffinity(0, {index}),
            )
        )
    pipes: list[Any] = [(process.stdin, process.stdout) for process in begun]
    for _, output in pipes:
        if output.readline() != "ready\n":
            raise RuntimeError(f"a process of {options.method} ended with an error")
    start = time.perf_counter()
    for told, _ in pipes:
        told.write("go\n")
        told.flush()
    for _, output in pipes:
        output.readline()
    seconds = time.perf_counter() - start
    for process in begun:
        process.communicate()
    return seconds


def fits(options) -> None:
    """Prints a line a method."""
    print(f"{options.fits} fits, {options.rows} x {options.columns}, seconds")
    print("method      1 process  2 processes  ratio   loop  batch/loop  rival a fit")
    for method in options.methods:
        options.method = method
        one, two = processes(options, 1), processes(options, 2)
        loop = processes(options, 1, loop=True)
        line = f"{method:12}{one:9.2f}{two:13.2f}{two / one:7.2f}"
        line += f"{loop:7.2f}{one / loop:12.2f}"
        print(line + rival(options, one), flush=True)


def rival(options, seconds: float) -> str:
    """Mean seconds of the rival on the first tables, and how many times ours."""
    if options.method not in RIVALS or not options.rival_fits:
        return ""
    import rivals

    name = RIVALS[options.method]
    numbers = range(min(options.rival_fits, options.fits))
    x = tables(numbers, options.rows, options.columns, noise_of(options.method))
    costs = [rivals.run(name, table, threads=1).seconds for table in x]
    times = np.mean(costs) * options.fits / seconds
    return f"  {name} {np.mean(costs):.3f} ({times:.1f} x)"


def together(options) -> None:
    """Prints CPU milliseconds a fit for groups of several sizes, on one thread."""
    os.sched_setaffinity(0, {0})
    import jax

    from causaljax.batch import parallel
    from causaljax.core import run

    print(f"{options.fits} fits, {options.rows} x {options.columns}, CPU time")
    for method in options.methods:
        options.method = method
        kernel, config = method_of(method)
        problems = stacked(problems_of(range(options.fits), options))
        keys = run.numbered_keys(jax.random.key(0), np.arange(options.fits))
        for size in options.sizes:
            sized = kernel._replace(fits_at_once=lambda d, size=size: size)

            fit = functools.partial(parallel.run_sharded, sized, keys, problems, config)
            compiled, warm = (seconds_of(fit, time.process_time) for _ in range(2))
            milliseconds = 1000 * warm / options.fits
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(
                f"{method:12}{size:4} together {milliseconds:10.2f} ms a fit, "
                f"compiled in {compiled - warm:.0f} s, "
                f"peak of the process {peak:.2f} GB",
                flush=True,
            )


def add(subparsers) -> None:
    """The subcommands of this module."""
    for name, function in (("fits", fits), ("together", together), ("work", work)):
        parser = subparsers.add_parser(name, description=function.__doc__)
        parser.set_defaults(run=function)
        parser.add_argument("--fits", type=int, default=200)
        parser.add_argument("--rows", type=int, default=1000)
        parser.add_argument("--columns", type=int, default=20)
        if name == "work":
            parser.add_argument("--method", choices=METHODS, required=True)
            parser.add_argument("--index", type=int, default=0)
            parser.add_argument("--count", type=int, default=1)
            parser.add_argument("--loop", action="store_true")
        else:
            chosen = [method for method in METHODS if method != "continuous"]
            parser.add_argument("--methods", nargs="+", choices=METHODS, default=chosen)
        if name == "fits":
            parser.add_argument("--rival-fits", type=int, default=5)
        if name == "together":
            parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16])


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add(parser.add_subparsers(required=True))
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
