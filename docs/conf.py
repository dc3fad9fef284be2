"""Sphinx: the site in ``site/``, every warning an error (``make docs``). Nothing is fetched to build or to read it."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import weightgas

sys.path.insert(0, str(Path(__file__).parent))
import generated

project = "weightgas"
author = "the weightgas developers"
version = release = weightgas.__version__
language = "en"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.katex",
]
exclude_patterns = ["reference/generated/*", "reference/examples/*"]
templates_path = ["_templates"]
default_role = "literal"

# Markdown: formulas between dollars, anchors of headings as GitHub makes them
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = ["myst.header"]

# Docstrings: one page for each public name
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_context = {"examples": generated.examples()}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

COLUMNS = 126
"""Of code on a page that is 1280 pixels wide (_static/weightgas.css)."""

html_theme = "pydata_sphinx_theme"
html_title = "weightgas"
html_static_path = ["_static"]
html_css_files = ["weightgas.css"]
html_js_files = ["weightgas.js"]
html_copy_source = html_show_sourcelink = html_use_index = html_domain_indices = False
html_theme_options = {
    "logo": {"text": "weightgas"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "collapse_navigation": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "header_links_before_dropdown": 6,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    # elsewhere wide tables get the room of the contents of a page
    "secondary_sidebar_items": {page: ["page-toc"] for page in ("index", "install", "tutorials/*", "how-to/*")},
}
html_sidebars = {"index": [], "install": []}
copyright = "the weightgas developers, MIT licence"
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# sphinxcontrib-katex brings the script; style and fonts of the same version (npm katex 0.16.22) lie in _static/katex
katex_css_path = "katex/katex.min.css"


def linked(app: Sphinx, env: object, node: pending_xref, content: nodes.Node) -> nodes.Node | None:
    """A reference to a public name by another of its places leads to its page; any other is shown as code."""
    if node.get("refdomain") != "py":
        return None
    name = generated.page_of(node["reftarget"].lstrip("."), node.get("py:module"), node.get("py:class"))
    domain = app.builder.env.get_domain("py")
    while name and "." in name:  # a member that the page of its class does not list leads to that page
        if found := domain.resolve_xref(app.builder.env, node["refdoc"], app.builder, "obj", name, node, content):
            return found
        name = name.rpartition(".")[0]
    return None


def link_names(app: Sphinx, document: nodes.document) -> None:
    """In Markdown a public name between back-ticks links to its page, so the source reads well without Sphinx too."""
    page = app.env.docname
    if Path(app.env.doc2path(page)).suffix != ".md":
        return
    for code in list(document.findall(nodes.literal)):
        above = code.parent
        while above is not None and not isinstance(above, (nodes.reference, nodes.title, pending_xref)):
            above = above.parent
        if above is None and generated.has_page(code.astext()):
            target = {"refdomain": "py", "reftype": "obj", "reftarget": code.astext(), "refdoc": page}
            link = pending_xref("", refexplicit=False, **target)
            code.replace_self(link)
            code["classes"] += ["xref", "py", "py-obj"]
            link += code


def wrap_sentences(app: Sphinx, document: nodes.document) -> None:
    """Sentences among what a block prints are wrapped where they are wider than the page; rows of a table are not."""
    for block in document.findall(nodes.literal_block):
        wide = [line.strip() for line in block.astext().splitlines() if len(line) > COLUMNS]
        if block.get("language") == "text" and wide and not any(len(re.findall("  +", line)) > 2 for line in wide):
            block["classes"].append("sentences")


def bars(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Bars in the formulas of docstrings are no substitutions of reStructuredText."""
    lines[:] = [re.sub(r"(``[^`]*``|`[^`]*`)|(?<!\\)\|", lambda found: found[1] or r"\|", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Generate pages before they are read; resolve what the domain of Python does not know."""
    generated.write(Path(app.srcdir))
    app.connect("autodoc-process-docstring", bars, priority=100)
    app.connect("doctree-read", link_names)
    app.connect("doctree-read", wrap_sentences)
    app.connect("missing-reference", linked)
