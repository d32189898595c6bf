"""How much code a reader meets from the ``with`` block to the multiplication: files and code lines, counted.

    python benchmarks/heart.py            # this checkout
    python benchmarks/heart.py --against v0.1   # beside another commit of it

Code lines are lines that hold code: no blank lines, comments or docstrings.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tokenize
from pathlib import Path

HOME = Path("src/farsight")
HEART = ("registers.py", "horizon.py", "call.py", "method.py", "farsight.py", "attention/tap.py")
"""What FarSight is, in the order in which one reads it."""
AROUND = (
    "block.py",
    "checkpointing.py",
    "instances.py",
    "setting_checks.py",
    "calibration.py",
    "attention/layer_call.py",
    "attention/layers.py",
    "attention/names.py",
    "attention/refusals.py",
    "attention/cache.py",
    "attention/source.py",
    "attention/kernels",
)
"""Everything else that the heart imports, but `errors` and `files`; the heart can be read without it. The block in
which a method is on (who holds a model, threads, copies), training with checkpoints, checks of settings, where layers
are, the names in Transformers' registries, one file for each kernel."""
BEFORE = (
    "farsight.py",
    "method.py",
    "registers.py",
    "horizon.py",
    "generation.py",
    "language_model.py",
    "setting_checks.py",
    "calibration.py",
    "attention/__init__.py",
    "attention/switch.py",
    "attention/interface.py",
    "attention/gate.py",
    "attention/rows.py",
    "attention/observer.py",
    "attention/kernel.py",
    "attention/eager.py",
    "attention/sdpa.py",
    "attention/flex.py",
    "attention/flash.py",
)
"""The same way before taps: registers, edited scores and watchers had an interceptor each."""


def code_lines(text: str) -> int:
    """Lines with code on them."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", [])
        for statement in body if isinstance(body, list) else []:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docstrings |= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            held |= set(range(token.start[0], token.end[0] + 1))
    return len(held - docstrings)


def files_of(names: tuple[str, ...], commit: str | None) -> dict[str, int]:
    """Code lines of files, and of all files of folders."""
    found: dict[str, int] = {}
    for name in names:
        path = HOME / name
        if commit is not None:
            found[name] = code_lines(subprocess.check_output(["git", "show", f"{commit}:{path}"], text=True))
        elif path.is_dir():
            found |= {f"{name}/{p.name}": code_lines(p.read_text(encoding="utf-8")) for p in sorted(path.glob("*.py"))}
        else:
            found[name] = code_lines(path.read_text(encoding="utf-8"))
    return found


def show(title: str, files: dict[str, int]) -> None:
    print(f"{title}: {len(files)} files, {sum(files.values())} code lines")
    for name, lines in files.items():
        print(f"  {lines:5}  {name}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--against", metavar="COMMIT", help="a commit from before taps, to count the old way too")
    before = arguments.parse_args().against
    if before:
        show(f"before ({before})", files_of(BEFORE, before))
    show("the heart", files_of(HEART, None))
    show("with what it stands on", files_of((*HEART, *AROUND), None))


if __name__ == "__main__":
    main()
