"""Sphinx configuration. Built with `-W -n`: a warning, or a reference to nothing, fails."""

import tomllib
from pathlib import Path

_pyproject = Path(__file__).parent.parent / "pyproject.toml"
_project = tomllib.loads(_pyproject.read_text(encoding="utf-8"))["project"]

project = _project["name"]
author = _project["authors"][0]["name"]
release = version = _project["version"]
project_copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseException, BaseModel, ABC, Protocol, object",
    "exclude-members": "model_config, add_note, with_traceback",
}
autodoc_preserve_defaults = True
autodoc_typehints = "none"
napoleon_attr_annotations = False
# A name in a docstring leads to its place on the API page, if it has one.
default_role = "py:obj"
# Signatures and docstrings also name what has no page of its own.
nitpick_ignore_regex = [("py:(class|obj)", ".*")]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# A part of the page beside it.
exclude_patterns = ["benchmarks/figures.md"]

html_theme = "furo"
html_title = f"{project} {release}"
