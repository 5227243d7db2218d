"""The package as it is shipped: its version, its files, its wheel."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import causaljax

ROOT = Path(__file__).parents[1]
MOST = 5_000_000  # bytes of the wheel
TOP = {
    *("pyproject.toml", "causaljax", "examples", "tests", "scripts", "docs"),
    *("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    "CITATION.cff",
}


def test_the_version_is_one():
    changes = (ROOT / "CHANGELOG.md").read_text()
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^## (\S+)", changes, re.M)[1] == causaljax.__version__
    assert re.search(r"^version: (\S+)$", citation, re.M)[1] == causaljax.__version__
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert licence == re.search(r"^license: (\S+)$", citation, re.M)[1] == "Apache-2.0"


def test_the_top_of_the_repository_holds_what_it_may():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in tops if not name.startswith(".")} <= TOP


def test_types_are_told():
    assert (Path(causaljax.__file__).parent / "py.typed").exists()


def test_the_hooks_run_what_the_check_runs():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    entries = re.findall(r"entry: ruff (\w+)", hooks)
    check = (ROOT / "scripts" / "check").read_text()
    assert entries == ["check", "format"]
    assert all(f"ruff {entry}" in check for entry in entries)


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_is_small_and_works_where_it_is_installed(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("causaljax-*.whl")
    size = wheel.stat().st_size
    assert size < MOST
    (told,) = re.findall(
        r"wheel has (\d\.\d) MB", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert abs(size / 1e6 - float(told)) < 0.2
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"causaljax", f"causaljax-{causaljax.__version__}.dist-info"}
    assert "causaljax/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]
    metadata = zipfile.ZipFile(wheel).read(
        f"causaljax-{causaljax.__version__}.dist-info/METADATA"
    )
    assert b"License-Expression: Apache-2.0" in metadata
    place = tmp_path / "installed"
    run(*pip, "install", "-q", "--no-deps", "--target", place, wheel)
    environment = os.environ | {"PYTHONPATH": str(place)}
    where = "import causaljax; print(causaljax.__file__)"
    alone = {"cwd": tmp_path, "env": environment}
    assert run(sys.executable, "-c", where, **alone).startswith(str(place))
    listed = run(sys.executable, "-m", "causaljax", "datasets", "--json", **alone)
    assert json.loads(listed)["result"]["datasets"][0]["name"] == "sachs"
    table = tmp_path / "t.csv"
    table.write_text("a,b\n" + "\n".join(f"{k % 7},{k % 5}" for k in range(70)))
    command = ["fit", table, "--method", "amortized", "--no-cache", "--json"]
    fitted = run(sys.executable, "-m", "causaljax", *command, **alone)
    assert json.loads(fitted)["result"]["variables"] == ["a", "b"]
