"""MixedDAG on tables of classes drawn from known networks, beside PC and BOSS.

    python scripts/bench_discrete.py FOLDER [--samples 5] [--rows 2000] [--rivals]
        [--boss-samples 1] [--only asia,alarm]

FOLDER holds the networks as `NAME.bif.gz` (https://www.bnlearn.com/bnrepository). The
same samples go to every method. The rivals are causal-learn's PC with the chi-square
test and BOSS with BDeu, at their defaults (`scripts/rivals.py`); BOSS takes a minute a
table from 20 columns on and gets `--boss-samples` of those.

Two figures a table, and their means: F1 of edges, an undirected edge counted half where
the truth has an edge, and F1 of the skeleton.
"""

import argparse
import gzip
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

NETWORKS = "asia,cancer,earthquake,sachs,survey,child,insurance,alarm"  # small first
SCORES = ("auto", "degenerate_gaussian", "bdeu", "bic")
MANY_COLUMNS = 20  # from which on BOSS is slow


def read_bif(path: Path) -> dict[str, tuple[list[str], list[str], np.ndarray]]:
    """Of each variable its states, its parents and P(state | parents).

    Args:
      path: a gzipped file in the interchange format of Bayesian networks.

    Returns:
      By name, parents before children in no certain order; the table's axes are the
      parents' states, in turn, and its own.
    """
    text = gzip.decompress(path.read_bytes()).decode()
    states = {
        name: [state.strip() for state in found.split(",")]
        for name, found in re.findall(
            r"variable\s+(\S+)\s*\{[^{]*\{([^}]*)\}", text, re.DOTALL
        )
    }
    network = {}
    for head, body in re.findall(
        r"probability\s*\(([^)]*)\)\s*\{(.*?)\n\}", text, re.DOTALL
    ):
        name, _, given = (part.strip() for part in head.partition("|"))
        parents = [parent.strip() for parent in given.split(",") if parent.strip()]
        shape = [len(states[parent]) for parent in parents] + [len(states[name])]
        table = np.full(shape, np.nan)
        for condition, numbers in re.findall(
            r"(?:\(([^)]*)\)|table)\s*([^;(]*);", body
        ):
            names = [state.strip() for state in condition.split(",")] if parents else []
            row = tuple(
                states[parent].index(state)
                for parent, state in zip(parents, names, strict=True)
            )
            table[row] = [float(number) for number in numbers.split(",")]
        if np.isnan(table).any():
            raise ValueError(f"{path}: probabilities of {name} are incomplete")
        network[name] = states[name], parents, table
    return network


def draw(network: dict, num_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of whole numbers, columns in the order of names, and the graph."""
    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {}
    waiting = list(network)
    while waiting:
        name = next(v for v in waiting if set(network[v][1]) <= set(columns))
        waiting.remove(name)
        _, parents, table = network[name]
        prob = table[tuple(columns[parent] for parent in parents)]
        prob = np.broadcast_to(prob, (num_rows, table.shape[-1]))
        below = rng.random((num_rows, 1)) > np.cumsum(prob, axis=1)
        columns[name] = np.minimum(below.sum(axis=1), table.shape[-1] - 1)
    # Not in the order of the network's file, which is often causal.
    names = sorted(network)
    graph = np.zeros((len(names), len(names)), bool)
    for name, (_, parents, _) in network.items():
        for parent in parents:
            graph[names.index(parent), names.index(name)] = True
    return pd.DataFrame({name: columns[name] for name in names}), graph


def f1_scores(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """F1 of edges and of the skeleton; 1 at both places is an undirected edge."""
    pairs, true_pairs = found | found.T, truth | truth.T
    both = found & found.T
    hits = (found & ~both & truth).sum() + 0.5 * (both & truth).sum()
    total = np.triu(pairs).sum() + truth.sum()
    skeleton = np.triu(pairs & true_pairs).sum()
    return 2 * hits / max(total, 1), 2 * skeleton / max(total, 1)


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--boss-samples", type=int, default=1)
    parser.add_argument("--only", default=NETWORKS)
    args = parser.parse_args()

    import rivals

    from causaljax import MixedDAG

    def ours(score):
        def fit(table):
            classes = table.astype(str).astype("category")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return MixedDAG(score=score).fit(classes).cpdag_.to_numpy() == 1

        return fit

    def rival(method):
        return lambda table: rivals.run("classes", table, method=method).graph == 1

    methods = {f"MixedDAG({score})": ours(score) for score in SCORES}
    if args.rivals:
        methods |= {"PC chi-square": rival("pc"), "BOSS BDeu": rival("boss")}
    print(f"{'network (columns)':20}" + "".join(f"{name:>31}" for name in methods))
    every = {name: [] for name in methods}
    for network_name in args.only.split(","):
        network = read_bif(args.folder / f"{network_name}.bif.gz")
        line = f"{network_name} ({len(network)})"
        line = f"{line:20}"
        for name, fit in methods.items():
            few = name.startswith("BOSS") and len(network) >= MANY_COLUMNS
            scores, seconds = [], []
            for seed in range(args.boss_samples if few else args.samples):
                table, truth = draw(network, args.rows, seed)
                start = time.perf_counter()
                found = fit(table)
                seconds.append(time.perf_counter() - start)
                scores.append(f1_scores(found, truth))
            edges, skeleton = np.mean(scores, axis=0)
            every[name].append((edges, skeleton))
            cell = f"{edges:.2f} {skeleton:.2f} {np.median(seconds):6.1f} s"
            line += f"{cell:>31}"
        print(line, flush=True)
    line = f"{'mean':20}"
    for found in every.values():
        edges, skeleton = np.mean(found, axis=0)
        line += f"{f'{edges:.3f} {skeleton:.3f}':>31}"
    print(line)


if __name__ == "__main__":
    main()
