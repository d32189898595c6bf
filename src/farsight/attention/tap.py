"""The one interceptor of attention: layers carry taps, which edit scores, gate rows, or look.

Everything that any method does to attention is a tap. Edits come first, in order; gates multiply; then whoever looks,
looks. What may be used together follows from what taps need: an edit needs written-out attention, a gate the log of
the softmax denominator (every kernel here gives it), a look nothing. A layer without taps runs its own implementation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention.kernels import Kernel, kernel_of
from farsight.attention.kernels.eager import eager_attention
from farsight.attention.layer_call import LayerCall, sink_of_rows
from farsight.attention.layers import AttentionLayer, LanguageModel
from farsight.attention.names import attention_function, named
from farsight.attention.refusals import check_implementations
from farsight.errors import UnsupportedModelError

ATTRIBUTE = "farsight_taps"

Edit = Callable[[Tensor, LayerCall], Tensor]
Gate = Callable[[Tensor, LayerCall], Tensor]


class Tap:
    """Something done to the attention of the layers that carry it; a subclass overrides what it does."""

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        """Change the scores ``(batch, heads, queries, keys)`` before the softmax.

        The mask is added afterwards, so nothing that is masked can be made readable.
        """
        return scores

    def edits(self, call: LayerCall) -> bool:
        """Whether it edits this call at all; where no tap does, the layer's own kernel runs."""
        return True

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """Give the factor on each row, the shape of ``lse``.

        ``lse`` is the log of the row's softmax denominator, ``(batch, heads, queries)``, at least fp32, after all edits
        and with the model's own sink.
        """
        return torch.ones_like(lse)

    def see(self, call: LayerCall) -> None:
        """Look at a call after it was computed: `LayerCall.lse`, ``factor``, ``weights`` and ``rows`` are known."""


class Taps:
    """What one layer carries: its taps in order, by what they do."""

    def __init__(self, index: int, taps: tuple[Tap, ...] = (), ran: bool = False) -> None:
        self.index, self.taps, self.ran = index, taps, ran
        self.editing = [tap for tap in taps if type(tap).edit is not Tap.edit]
        self.gates = [tap.gate for tap in taps if type(tap).gate is not Tap.gate]
        self.looks = [tap.see for tap in taps if type(tap).see is not Tap.see]


@contextmanager
def tapped(language_model: LanguageModel, taps: Sequence[tuple[AttentionLayer, Tap]]) -> Iterator[None]:
    """Put taps on layers of ``language_model`` for the length of a ``with`` block, behind those that they carry.

    Blocks may overlap and be left in any order.

    Raises
    ------
    UnsupportedModelError
        On entering, if an attention implementation cannot do what a tap needs; after the first forward, if a layer did
        not run the attention function that carries its taps.
    """
    decoder = language_model.module
    kinds = Taps(0, tuple(tap for _, tap in taps))
    check_implementations(language_model, kinds.editing, kinds.gates)

    def after_the_first(module: nn.Module, args: Any, output: Any) -> None:
        """Taps that no attention function has met do nothing."""
        if torch.compiler.is_compiling():
            return
        hook.remove()
        carried = {layer.index: vars(layer.module).get(ATTRIBUTE) for layer, _ in taps}
        if missed := sorted(index for index, its in carried.items() if its is not None and not its.ran):
            raise UnsupportedModelError(
                f"layers {missed} of {type(decoder).__name__} did not run the attention function that carries "
                "what this method does; choose others with layers=..."
            )

    with ExitStack() as stack:
        stack.enter_context(named(language_model, lambda name: partial(_attention, name, kernel_of(name))))
        for layer, tap in taps:
            _carry(layer, added=[tap])
            stack.callback(_carry, layer, without=tap)
        hook = decoder.register_forward_hook(after_the_first)
        stack.callback(hook.remove)
        yield


_lock = threading.Lock()


def _carry(layer: AttentionLayer, added: Sequence[Tap] = (), without: Tap | None = None) -> None:
    """Change which taps a layer carries."""
    with _lock:
        carried: Taps = vars(layer.module).get(ATTRIBUTE) or Taps(layer.index)
        taps = (*(tap for tap in carried.taps if tap is not without), *added)
        vars(layer.module)[ATTRIBUTE] = Taps(layer.index, taps, carried.ran)
        if not taps:
            del vars(layer.module)[ATTRIBUTE]


def _attention(
    implementation: str,
    kernel: Kernel | None,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers calls it: ``(batch, heads, queries, dim)`` in, ``(batch, queries, heads, dim)`` out."""

    def own() -> tuple[Tensor, Tensor | None]:
        computed: tuple[Tensor, Tensor | None] = attention_function(implementation, module)(
            module, query, key, value, attention_mask, **options
        )
        return computed

    carried: Taps | None = getattr(module, ATTRIBUTE, None)
    if carried is None:
        return own()
    if not torch.compiler.is_compiling():
        carried.ran = True
    call = LayerCall(
        index=carried.index,
        implementation=implementation,
        module=module,
        query=query,
        key=key,
        value=value,
        mask=attention_mask,
        options=options,
    )
    edits = [tap.edit for tap in carried.editing if tap.edits(call)]
    call.edited = bool(edits)
    if edits or carried.gates:
        output = _changed(edits, carried.gates, kernel, call)
    else:
        output, call.weights = own()
    for look in carried.looks:
        look(call)
    return output, call.weights


def _changed(edits: Sequence[Edit], gates: Sequence[Gate], kernel: Kernel | None, call: LayerCall) -> Tensor:
    """Attention with edited scores and gated rows; the model's own sink is one more gate, which the others see."""
    if call.options.get("dropout"):
        raise UnsupportedModelError(
            "a method is a change of decoding: call model.eval() first (attention dropout is on)"
        )
    if call.options.get("cache") is not None:
        raise UnsupportedModelError("continuous batching (a paged cache) is not supported: use generate")
    assert kernel is not None
    output, lse, weights = eager_attention(call, edits) if edits else kernel(call)
    factor: Tensor | None = None
    if call.sink is not None:
        own = sink_of_rows(call.sink, lse)
        lse, factor = torch.logaddexp(lse, own), torch.sigmoid(lse - own)
    for gate in gates:
        kept = gate(lse, call)
        factor = kept if factor is None else factor * kept
    if factor is not None:
        output, weights = apply_gate(output, factor), None if weights is None else apply_gate(weights, factor)
    call.lse, call.factor, call.weights = lse, factor, weights
    return output.transpose(1, 2).contiguous()


def apply_gate(output: Tensor, gate: Tensor) -> Tensor:
    """Multiply attention output ``(batch, heads, queries, head_dim)`` by ``gate`` ``(batch, heads, queries)``.

    The product is rounded once, to the dtype of ``output``; outside of training it is taken in place.
    """
    gate = gate.unsqueeze(-1)
    if output.requires_grad:
        return (output * gate).to(output.dtype)
    return output.mul_(gate)
