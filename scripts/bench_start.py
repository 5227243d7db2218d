"""How soon a fit starts: imports, compilation, warm fits and whole processes.

    python scripts/bench_start.py [--methods linear amortized neural latent]
        [--columns 20] [--rows 1000] [--runs 1] [--rivals flop andrey direct_lingam]

Each method runs in processes of its own with an empty folder for compiled programs:
the first fit ever, in a second process the first fit again, then a table of one more
row and a warm fit; and the command line as a whole process, first and second. Rivals
run as whole processes, imports included. Run it on an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

ESTIMATORS = {
    "linear": ("LinearDAG", {}),
    "amortized": ("AmortizedDAG", {}),
    "neural": ("NeuralDAG", {}),
    "latent": ("LatentInterventionDAG", {"mechanism": "network"}),
}
"""Names of methods, with the estimators and their options."""

LATENT_COLUMNS = 10
"""Hidden regimes are measured on ten columns."""

METHOD_NAMES = {"latent": "latent-interventions"}
"""Methods whose names on the command line are others."""


def make_table(rows: int, columns: int, latent: bool, seed: int = 0) -> np.ndarray:
    """A linear table of two edges a variable; for hidden regimes with shifted rows."""
    rng = np.random.default_rng(seed)
    edges = np.triu(rng.random((columns, columns)) < 4 / (columns - 1), 1)
    signs = rng.choice([-1, 1], edges.shape)
    weights = edges * rng.uniform(0.5, 2, edges.shape) * signs
    noise = rng.normal(size=(rows, columns)) * rng.uniform(0.5, 2, columns)
    target = rng.integers(-1, columns, rows) if latent else np.full(rows, -1)
    table = np.zeros((rows, columns))
    for j in range(columns):
        effect = np.tanh(table) @ weights[:, j] if latent else table @ weights[:, j]
        table[:, j] = np.where(target == j, 4 + noise[:, j], effect + noise[:, j])
    return table


def fit_in_this_process(method: str, rows: int, columns: int, cache: str) -> dict:
    """Seconds of import, first fit, a fit of one more row, a warm fit; compilations."""
    start = time.perf_counter()
    import jax

    import causaljax

    name, options = ESTIMATORS[method]
    make = getattr(causaljax, name)
    seconds = {"import": time.perf_counter() - start}
    causaljax.enable_compilation_cache(cache)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event)
    )
    warnings.simplefilter("ignore")
    for label, number in (("first", rows), ("one more row", rows + 1), ("warm", rows)):
        table = make_table(number, columns, method == "latent")
        compiled.clear()
        start = time.perf_counter()
        make(**options).fit(table)
        seconds[label] = time.perf_counter() - start
        event = "/jax/core/compile/backend_compile_duration"
        seconds[f"programs of {label}"] = compiled.count(event)
    return seconds


def whole_process(command: list, environ: dict[str, str]) -> float:
    """Seconds from the start of a process to its end."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def measure(method: str, rows: int, columns: int) -> dict:
    """All times of one method, with folders of compiled programs that begin empty."""
    with tempfile.TemporaryDirectory() as scratch:
        cache, data = Path(scratch) / "programs", Path(scratch) / "table.csv"
        fits = []
        for _ in range(2):
            command = [sys.executable, __file__, "--one", method]
            command += ["--rows", str(rows), "--columns", str(columns)]
            done = subprocess.run(
                [*command, "--cache", str(cache)], capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError(f"{method} failed:\n{done.stderr[-2000:]}")
            fits.append(json.loads(done.stdout.splitlines()[-1]))
        table = make_table(rows, columns, method == "latent")
        header = ",".join(f"x{k}" for k in range(columns))
        np.savetxt(data, table, delimiter=",", header=header, comments="")
        environ = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{scratch}/command"}
        command = [sys.executable, "-m", "causaljax", "fit", str(data)]
        command += ["--method", METHOD_NAMES.get(method, method)]
        command += ["--out", f"{scratch}/results"]
        first, second = (whole_process(command, environ) for _ in range(2))
    return {
        "import": fits[0]["import"],
        "first fit ever": fits[0]["first"],
        "programs": fits[0]["programs of first"],
        "first of 2nd process": fits[1]["first"],
        "n + 1 rows": fits[0]["one more row"],
        "programs of n + 1": fits[0]["programs of one more row"],
        "warm": fits[0]["warm"],
        "command, 1st": first,
        "command, 2nd": second,
    }


def measure_rival(name: str, rows: int, columns: int) -> float:
    """Seconds of a rival as a whole process, its imports included."""
    import rivals

    rivals.install(name)
    table = make_table(rows, columns, latent=False)
    rivals.run(name, table)  # so that its files are in memory
    start = time.perf_counter()
    rivals.run(name, table)
    return time.perf_counter() - start


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", default=list(ESTIMATORS))
    parser.add_argument("--rivals", nargs="*", default=[])
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        found = fit_in_this_process(
            options.one, options.rows, options.columns, options.cache
        )
        print(json.dumps(found))
        return
    for method in options.methods:
        latent = method == "latent"
        columns = min(options.columns, LATENT_COLUMNS) if latent else options.columns
        for _ in range(options.runs):
            found = measure(method, options.rows, columns)
            cells = [f"{name} {value:.3g}" for name, value in found.items()]
            print(f"{method}, d = {columns}: {', '.join(cells)}", flush=True)
    for rival in options.rivals:
        seconds = measure_rival(rival, options.rows, options.columns)
        print(f"{rival}, whole process: {seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
