"""Writes report pages of 5, 11, 20 and 60 columns and pictures of them.

Of 5 and 20 columns there are partial ancestral graphs, too, and their pictures by
``plot.graph``.

    python scripts/look_at_report.py [FOLDER]

The pages need the extra `report`, pictures by `plot.graph` the extra `plot`; pictures
of pages a chromium, its chromedriver and the
extra `browser`. Graphs and their numbers are drawn at random, those of the proteins are
the consensus graph: the pages are for the eye alone.
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile
import time

import numpy as np

import causaljax
from causaljax import plot
from causaljax.reports import page
from causaljax.tables import edges as edge_tables

WIDTHS = 1280, 390
WORDS = "age", "income", "sex_at_birth", "blood_pressure", "dose", "outcome", "ward"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def example(d, seed=0, *, circles=False):
    """An edge table over d columns, the columns and a record.

    Its marks are those without a circle or, with ``circles``, all.
    """
    rng = np.random.default_rng(seed)
    if d == 11:
        graph = causaljax.load_sachs().truth
        names, graph = [str(name) for name in graph], graph.to_numpy() > 0
    else:
        names = [f"{WORDS[k % len(WORDS)]}_{k}" for k in range(d)]
        rank = rng.permutation(d)
        share = min(1.3 / (d - 1) * 2, 0.6)
        graph = (rng.random((d, d)) < share) & (rank[:, None] < rank)
    opened = graph & (rng.random(graph.shape) < 0.15)
    hidden = np.triu(rng.random(graph.shape) < 0.4 / d, 1) * rng.uniform(0.5, 1)
    prob = np.where(graph, np.where(opened, 0.5, rng.uniform(0.5, 1, graph.shape)), 0)
    meaning, stability, marks = "share of refits", prob + prob.T, None
    if circles:
        meaning, stability = "open ends as halves", None
        weights = 0.3, 0.35, 0.25, 0.05, 0.05
        one_of = rng.choice(
            [m for m in edge_tables.MARKS if m != "<->"], d * d, p=weights
        )
        one_of = one_of.reshape(d, d)
        marks = {(i, j): str(one_of[i, j]) for i, j in np.argwhere(graph).tolist()}
        marks |= {(i, j): "<->" for i, j in np.argwhere(hidden > 0).tolist()}
        prob = graph * np.where(one_of == "-->", 1, 0.5)
        hidden = (hidden > 0) * 1.0
    found = edge_tables.edge_table(
        graph,
        graph | opened.T,
        prob,
        names,
        meaning=meaning,
        weights=rng.normal(size=graph.shape),
        stability=stability,
        marks=marks,
        confounders=np.maximum(hidden, hidden.T),
        why={
            (int(i), int(j)): "residuals are independent of the causes"
            for i, j in np.argwhere(graph & ~opened)
        },
    )
    record = {
        "call": "LinearDAG(n_bootstrap=50)",
        "causaljax": causaljax.__version__,
        "rows": 853,
        "columns": [
            {"name": name, "kind": "continuous", "distinct": 853, "gaps": 0, "note": ""}
            for name in names
        ],
        "config": {"n_bootstrap": 50, "noise": "auto"},
        "seed": 0,
        "timings": {"fit_seconds": 3.2},
        "warnings": [f"columns {names[:2]} are copies of each other"],
        "convergence": {"converged": True, "loss": 1.5},
    }
    return found, names, record


@contextlib.contextmanager
def browser():
    """A chromium without a window that logs what it asks for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability(
        "goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"}
    )
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options, service)
        try:
            yield driver
        finally:
            driver.quit()


def open_page(driver, path, width):
    """Opens a page on a screen of a width that is as high as the page."""
    size = {"width": width, "deviceScaleFactor": 1, "mobile": width < 600}
    command = "Emulation.setDeviceMetricsOverride"
    driver.execute_cdp_cmd(command, size | {"height": 900})
    driver.get(path.resolve().as_uri())
    wait_for_graph(driver)
    high = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd(command, size | {"height": high})
    time.sleep(1)  # bokeh draws again


def wait_for_graph(driver):
    """Waits until bokeh has drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60).until(
        lambda it: it.execute_script(
            "return Bokeh.documents.length && Bokeh.documents[0].is_idle"
        )
    )


def main(folder):
    """Pages and pictures of all sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as driver:
        sizes = [(d, f"report_{d}", False) for d in (5, 11, 20, 60)]
        sizes += [(d, f"report_circles_{d}", True) for d in (5, 20)]
        for d, name, circles in sizes:
            path, shown = folder / f"{name}.html", example(d, circles=circles)
            page.write_page(path, *shown)
            print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
            if circles:
                picture = folder / f"graph_circles_{d}.png"
                plot.graph(shown[0]).figure.savefig(picture, dpi=150)
                print(picture)
            for width in WIDTHS:
                picture = folder / f"{name}_{width}.png"
                open_page(driver, path, width)
                driver.save_screenshot(str(picture))
                print(picture)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "results/report"))
