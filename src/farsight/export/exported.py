"""Export a model into a new folder, whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from farsight.errors import InputError, UnsupportedModelError
from farsight.export import card, gguf, tokenizer_files
from farsight.export.folder import FolderExport, Watched
from farsight.export.gguf_file import GgufFile
from farsight.files import make_folder, read_text, write
from farsight.register_tokens import MOST_TOKENS
from farsight.setting_checks import check_whole


def unwatched(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Give the parts of a file of so many bytes as they are."""
    return parts


def export(
    source: Path,
    name: str,
    out: Path,
    registers: int,
    token: str | None,
    version: str,
    watched: Watched = unwatched,
) -> dict[str, Any]:
    """Write a copy of a model in which a token is a register and the chat template writes so many of them.

    Parameters
    ----------
    source
        A folder of safetensors, or a GGUF file.
    name
        What the exported model is called.
    out
        The new folder of the export.
    registers
        How many the template writes where a request does not say; 0 for none.
    token
        Which token becomes the register; None to choose.
    version
        The version of farsight.
    watched
        What the bytes of a large file go through while it is written: the parts and how many bytes they are.

    Returns
    -------
    dict
        What ``farsight.json`` says.

    Raises
    ------
    InputError, SettingError, UnsupportedModelError
        If something cannot be read or written, or registers cannot be tokens of this model; nothing is left then.
    """
    check_whole("registers", registers, 0, MOST_TOKENS)
    with _new_folder(out) as folder:
        if source.is_file():
            about = _export_file(source, name, folder, registers, token, version, watched)
            original = ""
        else:
            work = FolderExport(source, name, token)
            work.write(folder, registers, watched)
            verdict, how = work.check(folder, registers)
            about = card.facts(work.token, registers, verdict, how, name, version)
            original = read_text(source / "README.md") if (source / "README.md").is_file() else ""
        write(folder / "farsight.json", [tokenizer_files.dumped(about)])
        write(folder / "README.md", [card.card(about, original)])
    return about


def _export_file(
    source: Path, name: str, folder: Path, registers: int, wanted: str | None, version: str, watched: Watched
) -> dict[str, Any]:
    file = GgufFile.read(source)
    token = gguf.choose_token(file, wanted)
    verdict, how = gguf.check(file, registers)
    if not verdict.possible:
        raise UnsupportedModelError(f"'{name}': {verdict.reason}")
    write(folder / source.name, watched(gguf.parts(file, token, registers), source.stat().st_size))
    made = GgufFile.read(folder / source.name)
    for key in made.entries:
        if key == gguf.TEMPLATE:
            texts = [gguf.rendered(made, made.value(key), registers=count) for count in (0, 3)]
            if texts[1] != token.text * 3 + texts[0]:
                raise UnsupportedModelError(f"'{name}': its chat template cannot be made to write {token.text} first")
    return card.facts(token, registers, verdict, how, name, version)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that gets its name when everything is in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; name a new folder with --out")
    make_folder(out.parent)
    unfinished = out.with_name(f".{out.name[:50]}.{secrets.token_hex(4)}.tmp")
    make_folder(unfinished)
    try:
        yield unfinished
        unfinished.replace(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
