"""The structure of a Bayesian network in the Interchange Format (BIF)."""

import re

from causaljax.tables.edges import DIRECTED

_TOKEN = re.compile(
    r"""
    (?P<blank> \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<name> "[^"]*" | [^\s{}()|,;"]+ )
  | (?P<sign> [{}()|,;] )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCKS = ("network", "variable", "probability")


def parse(text: str) -> tuple[list[tuple[str, str, str, dict]], list[str]]:
    """The edges and names of a network; its states and probabilities are not read.

    Returns:
      Rows for ``tables.edges.marked_edges``, and names in the order of the file.

    Raises:
      ValueError: naming the line that cannot be read, or a variable that is not
        declared.
    """
    tokens, families, names = _tokens(text), [], {}
    for kind, block, line in tokens:
        if kind != "name" or block not in _BLOCKS:
            raise ValueError(
                f"line {line}: {' or '.join(_BLOCKS)} is needed in place of {block!r}"
            )
        head = []
        for kind, token, _ in tokens:
            if (kind, token) == ("sign", "{"):
                break
            head += [token] if kind == "name" else []
        _skip_block(tokens, block, line)
        if block != "network" and not head:
            raise ValueError(f"line {line}: this {block} has no name")
        if block == "variable":
            names[head[0]] = None
        elif block == "probability":
            families.append((line, *head))
    rows = []
    for line, child, *parents in families:
        for name in (child, *parents):
            if name not in names:
                raise ValueError(f"line {line}: no variable {name!r} is declared")
        rows += [(parent, child, DIRECTED, {}) for parent in parents]
    return rows, list(names)


def _skip_block(tokens, block, line):
    depth = 1
    for kind, token, _ in tokens:
        if kind == "sign":
            depth += {"{": 1, "}": -1}.get(token, 0)
        if depth == 0:
            return
    raise ValueError(f"line {line}: this {block} has no end: complete the file")


def _tokens(text):
    """Kind, text and line of each token; names are without their quotes."""
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"line {line}: a quote has no end")
        kind, token = found.lastgroup, found.group()
        if kind != "blank":
            yield kind, token.strip('"'), line
        line += token.count("\n")
        position = found.end()
