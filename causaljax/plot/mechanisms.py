"""The data of an edge, with the mechanism that was fitted to them."""

from typing import Any

import numpy as np

from causaljax.plot import style
from causaljax.tables import frame
from causaljax.tables.knowledge import suggest

_GRID = 200  # places at which a curve is drawn
_CROWD = 2000  # points; of more each is small and pale
_FEW_CELLS = 100  # that show their numbers


def edge(estimator: Any, cause: Any, effect: Any, table: Any, *, ax: Any = None) -> Any:
    """Draws the cells of an edge's two columns, with the fitted mechanism.

    Of an effect with other parents this is a partial residual plot: with the fitted
    mechanism m and the other parents' means c,

        curve  g(x) = m(x, c),   points  (x_i, g(x_i) + y_i - m(x_i, others_i)),

    in the units of the table, so that the points show what the cause does when the
    other parents are held fixed. For linear mechanisms the curve is a line whose slope
    is the edge's ``weight``. ``NeuralDAG``'s m is the median of its equation. Methods
    that estimate no mechanism, and effects that are classes, show the cells as they
    are; the title says which.

    A cause or effect of classes gives box plots (median, quartiles, whiskers to the
    last point within 1.5 times their distance); two columns of classes the shares of
    the effect's classes within each of the cause's.

    Args:
      estimator: a fitted one.
      cause: a column.
      effect: a column that the graph joins to it; of ``---``, as ``edges_`` has them.
      table: rows as ``fit`` takes them, of the same columns; leave out those in which
        the effect was set from outside. Rows with a gap in a column that is needed are
        left out.
      ax: matplotlib's Axes; a new figure if None.

    Returns:
      The Axes.

    Raises:
      ValueError: if there is no such edge, or the columns are not those of ``fit``.
      ImportError: without the extra ``plot``.
    """
    columns = estimator._table_columns
    i, j, parents = _places(estimator, str(cause), str(effect), columns.names)
    cells, _ = frame.to_cells(table, columns)
    cells = cells[np.isfinite(cells[:, [i, j, *parents]]).all(axis=1)]
    if not len(cells):
        raise ValueError(
            f"no row has a cell in each of {cause!r}, {effect!r} and the other parents"
        )
    ax = style.axes(ax, 5, 4)
    x, y = cells[:, i], cells[:, j]
    levels = [[str(level) for level in columns.levels[k]] for k in (i, j)]
    labels = style.labels([columns.names[i], columns.names[j]], 40)
    if levels[1]:
        if levels[0]:
            _shares(ax, x, y, *levels)
        else:
            _boxes(ax, y, x, levels[1], across=True)
    else:
        mechanism = _mechanism(estimator, cells, j, parents)
        if mechanism is not None:
            where = np.arange(len(levels[0])) if levels[0] else _grid(x)
            y, curve = _partial(mechanism, cells, (i, j), parents, where)
            kind = {"marker": "D", "linestyle": "none"} if levels[0] else {}
            kind["label"] = _name(estimator, columns.names[i], columns.names[j])
            ax.plot(where, curve, color=style.VERMILION, linewidth=2, zorder=3, **kind)
            ax.legend(frameon=False, labelcolor=style.TEXT, fontsize=8)
            labels[1] += ", other parents held fixed" * (len(parents) > 1)
        else:
            ax.set_title("no mechanism is estimated: cells as they are", fontsize=9)
        if levels[0]:
            _boxes(ax, x, y, levels[0])
        else:
            _points(ax, x, y)
    ax.set_xlabel(labels[0], color=style.TEXT, parse_math=False)
    ax.set_ylabel(labels[1], color=style.TEXT, parse_math=False)
    return ax


def _places(estimator, cause, effect, names):
    """The places of cause and effect, and of all parents of the effect."""
    for name in (cause, effect):
        if name not in names:
            raise ValueError(f"{name!r} is no column; {suggest(name, names)}")
    graph = estimator.adjacency_
    if not graph.loc[cause, effect]:
        turned = bool(graph.loc[effect, cause])
        hint = f"there is {effect!r}, {cause!r}" if turned else "see edges_"
        raise ValueError(f"the graph has no edge from {cause!r} to {effect!r}: {hint}")
    i, j = names.index(cause), names.index(effect)
    return i, j, np.flatnonzero(graph[effect].to_numpy()).tolist()


def _mechanism(estimator, cells, j, parents):
    """The function of cells ``[k, d]`` that the fit has for a column, or None."""
    if hasattr(estimator, "networks_"):
        return _equation(estimator, j, parents)
    if not hasattr(estimator, "weights_"):
        return None
    weights = estimator.weights_.to_numpy()[:, j][parents]
    constant = cells[:, j].mean() - cells[:, parents].mean(axis=0) @ weights
    return lambda rows: constant + rows[:, parents] @ weights


def _name(estimator, cause, effect):
    if hasattr(estimator, "networks_"):
        return "fitted equation"
    return f"fitted, weight {estimator.weights_.loc[cause, effect]:.3g}"


def _equation(estimator, j, parents):
    import jax

    from causaljax.core.compiling import quick_jit
    from causaljax.mechanisms import mlp

    columns = estimator._table_columns
    networks = jax.tree.map(lambda leaf: leaf[0, j], estimator.networks_)
    dtype = networks.log_scale.dtype
    mask = np.zeros(len(columns.names), dtype)
    mask[parents] = 1

    def median(rows):
        scaled = (rows - columns.means) / columns.scales
        scaled = np.where(mask > 0, scaled, 0).astype(dtype)
        noise = np.zeros(len(rows), dtype)
        found = quick_jit(mlp.respond)(networks, mask, scaled, noise)
        return np.asarray(found, float) * columns.scales[j] + columns.means[j]

    return median


def _partial(mechanism, cells, pair, parents, where):
    """Points and curve of one parent, the others at their means."""
    i, j = pair
    fixed = cells.copy()
    others = [k for k in parents if k != i]
    fixed[:, others] = cells[:, others].mean(axis=0)
    line = np.repeat(fixed[:1], len(where), axis=0)
    line[:, i] = where
    found = mechanism(np.concatenate([cells, fixed, line]))
    fitted, own, curve = np.split(found, [len(cells), 2 * len(cells)])
    return own + cells[:, j] - fitted, curve


def _grid(x):
    return np.linspace(x.min(), x.max(), _GRID)


def _points(ax, x, y):
    crowd = len(x) > _CROWD
    ax.scatter(
        x,
        y,
        s=4 if crowd else 12,
        alpha=0.3 if crowd else 0.6,
        color=style.BLUE,
        linewidths=0,
        rasterized=True,
    )


def _boxes(ax, classes, values, levels, *, across=False):
    """Box plots of values by class; lying, ``across``, where classes are the effect."""
    dark = {"color": style.TEXT}
    ax.boxplot(
        [values[classes == code] for code in range(len(levels))],
        positions=range(len(levels)),
        orientation="horizontal" if across else "vertical",
        widths=0.6,
        flierprops={"markersize": 2, "markeredgecolor": style.BLUE},
        medianprops={"color": style.BLUE},
        **{f"{part}props": dark for part in ("box", "whisker", "cap")},
    )
    style.label_ticks(ax.yaxis if across else ax.xaxis, levels, fontsize=8)


def _shares(ax, x, y, causes, effects):
    """Of each class of the cause the shares of the effect's classes."""
    counts = np.zeros((len(effects), len(causes)))
    np.add.at(counts, (y.astype(int), x.astype(int)), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if counts.size <= _FEW_CELLS:
        style.number_cells(ax, shares)
    style.label_ticks(ax.xaxis, causes, fontsize=8)
    style.label_ticks(ax.yaxis, effects, fontsize=8)
    bar = ax.figure.colorbar(image, ax=ax)
    bar.set_label("share within the cause's class")
