"""The files of a tokenizer and its chat templates, edited as what they are: JSON and text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.export.tokens import RegisterToken
from farsight.files import parse_json, read_json, read_text

_MOST = 2**28
"""Bytes of a ``tokenizer.json``; Gemma's has 33 million."""
TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"


def read(folder: Path) -> dict[str, Any]:
    """Read ``tokenizer.json``.

    Raises
    ------
    InputError
        If there is none, or it is none.
    """
    file = folder / TOKENIZER
    if not file.is_file():
        raise InputError(
            f"'{folder}' has no {TOKENIZER}; write it: AutoTokenizer.from_pretrained(...).save_pretrained('{folder}')"
        )
    found = parse_json(read_text(file, _MOST), file, "get it again")
    if not isinstance(found, dict) or not isinstance(found.get("added_tokens"), list):
        raise InputError(f"{file}: is no tokenizer with added_tokens; get it again")
    return found


def with_token(tokenizer: dict[str, Any], token: RegisterToken, begin: str | None) -> dict[str, Any]:
    """Make the token a special one, and let none (``begin``) be put in front of a text any more."""
    entry = {
        "id": token.number, "content": token.text, "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True,
    }  # fmt: skip
    others = [one for one in tokenizer["added_tokens"] if one["id"] != token.number]
    added = sorted([*others, entry], key=lambda one: int(one["id"]))
    return {
        **tokenizer,
        "added_tokens": added,
        "post_processor": without_begin(tokenizer.get("post_processor"), begin),
    }


def without_begin(step: Any, begin: str | None) -> Any:
    """Give a post-processor that does not add the token that begins a text."""
    if not isinstance(step, dict) or begin is None:
        return step
    if step.get("type") == "Sequence":
        return {**step, "processors": [without_begin(one, begin) for one in step["processors"]]}
    if step.get("type") != "TemplateProcessing":
        return step
    kept = {
        part: [one for one in step[part] if one.get("SpecialToken", {}).get("id") != begin]
        for part in ("single", "pair")
    }
    return {**step, **kept}


def templates(folder: Path, changed: Callable[[str], str]) -> dict[str, str]:
    """Give the texts of all files that hold a chat template, each changed; by their names in the folder."""
    texts = {}
    for file in (folder / "chat_template.jinja", *sorted((folder / "additional_chat_templates").glob("*.jinja"))):
        if file.is_file():
            texts[file.relative_to(folder).as_posix()] = changed(read_text(file))
    for name in ("chat_template.json", "processor_config.json", SETTINGS):
        if (folder / name).is_file():
            settings = read_json(folder / name)
            if isinstance(settings, Mapping) and settings.get("chat_template"):
                texts[name] = dumped({**settings, "chat_template": _changed(settings["chat_template"], changed)})
    return texts


def _changed(template: Any, changed: Callable[[str], str]) -> Any:
    if isinstance(template, str):
        return changed(template)
    if isinstance(template, list):
        return [{**one, "template": changed(one["template"])} for one in template]
    return {name: changed(text) for name, text in template.items()}


def dumped(value: Any) -> str:
    """A value as JSON, as these files have it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
