"""The real vLLM on the CPU, with the embedded model: `make test-vllm`. Elsewhere nothing here is collected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("vllm") else ["*.py"]

os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

SMALL = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 512,
    "max_num_seqs": 8,
    "block_size": 32,
    "kv_cache_memory_bytes": 2**26,
}


@pytest.fixture(scope="session")
def untouched() -> Any:
    """The first engine of the process, built before our plugin is loaded into it."""
    from vllm import LLM
    from vllm.model_executor.layers.attention import Attention

    from farsight.vllm_plugin import register
    from farsight_scenes import checkpoint_path

    os.environ["VLLM_PLUGINS"] = "lora_filesystem_resolver"
    engine = LLM(model=str(checkpoint_path()), **SMALL)
    del os.environ["VLLM_PLUGINS"]
    assert not hasattr(Attention.__init__, "of_farsight")
    register()
    return engine


@pytest.fixture(scope="session")
def start(untouched: Any) -> Iterator[Callable[..., Any]]:
    """Start an engine with settings of farsight, or with None for plain vLLM; ``flb`` has those of flb.

    All stay until the end: an engine that is thrown away takes the process groups of the others with it.
    """
    from vllm import LLM

    from farsight_scenes import checkpoint_path

    engines = []

    def started(
        settings: dict[str, Any] | None, model: Path | None = None, flb: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        given = {"farsight": settings, "farsight-flb": flb}
        config = {name: value for name, value in given.items() if value is not None}
        engine = LLM(model=str(model or checkpoint_path()), additional_config=config, **{**SMALL, **options})
        engines.append(engine)
        return engine

    yield started
    engines.clear()
