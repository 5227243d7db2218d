"""Amortized inference on fresh tables, beside what it should reach and its rivals.

    python scripts/bench_amortized.py accuracy       mechanisms, sizes, rows
    python scripts/bench_amortized.py mixed          classes among numbers
    python scripts/bench_amortized.py confounded     3 of 15 variables hidden
    python scripts/bench_amortized.py avici          AVICI's out-of-distribution tables
    python scripts/bench_amortized.py hidden         pooled unknown experiments
    python scripts/bench_amortized.py missing        20 % of the cells gone
    python scripts/bench_amortized.py rivals         beside bootstrapped order search
    python scripts/bench_amortized.py calibration    stated against true, with picture
    python scripts/bench_amortized.py knowledge      revealing true edges
    python scripts/bench_amortized.py real           Sachs and other tables of the world
    python scripts/bench_amortized.py fine_tune      genes by Hill kinetics, and minutes
    python scripts/bench_amortized.py speed          seconds and memory, warm

Tables are standardised; each has a graph, mechanisms and noise of its own. Linear
ones have weights of .5 to 2 and noise of standard deviation .5 to 2, the others as in
`simulate.MECHANISMS` with noise of standard deviation 1; "held out" families are no
part of the training. "do" tables have one regime a variable, set to a constant 1 to
3 standard deviations off. Figures are means over draws, "ECE" the calibration error
over all pairs of all draws, "s" the wall seconds of a table whose program is
compiled. "want" is what the project asks for (AUROC / F1), "!" a figure below it.
`--methods` adds others on the same tables; the rivals get the first `--rival-draws`.
"""

import argparse
import multiprocessing
import time
import warnings
from pathlib import Path
from typing import Any

import bench_methods as methods
import bench_real
import bench_tables as tables
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from rivals import RIVALS

import causaljax
from causaljax import plot, simulate
from causaljax.plot.calibrations import SURE, reliability
from causaljax.reports.evaluation import baselines, compare_graphs

_LAYOUT = "{:24} {:5} {:>3} {:>5} {:15} {:>7} {:>6} {:>6} {:>6} {:>6} {:>7} {:>8}  {}"
_HEADER = (
    *("data", "graph", "d", "n", "method"),
    *("AUROC", "AUPRC", "F1", "skelF1", "ECE", "targets", "s", "want"),
)


def chosen(cells, options):
    """Those of the cells whose names hold one of the words asked for, if any is."""
    words = options.only or [""]
    return [cell for cell in cells if any(word in cell.name for word in words)]


def compare(cells, options):
    """Prints a row a cell and method; returns the scores by (cell, method)."""
    known = methods.methods(options.replicates, options.weights)
    print(_LAYOUT.format(*_HEADER), flush=True)
    found = {}
    for cell in chosen(cells, options):
        drawn = tables.draw(cell, options.draws, options.first)
        for name in options.methods:
            few = options.rival_draws if name in RIVALS else options.draws
            problems = jax.tree.map(lambda leaf, few=few: leaf[:few], drawn.problems)
            answer = known[name](problems)
            targets = drawn.targets[:few] if cell.hidden else None
            scores = methods.score(answer, drawn.graphs[:few], targets)
            found[cell, name] = scores
            print(_row(cell, name, scores), flush=True)
    return found


def _row(cell, name, scores):
    asked = cell.want if name == "amortized" else tables.Want()
    kind = "" if cell.avici else f"{cell.graph}{cell.degree}"
    figures = (
        _marked(scores.auroc, asked.auroc),
        f"{scores.auprc:.3f}",
        _marked(scores.f1, asked.f1),
        _marked(scores.skeleton, asked.skeleton),
        f"{scores.ece:.3f}",
        "" if np.isnan(scores.targets) else _marked(scores.targets, asked.targets),
        f"{scores.seconds:.3f}",
    )
    named = {
        "": (asked.auroc, asked.f1),
        "skeleton ": (asked.skeleton,),
        "targets ": (asked.targets,),
    }
    parts = [
        word + " / ".join("-" if value is None else f"{value:g}" for value in values)
        for word, values in named.items()
        if any(value is not None for value in values)
    ]
    shape = (cell.name, kind, cell.size, cell.rows, name)
    return _LAYOUT.format(*shape, *figures, ", ".join(parts))


def _marked(value, asked):
    short = asked is not None and value < asked
    return f"{value:.3f}" + ("!" if short else "")


def accuracy(options):
    """Mechanisms, graphs and sizes; for d = 20 also few and many rows."""
    cells = []
    for size in options.sizes or (10, 20, 50):
        for graph in options.graphs:
            cells += tables.observational(graph, size) + tables.intervened(graph, size)
            if size == 20:
                for rows in (100, 5000):
                    cells += tables.observational(graph, size, rows)
    compare(cells, options)


def avici(options):
    """AVICI's LINEAR and RFF tables out of distribution, d = 30."""
    for size in options.sizes or (30,):
        compare(tables.out_of_distribution(size), options)


def mixed(options):
    """Columns cut into classes, d = 20; and the means over mechanisms."""
    for size in options.sizes or (20,):
        found = compare(tables.mixed(size, options.rows), options)
        groups: dict[tuple, list] = {}
        for (cell, name), scores in found.items():
            groups.setdefault((cell.classes, name, cell.want), []).append(scores)
        for (classes, name, want), scores in groups.items():
            area = np.mean([one.auroc for one in scores])
            f1 = np.mean([one.f1 for one in scores])
            print(
                f"{classes:16} {name:10} AUROC {_marked(area, want.auroc)}, "
                f"F1 {_marked(f1, want.f1)}; want {want.auroc} / {want.f1}"
            )


def confounded(options):
    """The variables with the most children hidden: are sure claims right?"""
    layout = "{:20} {:10} {:>7} {:>6} {:>6} {:>6} {:>9} {:>9}"
    names = ("data", "method", "AUROC", "sure", "right", "ECE", "hidAUROC", "hidECE")
    print(layout.format(*names), "  sure: claims above .8; hid: common causes")
    known = methods.methods(options.replicates, options.weights)
    for cell in chosen(tables.confounded(rows=options.rows), options):
        drawn = tables.draw(cell, options.draws, options.first)
        for name in options.methods:
            answer = known[name](drawn.problems)
            apart = ~np.eye(drawn.graphs.shape[-1], dtype=bool)
            stated, true = answer.strength[:, apart], drawn.graphs[:, apart]
            areas = [
                methods.ranking_area(t, s) for t, s in zip(true, stated, strict=True)
            ]
            sure = stated > 0.8
            hidden_area = hidden_error = np.nan
            if answer.confounders is not None:
                above = np.triu(apart)
                prob, hit = answer.confounders[:, above], drawn.confounded[:, above]
                some = hit.any(axis=1)
                hidden_area = np.nanmean(
                    [
                        methods.ranking_area(*one)
                        for one in zip(hit[some], prob[some], strict=True)
                    ]
                )
                hidden_error = reliability(prob.ravel(), hit.ravel()).error
            error = reliability(stated.ravel(), true.ravel()).error
            figures = (
                f"{np.nanmean(areas):.3f}", sure.sum(),
                _marked(true[sure].mean(), 0.9), f"{error:.3f}",
                f"{hidden_area:.3f}", f"{hidden_error:.3f}",
            )  # fmt: skip
            print(layout.format(cell.name, name, *figures), flush=True)


def hidden(options):
    """Pooled tables of unknown experiments, n = 5000."""
    sizes = options.sizes or (10, 20)
    compare([c for size in sizes for c in tables.hidden("ER", size)], options)


def missing(options):
    """What it costs that 20 % of the cells are missing at random."""
    layout = "{:24} {:>3} {:15} {:>8} {:>8} {:>7}"
    names = ("data", "d", "method", "complete", "missing", "lost")
    print(layout.format(*names), "  AUROC, want less than .05 lost", flush=True)
    known = methods.methods(options.replicates, options.weights)
    for size in options.sizes or (20,):
        for cell in chosen(tables.observational("ER", size), options):
            areas = {name: [] for name in options.methods}
            for share in (0.0, 0.2):
                holed = cell._replace(missing=share)
                drawn = tables.draw(holed, options.draws, options.first)
                for name in options.methods:
                    answer = known[name](drawn.problems)
                    scores = methods.score(answer, drawn.graphs, None)
                    areas[name].append(scores.auroc)
            for name, (complete, holes) in areas.items():
                lost = complete - holes
                mark = "!" if name == "amortized" and lost >= 0.05 else ""
                figures = (f"{complete:.3f}", f"{holes:.3f}", f"{lost:.3f}{mark}")
                print(layout.format(cell.name, size, name, *figures), flush=True)


def rivals(options):
    """Everything on the same tables; is the network better for the same time?"""
    cells = [
        cell
        for size in options.sizes or (20,)
        for cell in tables.observational("ER", size)
    ]
    found = compare(cells, options)
    for cell in cells:
        ours = found.get((cell, "amortized"))
        other = found.get((cell, "bootstrap"))
        if ours is None or other is None:
            continue
        better = ours.auprc > other.auprc and ours.seconds <= other.seconds
        print(
            f"{cell.name:24} d = {cell.size}: AUPRC {ours.auprc:.3f} in "
            f"{ours.seconds:.2f} s, bootstrap of {options.replicates} "
            f"{other.auprc:.3f} in {other.seconds:.2f} s"
            + ("" if better or "held out" not in cell.name else "  !")
        )


def calibration(options):
    """Prints and draws how often edges of a stated probability are true."""
    sizes = options.sizes or (10, 20, 50)
    near, far = [], tables.out_of_distribution()
    for size in sizes:
        cells = tables.observational("ER", size) + tables.observational("SF", size)
        near += [cell for cell in cells if "held out" not in cell.name]
        near += tables.intervened("ER", size)
        far += [cell for cell in cells if "held out" in cell.name]
    axes: Any = None
    known = methods.methods(options.replicates, options.weights)
    for method in options.methods:
        kinds = (("in distribution", near, 0.03), ("out of it", far, 0.1))
        for label, cells, wanted in kinds:
            stated, true = [np.empty(0)], [np.empty(0, bool)]
            for cell in chosen(cells, options):
                drawn = tables.draw(cell, options.draws, options.first)
                strength = known[method](drawn.problems).strength
                apart = ~np.eye(cell.size, dtype=bool)
                stated.append(strength[:, apart].ravel())
                true.append(drawn.graphs[:, apart].ravel())
            stated, true = np.concatenate(stated), np.concatenate(true)
            result = reliability(stated, true)
            print(f"\n{method}, {label}\nstated  true   pairs")
            for row in zip(result.stated, result.true, result.counts, strict=True):
                print("{:6.3f} {:5.3f} {:7d}".format(*row))
            mark = "!" if method == "amortized" and result.error > wanted else ""
            print(
                f"expected calibration error {result.error:.4f}{mark}, want {wanted}, "
                f"over pairs stated above {SURE:g}: {result.sure_error:.4f}"
            )
            label = f"{method}, {label}"
            axes = plot.calibration(stated, true, label=label, ax=axes)
    axes.set_ylabel("share of true edges")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "amortized_calibration.png"
    axes.figure.savefig(path, dpi=120)
    print(f"wrote {path}")


def knowledge(options):
    """Reveals a share of the true edges and scores the pairs not spoken of."""
    layout = "{:24} {:>3} {:15} {:>9} {:>7} {:>6} {:>8} {:>6}"
    names = ("data", "d", "method", "revealed", "AUROC", "F1", "-log p", "held")
    print(layout.format(*names), "  of the other pairs", flush=True)
    known = methods.methods(options.replicates, options.weights)
    for size in options.sizes or (20,):
        for cell in chosen(tables.observational("ER", size), options):
            drawn = tables.draw(cell, options.draws, options.first)
            rng = np.random.default_rng(0)
            turn = np.where(drawn.graphs, rng.random(drawn.graphs.shape), 1)
            for name in options.methods:
                for share in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8):
                    told = turn < share
                    problems = drawn.problems._replace(required=jnp.asarray(told))
                    answer = known[name](problems)
                    row = _rest(answer, drawn.graphs, told)
                    print(layout.format(cell.name, size, name, share, *row), flush=True)


def _rest(answer, graphs, told):
    """Scores over the pairs that are not told, as text."""
    spoken = told | told.swapaxes(1, 2) | np.eye(told.shape[-1], dtype=bool)
    areas, scores = [], []
    for graph, strength, edges, known in zip(
        graphs, answer.strength, answer.graph, spoken, strict=True
    ):
        true, found = graph[~known], edges[~known]
        areas.append(methods.ranking_area(true, strength[~known]))
        if true.any():
            scores.append(2 * (true & found).sum() / (true.sum() + found.sum()))
    prob = np.clip(answer.strength, 1e-6, 1 - 1e-6)[~spoken]
    loss = -np.log(np.where(graphs[~spoken], prob, 1 - prob)).mean()
    held = (answer.strength[told] == 1).all() and answer.graph[told].all()
    return (
        f"{np.nanmean(areas):.3f}",
        f"{np.mean(scores):.3f}",
        f"{loss:.4f}",
        "yes" if held else "NO",
    )


def real(options):
    """Sachs, networks fitted to data, cause-effect pairs and orders of time."""
    layout = "{:22} {:>3} {:>5} {:14} {:>5} {:>6} {:>6} {:>6} {:>6} {:>7}"
    names = ("data", "d", "n", "method", "SHD", "F1", "skelF1", "AUROC", "AUPRC", "s")
    print(layout.format(*names), flush=True)
    models = _estimators(options)

    def show(data, name, scores, seconds):
        keys = ("f1", "skeleton_f1", "auroc", "auprc")
        figures = (f"{scores['shd']:.0f}", *(f"{scores[key]:.3f}" for key in keys))
        shape = (data.name, data.table.shape[1], data.table.shape[0], name)
        print(layout.format(*shape, *figures, seconds), flush=True)

    for data in bench_real.known_graphs(options.data):
        for name, scores in baselines(data.truth).items():
            show(data, name, scores, "")
        for name, model in models.items():
            seconds = _fit(model, data.table, interventions=data.interventions)
            found, strength = model.adjacency_, model.edge_probabilities_
            scores = compare_graphs(data.truth, found, strength=strength)
            show(data, name, scores, f"{seconds:.2f}")

    # Every other pair is turned, so that no method gains by its order of columns.
    given = bench_real.pairs(options.data)
    weight = np.array([one[1] for one in given])
    pairs = [
        pd.DataFrame(table[:, :: (-1) ** number], columns=["a", "b"])
        for number, (table, _) in enumerate(given)
    ]
    for name, model in models.items() if pairs else ():
        strengths = _strengths(model, pairs)
        strengths[1::2] = strengths[1::2].swapaxes(1, 2)
        right, wrong = strengths[:, 0, 1], strengths[:, 1, 0]
        share = np.average(0.5 + 0.5 * np.sign(right - wrong), weights=weight)
        print(
            f"Tuebingen, {len(pairs)} pairs: {name} has the direction of {share:.3f} "
            "by weight (chance .5, draws half; want .70), wrong above .9 in "
            f"{np.mean(wrong > 0.9):.3f} (want .05 at most)",
            flush=True,
        )

    for data in bench_real.tiered(options.data):
        early, late = data.tier[:, None], data.tier[None, :]
        forward = (early < late) & (early >= 0)
        for name, model in models.items():
            _fit(model, data.table)
            prob = model.edge_probabilities_.to_numpy()
            with_time, against = prob[forward].sum(), prob[forward.T].sum()
            print(
                f"{data.name:22} {len(data.tier):3} columns: {name} puts "
                f"{with_time / max(with_time + against, 1e-12):.3f} of "
                f"{with_time + against:.1f} expected edges across tiers forward in time"
            )


def fine_tune(options):
    """Cells of gene networks with Hill kinetics, before and after minutes of training.

    The training mix holds no such table. Tables have d = 20, n = 1,000 and no noise of
    measurement but counting.
    """

    def gene_table(key):
        graph_key, table_key = jax.random.split(key)
        graph = simulate.erdos_renyi(graph_key, 20, 2)
        problem, truth = simulate.simulate_genes(
            table_key, graph, options.rows, platform=None
        )
        spread = jnp.maximum(problem.x.std(axis=0), 1e-6)
        x = (problem.x - problem.x.mean(axis=0)) / spread
        return problem._replace(x=x), truth.graph

    numbers = options.first + jnp.arange(options.draws)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(tables.SEED), numbers)
    problems, graphs = jax.jit(lambda keys: jax.lax.map(gene_table, keys))(keys)
    frames = [pd.DataFrame(np.asarray(x)).rename(columns=str) for x in problems.x]
    apart = ~np.eye(20, dtype=bool)
    before = _amortized(options)
    after = before.fine_tune(gene_table, minutes=options.minutes)
    # pyrefly: ignore [missing-attribute]
    card = after.pretrained.card["fine_tuning"]
    print(f"{card['tables']} tables in {card['minutes']:g} minutes")
    for name, model in (("before", before), ("after", after)):
        strengths = _strengths(model, frames)
        stated, true = strengths[:, apart], np.asarray(graphs)[:, apart]
        areas = [methods.ranking_area(t, s) for t, s in zip(true, stated, strict=True)]
        error = reliability(stated.ravel(), true.ravel()).error
        print(f"{name:7} AUROC {np.mean(areas):.3f}, ECE {error:.3f}", flush=True)


def _strengths(model, frames):
    """Edge probabilities of each table, `[b, d, d]`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model, "fit_many"):
            fitted = [one.edge_probabilities_ for one in model.fit_many(frames)]
        else:
            fitted = [model.fit(frame).edge_probabilities_ for frame in frames]
    return np.stack([strength.to_numpy() for strength in fitted])


def _amortized(options):
    given = {"pretrained": options.weights} if options.weights else {}
    return causaljax.AmortizedDAG(**given)


def _estimators(options):
    made = {
        "amortized": lambda: _amortized(options),
        "linear": lambda: causaljax.LinearDAG(),
        "bootstrap": lambda: causaljax.LinearDAG(n_bootstrap=options.replicates),
    }
    return {name: made[name]() for name in options.methods if name in made}


def _fit(model, table, **options):
    """Fits and returns the seconds, compilation included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(table, **options)
        return time.perf_counter() - start


# (d, n, graph samples, seconds wanted of what is measured, GiB wanted)
_SPEEDS = (
    (20, 1000, 0, 0.2, None),
    (50, 1000, 0, 1.0, None),
    (51, 10_000, 0, 3.0, 1.0),
    (20, 1000, 100, 10.0, None),
)


def speed(options):
    """Warm seconds of a fit, or of samples after it, each in a fresh process."""
    layout = "{:24} {:>3} {:>6} {:>8} {:>8} {:>8} {:>6} {:>9}  {}"
    names = ("what", "d", "n", "load s", "first s", "warm s", "want", "peak GiB")
    print(layout.format(*names, "of which before the fit; want"), flush=True)
    spawn = multiprocessing.get_context("spawn")
    for size, rows, samples, seconds, memory in _SPEEDS:
        # Drawn here: the fresh process holds what a user's would.
        cell = tables.observational("ER", size, rows)[2]
        table = tables.draw(cell, 1).problems.x[0]
        with spawn.Pool(1) as pool:
            load, first, warm, before, peak = pool.apply(
                _measured, (table, samples, options)
            )
        what = f"{samples} graph samples" if samples else "fit"
        slow = "!" if warm > seconds else ""
        big = "!" if memory is not None and peak > memory else ""
        print(
            layout.format(
                what,
                size,
                rows,
                f"{load:.2f}" + ("!" if load > 1 else ""),
                f"{first:.2f}",
                f"{warm:.3f}{slow}",
                f"{seconds:g}",
                f"{peak:.2f}{big}",
                f"{before:.2f}; {memory or '-'}",
            ),
            flush=True,
        )


def _measured(table, samples, options):
    """(load, first, warm) seconds, GiB before the fits and at the peak."""
    start = time.perf_counter()
    methods.kernel_config(options.weights)
    load = time.perf_counter() - start
    before = methods.peak_memory()
    model = _amortized(options)
    seconds = []
    for _ in range(3):
        took = _fit(model, table)
        if samples:
            start = time.perf_counter()
            model.sample_graphs(samples)
            took = time.perf_counter() - start
        seconds.append(took)
    return load, seconds[0], min(seconds[1:]), before, methods.peak_memory()


STUDIES = {
    study.__name__: study
    for study in (
        *(accuracy, mixed, confounded, avici, hidden, missing, rivals),
        *(calibration, knowledge, real, fine_tune, speed),
    )
}


def main():
    """Runs one study."""
    names = list(methods.methods())
    slow = ("neural", "sdcd")  # bench_interventional.py has them
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--methods", nargs="+", choices=names)
    parser.add_argument("--weights", help="a name or file, in place of the shipped")
    parser.add_argument("--sizes", type=int, nargs="+", help="d, in place of all")
    parser.add_argument(
        "--rows", type=int, default=1000, help="n, of mixed and confounded"
    )
    parser.add_argument("--only", nargs="+", help="words in the names of the data")
    parser.add_argument("--graphs", nargs="+", default=["ER", "SF"])
    parser.add_argument("--draws", type=int, default=20, help="tables a cell")
    parser.add_argument("--minutes", type=float, default=10, help="of fine_tune")
    parser.add_argument("--first", type=int, default=0, help="the first draw")
    parser.add_argument("--rival-draws", type=int, default=5)
    parser.add_argument("--replicates", type=int, default=20, help="of bootstrap")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="of real")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    if options.methods is None:
        options.methods = (
            [name for name in names if name not in slow]
            if options.study == "rivals"
            else ["amortized", "linear"]
        )
    device = jax.devices()[0].device_kind
    print(f"causaljax {causaljax.__version__}, jax {jax.__version__}, {device}")
    STUDIES[options.study](options)


if __name__ == "__main__":
    main()
