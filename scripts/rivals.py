"""Run the libraries a user would pick instead, each in an environment of its own.

Rival libraries pin old or huge stacks, so none can be a dependency or an extra of
causaljax. Each gets a virtual environment, made on first use under
`~/.cache/causaljax/rivals` (or the folder that `CAUSALJAX_RIVALS` names), and is
called there by subprocess: npz in, npz out. The caller needs numpy only.

    python scripts/rivals.py                     what is there
    python scripts/rivals.py install NAME|all    make environments
    python scripts/rivals.py check               fit each to small known graphs

pip's own settings hold: where `torch` would bring a GPU stack, point pip
(`PIP_FIND_LINKS`, `PIP_EXTRA_INDEX_URL`) at a CPU build first.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class RivalResult(NamedTuple):
    """What a rival found and what it cost.

    `graph` is int8 with 1 at `[i, j]` for i -> j and in both places for an undirected
    edge; `weights` holds the effect of i on j, or where mechanisms are networks how
    strongly j reads i. Times are of the fit, without imports.
    """

    graph: np.ndarray  # [d, d]
    weights: np.ndarray | None  # [d, d], None if the rival has none
    seconds: float
    cpu_seconds: float  # all threads together
    version: str  # of the rival's package, with the package's name
    targets: np.ndarray | None = None  # [k, d], 1 where experiment k touched column j


# A loader runs in the rival's environment: it imports, untimed, and returns the timed
# `fit(x, **options) -> (graph, weights or None)`, or with targets as a third part, all
# as in `RivalResult`.


def _dagma():
    from dagma.linear import DagmaLinear

    def fit(x, **options):  # lambda1, w_threshold, ...: see DagmaLinear.fit
        weights = DagmaLinear(loss_type="l2").fit(x, **options)  # x = x @ weights + e
        return weights != 0, weights

    return fit


def _flop():
    from flopsearch import flop

    def fit(x, lambda_bic=2.0, restarts=20):
        cpdag = flop(x, lambda_bic, restarts=restarts)  # 1: i -> j, 2: both ways
        return cpdag != 0, None

    return fit


def _boss():
    from causallearn.search.PermutationBased.BOSS import boss

    def fit(x, lambda_value=2.0, seed=0):
        random.seed(seed)  # BOSS shuffles with the global generator
        parameters = {"lambda_value": lambda_value}
        marks = boss(x, "local_score_BIC_from_cov", parameters, verbose=False).graph
        return marks == -1, None  # [i, j] is the mark at i: -1 a tail, 1 a head

    return fit


def _classes():
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.search.PermutationBased.BOSS import boss

    def fit(x, method, seed=0):  # x: codes of classes
        if method == "pc":
            marks = pc(x, indep_test="chisq", show_progress=False).G.graph
        else:
            random.seed(seed)  # BOSS shuffles with the global generator
            marks = boss(x.astype(int), "local_score_BDeu", verbose=False).graph
        # PC marks contradictory directions with two heads: an edge all the same.
        return (marks == -1) | ((marks == 1) & (marks.T == 1)), None

    return fit


def _causal_learn():
    from causallearn.search.ConstraintBased.FCI import fci
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.utils.cit import CIT

    def fit(x, method, tests=(), alpha=0.05, test="fisherz"):
        # With "pc" and "fci", x may also be [k, n, d]: k tables, and then k graphs.
        if method == "pc":
            graphs = [
                pc(table, alpha, test, show_progress=False).G for table in _each(x)
            ]
            # [i, j] is the mark at i: -1 a tail, 1 a head. PC marks contradictory
            # directions with two heads: an edge all the same.
            marks = np.array([graph.graph for graph in graphs])
            other = marks.swapaxes(1, 2)
            found = (marks == -1) | ((marks == 1) & (other == 1))
        elif method == "fci":  # the graph is of `causaljax.graphs.marks`
            graphs = [
                fci(table, test, alpha, show_progress=False) for table in _each(x)
            ]
            marks = np.array([graph.graph for graph, _ in graphs])
            found = np.select([marks == -1, marks == 1, marks == 2], [1, 2, 3])
            found = found.swapaxes(1, 2)
        else:  # tests: [k, 2 + m], columns x, y, z of each
            asked = CIT(x, method)
            p = [asked(int(a), int(b), list(map(int, z))) for a, b, *z in tests]
            return np.array(p) < 0.05, np.array(p)  # what is rejected, and p-values
        return found if x.ndim == 3 else found[0], None

    def _each(x):
        return x if x.ndim == 3 else x[None]

    return fit


def _direct_lingam():
    from lingam import DirectLiNGAM

    def fit(x, **options):  # random_state, measure, ...: see DirectLiNGAM
        weights = DirectLiNGAM(**options).fit(x).adjacency_matrix_.T
        return weights != 0, weights

    return fit


def _andrey():
    import andrey

    def fit(x, lambda_value=2.0, seed=0):
        marks = andrey.boss(x, lambda_value=lambda_value, seed=seed).structure
        return np.asarray(marks.to_numpy()) == 1, None  # 1: i -> j, or i -- j

    return fit


def _andrey_pc():
    import andrey

    def fit(x, alpha=0.05):
        marks = andrey.pc(x, alpha=alpha, collider_order="p_value").structure
        return np.asarray(marks.to_numpy()) == 1, None  # 1: i -> j, or i -- j

    return fit


def _andrey_fci():
    import andrey

    def fit(x, alpha=0.05):  # the graph is of `causaljax.graphs.marks`
        return np.asarray(andrey.fci(x, alpha=alpha).structure.to_numpy()).T, None

    return fit


def _andrey_lingam():
    import andrey

    def fit(x):
        weights = np.asarray(andrey.direct_lingam(x).weighted_adjacency)
        return weights != 0, weights

    return fit


def _permscore():
    from permscore import PermScore

    def fit(x, regimes, **options):  # regimes: [n] int, 0 the reference
        tables = [x[regimes == k] for k in range(regimes.max() + 1)]
        result = PermScore(seed=0, **options).fit(tables).result_
        targets = np.zeros((len(tables) - 1, x.shape[1]))
        for k, target in enumerate(result.target_array()):
            targets[k, target] = target >= 0
        return result.graph, None, targets

    return fit


def _sdcd():
    import torch
    from sdcd.models import SDCD

    def fit(x, intervened=None, **options):  # intervened: [n, d] bool
        left_alone = np.ones(x.shape) if intervened is None else ~intervened
        dataset = torch.utils.data.TensorDataset(
            torch.FloatTensor(x),
            torch.LongTensor(left_alone.astype(int)),
            torch.LongTensor((left_alone == 0).sum(axis=1)),
        )
        model = SDCD(**options)  # model_variance_flavor, use_gumbel
        model.train(dataset)
        graph = model.get_adjacency_matrix(threshold=True)
        return graph, model.get_adjacency_matrix(threshold=False)

    return fit


def _antecedent():
    from antecedent.discovery import ExactDagPosterior

    def fit(x):  # exact edge marginals by the Gaussian BIC, all DAGs alike
        table = {f"x{k}": column for k, column in enumerate(x.T)}
        prob = np.array(ExactDagPosterior().run(table).edge_marginal_matrix())
        return prob > 0.5, prob

    return fit


def _dibs():
    import jax
    import jax.numpy as jnp
    from dibs.graph_utils import elwise_acyclic_constr_nograd
    from dibs.inference import MarginalDiBS
    from dibs.models import BGe
    from dibs.models.graph import ErdosReniDAGDistribution

    def fit(x, num_particles=30, num_steps=2000, edges_per_variable=2, seed=0):
        # Weights are the shares of acyclic particles, as its metrics take them.
        x, d = jnp.asarray(x, jnp.float32), x.shape[1]
        prior = ErdosReniDAGDistribution(d, n_edges_per_node=edges_per_variable)
        model = MarginalDiBS(x=x, graph_model=prior, likelihood_model=BGe(n_vars=d))
        key = jax.random.PRNGKey(seed)
        graphs = model.sample(key=key, n_particles=num_particles, steps=num_steps)
        acyclic = np.asarray(elwise_acyclic_constr_nograd(graphs, d) == 0)
        graphs = np.asarray(graphs)[acyclic] if acyclic.any() else np.zeros((1, d, d))
        return graphs.mean(axis=0) > 0.5, graphs.mean(axis=0)

    return fit


# One row each: pinned requirements, the rival's own package last, and the loader.
RIVALS = {
    "antecedent": ("numpy==2.4.6 antecedent==2.4.1", _antecedent),
    "dagma": ("torch==2.13.0 numpy==2.4.6 scipy==1.17.1 dagma==1.1.1", _dagma),
    "flop": ("numpy==2.4.6 flopsearch==0.3.0", _flop),
    "andrey": ("numpy==2.4.6 andrey-core==0.10.0", _andrey),
    "andrey_pc": ("numpy==2.4.6 andrey-core==0.10.0", _andrey_pc),
    "andrey_fci": ("numpy==2.4.6 andrey-core==0.10.0", _andrey_fci),
    "andrey_lingam": ("numpy==2.4.6 andrey-core==0.10.0", _andrey_lingam),
    "boss": ("numpy==2.4.6 scipy==1.17.1 causal-learn==0.1.4.8", _boss),
    "causal-learn": ("numpy==2.4.6 scipy==1.17.1 causal-learn==0.1.4.8", _causal_learn),
    "classes": ("numpy==2.4.6 scipy==1.17.1 causal-learn==0.1.4.8", _classes),
    "dibs": ("jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 dibs-lib==1.3.3", _dibs),
    "direct_lingam": ("numpy==2.2.6 scipy==1.13.1 lingam==1.13.0", _direct_lingam),
    "permscore": ("numpy==2.4.6 scipy==1.17.1 permscore==0.1.0", _permscore),
    "sdcd": (
        "torch==2.13.0 setuptools==80.9.0 numpy==1.26.4 scipy==1.13.1 sdcd==0.1.4",
        _sdcd,
    ),
}


def _home(name: str) -> tuple[Path, str, bool]:
    """Give a rival's folder, the stamp it should bear, and whether it does."""
    root = Path(os.environ.get("CAUSALJAX_RIVALS") or "~/.cache/causaljax/rivals")
    folder = root.expanduser().absolute() / name
    stamp = "python{}.{} ".format(*sys.version_info) + RIVALS[name][0]
    ready = (folder / "bin/python").exists() and (folder / "stamp").exists()
    return folder, stamp, ready and (folder / "stamp").read_text() == stamp


def _call(task: str, command: list[Any], threads: int = 2, timeout=None) -> None:
    # The OPENBLAS settings work around old builds and slow a current numpy.
    dropped = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONHOME"}
    environ = {k: v for k, v in os.environ.items() if k not in dropped}
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON"):
        environ[f"{library}_NUM_THREADS"] = str(threads)
    environ |= {"PYTHONHASHSEED": "0", "TQDM_DISABLE": "1"}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{task} did not end within {timeout:g} s.") from None
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise RuntimeError(f"{task} failed with exit code {done.returncode}:\n{tail}")


def install(name: str) -> Path:
    """Return the Python of a rival's environment, made first if missing or outdated."""
    if name not in RIVALS:
        raise ValueError(f"no rival {name!r}; choose from {', '.join(RIVALS)}.")
    folder, stamp, ready = _home(name)
    python = folder / "bin/python"
    if ready:
        return python
    print(f"making {folder} with {stamp}", file=sys.stderr)
    pip = [python, "-m", "pip", "install", "--quiet", *RIVALS[name][0].split()]
    try:
        _call(f"making {folder}", [sys.executable, "-m", "venv", "--clear", folder])
        _call(f"installing {name} ({stamp})", pip)
        (folder / "stamp").write_text(stamp)
    except BaseException:  # an interrupt too must not leave half an environment
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return python


def _load(path: Path | str) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as data:
        return {key: v if v.ndim else v.item() for key, v in data.items()}


def run(
    name: str,
    x: np.ndarray,
    *,
    timeout: float | None = None,
    threads: int = 2,
    **options: Any,
) -> RivalResult:
    """Fit a rival to a data set in the rival's own environment.

    Args:
        name: A key of `RIVALS`; its environment is made if need be.
        x: `[n, d]` data, handed over as float64 and otherwise as they are.
        timeout: Seconds the rival may take, imports included but not installation.
        threads: Threads its numerical libraries may use.
        **options: Numbers, strings or arrays for its fit; None means its default.

    Raises:
        ValueError: If there is no such rival.
        RuntimeError: If it cannot be installed, fails or runs out of time.
    """
    python = install(name)
    options = {key: value for key, value in options.items() if value is not None}
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, x=np.asarray(x, dtype=np.float64), **options)
        # -P: no script beside this one may shadow a module of the rival.
        command = [python, "-P", Path(__file__).absolute(), "fit", name, given, found]
        _call(f"rival {name}", command, threads, timeout)
        answer: dict[str, Any] = {"weights": None} | _load(found)
        return RivalResult(**answer)


def _fit(name: str, given: str, found: str) -> None:
    """Fit inside the rival's environment, from one npz file to another."""
    options, (requirements, load) = _load(given), RIVALS[name]
    x, fit = options.pop("x"), load()
    wall, cpu = time.perf_counter(), time.process_time()
    graph, weights, *others = fit(x, **options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    package = requirements.split()[-1].split("==")[0]
    result: dict[str, Any] = {} if weights is None else {"weights": weights}
    result |= {"targets": others[0]} if others else {}
    result["version"] = f"{package} {installed_version(package)}"
    np.savez(found, graph=graph.astype("i1"), seconds=wall, cpu_seconds=cpu, **result)


def _check() -> None:
    """Fit every rival to a collider, a chain and a random graph."""
    rng = np.random.default_rng(0)
    order = np.ix_(*[rng.permutation(10)] * 2)
    truths = {
        "0>2<1": np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]]),
        "2>1>0": np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        "random": np.triu(rng.random((10, 10)) < 0.3, 1)[order].astype(int),
    }
    data = {}
    for kind, true in truths.items():
        weights = true * rng.uniform(0.7, 1.5, true.shape)
        noise = rng.uniform(-np.sqrt(3), np.sqrt(3), (1000, len(true)))
        data[kind] = noise @ np.linalg.inv(np.eye(len(true)) - weights)
    # Without reversals, SHD is the wrong links plus the undirected edges.
    print("rival          truth   edges  wrong links  undirected  SHD  wall s   CPU s")
    for name in RIVALS:
        if name in ("causal-learn", "andrey_fci"):  # tests, or marks: no graphs
            continue
        for kind, true in truths.items():
            given: dict[str, Any] = {}
            if name == "permscore":
                given["regimes"] = np.arange(1000) % 2
            result = run(name, data[kind], timeout=900, **given)
            graph, wrong = result.graph, result.graph != true
            both, links = graph & graph.T, (graph | graph.T) != (true | true.T)
            counts = [int(np.triu(m).sum()) for m in (links, both, wrong | wrong.T)]
            row = "{:7}{:13}{:12}{:5}".format(true.sum(), *counts)
            cost = f"{result.seconds:8.3f}{result.cpu_seconds:8.3f}"
            print(f"{name:15}{kind:6}{row}{cost}  {result.version}")


def main() -> None:
    """Run the command line; `fit` is what `run` calls in a rival's environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = ["list", "install", "check", "fit"]
    parser.add_argument("command", nargs="?", default="list", choices=commands)
    parser.add_argument("names", nargs="*", help="rivals to install, or `all`")
    args = parser.parse_args()
    if args.command == "install":
        for name in RIVALS if args.names in ([], ["all"]) else args.names:
            print(install(name))
    elif args.command == "check":
        _check()
    elif args.command == "fit":
        _fit(*args.names)
    else:
        for name, (requirements, _) in RIVALS.items():
            state = "installed" if _home(name)[2] else "missing"
            print(f"{name:15}{state:11}{requirements}")


if __name__ == "__main__":
    main()
