"""How Sphinx makes the documentation of `docs/` into a site: `make docs`.

Sphinx with MyST and Furo, because all three are maintained (MkDocs has had no release since 2024), read the docstrings
of the code that is installed, turn every warning into an error, and write pages that ask no other host for a font or a
script. The pages stay plain Markdown that also reads well on a code host.
"""

import sys
from pathlib import Path

import farsight

sys.path.insert(0, str(Path(__file__).parent))

project = "FarSight"
copyright = "the FarSight developers, Apache-2.0"
version = release = farsight.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "checked_site",
    "command_pages",
    "docstrings",
    "linked_files",
    "mathml",
    "method_pages",
    "module_code",
    "notebook_pages",
    "site_blocks",
    "unbroken_intervals",
]
exclude_patterns = ["site", "images"]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4

default_role = "py:obj"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
viewcode_line_numbers = True

smartquotes = False  # "--compare" is not a dash

html_theme = "furo"
html_title = "FarSight"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
