"""Regimes that no label tells: `LatentInterventionDAG` beside its rivals and wants.

    python scripts/bench_latent.py faria       Faria, Martins and Figueiredo's tables
    python scripts/bench_latent.py dcdi        DCDI's tables, labels hidden
    python scripts/bench_latent.py weak        interventions from weak to strong
    python scripts/bench_latent.py partial     both again, a tenth of the labels known
    python scripts/bench_latent.py targets     labels known, targets not (BaCaDI)
    python scripts/bench_latent.py sachs       the protein data, conditions hidden
    python scripts/bench_latent.py robustness  no regimes, too many, a tiny one
    python scripts/bench_latent.py speed       seconds and memory; also --plot FILE

Columns are standardised over all rows, rows shuffled. Methods are described in
`latent_methods.py`, tables in `latent_tables.py`. The estimator may use twice as many
regimes as there are; told all labels, just as many. `--set KEY=VALUE` goes to it.

SHD is the median over tables and the rest are means. SHD counts a reversal, and an
undirected edge in place of a directed one, once; SHD2 a reversal twice. tgtF1 is of
pairs of a true regime and a variable, each regime being matched to the learned one
such that they share most rows. ARI is of the rows whose label the method was not told;
"ceil" is that of the true model's guesses of the same rows. K counts regimes of more
than 1 % of the rows. Bits are the log-likelihood of a fresh row of the system, one in
place of five that were fitted; on Sachs, of the fitted rows. The first seconds of a
shape include compilation, but in `speed`. A gap is the median SHD above that of the
oracle. "!" says that something wanted is missed.
"""

import argparse
import math
import multiprocessing

import bench_methods
import latent_methods
import latent_tables as tables
import numpy as np
import pandas as pd
from bench_methods import mark
from bench_tables import SEED, chosen
from latent_scores import score

from causaljax.reports.evaluation import compare_graphs

_LAYOUT = (
    "{:23} {:9} {:>5} {:>6} {:>5} {:>6} {:>5} {:>5} {:>6} {:>6} {:>5} {:>5} {:>7} "
    "{:>7}  {}"
)
_HEADING = (
    ("data", "method", "edges", "SHD", "SHD2", "SID", "F1", "AUPRC", "tgtF1", "ARI")
    + ("ceil", "K", "bits", "s", "SHD of each; remarks")
)  # fmt: skip


def compare(cells, options):
    """Prints a row a cell and method; gives the figures they are of."""
    print(_LAYOUT.format(*_HEADING), flush=True)
    results = {}
    for cell in chosen(cells, options.cells):
        count = 1 if cell.source == "sachs" else options.draws
        numbers = range(options.first, options.first + count)
        drawn = [tables.draw(cell, number) for number in numbers]
        of_cell = results[cell] = {}
        for name, method in latent_methods.METHODS.items():
            if name not in options.methods:
                continue
            found = [method(table, dict(options.set)) for table in drawn]
            of_cell[name] = pd.DataFrame(list(map(score, drawn, found)))
            show(cell, name, of_cell)
    return results


def show(cell, name, of_cell):
    """A row of the table; marks and remarks are of hidden labels, and of some known."""
    figures, want = of_cell[name], cell.want
    mean = figures.mean()
    hidden = name == "hidden"
    few_targets = hidden and want.targets and mean.targets < want.targets
    mixed = hidden and want.ari and mean.ari < want.ari * mean.ceiling
    remarks = remarks_on(name, of_cell, want)
    row = (
        f"{mean.edges:.1f}",
        f"{figures.shd.median():g}",
        number(mean.shd2, 1),
        number(mean.sid, 1),
        number(mean.f1),
        number(mean.auprc),
        number(mean.targets) + mark(few_targets),
        number(mean.ari) + mark(mixed),
        number(mean.ceiling),
        number(mean.regimes, 1),
        number(mean.bits),
        number(mean.seconds, 1),
        " ".join(f"{shd:g}" for shd in figures.shd) + "".join(remarks),
    )
    print(_LAYOUT.format(cell.name, name, *row), flush=True)


def number(value, digits=2):
    """A figure, "-" where it is not defined."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def remarks_on(name, of_cell, want):
    """What is to be said of hidden or partly hidden labels beside other methods."""
    if name not in ("hidden", "partial"):
        return
    own, median = of_cell[name].shd, {k: v.shd.median() for k, v in of_cell.items()}
    if "oracle" in of_cell:
        gap = median[name] - median["oracle"]
        wanted = want.gap if name == "hidden" else None
        yield f"; gap {gap:g}" + mark(wanted is not None and gap > wanted)
        if name == "partial" and "hidden" in of_cell:
            whole = median["hidden"] - median["oracle"]
            yield f" of {whole:g}" + mark(whole > 0 and gap > whole / 2)
    if name == "hidden" and want.start and "amortized" in of_cell:
        worse = (own > of_cell["amortized"].shd).sum()
        yield f"; {worse}{mark(worse > 0)} worse than amortized"
    if name == "hidden" and want.pooled and "pooled" in of_cell:
        gain = median["pooled"] - median[name]
        yield f"; {gain:g}{mark(gain < 0)} below pooled"


def faria(options):
    """Clearly different regimes, one or more targets each."""
    compare([c for d in options.sizes or (10, 20) for c in tables.faria(d)], options)


def dcdi(options):
    """Regimes of which rows say little."""
    compare([c for d in options.sizes or (10, 20) for c in tables.dcdi(d)], options)


def weak(options):
    """How much stronger an intervention must be for hidden labels to help."""
    cells = [c for d in options.sizes or (10,) for c in tables.weak(d)]
    results = compare(cells, options)
    if {"pooled", "oracle", "hidden"} <= set(options.methods):
        curve(results)


def curve(results):
    """Prints ARI and gap by strength, a line a mechanism and kind of intervention."""
    layout = "{:20} {:>8} {:>6} {:>6} {:>7} {:>7} {:>7} {:>5}"
    compared = "pooled", "hidden", "oracle"
    names = "kind", "strength", "ARI", "ceil", *compared, "gap"
    print("\nmedian SHD by strength\n" + layout.format(*names))
    families = {}
    for cell, of_cell in results.items():
        kind = cell.name.rsplit(" ", 1)[0]
        shd = {name: of_cell[name].shd.median() for name in compared}
        mean = of_cell["hidden"].mean()
        row = (
            number(mean.ari),
            number(mean.ceiling),
            *(f"{v:g}" for v in shd.values()),
        )
        gap = shd["hidden"] - shd["oracle"]
        print(layout.format(kind, f"{cell.strength:g}", *row, f"{gap:g}"))
        beaten = shd["hidden"] < shd["pooled"]
        families.setdefault(kind, {})[cell.strength] = beaten
    for kind, beaten in families.items():
        print(f"{kind}: hidden labels beat pooling {from_where(beaten)}")


def from_where(beaten):
    """Words for the strength from which on everything is true."""
    losses = [strength for strength, won in beaten.items() if not won]
    wins = [s for s in beaten if not losses or s > max(losses)]
    return f"from {min(wins):g} on" if wins else "at no strength"


def partial(options):
    """Whether a tenth of the labels closes half of the gap to all of them."""
    cells = [c for d in options.sizes or (10, 20) for c in tables.dcdi(d)]
    cells += [c for d in options.sizes or (10,) for c in tables.weak(d)]
    compare(cells, options)


_TARGETS = {"auprc": 0.85, "shd": 30, "seconds": 60}  # what is asked for, or BaCaDI's


def targets(options):
    """Few rows and known labels; which variables were set is to be found."""
    layout = "{:14} {:9} {:>9} {:>7} {:>6} {:>9} {:>5} {:>5} {:>7}  {}"
    names = ("data", "method", "tgtAUPRC", "E[SHD]", "edges", "SHD", "F1", "AUPRC")
    print(layout.format(*names, "most s", "E[SHD] of each"), flush=True)
    for size in options.sizes or (20,):
        cell = tables.bacadi(size)
        numbers = range(options.first, options.first + options.draws)
        drawn = [tables.draw(cell, number) for number in numbers]
        edges = np.mean([table.graph.sum() for table in drawn])
        for name, method in latent_methods.METHODS.items():
            if name not in options.methods or name == "truth":
                continue
            found = [method(table, dict(options.set)) for table in drawn]
            figures = pd.DataFrame(list(map(score, drawn, found)))
            mean, slowest, want = figures.mean(), figures.seconds.max(), _TARGETS
            asked = name == "labels"
            low = asked and mean.target_auprc < want["auprc"]
            far = asked and mean.expected_shd > want["shd"]
            row = (
                number(mean.target_auprc) + mark(low),
                f"{mean.expected_shd:.1f}" + mark(far),
                f"{mean.edges:.0f}",
                f"{figures.shd.median():g}",
                number(mean.f1),
                number(mean.auprc),
                f"{slowest:.1f}" + mark(asked and slowest > want["seconds"]),
                " ".join(f"{shd:.1f}" for shd in figures.expected_shd),
            )
            print(layout.format(cell.name, name, *row), flush=True)
        print(f"{edges:.0f} true edges; wanted of labels: {_TARGETS}")


def sachs(options):
    """All conditions; told targets, that of condition 2 is none."""
    compare(tables.sachs(), options)
    print("truth: the consensus graph of 17 edges")


def robustness(options):
    """What there should be nothing to say of, and settings that may break a fit."""
    layout = "{:23} {:>10} {:>8} {:>5} {:>6} {:>7} {:>10} {:>8} {:>7}"
    names = ("data", "setting", "largest", "K", "edges", "other's", "SHD apart")
    print(layout.format(*names, "finite", "s"), flush=True)

    def report(drawn, max_regimes, named, other=False):
        setting = dict(options.set) | {"max_regimes": max_regimes}
        model = latent_methods.latent_dag(drawn, **setting)
        found = latent_methods.fitted(model, drawn)
        largest = model.regime_weights_.max()
        edges, compared = found.graph.sum(), ("", "")
        if other:
            pooled = latent_methods.pooled(drawn, {})
            apart = compare_graphs(pooled.graph, found.graph)["shd"]
            compared = pooled.graph.sum(), f"{apart}{mark(apart > 0)}"
        noise = other and not drawn.graph.any()
        row = (
            f"{largest:.2f}{mark(other and largest < 0.9)}",
            int(model.n_regimes_),
            f"{edges}{mark(noise and edges > 0)}",
            *compared,
            "yes" if is_finite(model, found) else "no!",
            f"{found.seconds:.1f}",
        )
        print(layout.format(named, f"K <= {max_regimes}", *row), flush=True)

    for cell in chosen(tables.alone(), options.cells):
        for index in range(options.first, options.first + options.draws):
            drawn = tables.draw(cell, index)
            report(drawn, cell.size + 1, f"{cell.name} {index}", other=True)
    (cell,) = [c for c in tables.dcdi(10) if c.name == "additive d10 e1"]
    drawn = tables.draw(cell, options.first)
    for max_regimes in (1, 50):
        report(drawn, max_regimes, cell.name)
    report(with_few(drawn), 22, "20 rows of one regime")


def with_few(drawn, count=20):
    """The table with all but so many rows of regime 1 left out."""
    rows = (drawn.regime != 1) | (np.cumsum(drawn.regime == 1) <= count)
    return drawn._replace(
        table=drawn.table[rows].reset_index(drop=True),
        regime=drawn.regime[rows],
        told=drawn.told[rows],
        guess=drawn.guess[rows],
    )


def is_finite(model, found):
    """Whether there is no NaN in what was learned."""
    learned = (
        found.strength,
        found.targets,
        model.regime_probabilities_.to_numpy(),
        model.regime_weights_.to_numpy(),
        found.bits,
    )
    return all(np.isfinite(part).all() for part in learned)


_SECONDS, _GB = {10: 40, 20: 120}, 3  # what is asked for
_REGIMES = 22
_ROWS = (2_500, 5_000, 10_000, 20_000)
_MOST_REGIMES = (6, 11, 22, 44)


def speed(options):
    """Additive networks, one edge a variable; a process a fit."""
    layout = "{:>3} {:>6} {:>3} {:>9} {:>9} {:>5} {:>9} {:>12}"
    names = ("d", "rows", "K", "first s", "warm s", "want", "peak GB", "before fits")
    print(layout.format(*names), flush=True)

    def measure(size, rows=10_000, regimes=_REGIMES, want=None):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(_measured, (size, rows, regimes, options))
        first, warm, before, peak = measured
        row = (
            f"{first:.1f}",
            f"{warm:.1f}{mark(want and warm > want)}",
            want or "",
            f"{peak:.2f}{mark(peak > _GB)}",
            f"{before:.2f}",
        )
        print(layout.format(size, rows, regimes, *row), flush=True)
        return warm

    for size in options.sizes or _SECONDS:
        measure(size, want=_SECONDS.get(size))
    if options.plot:
        by_rows = [measure(10, rows=rows) for rows in _ROWS]
        by_regimes = [measure(10, regimes=count) for count in _MOST_REGIMES]
        plot(by_rows, by_regimes, options.plot)


def _measured(size, rows, regimes, options):
    """Seconds of the first fit and of the next, GB before and at the peak."""
    cells = tables.dcdi(size)
    (cell,) = [c for c in cells if c.name == f"additive d{size} e1"]
    drawn = tables.draw(cell._replace(rows=rows), options.first)
    before = bench_methods.peak_memory()
    setting = dict(options.set) | {"max_regimes": regimes}
    model = latent_methods.latent_dag(drawn, **setting)
    first, warm = bench_methods.fit_twice(model, drawn.table)
    peak = bench_methods.peak_memory()
    return first, warm, before * 2**30 / 1e9, peak * 2**30 / 1e9


def plot(by_rows, by_regimes, path):
    """A picture of warm seconds against rows and against regimes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="tight")
    panels[0].plot(_ROWS, by_rows, "o-")
    panels[0].set(xlabel=f"rows, {_REGIMES} regimes at most", xticks=_ROWS)
    panels[0].set(ylabel="seconds, d = 10")
    panels[1].plot(_MOST_REGIMES, by_regimes, "o-")
    panels[1].set(xlabel="regimes at most, 10,000 rows", ylim=(0, None))
    figure.savefig(path)


_FIVE = ("truth", "empty", "pooled", "amortized", "oracle", "hidden")
STUDIES = {
    faria: _FIVE,
    dcdi: _FIVE,
    weak: _FIVE,
    partial: ("truth", "oracle", "hidden", "partial"),
    targets: ("empty", "amortized", "oracle", "labels"),
    sachs: (*_FIVE[1:], "mixture", "partial"),
    robustness: (),
    speed: (),
}
"""The studies and the methods that each compares if not told which."""


def main():
    """Runs one study."""
    studies = {study.__name__: study for study in STUDIES}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=studies)
    parser.add_argument("--methods", nargs="+", choices=list(latent_methods.METHODS))
    parser.add_argument("--sizes", type=int, nargs="+", help="d, in place of all")
    parser.add_argument("--cells", nargs="+", help="words in the names of the data")
    parser.add_argument("--draws", type=int, default=5, help="tables a cell")
    parser.add_argument("--first", type=int, default=0, help="the first draw")
    parser.add_argument("--plot", help="file for a picture of `speed`")
    parser.add_argument(
        "--set",
        type=bench_methods.setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
    )
    options = parser.parse_args()
    study = studies[options.study]
    options.methods = options.methods or STUDIES[study]
    versions = bench_methods.versions()
    print(f"{versions}; draws from {options.first} of seed {SEED}", flush=True)
    study(options)


if __name__ == "__main__":
    main()
