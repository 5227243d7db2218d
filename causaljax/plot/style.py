"""What all pictures share: colours, axes and the text of names."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from causaljax.tables.edges import (
    CONFOUNDED,
    DIRECTED,
    HALF_UNDIRECTED,
    PARTLY_DIRECTED,
    UNDIRECTED,
    UNTOLD,
)

# Okabe and Ito's palette, which colour-blind readers tell apart.
BLACK, BLUE, ORANGE, GREEN = "#000000", "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK
TEXT = "#1a1a1a"
EDGES = {
    DIRECTED: BLUE,
    PARTLY_DIRECTED: PURPLE,
    UNTOLD: SKY,
    UNDIRECTED: GREEN,
    HALF_UNDIRECTED: ORANGE,
    CONFOUNDED: VERMILION,
}
"""The colours of the marks of edges."""

_BLANK = "(blank)"
_DARK = 0.6  # share from which on a cell's number is white


def axes(ax: Any, width: float, height: float) -> Any:
    """The axes given, or those of a new figure of so many inches.

    Raises:
      ImportError: without the extra ``plot``.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "pictures need the extra plot: pip install 'causaljax[plot]'"
        ) from error
    if ax is not None:
        return ax
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def labels(names: Iterable[Any], most: int = 18) -> list[str]:
    """Names on one line each, of not many more characters than ``most``.

    What does not print (line breaks, controls, marks of writing direction) is a space.
    Long names lose their middle, and get a number where two became one.

    Example:
      >>> labels(["income of men", "income of women", "age"], 12)
      ['income o…men', 'income o…men #1', 'age']
    """
    found = []
    for number, name in enumerate(names):
        text = "".join(
            " " if unicodedata.category(c)[0] in "CZ" else c for c in str(name)
        )
        text = text if text.strip() else _BLANK
        if len(text) > most:
            tail = (most - 1) // 3
            text = f"{text[: most - 1 - tail]}…{text[-tail:]}"
        found.append(f"{text} #{number}" if text in found else text)
    return found


def label_ticks(
    axis: Any, names: Iterable[Any], most: int = 18, **options: Any
) -> None:
    """Puts names at 0, 1, 2 ... of an axis, none of it read as mathematics."""
    texts = labels(names, most)
    axis.set_ticks(range(len(texts)), texts, parse_math=False, **options)


def number_cells(ax: Any, cells: Any) -> None:
    """Writes shares into a heat map of ``Blues`` from 0 to 1, all but .00."""
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell < 0.005:
                continue
            ax.text(
                j,
                i,
                f"{cell:.2f}".removeprefix("0"),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if cell > _DARK else TEXT,
            )
