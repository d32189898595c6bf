"""Contrast a model's logits with those of a second pass beside it: the branch.

``forward`` is replaced on the instance that generates, for the length of a ``with`` block: it runs the model's own
forward, then the branch's on a cache of its own, and puts the combined logits into what it returns. So every logits
processor, beam and streamer of Transformers sees mitigated logits. Combined are the rows that predict generated tokens,
from the prompt's last one on; inside the prompt the model's own logits stay.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from farsight.attention import visual_token_mask
from farsight.attention.cache import CACHE, CACHE_NAMES, given_cache
from farsight.call import calls_of
from farsight.errors import SettingError, UnsupportedModelError
from farsight.instances import replaced
from farsight.method import Method
from farsight.methods.branch_state import BranchState
from farsight.methods.logits import forward_replaced, generating
from farsight.methods.prompt import Prompt, visual_tokens

_TEXT = {"input_ids", "attention_mask", "position_ids", "inputs_embeds", "labels", "use_cache", *CACHE_NAMES}
_CONTROL = {"logits_to_keep", "return_dict", "output_attentions", "output_hidden_states", "cache_position"}


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnForward:
    """One forward of the model itself."""

    visual: Tensor
    """``(batch, prompt slots)``, bool: the prompt's visual tokens, in the slots of the model's cache"""
    start: int
    """Slot of the first row"""
    prompt_length: int
    """Slots of the prompt: rows from ``prompt_length - 1`` on predict generated tokens"""


class Passes:
    """What surrounds the two passes of a method that changes more than logits; here nothing.

    One object serves every thread: what belongs to a pass is kept in a `threading.local`.
    """

    def own(self, forward: OwnForward) -> AbstractContextManager[None]:
        """Surround a forward of the model itself."""
        return nullcontext()

    def branch_prompt(self, expansion: int) -> AbstractContextManager[None]:
        """Surround the branch's forward over its prompt; the model's own batch is ``expansion`` times as large."""
        return nullcontext()


@dataclass(frozen=True, kw_only=True)
class ContrastiveMethod(Method):
    """A method that combines the model's logits with those of a branch.

    A subclass says what prompt the branch gets and how logits are combined. One whose passes are changed as well
    overrides ``applied`` and gives `contrasted` its `Passes`.
    """

    cache: ClassVar[str] = "needed"
    needs_image: ClassVar[bool] = True

    @abstractmethod
    def branch_prompt(self, model: nn.Module, prompt: Prompt) -> Prompt:
        """Make the prompt of the branch from the model's own."""

    @abstractmethod
    def combined(self, own: Tensor, branch: Tensor, step: Tensor) -> Tensor:
        """Combine logits, ``(batch, rows, vocabulary)`` each, at least fp32; row ``r`` predicts token ``step[r]``.

        Steps count generated tokens from 1 on.
        """

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        """Run the branch beside every forward of ``model``; see `Method`."""
        return contrasted(model, self, Passes())


@contextmanager
def contrasted(model: nn.Module, method: ContrastiveMethod, passes: Passes) -> Iterator[None]:
    """Put the branch of ``method`` beside every forward of ``model``, for the length of a ``with`` block.

    Raises
    ------
    UnsupportedModelError
        If nothing in ``model`` generates, if it is an encoder-decoder model, or if the method needs an image and the
        model does not say which token stands for one; after a call of ``generate``, if that ran no forward of the model
        itself (but of a part of it), so that nothing was contrasted.
    """
    module = generating(model)
    if getattr(module.config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{type(model).__name__} is an encoder-decoder model, which {method.name} does not support"
        )
    if method.needs_image:
        visual_token_mask(module, torch.empty(1, 0, dtype=torch.long), method.name)
    branch = _Branch(model, module, method, passes, module.forward)

    def combined_forward(*args: Any, **kwargs: Any) -> Any:
        return branch.forward(dict(zip(branch.parameters, args, strict=False)) | kwargs)

    with forward_replaced(module, combined_forward):
        generate = module.generate

        @wraps(generate)
        def with_own_cache(*args: Any, **kwargs: Any) -> Any:
            output = generate(*args, **kwargs)
            if isinstance(cache := getattr(output, CACHE, None), Cache):
                BranchState.set_aside(cache)  # it is given back as the model's own
            return output

        with replaced(module, "generate", with_own_cache):
            yield


class _Branch:
    """The branch of one ``with`` block."""

    def __init__(
        self,
        whole: nn.Module,
        model: nn.Module,
        method: ContrastiveMethod,
        passes: Passes,
        own_forward: Callable[..., Any],
    ) -> None:
        self.calls = calls_of(whole)
        self.model: Any = model
        self.method = method
        self.passes = passes
        self.own_forward = own_forward
        self.parameters = list(inspect.signature(own_forward).parameters)

    @property
    def request(self) -> Prompt | None:
        """The prompt of this thread's call of ``generate``, before Transformers encodes and expands it."""
        if (call := self.calls.call) is None:
            return None
        if call.ids is None:
            raise SettingError(f"{self.method.name} must see the prompt's tokens: pass input_ids to generate")
        if "prompt" not in call.memory:
            call.memory["prompt"] = self._prompt(call.ids, call.request)
        prompt: Prompt = call.memory["prompt"]
        return prompt

    def _prompt(self, ids: Tensor, inputs: Mapping[str, Any]) -> Prompt:
        mask = inputs.get("attention_mask")
        given = {
            name: value
            for name, value in inputs.items()
            if name in self.parameters and name not in _TEXT | _CONTROL and value is not None
        }
        values = {n: v for n, v in given.items() if n.endswith("token_type_ids") and v.shape == ids.shape}
        return Prompt(
            ids=ids,
            mask=torch.ones_like(ids) if mask is None else mask,
            values=values,
            media={name: value for name, value in given.items() if name not in values},
        )

    def forward(self, inputs: dict[str, Any]) -> Any:
        """Run both passes and give the model's own output with combined logits."""
        cache = given_cache(inputs)
        self._check(inputs, cache)
        start = 0 if cache is None else int(cache.get_seq_length())
        output = self._prompt_forward(inputs) if start == 0 else self._next_forward(inputs, cache, start)
        return output if inputs.get("return_dict", True) is not False else output.to_tuple()

    def _prompt_forward(self, inputs: dict[str, Any]) -> Any:
        """Both passes over a prompt and whatever text already follows it (candidates, or all of it without a cache)."""
        ids: Tensor = inputs["input_ids"]
        length = ids.shape[1] if (request := self.request) is None else request.mask.shape[1]
        own = self._own_prompt(ids, inputs, length)
        visual = visual_tokens(self.model, ids[:, :length])
        if self.method.needs_image and (without := (~visual.any(dim=1)).nonzero().flatten().tolist()):
            which = "the prompt has none" if len(ids) == 1 else f"prompts {without} of the batch have none"
            raise SettingError(f"{self.method.name} needs an image, and {which}: pass each prompt with its image")
        with self.passes.own(OwnForward(visual=visual, start=0, prompt_length=length)):
            output = self.own_forward(**{**inputs, "return_dict": True})
        state, logits = self._started(own, visual, len(ids) // len(own.ids))
        if ids.shape[1] > length:
            more = self._continued(state, ids[:, length:], inputs.get("attention_mask"))
            logits = torch.cat((logits, more), dim=1)
        output.logits = self._combined(output.logits, logits, state.length, length)
        if (cache := getattr(output, CACHE)) is not None:
            state.follow(cache)
        return output

    def _next_forward(self, inputs: dict[str, Any], cache: Cache, start: int) -> Any:
        """Both passes over tokens that follow what is in the cache."""
        ids: Tensor = inputs["input_ids"]
        state = self._followed(cache, start, ids)
        length = state.visual.shape[1] if (request := self.request) is None else request.mask.shape[1]
        with self.passes.own(OwnForward(visual=state.visual, start=start, prompt_length=length)):
            output = self.own_forward(**{**inputs, "return_dict": True})
        logits = self._continued(state, ids, inputs.get("attention_mask"))
        output.logits = self._combined(output.logits, logits, state.length, length)
        return output

    def _check(self, inputs: dict[str, Any], cache: Cache | None) -> None:
        name = self.method.name
        if inputs.get("input_ids") is None:
            raise SettingError(f"{name} must see the prompt's tokens: pass input_ids, not inputs_embeds alone")
        if inputs.get("labels") is not None:
            raise SettingError(f"{name} is a change of decoding: compute a loss outside its block")
        mask = inputs.get("attention_mask")
        if (cache is not None and cache.is_compileable) or (mask is not None and getattr(mask, "ndim", 0) != 2):
            raise UnsupportedModelError(
                f"{name} runs a second pass whose length differs from a static cache's: use the default cache and a "
                "mask of shape (batch, slots)"
            )
        if isinstance(inputs.get("logits_to_keep"), Tensor):
            raise SettingError(f"{name} needs logits_to_keep as a number of rows")

    def _followed(self, cache: Cache, start: int, ids: Tensor) -> BranchState:
        state = BranchState.behind(cache)
        name = self.method.name
        if state is None or state.method != self.method or state.length < start:
            raise SettingError(
                f"the cache was filled without {self.method}: its branch has not seen these tokens; start with an "
                "empty cache"
            )
        if ids.shape[1] > 1 and bool(visual_tokens(self.model, ids).any()):
            raise UnsupportedModelError(
                f"{name} takes an image only in the first forward of a cache: start with an empty cache, and leave "
                "prefill_chunk_size unset"
            )
        state.roll_back_to(start)
        return state

    def _own_prompt(self, ids: Tensor, inputs: dict[str, Any], length: int) -> Prompt:
        """Rows of the prompt before beams and returned sequences repeat them."""
        if ids.shape[1] < length:
            raise UnsupportedModelError(f"{self.method.name} needs the prompt in one piece: unset prefill_chunk_size")
        if (request := self.request) is None:
            return self._prompt(ids, inputs)
        repeats = len(ids) // len(request.ids)
        mask = inputs.get("attention_mask")
        return Prompt(
            ids=ids[::repeats, :length],
            mask=torch.ones_like(ids[::repeats, :length]) if mask is None else mask[::repeats, :length],
            values={name: value.to(ids.device) for name, value in request.values.items()},
            media={name: _on(ids.device, value) for name, value in request.media.items()},
        )

    def _started(self, own: Prompt, visual: Tensor, repeats: int) -> tuple[BranchState, Tensor]:
        """Run the branch over its prompt; give its state and the logits of the last row."""
        prompt = self.method.branch_prompt(self.model, own)
        cache = DynamicCache(config=self.model.config.get_text_config(decoder=True))
        with _kept(self.model, "rope_deltas"):
            positions = self._positions(prompt)
            with self.passes.branch_prompt(repeats):
                logits = self._logits(prompt.arguments, cache, positions, rows=1)
        state = BranchState(
            method=self.method,
            cache=cache,
            mask=prompt.mask,
            positions=positions.expand(*positions.shape[:-2], *prompt.ids.shape),
            visual=visual[::repeats],
            length=own.ids.shape[1],
        )
        if repeats > 1:
            state.batch_repeat_interleave(repeats)
        return state, logits.repeat_interleave(repeats, dim=0)

    def _continued(self, state: BranchState, ids: Tensor, own_mask: Tensor | None) -> Tensor:
        """Run the branch over new tokens; give their logits."""
        rows = ids.shape[1]
        new_mask = state.mask.new_ones(ids.shape) if own_mask is None else own_mask[:, -rows:].to(state.mask)
        positions = state.next_positions(new_mask)
        state.mask = torch.cat((state.mask, new_mask), dim=1)
        state.positions = torch.cat((state.positions, positions), dim=-1)
        state.length += rows
        return self._logits({"input_ids": ids, "attention_mask": state.mask}, state.cache, positions, rows)

    def _positions(self, prompt: Prompt) -> Tensor:
        """Positions as the model's own ``generate`` would give them to this prompt."""
        found: Tensor = self.model._prepare_position_ids_for_generation(prompt.ids, prompt.arguments)
        return found

    def _logits(self, arguments: dict[str, Any], cache: Cache, positions: Tensor, rows: int) -> Tensor:
        options: dict[str, Any] = {CACHE: cache, "use_cache": True, "return_dict": True}
        if "position_ids" in self.parameters:
            options["position_ids"] = positions
        if "logits_to_keep" in self.parameters:
            options["logits_to_keep"] = rows
        found: Tensor = self.own_forward(**arguments, **options).logits[:, -rows:]
        return found

    def _combined(self, own: Tensor, branch: Tensor, length: int, prompt_length: int) -> Tensor:
        rows = min(own.shape[1], branch.shape[1], length - prompt_length + 1)
        if rows < 1:
            return own
        exact = torch.promote_types(own.dtype, torch.float32)
        last = length - prompt_length + 1
        step = torch.arange(last - rows + 1, last + 1, device=own.device)
        combined = self.method.combined(own[:, -rows:].to(exact), branch[:, -rows:].to(exact), step)
        return torch.cat((own[:, :-rows].to(exact), combined), dim=1)


def _on(device: torch.device, value: Any) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


@contextmanager
def _kept(model: nn.Module, name: str) -> Iterator[None]:
    """Put an attribute that modules keep between forwards back to what it was."""
    before = [(module, vars(module)[name]) for module in model.modules() if name in vars(module)]
    try:
        yield
    finally:
        for module, value in before:
            setattr(module, name, value)
