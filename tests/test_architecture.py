"""The table of rooms in `docs/architecture.md`, read off the imports."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import causaljax

ROOT = pathlib.Path(causaljax.__file__).parent
LAYERS = {
    "core": 0,
    "graphs": 1,
    "scores": 2,
    "mechanisms": 2,
    "simulate": 2,
    "regimes": 3,
    "networks": 3,
    "kernels": 4,
    "probabilistic": 4,
    "tables": 5,
    "compilation_cache": 5,
    "exchange": 6,
    "plot": 6,
    "reports": 7,
    "effects": 8,
    "estimators": 9,
    "batch": 10,
    "cli": 11,
    "__init__": 11,
    "__main__": 11,
}
# What a room may import from the package, where lower is not enough.
ONLY = {
    "tables": {"core"},
    "compilation_cache": set(),
    "exchange": {"core", "graphs", "tables"},
    "plot": {"core", "mechanisms", "tables"},
    "probabilistic": {"core", "graphs", "scores", "mechanisms", "regimes"},
    "reports": {"core", "graphs", "plot", "simulate", "tables"},
    "effects": {"core", "reports", "tables"},
}
DEVICE = {
    "core",
    "graphs",
    "scores",
    "mechanisms",
    "simulate",
    "regimes",
    "networks",
    "kernels",
}
IMPORTS = (ast.Import, ast.ImportFrom)
STANDARD = sys.stdlib_module_names
DEVICE_MAY = {
    "jax",
    "chex",
    "lazy_loader",
    "numpy",
}  # numpy for what is known at tracing
ALSO = {"networks": {"flax", "optax", "safetensors"}, "kernels": {"optax"}}
FLAX = {"networks"}
NUMPYRO = {"probabilistic"}
TABLES = {"tables", "exchange", "plot", "reports", "effects", "estimators"}
TABLES |= {"batch", "cli", "probabilistic"}
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path):
    return str(path.relative_to(ROOT).with_suffix(""))


def room_of(path):
    return pathlib.PurePath(name_of(path)).parts[0]


def imports_of(tree, package="causaljax"):
    """Dotted names imported in a tree: "causaljax.core", "jax.numpy"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == package:
                yield from (f"{package}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def breaches(room, source):
    """What a file of a room imports and should not."""
    tree, may = ast.parse(source), DEVICE_MAY | ALSO.get(room, set())
    at_once = [node for node in tree.body if isinstance(node, IMPORTS)]
    if "sklearn" in {
        name.split(".")[0] for node in at_once for name in imports_of(node)
    }:
        yield "sklearn"
    for name in imports_of(tree):
        top, *rest = name.split(".")
        if top == "causaljax" and room not in {"__init__", "__main__", "cli"}:
            other = rest[0] if rest else "__init__"
            same = other == room
            lower = LAYERS.get(other, 99) < LAYERS[room]
            if not same and not (lower and other in ONLY.get(room, LAYERS)):
                yield name
        elif top in STANDARD or top == "causaljax":
            continue
        elif top in forbidden_tops(room) or (room in DEVICE and top not in may):
            yield name


def forbidden_tops(room):
    """Packages that only some rooms may import."""
    tops = set() if room in FLAX else {"flax"}
    tops |= set() if room in NUMPYRO else {"numpyro", "arviz"}
    tops |= set() if room == "estimators" else {"sklearn"}
    return tops | (set() if room in TABLES else {"pandas", "networkx"})


def prints(source):
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [c.lineno for c in calls if getattr(c.func, "id", None) == "print"]


def test_every_file_is_in_a_room():
    assert len(FILES) > 10
    assert {room_of(path) for path in FILES} <= LAYERS.keys()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path):
    assert list(breaches(room_of(path), path.read_text())) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("graphs", "from causaljax.scores import bge"),
        ("graphs", "from causaljax import scores"),
        ("core", "import causaljax.graphs"),
        ("scores", "from causaljax.simulate import scm"),
        ("kernels", "from causaljax import tables"),
        ("kernels", "import causaljax"),
        ("core", "from causaljax.graphs import dags"),
        ("tables", "def f():\n    from causaljax.estimators import base"),
        ("kernels", "import flax.linen as nn"),
        ("kernels", "import scipy.linalg"),
        ("graphs", "import networkx"),
        ("core", "from rich import progress"),
        ("regimes", "import pandas as pd"),
        ("estimators", "from sklearn.base import BaseEstimator"),
        ("estimators", "from flax import nnx"),
        ("regimes", "import numpyro"),
        ("estimators", "from numpyro import distributions"),
        ("probabilistic", "from causaljax import kernels"),
    ],
)
def test_the_walk_notices_a_breach(room, source):
    assert list(breaches(room, source))


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("graphs", "import math\nimport jax\nfrom causaljax.core.types import Array"),
        ("kernels", "import optax\nfrom causaljax.networks import encoder"),
        ("scores", "import numpy as np\nfrom causaljax.graphs import dags"),
        ("estimators", "import pandas\nfrom causaljax import tables, kernels"),
        ("probabilistic", "import numpyro, networkx\nfrom causaljax import regimes"),
    ],
)
def test_the_walk_lets_the_rest_pass(room, source):
    assert list(breaches(room, source)) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_silent_and_named_for_what_they_hold(path):
    source = path.read_text()
    assert room_of(path) == "cli" or prints(source) == []
    assert not {"utils", "helpers", "_src"} & set(path.relative_to(ROOT).parts)
    assert path.stem not in {"util", "utils", "helper", "helpers", "common", "misc"}


def test_print_is_noticed():
    assert prints("x = 1\nprint(x)") == [2]


# What an import does, in a process of its own

REPORT = """
import json, sys
before = sorted(sys.modules)
from jax._src import xla_bridge
started = xla_bridge.backends_are_initialized()
import jax
print(json.dumps({
    "before": before,
    "modules": sorted(sys.modules),
    "started": started,
    "arrays": len(jax.live_arrays()),
}))
"""
EVERYTHING = """
import importlib, pkgutil
import causaljax
for module in pkgutil.walk_packages(causaljax.__path__, "causaljax."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def after(code):
    command = [sys.executable, "-c", code + REPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_loads_and_starts_nothing():
    report = after("import causaljax\n")
    assert not report["started"]
    assert report["arrays"] == 0
    rooms = {name for name in report["modules"] if name.startswith("causaljax.")}
    assert rooms == set()
    tops = {name.split(".")[0] for name in report["modules"]}
    heavy = {"sklearn", "pandas", "flax", "numpyro", "networkx", "matplotlib", "optax"}
    assert not tops & heavy


def test_importing_every_module_starts_nothing():
    report = after(EVERYTHING)
    modules = {f"causaljax.{name_of(path).replace('/', '.')}" for path in FILES}
    assert {name for name in modules if not name.endswith("__main__")} <= {
        *report["modules"],
        *(f"{name}.__init__" for name in report["modules"]),
    }
    assert not report["started"]
    assert report["arrays"] == 0
    assert not {"sklearn", "matplotlib", "arviz"} & set(report["modules"])


def test_device_rooms_load_no_tables():
    rooms = sorted(room for room in DEVICE if room != "networks")
    report = after(f"from causaljax import {', '.join(rooms)}\n")
    assert "causaljax.core" in report["modules"]
    assert not {"pandas", "networkx", "rich"} & set(report["modules"])


def test_the_command_line_starts_without_jax():
    report = after("import causaljax.cli\n")["before"]
    assert not {"jax", "flax", "numpyro", "scipy", "matplotlib", "bokeh"} & set(report)


def test_the_report_notices_an_array():
    report = after("import jax.numpy as jnp\narray = jnp.zeros(3)\n")
    assert report["started"]
    assert report["arrays"] == 1


@pytest.mark.parametrize("name", causaljax.__all__)
def test_every_public_name_resolves(name):
    assert getattr(causaljax, name) is not None
    assert name in dir(causaljax)


@pytest.mark.parametrize(
    "package",
    [
        causaljax,
        *(causaljax.batch, causaljax.estimators, causaljax.exchange, causaljax.plot),
        causaljax.probabilistic,
    ],
)
def test_names_that_load_late_are_those_that_type_checkers_see(package):
    typed = {}
    tree = ast.parse(pathlib.Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    for node in block.body:
        assert all(alias.asname == alias.name for alias in node.names), (
            f"line {node.lineno}: write `X as X`, or the name is private to checkers"
        )
        home = node.module.removeprefix(f"{package.__name__}.")
        typed.setdefault(home, []).extend(alias.name for alias in node.names)
    late = {home: sorted(names) for home, names in package._HOME.items()}
    assert {home: sorted(names) for home, names in typed.items()} == late, (
        f"{package.__name__}/__init__.py: a name is both under TYPE_CHECKING and in "
        "_HOME, by the same module"
    )


# Each package anew, so that no other import has set its attributes.
ATTRIBUTES = """
import importlib, pkgutil
import causaljax
packages = ["causaljax"]
for module in pkgutil.walk_packages(causaljax.__path__, "causaljax."):
    packages += [module.name] * module.ispkg
for package in packages:
    for name in [name for name in sys.modules if name.startswith("causaljax")]:
        del sys.modules[name]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name == "__main__":
            continue
        room = importlib.import_module("causaljax")
        for part in [*package.split(".")[1:], module.name]:
            room = getattr(room, part)
        assert room.__name__ == f"{package}.{module.name}", room
        assert module.name in dir(sys.modules[package]), (package, module.name)
        print(room.__name__)
"""


def test_every_module_is_an_attribute_of_its_package():
    command = [sys.executable, "-c", "import sys" + ATTRIBUTES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = {f"causaljax.{name_of(path).replace('/', '.')}" for path in FILES}
    expected = {name for name in modules if not name.endswith("__")}
    assert expected <= set(done.stdout.split())


def test_other_names_do_not():
    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = causaljax.nonsense
    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = causaljax.kernels.nonsense
