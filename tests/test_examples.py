"""The examples say what they are for; the README names what there is."""

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import causaljax

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_readme_holds_two_commands():
    commands = re.findall(r"```bash\n(pip install .*?)\n```", README, flags=re.DOTALL)
    assert len(commands) == 2
    assert "causaljax fit sachs" in commands[0]
    assert commands[1].endswith("scripts/check")


def test_the_readme_names_every_room():
    package = Path(causaljax.__file__).parent
    rooms = {path.stem for path in package.iterdir() if not path.name.startswith("_")}
    for room in rooms:
        assert f"`{room}" in README, room


# What each example must say, and what must hold of it.
SAID = {
    "amortized_posterior": (
        r"by up to (\d\.\d+)",
        lambda moved: 0 < float(moved) < 1,
    ),
    "batch_200_tables": (
        r"patient-077\.csv\?seed=0 failed: .*\n[^!]*\n(\d+) patients without the edge",
        lambda number: 15 <= int(number) <= 25,
    ),
    "embed_kernel": (
        r"edges by l1 \[(.*)\]\nsensitivity (.*)",
        lambda edges, slope: (
            all(0 < int(number) < 45 for number in edges.split()) and float(slope) < 0
        ),
    ),
    "federated_clients": (
        r"(?s)north.safetensors +(\d+) bytes.*differs between clients: \['(\w+)'\]",
        lambda size, column: int(size) < 4000 and column == "response",
    ),
    "hidden_causes": (
        r"(?s)ice cream +(\S+) +sun cream\nice cream.*visible: (.*?)\n"
        r".*waste', for[^:]*: (\S+)",
        lambda mark, visible, effect: (
            mark == "<->"
            and visible == "[('ice cream', 'waste')]"
            and abs(float(effect) - 1) < 0.1
        ),
    ),
    "kernel_in_shard_map": (
        r"graph (\d+)\nfound in each table (\d+)\nlosses on 2 devices",
        lambda edges, found: 0 < int(found) <= int(edges),
    ),
    "latent_interventions_sachs": (
        r"(?s)Nothing known\n.*'shd': (\d+).*known\n.*'shd': (\d+)",
        lambda hidden, partly: max(int(hidden), int(partly)) < 40,
    ),
    "latent_kernel_in_jit": (
        r"(?s)(True).*(True).*(True)\n(.*)$",
        lambda *found: "1" in found[-1],
    ),
    "neural_kernel_in_jit": (
        r"(?s)(True).*(True).*(True)\n(.*)$",
        lambda *found: "1" in found[-1],
    ),
    "numpyro_graph_prior": (
        r"(?s)before .* probability (\d\.\d+)\nafter .* probability (\d\.\d+)",
        lambda before, after: 0.3 < float(before) < float(after) <= 1,
    ),
    "stability_sachs": (
        r"\n(\d+) stable pairs, about (\d+\.\d) of them false",
        lambda pairs, bound: int(pairs) > 4 and float(bound) < 20,
    ),
    "sachs": (r"DiGraph with 11 nodes and (\d+) edges", lambda edges: int(edges) > 3),
}


# Searches that are compiled as a whole, and one of two fits.
SLOW = {
    "batch_200_tables",
    "kernel_in_shard_map",
    "latent_interventions_sachs",
    "latent_kernel_in_jit",
    "neural_kernel_in_jit",
    "stability_sachs",
}
EXAMPLES = [
    pytest.param(
        path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem
    )
    for path in sorted((ROOT / "examples").glob("*.py"))
    if path.stem != "walkthrough_tables"  # tests/test_walkthroughs.py runs it
]


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_say_what_they_are_for(path, capsys, request):
    if "numpyro" in path.stem:
        request.getfixturevalue("numpyro_rules")
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    pattern, holds = SAID[path.stem]
    found = re.search(pattern, said)
    assert found, said
    assert holds(*found.groups()), said


def modules_with_doctests():
    """Modules that hold an example which is not skipped."""
    finder = doctest.DocTestFinder()
    for module in pkgutil.walk_packages(causaljax.__path__, "causaljax."):
        tests = finder.find(importlib.import_module(module.name))
        examples = [example for test in tests for example in test.examples]
        if any(doctest.SKIP not in example.options for example in examples):
            yield module.name


@pytest.mark.parametrize("name", sorted(modules_with_doctests()))
def test_doctests(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0
