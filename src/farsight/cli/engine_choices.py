"""What ``farsight eval`` knows of each engine: its options, what it refuses, what a run keeps of it, how it is made.

One class an engine; its fields are its options, by the names that they have on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from farsight.cli import options
from farsight.errors import SettingError
from farsight.files import real_path

if TYPE_CHECKING:
    from farsight.evaluate.engine import Engine
    from farsight.evaluate.plan import Plan
    from farsight.method import Method


@cache  # tune asks it for each method
def _check_there(model: str, device: str | None, dtype: str | None, *, videos: bool) -> None:
    from farsight.inputs import checkpoints
    from farsight.inputs.named_models import source_of

    checkpoints.resolve_dtype(dtype, checkpoints.resolve_device(device))
    checkpoints.check(source_of(model, videos=videos))


@dataclass(frozen=True, kw_only=True)
class LocalChoice:
    """The process that was started; its methods are also what the other engines do as it does."""

    name: ClassVar[str] = "local"
    timed: ClassVar[bool] = True
    """Whether what one answer takes is what its method takes: nothing is started for it, nothing else is under way."""
    knows_methods: ClassVar[bool] = False
    """Whether `check` finds all methods that are not taken; else the model may refuse one when it is asked."""
    loads_each: ClassVar[bool] = False
    """Whether the model is loaded for each method, which is better asked all at once then."""

    device: str | None = None

    def check(
        self, model: str, task: str, methods: Mapping[str, Method], dtype: str | None, attn_implementation: str | None
    ) -> None:
        """Look at what the engine is to do before anything is drawn or written.

        Raises
        ------
        SettingError
            If it cannot do the task or a method, or an option has no meaning with it.
        InputError
            If there is no such model.
        """
        from farsight.evaluate.named_tasks import find_task

        _check_there(model, self.device, dtype, videos=find_task(task).medium == "video")

    def record(self) -> dict[str, Any] | None:
        """Give what `farsight.evaluate.plan.Plan` keeps of the engine."""
        return None

    def weights(self, model: str, *, videos: bool) -> str | None:
        """Give a fingerprint of the weights that answer, where they are at hand."""
        from farsight.evaluate.fingerprints import weights_fingerprint
        from farsight.inputs.named_models import source_of

        return weights_fingerprint(Path(source_of(model, videos=videos)))

    @property
    def device_type(self) -> str:
        """What the model is on."""
        from farsight.inputs.checkpoints import resolve_device

        return resolve_device(self.device).type

    def make(self, plan: Plan, *, videos: bool) -> Engine:
        """Make the engine.

        Raises
        ------
        SettingError
            If it is not installed, or an option has no meaning.
        InputError
            If there is no such model.
        """
        from farsight.evaluate.local import LocalEngine

        how = (plan.dtype, plan.attn_implementation)
        return LocalEngine(load=cache(partial(options.load, plan.model, self.device, *how, videos=videos)))

    def staying(self, engine: Engine) -> AbstractContextManager[None]:
        """Have an engine keep what it has started from one call to the next, for the length of a block."""
        return nullcontext()


@dataclass(frozen=True, kw_only=True)
class RayChoice(LocalChoice):
    """Workers of a Ray cluster, a model each."""

    name: ClassVar[str] = "ray"
    timed: ClassVar[bool] = False

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        gpus = self.gpus_per_worker
        if self.device not in (None, "cpu", "cuda"):
            raise SettingError(f"--device '{self.device}': Ray gives each worker its GPU; pass cuda or cpu")
        if self.device is not None and gpus is not None and (self.device == "cuda") != bool(gpus):
            raise SettingError(f"--gpus-per-worker {gpus:g} with --device {self.device}: leave one of them out")

    def check(
        self, model: str, task: str, methods: Mapping[str, Method], dtype: str | None, attn_implementation: str | None
    ) -> None:
        """Refuse classes of files, which the workers do not have."""
        from farsight.method import parts
        from farsight.methods.foreign import source_of

        for label, method in methods.items():
            if any(source_of(type(part)) for part in parts(method)):
                raise SettingError(
                    f"'{label}' is read from a file, which the workers do not have: install it there as a package with "
                    "an entry point of farsight.methods, or leave out --engine ray"
                )

    @property
    def device_type(self) -> str:
        """What the workers' models are on: GPUs if they have some, or if there is one here."""
        from farsight.inputs.checkpoints import resolve_device

        if self.gpus_per_worker is not None:
            return "cuda" if self.gpus_per_worker else "cpu"
        return self.device or ("cuda" if resolve_device(None).type == "cuda" else "cpu")

    def make(self, plan: Plan, *, videos: bool) -> Engine:
        """Make the engine; see `LocalChoice.make`."""
        from farsight.evaluate.ray_engine import RayEngine
        from farsight.inputs.named_models import MODELS

        folder = Path(plan.model).expanduser()  # a worker may be in another folder
        model = str(real_path(folder)) if MODELS.find(plan.model) is None and folder.exists() else plan.model
        gpus = self.gpus_per_worker
        return RayEngine(
            load=partial(options.load, model, self.device_type, plan.dtype, plan.attn_implementation, videos=videos),
            address=self.address,
            workers=self.workers,
            gpus_per_worker=(1 if self.device_type == "cuda" else 0) if gpus is None else gpus,
            weights=plan.weights,
        )

    def staying(self, engine: Engine) -> AbstractContextManager[None]:
        """Have the workers stay."""
        from farsight.evaluate.ray_engine import RayEngine

        assert isinstance(engine, RayEngine)
        return engine.staying()


@dataclass(frozen=True, kw_only=True)
class VllmChoice(LocalChoice):
    """vLLM, an engine a method."""

    name: ClassVar[str] = "vllm"
    knows_methods: ClassVar[bool] = True
    timed: ClassVar[bool] = False
    loads_each: ClassVar[bool] = True

    tensor_parallel_size: int | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    enforce_eager: bool = False

    def __post_init__(self) -> None:
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
        self, model: str, task: str, methods: Mapping[str, Method], dtype: str | None, attn_implementation: str | None
    ) -> None:
        """Look at what the engine is to do; see `LocalChoice.check`."""
        from farsight.evaluate import vllm_engine
        from farsight.evaluate.named_tasks import find_task
        from farsight.evaluate.vllm_worker import PICTURES_ALONE
        from farsight.methods.in_vllm import additional_config

        if find_task(task).medium != "picture":
            raise SettingError(PICTURES_ALONE)
        for method in methods.values():
            additional_config(method)
        vllm_engine.check_dtype(dtype)
        if attn_implementation is not None:
            raise SettingError(
                f"--attn-implementation '{attn_implementation}' is of Transformers, and vLLM chooses its own kernels: "
                "leave it out"
            )
        vllm_engine.import_vllm()

    def record(self) -> dict[str, Any] | None:
        """Give what a run keeps of the engine: other answers may come from another version or another split."""
        from farsight.evaluate.vllm_engine import import_vllm

        return {
            "name": self.name,
            "version": import_vllm().__version__,
            "tensor_parallel_size": self.tensor_parallel_size or 1,
            "enforce_eager": self.enforce_eager,
        }

    @property
    def device_type(self) -> str:
        """What vLLM was built for."""
        from farsight.evaluate.vllm_engine import device_type

        return device_type()

    def make(self, plan: Plan, *, videos: bool) -> Engine:
        """Make the engine; see `LocalChoice.make`."""
        from farsight.evaluate.vllm_engine import VllmEngine
        from farsight.inputs.named_models import source_of

        return VllmEngine(
            source=source_of(plan.model),
            name=plan.model,
            dtype=plan.dtype,
            batch_size=plan.batch_size,
            tensor_parallel_size=self.tensor_parallel_size or 1,
            gpu_memory_utilization=self.gpu_memory_utilization,
            max_model_len=self.max_model_len,
            enforce_eager=self.enforce_eager,
        )


@dataclass(frozen=True, kw_only=True)
class OpenAIChoice(LocalChoice):
    """A server that runs already, and speaks OpenAI's API."""

    name: ClassVar[str] = "openai"
    knows_methods: ClassVar[bool] = True
    usual_timeout: ClassVar[float] = 600.0

    base_url: str | None = None
    timeout: float | None = None
    found: dict[str, Any] = field(default_factory=dict, init=False)
    """What the server has said of itself, and how each method is asked for."""

    def __post_init__(self) -> None:
        if self.device is not None:
            raise SettingError(f"--device '{self.device}': the server has its model where it is; leave --device out")
        if self.base_url is None:
            raise SettingError("--engine openai needs a server: pass --base-url, such as http://127.0.0.1:8000/v1")
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise SettingError(f"--timeout {self.timeout:g}: pass a number of seconds")

    def check(
        self, model: str, task: str, methods: Mapping[str, Method], dtype: str | None, attn_implementation: str | None
    ) -> None:
        """Look at what the engine is to do, and ask the server whether it can; see `LocalChoice.check`."""
        from farsight.evaluate.named_tasks import find_task
        from farsight.evaluate.openai_engine import NO_VIDEOS
        from farsight.evaluate.openai_server import Server
        from farsight.methods.in_requests import as_tokens, named

        if find_task(task).medium == "video":
            raise SettingError(NO_VIDEOS)
        for option, value in (("--dtype", dtype), ("--attn-implementation", attn_implementation)):
            if value is not None:
                raise SettingError(f"{option} '{value}': the server has chosen its own; leave {option} out")
        with Server(**self._server(model)) as server:
            described = server.described()
            if described.methods is None:
                asked = as_tokens(methods, server.prompt_tokens)
            else:
                asked = {method: named(method, described.methods) for method in methods.values()}
        self.found.update(owner=described.owner, asked=asked, methods=methods)

    def _server(self, model: str) -> dict[str, Any]:
        return {"base_url": self.base_url, "model": model, "timeout": self.timeout or self.usual_timeout}

    def weights(self, model: str, *, videos: bool) -> str | None:
        """Nobody knows; see `LocalChoice.weights`."""
        return None

    def record(self) -> dict[str, Any] | None:
        """Give what a run keeps of the server: whose it is and how methods are asked for, but not where it is."""
        asked = self.found["asked"]
        return {
            "name": self.name,
            "owner": self.found["owner"],
            "asked": {label: asked[method] for label, method in self.found["methods"].items()},
        }

    @property
    def device_type(self) -> str:
        """What the model is on: the server, wherever that computes."""
        return "server"

    def make(self, plan: Plan, *, videos: bool) -> Engine:
        """Make the engine; see `LocalChoice.make`."""
        from farsight.evaluate.openai_engine import OpenAIEngine

        engine = OpenAIEngine(**self._server(plan.model), owner=self.found["owner"], asked=self.found["asked"])
        for medium in {item.medium for item in plan.task.items}:
            engine.carried(medium, {**plan.task.generation, **plan.generation})
        return engine
