"""What FCI and AmortizedDAG claim where causes are hidden, and how often rightly.

    python scripts/bench_hidden.py [--draws 10] [--rows 1000] [--methods ...]

Each table has 12 of 15 variables of a random DAG of 23 edges (`--edges`); hidden are
3 of those with two children or more, at random. "linear" has weights of .5 to 1.5 in
absolute value, "curved" has half of the edges as tanh, sin or |.|; noise is normal.
Columns are standardised.

A claim is one of these:

- cause: i is a cause of j (an edge -->; of AmortizedDAG, a directed edge of `edges_`),
- no cause: j is no cause of i (an arrow at j; not of AmortizedDAG),
- ancestry: either of them,
- no hidden: i and j, joined, have no hidden common cause (`visible_`; of AmortizedDAG
  a probability of one below .1),
- hidden: they have one (<->; of AmortizedDAG a probability above .5).

"right" is the share of claims that are true of the DAG, beside the share that are true
of all pairs a claim could be made of; "of them" is how many of the true ones are
claimed. A hidden common cause reaches both variables by paths through hidden variables
only.
"""

import argparse
import functools
import time
import warnings

import numpy as np
import pandas as pd

import causaljax

OBSERVED, HIDDEN = 12, 3
CURVES = (np.tanh, np.sin, np.abs)


def draw(seed, rows, curved, edges):
    """(table, ancestors [d, d], hidden common causes [d, d]) of the observed."""
    rng = np.random.default_rng(seed)
    d = OBSERVED + HIDDEN
    while True:
        pairs = np.argwhere(np.triu(np.ones((d, d)), 1))
        graph = np.zeros((d, d), bool)
        graph[*pairs[rng.choice(len(pairs), edges, replace=False)].T] = True
        forks = np.flatnonzero(graph.sum(axis=1) >= 2)
        if len(forks) >= HIDDEN:
            break
    hidden = rng.choice(forks, HIDDEN, replace=False)
    x = np.zeros((rows, d))
    for j in range(d):
        x[:, j] = rng.normal(size=rows) * rng.uniform(0.5, 1)
        for i in np.flatnonzero(graph[:, j]):
            weight = rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
            bent = CURVES[rng.integers(3)] if curved and rng.random() < 0.5 else None
            cause = x[:, i] if bent is None else bent(1.5 * x[:, i])
            x[:, j] += weight * (cause - cause.mean())
        x[:, j] /= x[:, j].std()
    seen = rng.permutation(np.setdiff1d(np.arange(d), hidden))
    reach = closure(graph)
    through = graph & np.isin(np.arange(d), hidden)[:, None]  # leaves of hidden ones
    shared = closure(through)[hidden][:, seen]
    common = (shared[:, :, None] & shared[:, None]).any(axis=0)
    np.fill_diagonal(common, False)
    table = pd.DataFrame(x[:, seen], columns=[f"v{k}" for k in seen])
    return table, reach[np.ix_(seen, seen)], common


def closure(graph):
    """``[i, j]`` True if a directed path leads from i to j."""
    reach = graph.copy()
    for k in range(len(graph)):
        reach |= reach[:, k, None] & reach[k]
    return reach


def claims_of_fci(table, **settings):
    """Claims as matrices, by name."""
    model = causaljax.FCI(**settings).fit(table)
    marks = model.marks_.to_numpy()
    arrow, tail = marks == 2, marks == 1
    seen = model.visible_.to_numpy() > 0
    return {
        "cause": arrow & tail.T,
        "no cause": arrow.T,
        "no hidden": seen | seen.T,
        "hidden": arrow & arrow.T,
    }, marks > 0


def claims_of_network(table):
    """The same of AmortizedDAG."""
    model = causaljax.AmortizedDAG().fit(table)
    graph, claims = model.adjacency_.to_numpy() > 0, model.cpdag_.to_numpy() > 0
    hidden = np.asarray(model.posterior_.extra["confounder_prob"])
    joined = graph | graph.T
    return {
        "cause": claims & ~claims.T,
        "no cause": np.zeros_like(graph),
        "no hidden": joined & (hidden < 0.1),
        "hidden": hidden > 0.5,
    }, joined | (hidden > 0.5)


METHODS = {
    "FCI fisher_z": claims_of_fci,
    "FCI near": functools.partial(claims_of_fci, far_sets=False),
    "FCI careful": functools.partial(claims_of_fci, collider_rule="conservative"),
    "FCI alpha .01": functools.partial(claims_of_fci, alpha=0.01),
    "FCI 30 refits": functools.partial(claims_of_fci, n_bootstrap=30),
    "FCI rcit": functools.partial(claims_of_fci, test="rcit"),
    "AmortizedDAG": claims_of_network,
}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=23)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"{args.draws} tables, {args.rows} rows, {OBSERVED} columns, {HIDDEN} hidden, "
        f"{args.edges} edges"
    )
    print(
        "relations method         claim      right  by chance  of them  claims  CPU s"
    )
    for curved in (False, True):
        for method in args.methods:
            counts, seconds = {}, time.process_time()
            for seed in range(args.draws):
                table, above, common = draw(seed, args.rows, curved, args.edges)
                found, joined = METHODS[method](table)
                apart = ~np.eye(OBSERVED, dtype=bool)
                upper = np.triu(apart)
                truth = {
                    "cause": (above, apart),
                    "no cause": (~above, apart),
                    "no hidden": (~common, upper & joined),
                    "hidden": (common, upper),
                }
                for name, (real, asked) in truth.items():
                    said = found[name] & asked
                    more = (said & real).sum(), said.sum(), (real & asked).sum()
                    for kind in (name, "ancestry")[: 2 if "cause" in name else 1]:
                        counts.setdefault(kind, []).append((*more, asked.sum()))
            seconds = (time.process_time() - seconds) / args.draws
            for name, rows in counts.items():
                right, said, real, asked = np.sum(rows, axis=0)
                print(
                    f"{'curved' if curved else 'linear':10}{method:15}{name:11}"
                    f"{right / max(said, 1):5.2f}{real / asked:11.2f}"
                    f"{right / max(real, 1):9.2f}{said:8}{seconds:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
