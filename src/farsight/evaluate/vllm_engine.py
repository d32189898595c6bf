"""Answers from vLLM, for greedy decoding and FarSight with the infinite horizon: offline, in the batches of the run.

vLLM takes registers when an engine is started (`farsight.vllm_plugin`), so each method has an engine of its own, in a
process of its own that ends when the next method's turn comes.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from farsight.errors import FarSightError, InputError, SettingError
from farsight.evaluate.engine import Request, Said
from farsight.evaluate.vllm_worker import Start, serve
from farsight.inputs import checkpoints
from farsight.inputs.checkpoints import DTYPES
from farsight.methods.in_vllm import additional_config
from farsight.vllm_plugin import TESTED, check_installation, is_tested

_SECONDS_TO_END = 20.0


@dataclass(frozen=True, kw_only=True)
class VllmEngine:
    """Answers in vLLM, method by method.

    Parameters
    ----------
    source
        Folder of the checkpoint, or its name on the hub.
    name
        What messages call the model.
    dtype
        As in `farsight.inputs.checkpoints.load`.
    batch_size
        Most prompts at once.
    tensor_parallel_size, gpu_memory_utilization, max_model_len, enforce_eager
        vLLM's own, and its own defaults where they are None.

    Raises
    ------
    SettingError
        If vLLM is not installed, or a number has no meaning.
    InputError
        If there is no such checkpoint.
    """

    source: str
    name: str
    dtype: str | None = None
    batch_size: int = 16
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    enforce_eager: bool = False

    def __post_init__(self) -> None:
        import_vllm()
        checkpoints.check(self.source)

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        """Answer in the order in which is asked; see `farsight.evaluate.engine.Engine`.

        Raises
        ------
        SettingError
            If vLLM cannot do as a method or a request says.
        UnsupportedModelError
            If vLLM does not compute FarSight exactly on the model.
        InputError
            If vLLM does not start, or its process dies.
        """
        running: tuple[dict[str, Any], _Process] | None = None
        logs = tempfile.TemporaryDirectory(prefix="farsight-vllm-")
        try:
            for request in requests:
                if request.generation:
                    raise SettingError(
                        f"--engine vllm decodes greedily: leave out {', '.join(request.generation)}, or pass "
                        "--engine local"
                    )
                config = additional_config(request.method)
                if running is not None and running[0] != config:
                    running[1].close()
                    running = None
                if running is None:
                    running = config, _Process(self._start(config, Path(logs.name)))
                yield request.number, running[1].answer(request)
        finally:
            if running is not None:
                running[1].close()
            logs.cleanup()

    def _start(self, config: Mapping[str, Any], logs: Path) -> Start:
        log = logs / f"{len(list(logs.iterdir()))}.log"
        log.touch()
        folder = Path(self.source).expanduser()
        options = {
            "additional_config": config,
            "tensor_parallel_size": self.tensor_parallel_size,
            "enforce_eager": self.enforce_eager,
            "max_num_seqs": self.batch_size,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "max_model_len": self.max_model_len,
        }
        return Start(
            source=str(folder) if folder.exists() else self.source,
            name=self.name,
            dtype=self.dtype,
            log=log,
            options={name: value for name, value in options.items() if value is not None},
        )


def check_dtype(dtype: str | None) -> None:
    """Raise `SettingError` for a type that `farsight.inputs.checkpoints.load` does not know."""
    if dtype not in (None, "auto", *DTYPES):
        raise SettingError(f"unknown dtype '{dtype}'; choose {', '.join(DTYPES)} or auto")


def import_vllm() -> Any:
    """Give the library, which logs errors alone and sends no usage reports unless the environment asks for more.

    Raises
    ------
    SettingError
        If it is not installed, does not find the plugin, or is of a version that this engine is not tested with.
    """
    for name, value in {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_NO_USAGE_STATS": "1",
    }.items():
        os.environ.setdefault(name, value)
    check_installation()
    try:
        import vllm
    except ImportError as error:
        raise SettingError(f"--engine vllm: vLLM cannot be imported ({error}); install it anew") from error
    if not is_tested():
        raise SettingError(
            f"--engine vllm is tested with vLLM {', '.join(f'{version}.*' for version in TESTED)}, and this is "
            f"{vllm.__version__}: install another vLLM or farsight, or pass --engine local"
        )
    return vllm


def device_type() -> str:
    """Give what this vLLM computes on: ``cuda``, ``cpu``, ...

    Raises
    ------
    SettingError
        If it finds nothing.
    """
    import_vllm()
    from vllm.platforms import current_platform

    if not current_platform.device_type:
        raise SettingError("vLLM finds no device here that it was built for: install a vLLM for this machine")
    return str(current_platform.device_type)


class _Process:
    """A process with an engine, which is up when this is made."""

    def __init__(self, start: Start) -> None:
        self.start, self.busy = start, True
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, start), name="farsight-vllm")
        self.process.start()
        theirs.close()
        try:
            self._reply("it started")
        except BaseException:
            self.close()
            raise

    def answer(self, request: Request) -> Said:
        """Hand over a request and wait."""
        with suppress(OSError):  # if it is dead, it does not reply either
            self.connection.send(request)
        said: Said = self._reply(f"it answered {len(request.prompts)} prompts")
        return said

    def close(self) -> None:
        """End it, at once if it has something in hand, and see that it is gone."""
        self.connection.close()
        if self.busy:
            self._kill()
        self.process.join(_SECONDS_TO_END)
        if self.process.is_alive():
            self._kill()
            self.process.join()

    def _kill(self) -> None:
        """End it with all that vLLM has started in it."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):  # before it is waited for, the number of its group is its own
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def _reply(self, doing: str) -> Any:
        """Wait for what comes back; a text says what has gone wrong in vLLM."""
        self.busy = True
        try:
            reply = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self._kill()
            self.process.join()
            self.busy = False
            raise InputError(
                f"the process of vLLM died while {doing} (exit code {self.process.exitcode}); what is answered is "
                f"safe, and {self._log()}: see that the model fits into memory and start the same command again"
            ) from error
        self.busy = False
        if isinstance(reply, FarSightError):
            raise reply
        if isinstance(reply, str):
            raise InputError(f"vLLM cannot answer with '{self.start.name}': {reply} ({self._log()})")
        return reply

    def _log(self) -> str:
        """Keep what the process wrote, and say where it is."""
        with tempfile.NamedTemporaryFile(prefix="farsight-vllm-", suffix=".log", delete=False) as file:
            file.write(self.start.log.read_bytes())
        return f"its log is {file.name}"
