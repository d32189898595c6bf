"""``farsight serve --engine vllm``: the command ``vllm serve`` that it becomes."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from typing import Any

from farsight.cli.terminal import say
from farsight.errors import SettingError
from farsight.files import parse_json


def serve_vllm(
    model: str,
    method: str,
    host: str,
    port: int,
    additional_config: str | None,
    more: list[str],
    dry: bool,
) -> None:
    """Serve ``model`` under vLLM, or print the command if ``dry``; ``more`` are options of vLLM's own."""
    config = json.dumps({**_read_config(additional_config), **_config_of(method)})
    arguments = ["serve", *_served(model), "--host", host, "--port", str(port), "--additional-config", config, *more]
    if dry:
        say(shlex.join(["vllm", *arguments]))
        return
    _run(arguments)


def _config_of(method: str) -> dict[str, Any]:
    """What vLLM is told of the method, of which it would complain only after a minute."""
    from farsight.methods.grammar import parse_method
    from farsight.methods.in_vllm import additional_config

    return additional_config(parse_method(method), otherwise="--engine transformers")


def _read_config(text: str | None) -> dict[str, Any]:
    config = parse_json(text or "{}", "--additional-config")
    if not isinstance(config, dict) or (ours := [key for key in config if key.startswith("farsight")]):
        named = ours[0] if isinstance(config, dict) else "farsight"
        raise SettingError(f"--additional-config must be a JSON object without '{named}', which --method gives")
    return config


def _served(model: str) -> list[str]:
    from farsight.inputs.named_models import source_of

    source = source_of(model)
    return [model] if source == model else [source, "--served-model-name", model]


def _run(arguments: list[str]) -> None:
    """Become the command ``vllm``."""
    from farsight.vllm_plugin import check_installation

    check_installation()
    from vllm.entrypoints.cli.main import main

    logging.disable(logging.NOTSET)  # from here on vLLM speaks for itself
    sys.argv = ["vllm", *arguments]
    main()
