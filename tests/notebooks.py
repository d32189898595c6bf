"""Run notebooks: `python tests/notebooks.py NOTEBOOK...` writes what they print and draw into them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS = 600
"""Longest that one cell may take, on a machine with much else to do; alone each notebook takes well under a minute."""


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom in an empty folder; an exception or a failed assertion in it is raised here."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=SECONDS, kernel_name="python3", resources=place, coalesce_streams=True
        ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day, which differ from run to run
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:]:
        nbformat.write(executed(Path(name)), name)
        print(name)
