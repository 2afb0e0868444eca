"""Sphinx configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import sphinx_autosummary_accessors

import psmimpute

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import validity_tables

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "psmimpute"
author = "the psmimpute developers"
version = release = psmimpute.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinxcontrib.bibtex",
    "sphinx_autosummary_accessors",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "templates"]
autosummary_generate = True
autodoc_typehints = "none"
# The page of a class shows its members in full, so numpydoc need not list them again.
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL06", "GL07", "SS02", "PR01", "PR02", "PR03", "RT01"}
# Left out: classes, whose fields are documented once, under Attributes; and methods that hand
# over to a function and say to which.
numpydoc_validation_exclude = {
    r"^psmimpute\.[A-Z]\w*$",
    r"\.Plots\.",
    r"PSMImputer\.fit_transform$",
}
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"

html_theme = "pydata_sphinx_theme"
html_title = "psmimpute"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_sidebars = {
    page: []
    for page in (
        "installation",
        "quickstart",
        "userguide",
        "statistics",
        "validity",
        "glossary",
        "reporting",
        "citation",
        "changelog",
    )
}
html_static_path = ["static"]
html_css_files = ["narrow.css"]

sphinx_gallery_conf = {
    "examples_dirs": "../vignettes",
    "gallery_dirs": "vignettes",
    "filename_pattern": r"/\d\d_",
    "abort_on_example_error": True,
    "show_memory": False,
    "within_subsection_order": "FileNameSortKey",
    "ignore_repr_types": r"matplotlib\.(axes|figure)",
    "doc_module": ("psmimpute",),
    "backreferences_dir": "generated/backreferences",
}


def setup(app: Sphinx) -> None:
    """Make what pages include before any is read."""
    app.connect("builder-inited", lambda app: validity_tables.write(Path(app.srcdir) / "generated"))
