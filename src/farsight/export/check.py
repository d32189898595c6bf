"""Can this model have registers as tokens? It is run, and nothing is concluded from its name.

A token is a register where its key and its value are zero in every layer. So the model reads nothing but tokens whose
embedding is zero, and what its cache holds then is looked at; after that it reads a prompt behind such tokens, whose
logits must be those of ``FarSight(sigma=log(1 + 1/n), horizon="infinite")`` without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from farsight.attention.cache import given_cache
from farsight.attention.layers import LanguageModel, locate
from farsight.errors import UnsupportedModelError
from farsight.farsight import FarSight
from farsight.register_tokens import sigma_of

RUN = 3
"""Tokens that are read in search of a key or a value: more than one, so that they read each other."""
CLOSE = 1e-3
"""Largest difference of logits that counts as equal in float32, on their scale."""
_FORWARD_ERRORS = (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What a forward raises that wants more than tokens"""
ALTERNATIVE = "use FarSight in Transformers or the vLLM plugin (farsight serve --engine vllm)"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether registers can be tokens of a model.

    Parameters
    ----------
    possible
        Whether registers can be tokens of the model.
    reason
        Why not, in one line; None if it is possible.
    window
        Length of the shortest sliding window of a layer, beyond which its rows lose the tokens; None if none slides.
    error, effect
        Largest difference between the logits of a prompt behind the tokens and under FarSight, and between those under
        FarSight and of plain decoding; None if no prompt was read.
    """

    possible: bool
    reason: str | None = None
    window: int | None = None
    error: float | None = None
    effect: float | None = None


def check_tokens(model: nn.Module, inputs: Mapping[str, Tensor] | None = None, tokens: int = 5) -> Verdict:
    """Look whether so many tokens with a zero embedding are registers of this model.

    Nothing of the model is changed: the row of zeros is put where the embedding is read. Matrices that would be
    multiplied with zeros are not touched, so that a checkpoint of any size, mapped into memory, takes seconds.

    Parameters
    ----------
    model
        Any Transformers model that generates text.
    inputs
        A prompt to compare with FarSight, batch 1, as for the model's forward; None to look at keys and values alone.
    tokens
        How many tokens to put in front of the prompt.

    Raises
    ------
    SettingError
        If ``tokens`` is no number of tokens.
    """
    sigma = sigma_of(tokens)
    try:
        located = locate(model)
        window = shortest_window(located)
        with torch.no_grad():
            if (reason := _not_zero(model, located)) is not None:
                return Verdict(possible=False, reason=reason, window=window)
            if inputs is None:
                return Verdict(possible=True, window=window)
            return replace(_compared(model, inputs, tokens, sigma), window=window)
    except UnsupportedModelError as error:
        return Verdict(possible=False, reason=str(error))
    except _FORWARD_ERRORS as error:
        line = " ".join(str(error).split())[:160]
        return Verdict(possible=False, reason=f"it cannot be run on tokens alone ({type(error).__name__}: {line})")


def shortest_window(located: LanguageModel) -> int | None:
    """Length of the shortest sliding window of a language model's layers; None if all read everything."""
    found = []
    for layer in located.layers:
        kinds = getattr(layer.config, "layer_types", None)
        of_module = getattr(layer.module, "sliding_window", None)
        slides = kinds is None or layer.index >= len(kinds) or kinds[layer.index] != "full_attention"
        window = of_module if of_module is not None else getattr(layer.config, "sliding_window", None)
        if slides and isinstance(window, int) and window > 0 and getattr(layer.config, "use_sliding_window", True):
            found.append(window)
    return min(found, default=None)


class _ZeroEmbedding(TorchFunctionMode):
    """Reads one token's row of the embedding as zeros, and ``W @ 0 + b`` as ``b``, without a look at ``W``."""

    def __init__(self, weight: Tensor, token: int) -> None:
        super().__init__()
        self.weight, self.token = weight, token

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.embedding and (ids := args[0]).dtype == torch.int64 and args[1] is self.weight:
            rows = func(*args, **kwargs)
            return torch.where((ids == self.token).unsqueeze(-1), torch.zeros((), dtype=rows.dtype), rows)
        if func is F.linear and isinstance(args[0], Tensor) and not args[0].any():
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            zeros = args[0].new_zeros(*args[0].shape[:-1], weight.shape[0])
            return zeros if bias is None else zeros + bias
        return func(*args, **kwargs)


def _not_zero(model: Any, located: LanguageModel) -> str | None:
    """Why a key, a value or a state is not zero after nothing but zeros; None if all are."""
    weight, token = model.get_input_embeddings().weight, 0
    ids = torch.full((1, RUN), token, device=weight.device)
    with _ZeroEmbedding(weight, token):
        cache = given_cache(model(input_ids=ids, use_cache=True))
    layers = getattr(cache, "layers", None)
    if not layers:
        raise UnsupportedModelError(f"{type(model).__name__} keeps no keys and values that could be looked at")
    for index, layer in enumerate(layers):
        for name, state in _states(layer):
            if bool(state.any()):
                return _because(located, index, name)
    return None


def _states(layer: Any) -> Iterator[tuple[str, Tensor]]:
    """What one layer of a cache keeps: keys and values, or the states of a convolution and of a linear attention."""
    for name, state in vars(layer).items():
        for part in state.values() if isinstance(state, dict) else (state,):
            if isinstance(part, Tensor) and part.is_floating_point() and part.numel():
                yield name.removesuffix("s").replace("_", " "), part


def _because(located: LanguageModel, index: int, name: str) -> str:
    biases = [
        key.removeprefix("layers.")
        for key, parameter in located.module.named_parameters()
        if key.endswith("bias") and parameter.dim() == 1 and not parameter.is_meta and bool(parameter.any())
    ]
    cause = f" ({biases[0]} is one of {len(biases)} biases)" if biases else ""
    return (
        f"a token with a zero embedding has a {name} that is not zero in layer {index}{cause}, so it is no register; "
        f"{ALTERNATIVE}"
    )


def _compared(model: Any, inputs: Mapping[str, Any], tokens: int, sigma: float) -> Verdict:
    """Compare a prompt behind the tokens with the prompt under FarSight, and say if the logits differ."""
    embedding, ids = model.get_input_embeddings().weight, inputs["input_ids"]
    token = next(token for token in range(len(embedding)) if not bool((ids == token).any()))
    plain = model(**inputs).logits.float()
    with FarSight(sigma=sigma, horizon="infinite")(model):
        expected = model(**inputs).logits.float()
    with _ZeroEmbedding(embedding, token):
        found = model(**behind(inputs, token, tokens)).logits[:, tokens:].float()
    scale = max(1.0, float(expected.abs().max()))
    error, effect = float((found - expected).abs().max()), float((expected - plain).abs().max())
    reason = None
    if not error <= CLOSE * scale:
        reason = (
            f"logits behind {tokens} tokens with a zero embedding differ from FarSight's by {error:.1e}, "
            f"where registers change them by {effect:.1e}; {ALTERNATIVE}"
        )
    return Verdict(possible=reason is None, reason=reason, error=error, effect=effect)


def behind(inputs: Mapping[str, Any], token: int, tokens: int) -> dict[str, Any]:
    """Give the inputs of a forward with so many tokens in front; what has an entry per token grows with them."""
    ids = inputs["input_ids"]
    batch, length = ids.shape
    grown = dict(inputs)
    for name, value in inputs.items():
        if not isinstance(value, Tensor) or value.dim() < 2 or value.shape[:2] != (batch, length):
            continue
        if name.startswith("pixel"):
            continue
        fill = {"input_ids": token, "attention_mask": 1}.get(name, 0)
        front = value.new_full((batch, tokens, *value.shape[2:]), fill)
        grown[name] = torch.cat((front, value), dim=1)
    return grown
