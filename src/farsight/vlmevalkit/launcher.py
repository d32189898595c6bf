"""VLMEvalKit's own command, with its models decoding by our methods."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from farsight.errors import SettingError
from farsight.files import read_json
from farsight.methods.grammar import parse_methods
from farsight.vlmevalkit.model import make

ELSEWHERE = ("--api-mode", "--base-url", "--use-vllm")
"""Arguments of VLMEvalKit by which something else than a model in this process answers."""


def main(arguments: Sequence[str]) -> None:
    """Run VLMEvalKit: each model with each method, as a model of the name ``MODEL+METHOD``.

    Parameters
    ----------
    arguments
        ``--method LIST``, in the grammar of all our commands, and those of VLMEvalKit's ``run.py``.

    Raises
    ------
    SettingError
        If a method or a model is unknown, or an argument has the answers made elsewhere.
    UnsupportedModelError
        If a model of VLMEvalKit has no Transformers model in this process.
    """
    parser = argparse.ArgumentParser(prog="python -m farsight.vlmevalkit", allow_abbrev=False)
    parser.add_argument("--method", action="append", required=True, metavar="LIST", help="as farsight eval --methods")
    parser.add_argument("--model", nargs="+", help="models of VLMEvalKit")
    parser.add_argument("--config", help="VLMEvalKit's JSON file of models and data")
    own, rest = parser.parse_known_args(arguments)
    if refused := [one for one in ELSEWHERE if any(word.partition("=")[0] == one for word in rest)]:
        raise SettingError(f"{refused[0]}: methods change a model in this process; leave it out")
    if (own.model is None) == (own.config is None):
        raise SettingError("give --model NAME..., models of VLMEvalKit, or --config FILE, one of the two")
    methods = parse_methods(",".join(own.method))

    from vlmeval import run
    from vlmeval.config import supported_VLM

    config = None if own.config is None else read_json(own.config, "see VLMEvalKit's --config")
    bases = _configured(config, run.build_model_from_config) if config else _named(own.model, supported_VLM)
    models = {
        f"{name}+{file_name(label)}": partial(make, name, base, method)
        for name, base in bases.items()
        for label, method in methods.items()
    }
    with patch.dict(supported_VLM, models), tempfile.TemporaryDirectory() as folder:
        if config:
            changed = Path(folder) / "config.json"
            changed.write_text(json.dumps({**config, "model": {name: {} for name in models}}), encoding="utf-8")
            rest += ["--config", str(changed)]
        else:
            rest += ["--model", *models]
        with patch.object(sys, "argv", [sys.argv[0], *rest]):
            run.main()


def file_name(label: str) -> str:
    """Write a method's label so that it can be part of a file's name."""
    return re.sub(r"[^\w.=-]+", "-", label).strip("-")


def _named(names: Sequence[str], known: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    if unknown := [name for name in names if name not in known]:
        raise SettingError(f"VLMEvalKit has no model '{unknown[0]}'; 'vlmutil mlist all' lists them")
    return {name: known[name] for name in names}


def _configured(config: Any, build: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    models = config.get("model") if isinstance(config, dict) else None
    if not (isinstance(models, dict) and models):
        raise SettingError("--config: has no models; see VLMEvalKit's --config")
    return {name: partial(build, models, name) for name in models}
