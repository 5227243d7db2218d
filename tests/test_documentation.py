"""README and docs: their code runs, their links lead somewhere, nothing is left out."""

import re
import subprocess
import sys
import types

import pytest
from documents import LANGUAGES, PAGES, ROOT, anchors, fences, links, run_page

import causaljax

DOCS = ROOT / "docs"
README = ROOT / "README.md"
REFERENCE = (DOCS / "reference" / "index.md").read_text()
WALKTHROUGHS = "walkthroughs.md"  # tests/test_walkthroughs.py runs it


def name_of(path):
    return path.relative_to(ROOT if path == README else DOCS).as_posix()


def test_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it saves
    names, _ = run_page(README, ["python"])
    assert names["model"].graph_.number_of_edges() > 0


RUN = [
    path
    for path in PAGES
    if path != README
    and name_of(path) != WALKTHROUGHS
    and {"python", "bash"} & {language for _, language in fences(path)}
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # what fits say of their tables
@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_the_page_runs(path, tmp_path, monkeypatch, capsys, request):
    if path.stem == "numpyro":
        request.getfixturevalue("numpyro_rules")
    monkeypatch.chdir(tmp_path)
    _, count = run_page(path)
    assert count
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_block_names_its_language(path):
    unknown = [(n, said) for n, said in fences(path) if said not in LANGUAGES]
    assert not unknown


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_pages_and_headings(path):
    for link in links(path):
        file, _, anchor = link.partition("#")
        if file.endswith(".rst"):  # generated: the build follows these
            continue
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_files_that_text_speaks_of_exist():
    sources = [*ROOT.glob("causaljax/**/*.py"), *ROOT.glob("examples/*.py")]
    for path in [*PAGES, *sources, ROOT / "CHANGELOG.md"]:
        said = path.read_text(encoding="utf-8")
        for file in re.findall(r"\b(?:docs|scripts|examples|tests)/[\w/]+\.\w+", said):
            assert "NAME" in file or (ROOT / file).exists(), f"{path}: {file}"


PUBLIC = [
    name
    for name in causaljax.__all__
    if not isinstance(getattr(causaljax, name), types.ModuleType)
]

PICTURES = [name for names in causaljax.plot._HOME.values() for name in names]


@pytest.mark.parametrize("name", [*PUBLIC, *(f"plot.{name}" for name in PICTURES)])
def test_the_reference_holds_every_public_name(name):
    assert re.search(rf":: causaljax\.{name}$", REFERENCE, flags=re.M)


@pytest.mark.slow
def test_the_site_is_built_and_asks_for_nothing(tmp_path):
    pytest.importorskip("sphinx_gallery", reason="needs the extra `docs`")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", DOCS, site]
    done = subprocess.run(
        [*command, "-d", tmp_path / "read"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        asked = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*",
            page.read_text(encoding="utf-8"),
        )
        assert not asked, (page, asked)
