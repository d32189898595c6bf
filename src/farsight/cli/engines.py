"""``farsight eval --engine``: what answers, and what it takes from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farsight.cli import options
from farsight.errors import SettingError

if TYPE_CHECKING:
    from farsight.evaluate.engine import Engine
    from farsight.evaluate.plan import Plan

LOCAL, RAY = "local", "ray"
NAMES = (LOCAL, RAY)

_PANEL = "Engine"

EngineName = Annotated[
    str, typer.Option("--engine", metavar="NAME", help="local: this process. ray: a cluster.", rich_help_panel=_PANEL)
]
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


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """An engine by name, with its options as they were given."""

    name: str
    device: str | None
    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise SettingError(f"unknown engine '{self.name}'; there are {', '.join(NAMES)}")
        given = {"--address": self.address, "--workers": self.workers, "--gpus-per-worker": self.gpus_per_worker}
        if self.name != RAY and (strange := [name for name, value in given.items() if value is not None]):
            raise SettingError(f"{strange[0]} is of --engine ray; pass that too, or leave it out")
        if self.name == RAY and self.device not in (None, "cpu", "cuda"):
            raise SettingError(f"--device '{self.device}': Ray gives each worker its GPU; pass cuda or cpu")
        if self.name == RAY and self.gpus_per_worker is not None and self.device is not None:
            if self.device == "cpu" and self.gpus_per_worker:
                raise SettingError(
                    f"--gpus-per-worker {self.gpus_per_worker:g} with --device cpu: leave one of them out"
                )
            if self.device == "cuda" and not self.gpus_per_worker:
                raise SettingError("--gpus-per-worker 0 with --device cuda: leave one of them out")

    @property
    def device_type(self) -> str:
        """What the model is on: of workers, GPUs if they have some, or if there is one here."""
        from farsight.checkpoints import resolve_device

        if self.name != RAY:
            return resolve_device(self.device).type
        if self.gpus_per_worker is not None:
            return "cuda" if self.gpus_per_worker else "cpu"
        return self.device or ("cuda" if resolve_device(None).type == "cuda" else "cpu")

    def make(self, plan: Plan, *, videos: bool) -> Engine:
        """Make the engine.

        Raises
        ------
        SettingError
            If it is not installed, or an option has no meaning.
        """
        how = (plan.dtype, plan.attn_implementation)
        if self.name == LOCAL:
            from farsight.evaluate.local import LocalEngine

            return LocalEngine(load=partial(options.load, plan.model, self.device, *how, videos=videos))
        from farsight.evaluate.ray_engine import RayEngine

        folder = Path(plan.model).expanduser()  # a worker may be in another folder
        model = str(folder.resolve()) if plan.model != options.EMBEDDED and folder.exists() else plan.model
        gpus = self.gpus_per_worker
        return RayEngine(
            load=partial(options.load, model, self.device_type, *how, videos=videos),
            address=self.address,
            workers=self.workers,
            gpus_per_worker=(1 if self.device_type == "cuda" else 0) if gpus is None else gpus,
            weights=plan.weights,
        )
