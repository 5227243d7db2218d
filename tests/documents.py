"""Runs the code blocks of a Markdown page, one after another, names shared.

`python` blocks are executed. Each line of a `bash` block is a `causaljax` command. A
`toml` block is written to the file that the next command names: after `--knowledge`,
or as the job of `batch`.
Blocks of the languages `SHOWN` are shown and not run; `py` is Python that
needs packages which do not install beside the tests' own.
"""

import pathlib
import re
import shlex

from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from causaljax.cli import command_line

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = {"py", "text", "mermaid", "{toctree}", "{eval-rst}"}


def remember(example):
    """Keeps a file of knowledge or a job until a command names it."""
    example.namespace["toml"] = example.parsed


def run_commands(example):
    """Runs the lines of a block as the command line does."""
    for line in example.parsed.strip().split("\n"):
        program, command, *words = shlex.split(line)
        assert program == "causaljax", line
        if "--knowledge" in words:
            name = words[words.index("--knowledge") + 1]
            pathlib.Path(name).write_text(example.namespace["toml"])
        if command == "batch" and words[0].endswith(".toml"):
            pathlib.Path(words[0]).write_text(example.namespace["toml"])
        if command in ("fit", "batch", "advise"):
            words.append("--no-cache")
        assert command_line.main([command, *words]) == 0, line


EVALUATORS = {"python": PythonEvaluator(), "bash": run_commands, "toml": remember}
LANGUAGES = SHOWN | EVALUATORS.keys()


def run_page(path, languages=tuple(EVALUATORS), section=""):
    """Runs the blocks of a page, or of its section of that title.

    Returns:
      The names that the Python blocks left, and the number of blocks.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    if section:
        start = lines.index(
            next(line for line in lines if line[3:].startswith(section))
        )
        ends = [k for k, line in enumerate(lines) if line[:3] == "## " and k > start]
        # Blank lines in place of the others: errors name the line of the file.
        text = "\n" * start + "\n".join(lines[start : ends[0] if ends else None])
    document = Document(text, str(path))
    for language in languages:
        for region in CodeBlockParser(language, EVALUATORS[language])(document):
            document.add(region)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return document.namespace, len(examples)


def fences(path):
    """Line number and language of each block of a page."""
    text, inside = path.read_text(encoding="utf-8"), False
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            if not inside:
                yield number, line.strip().lstrip("`").split(" ")[0]
            inside = not inside


def anchors(path):
    """What a link to a heading of the page may name."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(path):
    """Targets of the page's links to other pages."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:")):
            yield target
