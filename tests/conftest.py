"""Two CPU devices and jax at its strictest, for every test."""

import atexit
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import pkgutil
import re
import shutil
import sys
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # The workers of a run, its children, share compiled programs.
    _cache = tempfile.mkdtemp(prefix="causaljax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", "-1")
    atexit.register(shutil.rmtree, _cache, ignore_errors=True)
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # Halves the time of the tests; later versions do not know the first flag.
    _flags = "--xla_cpu_use_fusion_emitters=false"
    _flags += " --xla_cpu_parallel_codegen_split_count=1"  # each core has its worker
    os.environ.setdefault("XLA_FLAGS", _flags)

import jax
import numpy as np
import optax
import pytest

from causaljax import kernels
from causaljax.networks import network

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_disable_most_optimizations", True)  # compiles sooner
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# optax raises a float to an integer power here, which "strict" does not let it.
optax.tree.bias_correction = jax.numpy_dtype_promotion("standard")(
    optax.tree.bias_correction
)

# A stand-in for a trained network, where a weights file looks for an architecture.
_path = pathlib.Path(__file__).with_name("stand_in_network.py")
_spec = importlib.util.spec_from_file_location("causaljax.networks.stand_in", _path)
stand_in = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stand_in)


def make_weights(**changes):
    """Random weights of the stand-in, as if they had been trained."""
    from causaljax.networks import out_of_distribution, weights

    config = stand_in.NetworkConfig()
    rng = np.random.default_rng(0)
    summaries = 3 * rng.normal(size=(500, 2 * stand_in.NUM_STATISTICS))
    made = weights.Weights(
        params=stand_in.init_params(jax.random.key(7), config),
        network=network.network_of(stand_in, config),
        calibration=network.Calibration(
            np.array([0.1, 0.2, -0.1], np.float32),
            np.array([0.2, 0.1, 0.1], np.float32),
            0.3,
        ),
        reference=out_of_distribution.fit_reference({4: summaries.astype(np.float32)}),
        card={"name": "random", "max_columns": 12},
    )
    return made._replace(**changes)


def kernel_modules():
    """Every module of ``causaljax.kernels``, by walking its folders."""
    found = pkgutil.walk_packages(kernels.__path__, "causaljax.kernels.")
    return [importlib.import_module(module.name) for module in found]


# Rows of the contract whose programs are alike.
ROWS = re.compile(r"\b(dagma|order|amortized|neural|mixture|latent-\w+)\b")
# What takes longest begins first, so that no worker waits at the end.
LONG = "latent_interventions", "contract", "training_mix", "mechanisms", "simulate"


def pytest_collection_modifyitems(items):
    """Puts tests that take long first; else leaves the order as it is."""
    place = {f"test_{name}": rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests of a file, or of a row of the contract, go to one worker together.

    So a program is compiled once and the fixtures of a file are made once.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByPrograms(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            row = ROWS.search(test) if file.endswith("test_contract.py") else None
            return f"{file} {row[0] if row else ''}"

    return ByPrograms(config, log) if config.getvalue("dist") == "loadscope" else None


_compiled = {"programs": 0, "seconds": 0.0}


def _count(event, seconds, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled["programs"] += 1
        _compiled["seconds"] += seconds


jax.monitoring.register_event_duration_secs_listener(_count)


def pytest_sessionfinish(session):
    worker = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["compiled"] = _compiled


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for name, value in getattr(node, "workeroutput", {}).get("compiled", {}).items():
        _compiled[name] += value


def pytest_terminal_summary(terminalreporter):
    """Tells what the run compiled: most of a run's time may be that."""
    terminalreporter.write_line(
        "{programs} programs compiled or loaded in {seconds:.0f} s".format(**_compiled)
    )


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def numpyro_rules():
    """jax as numpyro needs it, which uses keys twice and mixes ranks and dtypes."""
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        yield


@pytest.fixture(scope="module", autouse=True)
def _programs_of_one_file():
    """Lets go of compiled programs.

    A worker that kept those of every file held up to 5.5 GB.
    """
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _few_memory_maps():
    """Lets go of compiled programs before the system runs out of maps for them.

    Linux gives a process 65,530; one more ends a compilation with a segmentation fault.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


def assert_edges_agree(model, folder):
    """The same edges in the table, prints, files, matrices and the graph."""
    from causaljax import exchange, plot
    from causaljax.tables import edges, files

    names = list(model.adjacency_)
    marks = {(row.source, row.target): row.mark for row in model.edges_.itertuples()}
    joined = {pair: mark for pair, mark in marks.items() if mark != "<->"}
    assert {
        (u, v): edge.get("mark", "---" if edge["undirected"] else "-->")
        for u, v, edge in model.graph_.edges(data=True)
    } == joined
    folder = folder / "edges"  # results go to no folder with files of others
    files.write_results(folder, model.edges_, names, {"causaljax": "1"})
    read = files.read_result(folder / "edges.csv")
    assert {(row.source, row.target): row.mark for row in read.itertuples()} == marks
    np.testing.assert_array_equal(read["probability"], model.edges_["probability"])
    again, _ = edges.from_networkx(exchange.read_graph(folder / "graph.json"))
    assert {(row.source, row.target): row.mark for row in again.itertuples()} == marks
    for frame, file in ((model.adjacency_, "adjacency"), (model.cpdag_, "cpdag")):
        again = files.read_result(folder / f"{file}.csv")
        assert (again == frame).all(axis=None)
        pairs = {(names[i], names[j]) for i, j in np.argwhere(frame.to_numpy())}
        both = {pair[::-1] for pair, mark in joined.items() if mark in edges.OPEN}
        assert pairs == set(joined) | (both if file == "cpdag" else set())
    rows = [line.split("│")[1:4] for line in model.summary().split("\n") if "│" in line]
    rows = [[cell.strip() for cell in row] for row in rows]
    found = {(row[0], row[2]): row[1] for row in rows if row[1] in edges.MARKS}
    assert found == marks
    page = model._repr_html_()
    assert page.count("<tr>") == len(marks) + 1
    model.report(folder / "report.html")
    drawn = drawn_edges((folder / "report.html").read_text(encoding="utf-8"))
    ends = zip(drawn["source"], drawn["target"], strict=True)
    assert dict(zip(ends, drawn["mark"], strict=True)) == marks
    artists = (patch.get_gid() or "" for patch in plot.graph(model).patches)
    assert sum(name.startswith("edge ") for name in artists) == len(marks)
    for pair in marks:
        told = model.explain(*pair)
        assert {told.source, told.target} == set(pair)
        assert told.mark == marks[pair]


def drawn_edges(page):
    """What bokeh draws of the edges on a page of ``reports.page``, column by column."""
    model = json.loads(re.search(r'id="model">(.*?)</script>', page)[1])
    found = []

    def walk(node):
        if isinstance(node, dict):
            if node.get("name") == "ColumnDataSource":
                found.append(dict(node["attributes"]["data"]["entries"]))
            node = list(node.values())
        if isinstance(node, list):
            for value in node:
                walk(value)

    walk(model)
    (edges,) = (data for data in found if "mark" in data)
    return edges


def assert_same(one, other, where=""):
    """Values are the same to the last bit, and of the same types."""
    import networkx as nx
    import pandas as pd

    if isinstance(one, jax.Array):
        one = np.asarray(one)  # a file gives numpy's back
    assert type(one) is type(other), where
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(
            one, other, check_exact=True, check_freq=False, obj=where
        )
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(
            one, other, check_exact=True, check_freq=False, obj=where
        )
    elif isinstance(one, nx.Graph):
        assert nx.utils.graphs_equal(one, other), where
    elif isinstance(one, np.ndarray) and one.dtype != object:
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert one.tobytes() == other.tobytes(), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, list | tuple | np.ndarray):
        assert len(one) == len(other), where
        for k, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{k}]")
    elif dataclasses.is_dataclass(one):
        assert_same(vars(one), vars(other), where)
    else:
        assert one == other or (one != one and other != other), where


def assert_saved_alike(model, folder, *asked):
    """A model that was saved and loaded has its attributes, and answers as it did."""
    from causaljax import load

    path = folder / "model.safetensors"
    model.save(path)
    again = load(path)
    kept = {name: vars(again)[name] for name in vars(model)}
    assert vars(again).keys() == kept.keys()
    assert_same(vars(model), kept, repr(model))
    for ask in asked:
        assert_same(ask(model), ask(again), repr(model))
    assert again.summary() == model.summary()
    assert repr(again) == repr(model)
    return again
