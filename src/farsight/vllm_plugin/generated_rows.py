"""Registers on generated rows alone (``rows="generated"``): where vLLM mixes rows of prompts and of answers.

A sink belongs to a head and serves every row of a batch. So a batch of generated rows takes the sinks, a batch of
prompt rows does not, and one of both kinds attends twice and picks by row. Which rows are which is known where vLLM
builds the metadata of a batch: a row is generated from the last token of the *request's* prompt on, however the prompt
is cut into chunks, found in the cache, or read again with what was generated after the request was preempted.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from farsight.errors import SettingError, UnsupportedModelError

from .boost import Boost
from .sinks import NO_REGISTERS, Sinks

BACKENDS = ("CPU_ATTN", "TRITON_ATTN", "FLASH_ATTN")
"""Backends that read their sinks anew in each forward."""
_ROWS = "farsight_rows"
"""The name under which a batch's metadata has its generated rows."""

Rows = bool | Tensor
"""Whether all rows of a batch are generated, or no row is; else which ``(tokens,)``, bool, on the model's device."""


def generated(config: Any) -> bool:
    """Whether an engine with this ``additional_config`` has registers on generated rows alone."""
    sinks = Sinks.read(config)
    return sinks is not None and sinks.rows == "generated"


def check_generated(config: Any) -> None:
    """Say why rows could not be told apart as vLLM is about to run a model.

    Parameters
    ----------
    config
        A ``vllm.config.VllmConfig``.

    Raises
    ------
    UnsupportedModelError
        If they could not; the message has the remedy.
    """
    mode = config.compilation_config.cudagraph_mode
    why = {
        "its second model runner: set VLLM_USE_V2_MODEL_RUNNER=0": config.use_v2_model_runner,
        'attention inside of CUDA graphs: pass --compilation-config \'{"cudagraph_mode": "PIECEWISE"}\', or '
        "--enforce-eager": mode is not None and mode.has_full_cudagraphs(),
        "batches that are cut in two: leave out --enable-dbo and --ubatch-size": config.parallel_config.use_ubatching,
        "caches that are kept elsewhere: leave out --kv-transfer-config and --kv-offloading-size": (
            config.kv_transfer_config is not None
        ),
        "--kv-sharing-fast-prefill: leave it out": config.cache_config.kv_sharing_fast_prefill,
    }
    for what, is_so in why.items():
        if is_so:
            raise UnsupportedModelError(f"rows=generated in vLLM is not tested with {what}")


def on_generated_rows(impl: Any, sinks: Tensor, replace: Callable[[Any, Tensor], None]) -> None:
    """Let a backend's layer take its sinks for generated rows alone.

    Parameters
    ----------
    impl
        The layer's backend.
    sinks
        The layer's sinks, ``(heads,)``.
    replace
        Gives a backend other sinks.
    """
    forward, without = impl.forward, torch.full_like(sinks, NO_REGISTERS)

    @functools.wraps(forward)
    def attend(
        layer: Any,
        query: Any,
        key: Any,
        value: Any,
        cache: Any,
        metadata: Any,
        output: Tensor,
        *more: Any,
        **named: Any,
    ) -> Tensor:
        def run(with_sinks: bool, into: Tensor) -> Tensor:
            replace(impl, sinks if with_sinks else without)
            made: Tensor = forward(layer, query, key, value, cache, metadata, into, *more, **named)
            return made

        if metadata is None:  # vLLM warms up
            return run(True, output)
        rows = getattr(metadata, _ROWS, None)
        if rows is None:
            raise UnsupportedModelError(
                "vLLM has made a batch in a way that does not say which of its rows are generated: leave out "
                "rows=generated, or report it"
            )
        if isinstance(rows, bool):
            return run(rows, output)
        run(False, output)
        other = run(True, torch.empty_like(output))
        chosen = rows.view(-1, *[1] * (output.dim() - 1))
        output[: len(rows)] = torch.where(chosen, other[: len(rows)], output[: len(rows)])
        return output

    impl.forward = attend


def with_rows(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the model runner's ``_build_attention_metadata``, so that each batch's metadata has its generated rows."""

    @functools.wraps(original)
    def _build_attention_metadata(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, *args, **kwargs)
        if generated(self.vllm_config.additional_config):
            real = kwargs.get("num_scheduled_tokens") is not None  # otherwise vLLM tries itself out, without requests
            rows = _rows_of_batch(self, kwargs["num_reqs"]) if real else True
            for metadata in made[0].values():
                setattr(metadata, _ROWS, rows)
        return made

    return _build_attention_metadata


def generated_rows(computed: np.ndarray, scheduled: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Which rows of a batch predict generated tokens.

    Parameters
    ----------
    computed, scheduled
        Tokens of each request that were read before, and that are read now, ``(requests,)``.
    prompts
        Lengths of the requests' prompts, ``(requests,)``.

    Returns
    -------
    ndarray
        ``(sum of scheduled,)``, bool, request by request.
    """
    ends = np.cumsum(scheduled)
    places = np.arange(int(scheduled.sum())) + np.repeat(computed - (ends - scheduled), scheduled)
    rows: np.ndarray = places >= np.repeat(prompts - 1, scheduled)
    return rows


def _rows_of_batch(runner: Any, requests: int) -> Rows:
    batch = runner.input_batch
    scheduled = np.diff(runner.query_start_loc.np[: requests + 1])
    rows = generated_rows(batch.num_computed_tokens_cpu[:requests], scheduled, batch.num_prompt_tokens[:requests])
    if rows.all() or not rows.any():
        return bool(rows.all())
    return torch.from_numpy(rows).to(runner.device, non_blocking=True)


def with_marked_blocks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``EngineCore.preprocess_add_request``, so that blocks of the cache that registers have changed are marked.

    What was generated for one request may be in the prompt of the next, where it has no registers.
    """

    @functools.wraps(original)
    def preprocess_add_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        hasher = self.request_block_hasher
        if hasher is not None and not hasattr(hasher, "of_farsight") and generated(self.vllm_config.additional_config):
            self.request_block_hasher = marking(hasher, self.scheduler.hash_block_size)
        return original(self, *args, **kwargs)

    return preprocess_add_request


def marking(hasher: Callable[[Any], list[bytes]], block_size: int) -> Callable[[Any], list[bytes]]:
    """Hash blocks that hold a generated row together with where the request's prompt ends."""

    def marked(request: Any) -> list[bytes]:
        prompt, ends = request.num_prompt_tokens, block_size * (len(request.block_hashes) + 1)
        return [
            _mark(block, prompt) if ends + number * block_size >= prompt else block
            for number, block in enumerate(hasher(request))
        ]

    marked.of_farsight = True  # type: ignore[attr-defined]
    return marked


def _mark(block: bytes, prompt: int) -> bytes:
    return hashlib.sha256(block + b"farsight" + prompt.to_bytes(8, "big")).digest()[: len(block)]


def no_beam_search(original: Callable[..., Any], config_of: Callable[[Any], Any]) -> Callable[..., Any]:
    """Wrap vLLM's beam search, which asks for every token anew, with all that was generated as part of the prompt."""

    @functools.wraps(original)
    def beam_search(self: Any, *args: Any, **kwargs: Any) -> Any:
        config = config_of(self).additional_config
        if generated(config) or Boost.read(config) is not None:
            raise SettingError(
                "vLLM's beam search asks for each token anew, with those before as part of the prompt, so "
                "rows=generated, and flb's first token, cannot be told: ask without it"
            )
        return original(self, *args, **kwargs)

    return beam_search
