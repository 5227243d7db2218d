"""Parts of an undirected graph that no single variable holds together."""

import numpy as np


def blocks(joined: np.ndarray) -> list[np.ndarray]:
    """The biconnected components, as sets of variables.

    Each edge lies in one of them, and so does every path between its ends. Two have at
    most one variable in common.

    Args:
      joined: ``[d, d]`` bool, symmetric.

    Returns:
      ``[d]`` bool each, True for the variables of the component; a bridge is one of
      two variables. Variables without edges are in none.

    Source: Hopcroft and Tarjan 1973, "Efficient algorithms for graph manipulation".

    Example:
      >>> chain = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
      >>> [np.flatnonzero(block).tolist() for block in blocks(chain)]
      [[1, 2], [0, 1]]
    """
    d = len(joined)
    near = [np.flatnonzero(row).tolist() for row in joined]
    depth, lowest = [-1] * d, [0] * d
    found, path = [], []
    for root in range(d):
        if depth[root] >= 0:
            continue
        depth[root] = lowest[root] = 0
        # Variables under way, each with its parent and the neighbours to look at.
        waiting = [(root, -1, iter(near[root]))]
        while waiting:
            v, parent, rest = waiting[-1]
            w = next(rest, None)
            if w is None:
                waiting.pop()
                if parent < 0:
                    continue
                lowest[parent] = min(lowest[parent], lowest[v])
                if lowest[v] >= depth[parent]:  # nothing above parent without it
                    begin = path.index(v)
                    block = np.zeros(d, bool)
                    block[[parent, *path[begin:]]] = True
                    found.append(block)
                    del path[begin:]
            elif depth[w] < 0:
                depth[w] = lowest[w] = depth[v] + 1
                path.append(w)
                waiting.append((w, v, iter(near[w])))
            elif w != parent:
                lowest[v] = min(lowest[v], depth[w])
    return found
