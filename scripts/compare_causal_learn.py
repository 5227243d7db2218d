"""PC and FCI beside causal-learn's, on the same tables with the same tests and level.

    python scripts/compare_causal_learn.py tables              200 simulated tables
    python scripts/compare_causal_learn.py published FOLDER    its published results
    python scripts/compare_causal_learn.py pags FOLDER         its fixtures of FCI
    python scripts/compare_causal_learn.py networks FOLDER     accuracy and seconds

Every table is given to causal-learn's PC at its defaults (level .05, `uc_rule` 0,
`uc_priority` 2), and to `kernels.constraint.pc` with the rule "separator" and the tests
of `scores.independence` on the device. Where the two graphs differ, the reason is
looked for: choices that causal-learn makes otherwise are put into our search one by
one, until the graphs are the same.

- verdicts: causal-learn takes b of a - b - c for no collider if any set that separates
  a and c has it, of the size at which the first was found. Ours looks at the set of the
  largest p-value alone.
- conflicts: causal-learn directs colliders in the order of the columns, and lets them
  close cycles. Ours directs those of the largest p-value first, and none that would
  close a cycle.
- rules: causal-learn closes the graph by three of Meek's rules, an edge at a time. Ours
  uses four, all edges at once, and leaves an edge open that two rules direct against
  each other; triples whose colliders were not directed are no evidence.
- a cycle: none of these, and causal-learn's graph has a directed cycle. Its rules look
  for one in a table of ancestors that is not transitive, and overlook long ones.

The published graphs are of `uc_priority` 3: of colliders in conflict, those come first
whose ends depend most given sets that have the middle.

`published` reads `NAME.csv.gz` and `NAME_pc_chisq_0.05_stable_0_-1.txt` of
causal-learn's tests/TestData/bnlearn_discrete_10000 (MIT licence), `pags` its
tests/fci-test-data (`True-GraphK.txt` and `PAGK.txt`), where a DAG of 13 variables has
3 that are hidden. `networks` reads networks as `NAME.bif.gz`
(https://www.bnlearn.com/bnrepository) and draws five tables of 2,000 rows from each.
Seconds are CPU seconds of a search on warm programs, counts or correlations included.
"""

import argparse
import collections
import itertools
import re
import time
from pathlib import Path

import bench_discrete
import jax
import numpy as np
import pandas as pd
import rivals

from causaljax.core.problem import pad_rows, padded_size
from causaljax.core.types import make_problem
from causaljax.graphs import ancestral, marks, meek, pag
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import fci, pc
from causaljax.kernels.constraint.colliders import judge
from causaljax.kernels.constraint.questions import BATCHES, Asker
from causaljax.kernels.constraint.skeleton import stable_skeleton
from causaljax.scores.independence import contingency, partial_correlation
from causaljax.scores.independence.asking import asking

ALPHA, LOG_ALPHA = 0.05, np.log(0.05)
MOST = 1000  # conditions
COUNTS = (64, 1024)  # sizes of batches of tests of counts
CHOICES = ("verdicts", "conflicts", "rules")
RULES = ("separator", "majority", "conservative")
OURS = {
    "fisherz": partial_correlation.FISHER_Z,
    "chisq": contingency.CHI_SQUARED,
    "gsq": contingency.G_SQUARED,
}
"""Our tests by causal-learn's names."""

NUM_ROWS = 2000  # of tables that are drawn from networks
NUM_TABLES = 5


def our_test(table: np.ndarray, name: str, room: int | None = None):
    """A test of ours, asked as searches do, and the sizes of its batches.

    Args:
      table: ``[n, d]``.
      name: of ``OURS``.
      room: columns that programs are compiled for, so that tables share them.
    """
    config = partial_correlation.Config()
    if name != "fisherz":
        most = max(len(np.unique(column)) for column in table.T)
        config = contingency.Config(most_classes=max(most, 2))
    extra = max((room or 0) - table.shape[1], 0)
    x = np.pad(np.asarray(table, np.float32), [(0, 0), (0, extra)])
    problem = pad_rows(make_problem(x), padded_size(len(x)))
    answer = asking(OURS[name], jax.random.key(0), problem, config)
    return answer, BATCHES if name == "fisherz" else COUNTS


def our_pc(table, name, rule="separator", room=None):
    """(graph, number of tests, CPU seconds) of our PC."""
    start = time.process_time()
    test, batches = our_test(table, name, room)
    config = pc.Config(alpha=ALPHA, collider_rule=rule)
    found = pc.search(test, table.shape[1], config, batches=batches)
    seconds = time.process_time() - start
    return marks.to_graph(found.marks), found.num_tests, seconds


def variants(
    table: np.ndarray, name: str, room: int | None = None, stronger: bool = False
):
    """Our PC's graph with some of causal-learn's choices.

    Args:
      table: ``[n, d]``.
      name: of the test.
      room: as of ``our_test``.
      stronger: whether causal-learn's conflicts are those of ``uc_priority`` 3, where
        colliders come first whose ends depend most given sets with the middle.

    Returns:
      By the choices, a tuple of ``CHOICES`` in their order, the graph. None are ours,
      all are causal-learn's.
    """
    test, batches = our_test(table, name, room)
    d = table.shape[1]
    ask, free = Asker(test, d, batches), ~np.eye(d, dtype=bool)
    skeleton = stable_skeleton(ask, free, ~free & False, free, LOG_ALPHA, MOST)
    skeleton, ours = judge(ask, skeleton, "separator", free, LOG_ALPHA, MOST)
    a, b, c = ours.triples.T
    collides = {False: ours.collider, True: ~in_any_set(ask, skeleton)[a, c, b]}
    rank = np.arange(len(a))
    if stronger:
        rank = [best_with(ask, skeleton.joined, *triple) for triple in ours.triples]
    found = {}
    for number in range(len(CHOICES) + 1):
        for chosen in itertools.combinations(CHOICES, number):
            collider = collides["verdicts" in chosen]
            graph = skeleton.joined.copy()
            if "conflicts" in chosen:
                order = np.argsort(np.asarray(rank)[collider], kind="stable")
                for i, k, j in ours.triples[collider][order].tolist():
                    if graph[i, k] and graph[j, k]:
                        graph[k, i] = graph[k, j] = False
            else:
                order = np.argsort(-skeleton.log_p[a, c][collider], kind="stable")
                for i, k, j in ours.triples[collider][order].tolist():
                    above = ancestors(graph & ~graph.T)
                    open_way = graph[i, k] and graph[j, k]
                    if open_way and not (above[k, i] or above[k, j]):
                        graph[k, i] = graph[k, j] = False
            if "rules" in chosen:
                found[chosen] = close_in_turn(graph)
            else:
                found[chosen] = meek.close(graph, ours.triples[~collider])
    return found


def in_any_set(ask: Asker, skeleton) -> np.ndarray:
    """``[d, d, d]`` bool: whether k is in a set that separates i and j.

    Sets are of neighbours of i or of j when sets of their size were tried, and of the
    size of the one that separated them first.
    """
    d = ask.num_variables
    size = (skeleton.separators >= 0).sum(axis=2)
    found = np.zeros((d, d, d), bool)
    for i, j in np.argwhere(np.triu(skeleton.separated)).tolist():
        near = skeleton.joined | (skeleton.separated & (size >= size[i, j]))
        sets = set()
        for end, other in ((i, j), (j, i)):
            others = [k for k in np.flatnonzero(near[end]) if k != other]
            sets |= set(itertools.combinations(others, size[i, j]))
        given = np.array(sorted(sets), int).reshape(len(sets), size[i, j])
        log_p = ask(np.full(len(sets), i), np.full(len(sets), j), given)
        for members in given[log_p > LOG_ALPHA]:
            found[i, j, members] = found[j, i, members] = True
    return found


def best_with(ask: Asker, joined: np.ndarray, i: int, k: int, j: int) -> float:
    """The largest p-value of i and j given sets of neighbours that have k."""
    best = 0.0
    for end in (i, j):
        others = [m for m in np.flatnonzero(joined[end]) if m not in (i, j, k)]
        for size in range(len(others) + 1):
            sets = [(*chosen, k) for chosen in itertools.combinations(others, size)]
            log_p = ask(
                np.full(len(sets), i), np.full(len(sets), j), np.array(sets, int)
            )
            best = max(best, float(np.exp(log_p.max())))
    return best


def close_in_turn(graph: np.ndarray) -> np.ndarray:
    """Meek's first three rules, an edge at a time, in the order of the columns."""
    graph = graph.copy()
    joined = graph | graph.T
    # Pairs by whether the end they come to is a tail, then by that end.
    pairs = [(i, j) for j in range(len(graph)) for i in np.flatnonzero(graph[j])]
    pairs += [
        (i, j)
        for j in range(len(graph))
        for i in np.flatnonzero(graph[:, j] & ~graph[j])
    ]
    chains = [(i, j, k) for i, j in pairs for m, k in pairs if m == j and k != i]
    open_chains = [(i, j, k) for i, j, k in chains if not joined[i, k]]
    triangles = [(i, j, k) for i, j, k in chains if joined[i, k]]
    kites = [
        (i, j, k, m)
        for i, j, m in triangles
        for n, k, o in triangles
        if n == i and o == m and j < k and not joined[j, k]
    ]

    def told(i, j):
        return graph[i, j] and not graph[j, i]

    def loose(i, j):
        return graph[i, j] and graph[j, i]

    def direct(i, j):
        if ancestors(graph & ~graph.T)[j, i]:
            return False
        graph[j, i] = False
        return True

    moved = True
    while moved:
        moved = False
        for i, j, k in open_chains:
            if told(i, j) and loose(j, k):
                moved |= direct(j, k)
        for i, j, k in triangles:
            if told(i, j) and told(j, k) and loose(i, k):
                moved |= direct(i, k)
        for i, j, k, m in kites:
            fits = loose(i, j) and loose(i, k) and told(j, m) and told(k, m)
            if fits and loose(i, m):
                moved |= direct(i, m)
    return graph


def reason(found: dict, theirs: np.ndarray) -> str:
    """The fewest of causal-learn's choices that make our graph its graph."""
    for chosen, graph in found.items():
        if (graph == theirs).all():
            return " and ".join(chosen) or "none"
        if ((graph | graph.T) != (theirs | theirs.T)).any():
            return "skeleton"
    told = theirs & ~theirs.T
    return "a cycle" if (told & ancestors(told).T).any() else "not explained"


def linear_table(rng, d: int, num_rows: int, edges: int):
    """(table, DAG) of a linear Gaussian model of a random graph."""
    graph = random_dag(rng, d, edges)
    weights = graph * rng.uniform(0.3, 1.5, (d, d)) * rng.choice([-1, 1], (d, d))
    noise = rng.normal(size=(num_rows, d)) * rng.uniform(0.5, 2, d)
    return noise @ np.linalg.inv(np.eye(d) - weights), graph


def class_table(rng, d: int, num_rows: int, edges: int):
    """(table, DAG), two or three classes a column, of random probabilities."""
    graph, classes = random_dag(rng, d, edges), rng.integers(2, 4, d)
    table = np.zeros((num_rows, d))
    for k in np.argsort(ancestors(graph).sum(axis=0), kind="stable"):
        row = np.zeros(num_rows, int)
        for parent in np.flatnonzero(graph[:, k]):
            row = row * classes[parent] + table[:, parent].astype(int)
        prob = rng.dirichlet(np.ones(classes[k]), row.max() + 1)[row]
        below = rng.random((num_rows, 1)) > np.cumsum(prob, axis=1)
        table[:, k] = np.minimum(below.sum(axis=1), classes[k] - 1)
    return table, graph


def random_dag(rng, d: int, edges: int) -> np.ndarray:
    """So many edges a variable, at random places."""
    pairs = np.argwhere(np.triu(np.ones((d, d)), 1))
    number = min(edges * d, len(pairs))
    graph = np.zeros((d, d), bool)
    graph[*pairs[rng.choice(len(pairs), number, replace=False)].T] = True
    order = rng.permutation(d)
    return graph[np.ix_(order, order)]


def run_tables(seeds: int, edges: int) -> None:
    """Compares graphs of simulated tables."""
    sizes = (5, 6, 8, 10, 12)
    reasons: dict[str, collections.Counter] = {}
    print(
        "                        same      same  with its      F1 of edges: ours by "
        "rule, theirs\ntest       n   d  tables  skeleton  graph   choices  separator  "
        "majority  conservative  causal-learn"
    )
    total = collections.Counter()
    for name, num_rows, d in itertools.product(OURS, (200, 1000), sizes):
        number = seeds if name == "fisherz" else seeds // 2
        made = linear_table if name == "fisherz" else class_table
        drawn = [
            made(np.random.default_rng([seed, d, num_rows]), d, num_rows, edges)
            for seed in range(number)
        ]
        tables = np.stack([table for table, _ in drawn])
        theirs = rivals.run(
            "causal-learn", tables, method="pc", test=name, alpha=ALPHA, threads=1
        ).graph
        counted, scores = collections.Counter(), collections.defaultdict(list)
        for (table, truth), other in zip(drawn, theirs > 0, strict=True):
            ours = our_pc(table, name, room=max(sizes))[0]
            scores["causal-learn"].append(bench_discrete.f1_scores(other, truth)[0])
            for rule in RULES:
                found = our_pc(table, name, rule, max(sizes))[0]
                scores[rule].append(bench_discrete.f1_scores(found, truth)[0])
            every = variants(table, name, max(sizes))
            counted["skeleton"] += ((ours | ours.T) == (other | other.T)).all()
            counted["graph"] += (ours == other).all()
            counted["choices"] += (every[CHOICES] == other).all()
            if (ours != other).any():
                why = reason(every, other)
                reasons.setdefault(name, collections.Counter())[why] += 1
        total += counted
        total["tables"] += number
        print(
            f"{name:8}{num_rows:5}{d:4}{number:8}{counted['skeleton']:10}"
            f"{counted['graph']:7}{counted['choices']:10}"
            + "".join(
                f"{np.mean(scores[method]):{width}.3f}"
                for method, width in zip(
                    (*RULES, "causal-learn"), (11, 10, 14, 14), strict=True
                )
            ),
            flush=True,
        )
    print(
        f"{total['tables']} tables: {total['skeleton']} skeletons and "
        f"{total['graph']} graphs are the same; with causal-learn's choices "
        f"{total['choices']}"
    )
    for name, counter in reasons.items():
        told = ", ".join(f"{why} {count}" for why, count in counter.most_common())
        print(f"{name}: graphs differ by {told}")


def run_published(folder: Path) -> None:
    """Compares with causal-learn's published graphs of PC with chi-square."""
    print(f"{'network':13}columns  same skeleton  same graph  {'by':22} tests  CPU s")
    for path in sorted(folder.glob("*_pc_chisq_0.05_stable_0_-1.txt")):
        network = path.name.split("_")[0]
        if not (folder / f"{network}.csv.gz").exists():
            print(f"{network:12} no table")
            continue
        table = pd.read_csv(folder / f"{network}.csv.gz").to_numpy(float)
        ends = np.loadtxt(path)
        theirs = (ends == -1) | ((ends == 1) & (ends.T == 1))
        our_pc(table, "chisq")
        ours, number, seconds = our_pc(table, "chisq")
        same = ((ours | ours.T) == (theirs | theirs.T)).all()
        equal = (ours == theirs).all()
        why = ""
        if not equal:
            why = reason(variants(table, "chisq", stronger=True), theirs)
        print(
            f"{network:12}{len(ends):8}{same!s:>15}{equal!s:>12}  {why:22}{number:6}"
            f"{seconds:7.2f}",
            flush=True,
        )


def read_marked(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and marks of a graph in Tetrad's format of text."""
    text = path.read_text()
    names = text.split("\n")[1].split(";")
    found = np.zeros((len(names),) * 2, np.int8)
    ends = {"-": Mark.TAIL, "<": Mark.ARROW, ">": Mark.ARROW, "o": Mark.CIRCLE}
    for a, edge, b in re.findall(r"\d+\. (\S+) (\S+) (\S+)", text):
        i, j = names.index(a), names.index(b)
        found[j, i], found[i, j] = ends[edge[0]], ends[edge[-1]]
    return names, found


def run_pags(folder: Path) -> None:
    """FCI with a test that knows the DAG, and on tables of it."""
    print(
        "fixture  FCI = exact  edges as fixture  arrows as fixture  other marks: ours "
        "tails, fixture circles"
    )
    equal = collections.Counter()
    for number in range(1, 11):
        names, true = read_marked(folder / f"True-Graph{number}.txt")
        seen, fixture = read_marked(folder / f"PAG{number}.txt")
        observed = [names.index(name) for name in seen]
        d, e = len(seen), len(names)
        order = observed + [k for k in range(e) if k not in observed]
        dag = marks.to_graph(true)[np.ix_(order, order)]
        exact = pag.mag_to_pag(ancestral.latent_projection(dag, range(d, e)))
        test = Separation(true, observed).test()
        found = fci.search(test, d, fci.Config(), batches=(8, 64)).marks
        arrows = ((found == Mark.ARROW) == (fixture == Mark.ARROW)).all()
        other = (found != fixture) & ((found > 0) == (fixture > 0))
        tails = other & (found == Mark.TAIL) & (fixture == Mark.CIRCLE)
        print(
            f"{number:7}{(found == exact).all()!s:>13}"
            f"{((found > 0) == (fixture > 0)).all()!s:>18}{arrows!s:>19}"
            f"{other.sum():13}: {tails.sum()}"
        )
        rng = np.random.default_rng(number)
        weights = dag * rng.uniform(0.5, 1.5, (e, e)) * rng.choice([-1, 1], (e, e))
        noise = rng.normal(size=(1000, e))
        table = (noise @ np.linalg.inv(np.eye(e) - weights))[:, :d]
        result = rivals.run("causal-learn", table, method="fci", threads=1)
        answer, batches = our_test(table, "fisherz")
        for rule in RULES:
            config = fci.Config(alpha=ALPHA, collider_rule=rule)
            ours = fci.search(answer, d, config, batches=batches).marks
            equal[rule, "edges"] += ((ours > 0) == (result.graph > 0)).all()
            equal[rule, "more"] += int(np.triu((ours > 0) > (result.graph > 0)).sum())
            equal[rule, "less"] += int(np.triu((ours > 0) < (result.graph > 0)).sum())
            equal[rule, "marks"] += (ours == result.graph).all()
            equal[rule, "right"] += (ours == exact)[exact > 0].mean() / 10
        equal["causal-learn", "right"] += (result.graph == exact)[exact > 0].mean() / 10
    print("tables of 1,000 rows of the ten DAGs, Fisher's z at .05:")
    for rule in RULES:
        print(
            f"{rule:14} same edges as causal-learn {equal[rule, 'edges']}, same marks "
            f"{equal[rule, 'marks']}; edges more {equal[rule, 'more']}, less "
            f"{equal[rule, 'less']}; share of true marks {equal[rule, 'right']:.2f}"
        )
    print(f"causal-learn: share of true marks {equal['causal-learn', 'right']:.2f}")


def run_networks(folder: Path, lucas: Path | None) -> None:
    """Accuracy and CPU seconds on tables of known networks."""
    print(
        "network     columns  test   method                    F1  skeleton F1  tests"
        "  CPU s"
    )
    tables = {}
    for path in sorted(folder.glob("*.bif.gz")):
        network = bench_discrete.read_bif(path)
        drawn = [bench_discrete.draw(network, NUM_ROWS, s) for s in range(NUM_TABLES)]
        tables[path.name.split(".")[0]] = [(x.to_numpy(float), g) for x, g in drawn]
    if lucas is not None:
        table = pd.read_csv(next(lucas.glob("*.csv.gz")))
        graph = np.zeros((len(table.columns),) * 2, bool)
        for cause, effect in pd.read_csv(lucas / "edges.csv").iloc[:, :2].to_numpy():
            graph[table.columns.get_loc(cause), table.columns.get_loc(effect)] = True
        tables["lucas"] = [(table.to_numpy(float), graph)]
    for network, drawn in tables.items():
        for name in ("chisq", "gsq"):
            rows = collections.defaultdict(list)
            for table, truth in drawn:
                for rule in RULES:
                    our_pc(table, name, rule)  # compiles
                    found, number, seconds = our_pc(table, name, rule)
                    scores = bench_discrete.f1_scores(found, truth)
                    rows[f"causaljax {rule}"].append((*scores, number, seconds))
                result = rivals.run(
                    "causal-learn", table, method="pc", test=name, threads=1
                )
                scores = bench_discrete.f1_scores(result.graph > 0, truth)
                rows["causal-learn"].append((*scores, np.nan, result.cpu_seconds))
            for method, values in rows.items():
                f1, skeleton, number, seconds = np.mean(values, axis=0)
                print(
                    f"{network:12}{drawn[0][0].shape[1]:7}  {name:7}{method:24}"
                    f"{f1:5.2f}{skeleton:13.2f}{number:7.0f}{seconds:7.2f}",
                    flush=True,
                )


def main() -> None:
    """Runs a comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    tables = commands.add_parser("tables")
    tables.add_argument("--seeds", type=int, default=10, help="tables of a kind")
    tables.add_argument("--edges", type=int, default=1, help="edges a variable")
    for name in ("published", "pags", "networks"):
        commands.add_parser(name).add_argument("folder", type=Path)
    commands.choices["networks"].add_argument("--lucas", type=Path)
    args = parser.parse_args()
    if args.command == "tables":
        run_tables(args.seeds, args.edges)
    elif args.command == "published":
        run_published(args.folder)
    elif args.command == "pags":
        run_pags(args.folder)
    else:
        run_networks(args.folder, args.lucas)


if __name__ == "__main__":
    main()
