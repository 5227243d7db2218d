"""The page of a report in a real browser."""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "look_at_report.py"
START = ROOT / "docs" / "start.md"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("chromium") is None or shutil.which("chromedriver") is None,
        reason="no chromium and chromedriver are installed",
    ),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]
# Of the page itself, and of the one that a new window shows.
OWN = ("file:", "data:", "chrome:", "chrome-untrusted:")
MORE = (
    "<svg onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "${document.title='owned'}`",
    "\\u003cscript\\u003edocument.title='owned'\\u003c/script\\u003e",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;",
    "--> <!-- ]]>",
    "@{edge}{safe} @edge{custom}",
    "\u2028\u2029\0\x1b[31m",
    "{% raw %}{{ config }}",
    " ",
    "",
)
# What a page shows, by the models of bokeh.
COUNTS = """
const models = [...Bokeh.documents[0]._all_models.values()]
const lines = models.find((it) => it.glyph && it.glyph.type == "MultiLine")
const {id} = models.find((it) => it.type == "DataTable")
const table = Bokeh.index.find_one_by_id(id)
const nodes = models.find((it) => it.type == "ColumnDataSource" && it.data.room)
return {
  lines: lines.view.indices.count,
  rows: table.data.getLength(),
  found: [...nodes.selected.indices].map((k) => nodes.data.name[k]),
  labels: [...nodes.data.label],
  said: models.filter((it) => it.type == "Div").map((it) => it.text),
}
"""
INPUT = """
const models = [...Bokeh.documents[0]._all_models.values()]
const [type, name] = arguments
const found = models.find((it) => it.type == type)
return Bokeh.index.find_one_by_id(found.id).shadow_el.querySelector(name)
"""


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def look():
    return load(SCRIPT)


@pytest.fixture(scope="module")
def driver(look):
    with look.browser() as driver:
        yield driver


def test_the_slider_the_search_and_the_console(look, driver, tmp_path):
    from selenium.webdriver.common.keys import Keys

    edges, names, record = look.example(11)
    path = tmp_path / "report.html"
    look.page.write_page(path, edges, names, record)
    look.open_page(driver, path, 1280)
    shown = driver.execute_script(COUNTS)
    assert shown["lines"] == shown["rows"] == len(edges)
    assert sorted(shown["labels"]) == sorted(names)

    handle = driver.execute_script(INPUT, "Slider", ".noUi-handle")
    handle.send_keys(Keys.PAGE_UP * 16)
    cut = float(handle.get_attribute("aria-valuenow"))
    assert cut > 0.5
    time.sleep(1)
    shown = driver.execute_script(COUNTS)
    left = int((edges["probability"] >= cut).sum())
    assert 0 < left < len(edges)
    assert shown["lines"] == shown["rows"] == left
    assert f"{left} of {len(edges)} lines shown" in shown["said"]

    driver.execute_script(INPUT, "TextInput", "input").send_keys("pip")
    time.sleep(1)
    shown = driver.execute_script(COUNTS)
    assert shown["found"] == ["PIP2", "PIP3"]
    assert "2 of 11 columns found" in shown["said"]
    assert_quiet(driver)


# How far each arrowhead and circle is from its node, and should be, in pixels.
GAPS = """
const models = [...Bokeh.documents[0]._all_models.values()]
const {data} = models.find((it) => it.type == "ColumnDataSource" && it.data.gap)
const figure = models.find((it) => it.type == "Figure")
const {x_range, y_range} = figure
const right = figure.inner_width / (x_range.end - x_range.start)
const up = figure.inner_height / (y_range.end - y_range.start)
return [...data.x].map((x, k) => [data.marker[k], data.gap[k], Math.hypot(
  (data.to_x[k] - x) * right, (data.to_y[k] - data.y[k]) * up)])
"""
ZOOM = """
const models = [...Bokeh.documents[0]._all_models.values()]
const {x_range} = models.find((it) => it.type == "Figure")
x_range.end = (x_range.start + 3 * x_range.end) / 4
"""


def test_heads_and_circles_touch_their_nodes_at_any_zoom(look, driver, tmp_path):
    path = tmp_path / "report.html"
    look.page.write_page(path, *look.example(20, circles=True))
    look.open_page(driver, path, 1280)
    for _ in range(2):
        found = driver.execute_script(GAPS)
        assert {shape for shape, *_ in found} == {"triangle", "circle"}
        for _, asked, gap in found:
            assert gap == pytest.approx(asked, abs=0.01)
        driver.execute_script(ZOOM)
        time.sleep(1)
    assert_quiet(driver)


@pytest.mark.parametrize(("width", "count"), [(1280, 500), (390, 6)])
def test_names_run_nothing(look, driver, tmp_path, width, count):
    """Nor does pointing at nodes, lines and cells."""
    from selenium.webdriver.common.action_chains import ActionChains

    hostile = load(pathlib.Path(__file__).parent / "test_report_page.py")
    texts = [*hostile.NAMES, *MORE]
    names = [f"{texts[k % len(texts)]}{k}" for k in range(count)]
    path = tmp_path / "report.html"
    edges = hostile.hostile(names, circles=True)
    look.page.write_page(path, edges, names, hostile.RECORD)
    look.open_page(driver, path, width)
    assert driver.execute_script(COUNTS)["lines"] == count + 1
    graph = driver.find_element("id", "graph")
    high, wide = graph.size["height"], graph.size["width"]
    for across in range(-4, 5):
        for down in range(-4, 5):
            mouse = ActionChains(driver, duration=0)
            mouse.move_to_element_with_offset(
                graph, int(across * wide / 10), int(down * high / 10)
            ).perform()
    assert driver.title.startswith("Causal graph")
    assert driver.execute_script("return document.scripts.length") == 6
    assert driver.execute_script("return document.images.length") == 0
    assert_quiet(driver)


def test_the_policy_stops_what_is_smuggled_in(look, driver, tmp_path):
    """Even if a name were not escaped, no script would run and nothing be fetched."""
    path = tmp_path / "report.html"
    look.page.write_page(path, *look.example(5))
    smuggled = (
        "<script>document.title = 'owned'</script>"
        "<img src='http://192.0.2.1/x' onerror=\"document.title = 'owned'\">"
    )
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<h1>", f"{smuggled}<h1>"), encoding="utf-8")
    look.open_page(driver, path, 1280)
    assert driver.title.startswith("Causal graph")
    told = [entry["message"] for entry in driver.get_log("browser")]
    assert sum("Content Security Policy" in message for message in told) >= 2
    driver.get_log("performance")  # what was stopped is no matter of later tests


def assert_quiet(driver):
    """No error in the console, and no request but to the page itself."""
    entries = driver.get_log("browser")
    loud = [entry for entry in entries if entry["level"] in ("WARNING", "SEVERE")]
    assert loud == []
    asked = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    assert asked
    assert [url for url in asked if not url.startswith(OWN)] == []


def test_the_path_of_a_stranger(look, driver, tmp_path, capsys):
    """Installation, the main job with its page, ten lines of Python to a picture."""
    here, bin_ = tmp_path / "here", tmp_path / "venv" / "bin"
    here.mkdir()

    def run(what, *command):
        start = time.perf_counter()
        done = subprocess.run(
            [*map(str, command)], cwd=here, capture_output=True, text=True, check=False
        )
        with capsys.disabled():
            print(f"{what}: {time.perf_counter() - start:.0f} s")  # noqa: T201
        assert done.returncode == 0, done.stderr

    run("environment", sys.executable, "-m", "venv", tmp_path / "venv")
    run("installation", bin_ / "pip", "install", "-q", f"{ROOT}[report]")
    command = re.search(r"^causaljax (fit sachs .*)$", START.read_text(), re.M)
    run("fit", bin_ / "causaljax", *command[1].split())
    edges = pd.read_csv(here / "proteins" / "edges.csv")
    look.open_page(driver, here / "proteins" / "report.html", 1280)
    shown = driver.execute_script(COUNTS)
    assert shown["lines"] == shown["rows"] == len(edges) > 0
    assert_quiet(driver)
    code = re.search(r"```python\n(.*?)```", START.read_text(), re.S)[1]
    assert len([line for line in code.split("\n") if line]) <= 10
    run("picture", bin_ / "python", "-c", code)
    assert (here / "proteins.png").stat().st_size > 10_000
