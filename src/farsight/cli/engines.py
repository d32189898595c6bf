"""``farsight eval --engine``: what answers, and what it takes from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import options
from farsight.errors import SettingError

if TYPE_CHECKING:
    from farsight.evaluate.engine import Engine
    from farsight.evaluate.plan import Plan
    from farsight.method import Method

LOCAL, RAY, VLLM = "local", "ray", "vllm"
NAMES = (LOCAL, RAY, VLLM)

_PANEL = "Engine"

EngineName = Annotated[
    str,
    typer.Option(
        "--engine", metavar="NAME", rich_help_panel=_PANEL,
        help="local: this process. ray: a cluster. vllm: greedy and farsight(horizon=infinite) in vLLM.",
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


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """An engine by name, with its options as they were given."""

    name: str
    device: str | None
    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None
    tensor_parallel_size: int | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    enforce_eager: bool = False

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise SettingError(f"unknown engine '{self.name}'; there are {', '.join(NAMES)}")
        for owner, options_of_it in (
            (RAY, ("address", "workers", "gpus_per_worker")),
            (VLLM, ("tensor_parallel_size", "gpu_memory_utilization", "max_model_len", "enforce_eager")),
        ):
            given = [name for name in options_of_it if getattr(self, name) not in (None, False)]
            if self.name != owner and given:
                option = f"--{given[0].replace('_', '-')}"
                raise SettingError(f"{option} is of --engine {owner}; pass that too, or leave it out")
        if self.name == VLLM:
            self._check_vllm_options()
        if self.name == RAY and self.device not in (None, "cpu", "cuda"):
            raise SettingError(f"--device '{self.device}': Ray gives each worker its GPU; pass cuda or cpu")
        if self.name == RAY and self.gpus_per_worker is not None and self.device is not None:
            if self.device == "cpu" and self.gpus_per_worker:
                raise SettingError(
                    f"--gpus-per-worker {self.gpus_per_worker:g} with --device cpu: leave one of them out"
                )
            if self.device == "cuda" and not self.gpus_per_worker:
                raise SettingError("--gpus-per-worker 0 with --device cuda: leave one of them out")

    def _check_vllm_options(self) -> None:
        if self.device is not None:
            raise SettingError(f"--device '{self.device}': vLLM computes on what it was built for; leave --device out")
        for option, number in (
            ("--tensor-parallel-size", self.tensor_parallel_size),
            ("--max-model-len", self.max_model_len),
        ):
            if number is not None and number < 1:
                raise SettingError(f"{option} {number}: at least 1 is needed")
        share = self.gpu_memory_utilization
        if share is not None and not 0 < share <= 1:
            raise SettingError(f"--gpu-memory-utilization {share:g}: pass a share of the GPU's memory, such as 0.9")

    def check(
        self, task: str, methods: Mapping[str, Method], dtype: str | None, attn_implementation: str | None
    ) -> None:
        """Look at what the engine is to do before anything is drawn or written.

        Raises
        ------
        SettingError
            If it cannot do the task or a method, or an option has no meaning with it.
        """
        if self.name != VLLM:
            return
        from farsight.evaluate import vllm_engine
        from farsight.evaluate.vllm_worker import NO_VIDEOS

        if task.startswith("videos:"):
            raise SettingError(NO_VIDEOS)
        for method in methods.values():
            vllm_engine.additional_config(method)
        vllm_engine.check_dtype(dtype)
        if attn_implementation is not None:
            raise SettingError(
                f"--attn-implementation '{attn_implementation}' is of Transformers, and vLLM chooses its own kernels: "
                "leave it out"
            )
        vllm_engine.import_vllm()

    def record(self) -> dict[str, Any] | None:
        """Give what `farsight.evaluate.plan.Plan` keeps of the engine."""
        if self.name != VLLM:
            return None
        from farsight.evaluate.vllm_engine import import_vllm

        return {
            "name": VLLM,
            "version": import_vllm().__version__,
            "tensor_parallel_size": self.tensor_parallel_size or 1,
            "enforce_eager": self.enforce_eager,
        }

    @property
    def device_type(self) -> str:
        """What the model is on: of workers, GPUs if they have some, or if there is one here."""
        from farsight.checkpoints import resolve_device

        if self.name == VLLM:
            from farsight.evaluate.vllm_engine import device_type

            return device_type()
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
        InputError
            If there is no such model.
        """
        if self.name == VLLM:
            return self._vllm(plan)
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

    def _vllm(self, plan: Plan) -> Engine:
        from farsight.evaluate.vllm_engine import VllmEngine

        embedded = plan.model == options.EMBEDDED
        return VllmEngine(
            source=str(options.embedded_path(videos=False)) if embedded else plan.model,
            name=plan.model,
            dtype=plan.dtype,
            batch_size=plan.batch_size,
            tensor_parallel_size=self.tensor_parallel_size or 1,
            gpu_memory_utilization=self.gpu_memory_utilization,
            max_model_len=self.max_model_len,
            enforce_eager=self.enforce_eager,
        )
