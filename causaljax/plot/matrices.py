"""The probabilities of all edges as a heat map."""

from typing import Any

from causaljax.plot import style
from causaljax.tables import edges as edge_tables

_FEW = 14  # columns, up to which cells hold their numbers
_CELL, _LARGEST = 0.34, 11.0  # inches, of a cell and of all


def edge_probabilities(estimator: Any, *, ax: Any = None) -> Any:
    """Draws ``edge_probabilities_`` as a heat map, causes as rows.

    Rows and columns are in an order of the graph found, causes first, so that its edges
    lie above the diagonal. Frames mark the edges of ``edges_`` in the colours that
    their marks have in ``plot.graph``. Tables of up to 14 columns show the numbers.

    Args:
      estimator: a fitted one.
      ax: matplotlib's Axes; a new figure if None.

    Returns:
      The Axes.

    Raises:
      AttributeError: if the estimator has not been fitted.
      ImportError: without the extra ``plot``.
    """
    edges = estimator.edges_
    names = edge_tables.order(edges, list(estimator.adjacency_))
    cells = estimator.edge_probabilities_.loc[names, names].to_numpy()
    size = len(names)
    side = min(max(_CELL * size, 2), _LARGEST)
    ax = style.axes(ax, side + 2.4, side + 1.4)
    from matplotlib.patches import Rectangle

    line = 2 if size <= 30 else 1.2
    image = ax.imshow(cells, cmap="Blues", vmin=0, vmax=1)
    for row in edge_tables.directed_edges(edges).to_dict("records"):
        place = names.index(row["target"]), names.index(row["source"])
        corner = place[0] - 0.5, place[1] - 0.5
        color = style.EDGES[row["mark"]]
        ax.add_patch(
            Rectangle(corner, 1, 1, fill=False, edgecolor=color, linewidth=line)
        )
    if size <= _FEW:
        style.number_cells(ax, cells)
    small = {"fontsize": 8 if size <= 30 else 6}
    style.label_ticks(ax.xaxis, names, rotation=90, **small)
    style.label_ticks(ax.yaxis, names, **small)
    ax.set(xlabel="effect", ylabel="cause")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7)
    bar.set_label(str(estimator.info_["edge_probabilities"]))
    return ax
