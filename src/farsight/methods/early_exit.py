"""What the earlier layers of a model would have said: their hidden states through its own final norm and head."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention import locate
from farsight.errors import SettingError, UnsupportedModelError
from farsight.methods.logits import forward_replaced, generating
from farsight.setting_checks import is_whole

_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")

Combine = Callable[[Tensor, Callable[[int], Tensor]], Tensor]
"""Gets the model's logits ``(batch, rows, vocabulary)``, at least fp32, and a function that gives the logits of an
earlier layer in the same shape; gives the logits to decode from.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exit:
    """Where the logits of a model come from."""

    model: nn.Module
    layers: nn.ModuleList
    norm: nn.Module
    head: nn.Module
    softcap: float | None

    @property
    def depth(self) -> int:
        """How many layers the language model has. Hidden state 0 is the embeddings, ``depth`` what the norm gets."""
        return len(self.layers)

    @property
    def is_tied(self) -> bool:
        """Whether the head is the embedding matrix."""
        model: Any = self.model
        return getattr(model.get_input_embeddings(), "weight", None) is getattr(self.head, "weight", ())

    def logits(self, states: Tensor) -> Tensor:
        """Head and soft-cap, without the norm."""
        logits: Tensor = self.head.forward(states)
        return self.capped(logits)

    def capped(self, logits: Tensor) -> Tensor:
        """The final soft-cap of models that have one."""
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def find_exit(model: nn.Module) -> Exit:
    """Find the layers, the final norm and the head of a model.

    Raises
    ------
    UnsupportedModelError
        If nothing generates, the model has no head, or its decoder no list of layers or no final norm under a known
        name.
    """
    language_model = locate(model)
    decoder = language_model.module
    layers = getattr(decoder, "layers", None)
    norm = next((found for name in _NORMS if isinstance(found := getattr(decoder, name, None), nn.Module)), None)
    module = generating(model)
    head = module.get_output_embeddings()
    if not isinstance(layers, nn.ModuleList) or norm is None or not isinstance(head, nn.Module):
        raise UnsupportedModelError(
            f"the layers, the final norm and the head of {type(model).__name__} were not found, so its earlier layers "
            "cannot be read"
        )
    softcap = getattr(language_model.config, "final_logit_softcapping", None)
    return Exit(model=module, layers=layers, norm=norm, head=head, softcap=softcap)


def checked_layers(found: Exit, layers: Sequence[int]) -> tuple[int, ...]:
    """Check that the hidden states exist and are not the last."""
    if wrong := [layer for layer in layers if not 0 <= layer < found.depth]:
        raise SettingError(f"layers {wrong} are out of range: earlier layers of this model are 0 to {found.depth - 1}")
    return tuple(layers)


def as_layers(value: object) -> object:
    """A whole number as the tuple of one layer; anything else as it is."""
    return (value,) if is_whole(value) else value


class _Forward(threading.local):
    """What one forward leaves for its end; each thread has its own."""

    def __init__(self) -> None:
        self.checked = False
        self.begin(0)

    def begin(self, rows: int | Tensor) -> None:
        self.rows = rows
        self.states: dict[int, Tensor] = {}
        self.head: tuple[Tensor, Tensor] | None = None

    def asked(self, layer: int) -> Tensor:
        """The rows of a hidden state whose logits were asked for."""
        states = self.states[layer]
        if isinstance(self.rows, int):
            return states if self.rows == 0 else states[:, -self.rows :]
        return states[:, self.rows]


@contextmanager
def early_exits(found: Exit, layers: Sequence[int], combine: Combine, *, final_norm: bool = True) -> Iterator[None]:
    """Replace the logits of every forward by a combination with those of earlier layers, for a ``with`` block.

    Parameters
    ----------
    found
        As `find_exit` gives it.
    layers
        Which hidden states are read: 0 for the embeddings, ``i`` for what layer ``i`` (from 0) is given.
    combine
        See `Combine`. Only rows whose logits the forward was asked for are computed.
    final_norm
        Whether hidden states go through the model's final norm before its head.

    Raises
    ------
    UnsupportedModelError
        In the first forward, if norm, head and soft-cap do not give the model's own logits.
    """
    forward = _Forward()

    names = list(inspect.signature(found.model.forward).parameters)

    def begin(args: Any, kwargs: dict[str, Any]) -> None:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        if given.get("labels") is not None:
            raise SettingError("a loss would be that of the plain logits: compute it outside of the method's block")
        forward.begin(given.get("logits_to_keep", 0))

    def read(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            forward.states[layer] = args[0] if args else kwargs["hidden_states"]

        return hook

    def at_head(module: nn.Module, args: Any, output: Tensor) -> None:
        forward.head = args[0], output

    def end(output: Any) -> Any:
        if not hasattr(output, "logits") or forward.head is None:
            raise UnsupportedModelError("earlier layers are read in forwards that give logits, with return_dict=True")
        if not forward.checked and not torch.compiler.is_compiling():
            _check(found, forward, output.logits)
            forward.checked = True

        def logits(layer: int) -> Tensor:
            states = forward.asked(layer)
            given = found.logits(found.norm.forward(states) if final_norm else states)
            return given.to(torch.promote_types(given.dtype, torch.float32))

        own = output.logits
        output.logits = combine(own.to(torch.promote_types(own.dtype, torch.float32)), logits)
        forward.begin(0)
        return output

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(found.layers[layer].register_forward_pre_hook(read(layer), with_kwargs=True).remove)
        stack.callback(found.norm.register_forward_pre_hook(read(found.depth), with_kwargs=True).remove)
        stack.callback(found.head.register_forward_hook(at_head).remove)
        own_forward = found.model.forward

        def contrasting(*args: Any, **kwargs: Any) -> Any:
            begin(args, kwargs)
            return end(own_forward(*args, **kwargs))

        stack.enter_context(forward_replaced(found.model, contrasting))
        yield


def _check(found: Exit, forward: _Forward, logits: Tensor) -> None:
    """Raise unless what we take for the model's norm, head and soft-cap gives its own logits."""
    assert forward.head is not None
    given, answer = forward.head
    states = found.norm.forward(forward.asked(found.depth))
    same_states = states.shape == given.shape and torch.allclose(states, given, rtol=1e-3, atol=1e-3)
    if not same_states or not torch.allclose(found.capped(answer).to(logits.dtype), logits, rtol=1e-3, atol=1e-3):
        raise UnsupportedModelError(
            f"{type(found.model).__name__} does more between its last layer and its logits than a norm, a head and a "
            "soft-cap, so the logits of its earlier layers are not known"
        )
