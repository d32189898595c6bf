"""``farsight eval --engine``: what answers, and what it takes from the command line."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from farsight.cli.engine_choices import LocalChoice, OpenAIChoice, RayChoice, VllmChoice
from farsight.errors import SettingError

LOCAL, VLLM = LocalChoice.name, VllmChoice.name
_CHOICES = {choice.name: choice for choice in (LocalChoice, RayChoice, VllmChoice, OpenAIChoice)}

_PANEL = "Engine"

EngineName = Annotated[
    str,
    typer.Option(
        "--engine", metavar="NAME", rich_help_panel=_PANEL,
        help="local: this process. ray: a cluster. vllm: in vLLM, greedy, farsight(horizon=infinite), flb. "
        "openai: a server that speaks its API.",
    ),
]  # fmt: skip
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", rich_help_panel=_PANEL, help="A Ray cluster's head; by default one is started here."
    ),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N", rich_help_panel=_PANEL, help="Processes with a model each; one on each GPU, or each machine."
    ),
]  # fmt: skip
GpusPerWorker = Annotated[
    float | None, typer.Option(metavar="G", help="0, 1, or a share such as 0.5.", rich_help_panel=_PANEL)
]
TensorParallelSize = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_PANEL, help="Of vLLM: GPUs over which the model is split.")
]
GpuMemoryUtilization = Annotated[
    float | None, typer.Option(metavar="SHARE", rich_help_panel=_PANEL, help="Of vLLM: what it may take of a GPU.")
]
MaxModelLen = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_PANEL, help="Of vLLM: most tokens of prompt and answer.")
]
EnforceEager = Annotated[
    bool, typer.Option("--enforce-eager", rich_help_panel=_PANEL, help="Of vLLM: compile nothing, no CUDA graphs.")
]

BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", rich_help_panel=_PANEL, help="Of openai: the server's API, such as http://127.0.0.1:8000/v1."
    ),
]  # fmt: skip
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", rich_help_panel=_PANEL, help="Of openai: for one answer; 600 by default."),
]


def choose(name: str, device: str | None, **given: Any) -> LocalChoice:
    """Make the choice of an engine, by name, with the options that were given.

    Raises
    ------
    SettingError
        If there is no such engine, an option is another engine's, or has no meaning.
    """
    if name not in _CHOICES:
        raise SettingError(f"unknown engine '{name}'; there are {', '.join(_CHOICES)}")
    passed = {option: value for option, value in given.items() if value is not None and value is not False}
    for option in passed:
        if option in _options(_CHOICES[name]):
            continue
        owner = next(other for other, choice in _CHOICES.items() if option in _options(choice))
        raise SettingError(f"--{option.replace('_', '-')} is of --engine {owner}; pass that too, or leave it out")
    return _CHOICES[name](device=device, **passed)


def _options(choice: type[LocalChoice]) -> set[str]:
    return {field.name for field in fields(choice) if field.init}
