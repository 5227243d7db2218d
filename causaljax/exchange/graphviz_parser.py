"""Reads the DOT language, and DAGitty's, which has more arrows and fewer statements.

A file is parsed here and nothing in it is run. pydot cannot be used: it takes a name
with a colon for one with a port.
"""

import re
from typing import NamedTuple

from causaljax.tables import edges as edge_tables

_TOKEN = re.compile(
    r"""
    (?P<blank> [\s;,]+ | //[^\n]* | /\*.*?\*/ | \#[^\n]* )
  | (?P<string> "(?:[^"\\]|\\.)*" )
  | (?P<arrow> <-> | @-> | <-@ | @-@ | --@ | @-- | -> | <- | -- )
  | (?P<word> -?(?:\.\d+|\d+(?:\.\d*)?)(?![\w.]) | [\w.]+ )
  | (?P<sign> [{}\[\]=:+] )
  | (?P<html> <(?:[^<>]|<[^<>]*>)*> )
    """,
    re.VERBOSE | re.DOTALL,
)
_DAGITTY = re.compile(r"\s*(dag|pdag|pag)\b", re.IGNORECASE)
_DAGITTY_STRING = re.compile(r'(?P<string>"(?:[^"\\]|\\"|\\(?!"))*")')
_KINDS = ("graph", "digraph", "dag", "pdag", "pag")
_SIGNS = {
    "-": edge_tables.TAIL,
    "<": edge_tables.ARROW,
    ">": edge_tables.ARROW,
    "@": edge_tables.CIRCLE,
}
_DIRECTIONS = {"forward": "->", "back": "<-", "both": "<->", "none": "--"}
_SHAPES = {
    "none": edge_tables.TAIL,
    "dot": edge_tables.CIRCLE,
    "odot": edge_tables.CIRCLE,
}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


Row = tuple[str, str, str, dict[str, float]]
"""Source, target, mark and numbers, as ``marked_edges`` takes them."""


def parse(text: str) -> tuple[list[Row], list[str]]:
    """The edges and names of a graph of DOT, or of DAGitty if its first word is so.

    Attributes count where they tell the mark of an edge. DAGitty's own, such as
    ``latent`` and ``exposure``, are left out.

    Returns:
      Rows for ``marked_edges``, and names in the order of their first mention.

    Raises:
      ValueError: naming the line that cannot be read.
    """
    return _Parser(text).graph()


class _Parser:
    def __init__(self, text):
        self.dagitty = _DAGITTY.match(text) is not None
        self.tokens = list(_tokens(text, self.dagitty))
        self.at = 0
        self.rows: list[Row] = []
        self.names: dict[str, None] = {}

    # Single tokens.

    def peek(self, *texts):
        """Whether the next token is a word or sign of these."""
        token = self.tokens[self.at]
        return token.kind != "string" and token.text.lower() in texts

    def take(self, *texts):
        """Steps over the next token if it is of these."""
        found = self.peek(*texts)
        self.at += found
        return found

    def need(self, *texts):
        token = self.tokens[self.at]
        if not self.take(*texts):
            shown = token.text or "the end"
            what = " or ".join(texts)
            raise ValueError(
                f"line {token.line}: {what} is needed in place of {shown!r}"
            )
        return token.text

    def identifier(self):
        token = self.tokens[self.at]
        if token.kind not in ("word", "string"):
            shown = token.text or "the end"
            raise ValueError(
                f"line {token.line}: a name is needed in place of {shown!r}"
            )
        self.at += 1
        name = token.text
        while token.kind == "string" and self.take("+"):
            name += self.identifier()
        return name

    def value(self):
        if self.tokens[self.at].kind == "html":
            self.at += 1
            return ""
        return self.identifier().lower()

    # Statements.

    def graph(self):
        self.take("strict")
        self.need(*_KINDS)
        if not self.peek("{"):
            self.identifier()
        self.need("{")
        self.statements({})
        if self.tokens[self.at].kind != "end":
            raise ValueError(
                f"line {self.tokens[self.at].line}: the graph has ended: keep one "
                "graph in a file"
            )
        return self.rows, list(self.names)

    def statements(self, defaults):
        """Statements up to a closing brace; gives the names in them."""
        defaults, named = dict(defaults), {}
        while not self.take("}"):
            general = not self.dagitty and self.peek("graph", "node", "edge")
            if general and self.follows("["):
                of = self.tokens[self.at].text.lower()
                self.at += 1
                attributes = self.attributes()
                defaults |= attributes if of == "edge" else {}
            elif self.tokens[self.at].kind != "sign" and self.follows("="):
                self.at += 2
                self.value()
            else:
                named |= dict.fromkeys(self.chain(defaults))
        return list(named)

    def follows(self, text):
        token = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        return token.kind != "string" and token.text == text

    def chain(self, defaults):
        """A node, or nodes and groups of them joined by arrows."""
        line = self.tokens[self.at].line
        ends, arrows = [self.end(defaults)], []
        while self.tokens[self.at].kind == "arrow":
            arrows.append(self.tokens[self.at].text)
            self.at += 1
            ends.append(self.end(defaults))
        attributes = defaults | self.attributes()
        for left, arrow, right in zip(ends, arrows, ends[1:], strict=False):
            for a in left:
                for b in right:
                    self.join(a, arrow, b, attributes, line)
        return [name for names in ends for name in names]

    def end(self, defaults):
        if self.take("subgraph") and not self.peek("{"):
            self.identifier()
        if self.take("{"):
            return self.statements(defaults)
        name = self.identifier()
        while self.take(":"):  # a port, where an edge meets the picture of the node
            self.identifier()
        self.names.setdefault(name)
        return [name]

    def attributes(self):
        found = {}
        while self.take("["):
            while not self.take("]"):
                name = self.identifier().lower()
                found[name] = self.value() if self.take("=") else "true"
        return found

    def join(self, a, arrow, b, attributes, line):
        if not self.dagitty and arrow != "<->":
            ends = _drawn(attributes, arrow, line)
        else:
            ends = _SIGNS[arrow[0]], _SIGNS[arrow[-1]]
        self.rows.append((*edge_tables.with_ends(a, b, ends), {}))


def _drawn(attributes, arrow, line):
    """The ends that the attributes of an edge of DOT ask for."""
    direction = attributes.get("dir")
    if direction is not None:
        if direction not in _DIRECTIONS:
            raise ValueError(
                f"line {line}: dir is {direction!r}: write one of "
                f"{', '.join(_DIRECTIONS)}"
            )
        arrow = _DIRECTIONS[direction]
    return (
        _end(arrow[0], "arrowtail", attributes, line),
        _end(arrow[-1], "arrowhead", attributes, line),
    )


def _end(sign, name, attributes, line):
    """An end; a shape only counts where there is a head to have it."""
    end, shape = _SIGNS[sign], attributes.get(name, "normal")
    if end != edge_tables.ARROW:
        return end
    if "dot" in shape and shape not in _SHAPES:
        raise ValueError(
            f"line {line}: {name} is {shape!r}, an arrow with a circle: write normal "
            "for an arrow, odot for a circle"
        )
    return _SHAPES.get(shape, end)


def _tokens(text, dagitty):
    """The tokens of a text, an end at its end; names are without their quotes."""
    position, line = 0, 1
    while position < len(text):
        own = dagitty and text[position] == '"'
        found = (_DAGITTY_STRING if own else _TOKEN).match(text, position)
        if found is None:
            shown = text[position : position + 20].split("\n")[0]
            raise ValueError(f"line {line}: {shown!r} cannot be read")
        kind, token = str(found.lastgroup), found.group()
        if kind == "string" and dagitty:
            token = token[1:-1].replace('\\"', '"')
        elif kind == "string":
            token = re.sub(r'\\(["\\\n])', _unescaped, token[1:-1])
        if kind != "blank":
            yield _Token(kind, token, line)
        line += found.group().count("\n")
        position = found.end()
    yield _Token("end", "", line)


def _unescaped(found):
    """Two backslashes stay two in a name of DOT."""
    return {'"': '"', "\n": ""}.get(found[1], found[0])
