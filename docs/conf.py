"""How Sphinx builds the documentation; `scripts/docs` runs it."""

import os

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import causaljax

# `reference/index.md` shows their names; the pages of the packages do not repeat them.
causaljax.__all__ = causaljax.plot.__all__ = []
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # for the examples of the gallery

# What a build needs is on disk: no page or object is fetched.
project = "causaljax"
author = "the causaljax developers"
project_copyright = author
release = version = causaljax.__version__
html_title = f"causaljax {release}"

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery/**/*.md5", "gallery/*.ipynb", "gallery/*.py"]
default_role = "literal"  # docstrings mark code with single and double backticks
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_theme = "furo"
html_copy_source = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["tables.css"]

napoleon_use_ivar = True
napoleon_numpy_docstring = False
autodoc_typehints = "none"  # docstrings tell shapes; aliases of numpy are pages long
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
apidoc_modules = [
    {
        "path": "../causaljax",
        "destination": "reference/modules",
        # `reference/index.md` shows what these hold for users.
        "exclude_patterns": ["../causaljax/estimators", "../causaljax/cli"],
        "automodule_options": {"members", "show-inheritance"},
    }
]

# The others take minutes; the gallery shows their code alone.
_QUICK = "amortized_posterior|embed_kernel|kernel_in_shard_map|sachs"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": rf"/({_QUICK})\.py$",
    "ignore_pattern": "walkthrough_tables",  # it writes files into a folder
    "download_all_examples": False,
    "capture_repr": (),  # what is printed, and pictures
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # their page asks for scripts of others
    "abort_on_example_error": True,
}


def keep_equations(app, what, name, obj, options, lines):
    """Shows the indented equations of docstrings line by line, as they are written."""

    def depth(line):
        return len(line) - len(line.lstrip())

    for k in range(len(lines) - 1, 1, -1):
        said, blank, line = lines[k - 2 : k + 1]
        if said.strip() and not blank and depth(line) >= depth(said) + 4:
            lines[k - 1 : k - 1] = ["", " " * depth(said) + "::"]


def skip_fields(app, what, name, obj, skip, options):
    """Leaves out fields of tuples that have no words of their own."""
    return str(getattr(obj, "__doc__", "")).startswith("Alias for field") or None


def setup(app):
    """Equations become MathML, which browsers show without a script."""
    # Before napoleon, which sets the sections of a docstring apart.
    app.connect("autodoc-process-docstring", keep_equations, priority=400)
    app.connect("autodoc-skip-member", skip_fields)

    def inline(translator, node):
        translator.body.append(tex2mathml(node.astext()))
        raise nodes.SkipNode

    def block(translator, node):
        equation = tex2mathml(node.astext(), as_block=True)
        translator.body.append(f'<div class="math">{equation}</div>')
        raise nodes.SkipNode

    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline, None), block_renderers=(block, None)
    )
