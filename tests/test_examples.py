"""What the README and the examples show runs as shown."""

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


def test_the_python_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["model"].graph_.number_of_edges() > 0


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


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=str)
def test_examples_run(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def modules():
    found = pkgutil.walk_packages(causaljax.__path__, "causaljax.")
    return sorted(module.name for module in found)


@pytest.mark.parametrize("name", modules())
def test_doctests(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
