"""Where text sees visual tokens: their rotary positions, changed for text rows alone, exact under the KV cache.

Keys stay in the cache as the model rotated them. The rotation of every slot is kept beside it, so a key can be turned
back, and turned elsewhere, whenever a text row reads it.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LayerCall, Tap, locate, tapped, visual_token_mask
from farsight.attention.cache import CACHE, given_cache
from farsight.attention.layer_call import repeat_heads
from farsight.errors import SettingError, UnsupportedModelError
from farsight.method import Method
from farsight.setting_checks import check_share, setting

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}


@dataclass(frozen=True, kw_only=True)
class VisualPositions(Method):
    """Score text rows against visual keys as if these stood elsewhere; all other scores stay as they are.

    A subclass says where, in ``moved``.

    Parameters
    ----------
    strength
        From 0, the model's own scores (the plain model), to 1, the changed ones.

    Raises
    ------
    SettingError
        If that is not a number in [0, 1].
    """

    changes: ClassVar[str] = "scores"
    goes_with: ClassVar[tuple[str, ...]] = ("gate", "logits", "search")
    extra_forwards: ClassVar[float] = 0.0

    strength: float = setting(1.0, check_share)

    @abstractmethod
    def moved(self, key: Tensor, rotation: Rotation, visual: Tensor) -> Tensor:
        """Keys as an unrotated query is to see them.

        Parameters
        ----------
        key
            Keys as the model rotated them, ``(batch, heads, keys, head_dim)``, at least fp32.
        rotation
            The rotation of each slot.
        visual
            Which slots hold visual tokens, ``(batch, keys)``. Of the answer only these are read.
        """

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Change the scores in all layers of the language model of ``model``; see `Method`."""
        language_model = locate(model)
        visual_token_mask(model, torch.zeros(1, 1, dtype=torch.long), self.name)  # refuses those without pictures
        if self.strength == 0:
            yield
            return
        positions = _Positions(model=model)
        with ExitStack() as stack:
            positions.install(stack, language_model.layers)
            tap = _Moved(self, positions)
            stack.enter_context(tapped(language_model, [(layer, tap) for layer in language_model.layers]))
            yield


class _Moved(Tap):
    def __init__(self, method: VisualPositions, positions: _Positions) -> None:
        self.method, self.positions = method, positions

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        """Scores of text rows against visual keys that stand elsewhere."""
        if (seen := self.positions.of(call.index, call)) is None:
            return scores
        rotation, visual = seen
        queries = scores.shape[2]
        dtype = torch.promote_types(call.query.dtype, torch.float32)
        query = rotation.last(queries).undo(call.query.to(dtype))
        key = repeat_heads(call.key, query.shape[1]).to(dtype)
        moved = call.scores(query, self.method.moved(key, rotation, visual)).to(dtype)  # autocast: half precision
        text = ~visual[:, -queries:]
        pairs = text[:, None, :, None] & visual[:, None, None, :]
        return torch.where(pairs, torch.lerp(scores.to(dtype), moved, float(self.method.strength)), scores.to(dtype))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rotation:
    """The rotary embedding of some slots: ``cos`` and ``sin``, each ``(batch, slots, head_dim)``."""

    cos: Tensor
    sin: Tensor

    def first(self, slots: int, copies: int) -> Rotation:
        """The first of the slots, each sequence ``copies`` times."""
        cos, sin = (part[:, :slots].repeat_interleave(copies, dim=0) for part in (self.cos, self.sin))
        return Rotation(cos=cos, sin=sin)

    def last(self, slots: int) -> Rotation:
        """The last of the slots."""
        return Rotation(cos=self.cos[:, -slots:], sin=self.sin[:, -slots:])

    def at(self, slots: Tensor) -> Rotation:
        """The rotations of the slots with these indices, ``(batch, n)``."""
        index = slots.unsqueeze(-1).expand(-1, -1, self.cos.shape[-1])
        return Rotation(cos=self.cos.gather(1, index), sin=self.sin.gather(1, index))

    def then(self, other: Rotation) -> Rotation:
        """These slots and others behind them."""
        return Rotation(cos=torch.cat((self.cos, other.cos), dim=1), sin=torch.cat((self.sin, other.sin), dim=1))

    def apply(self, states: Tensor) -> Tensor:
        """Rotate ``(batch, heads, slots, head_dim)`` to these positions."""
        return states * self.cos.unsqueeze(1) + _half_turned(states) * self.sin.unsqueeze(1)

    def undo(self, states: Tensor) -> Tensor:
        """Rotate back. The length that scaled rotary embeddings give (YaRN) stays."""
        cos, sin = (part.unsqueeze(1).to(states.dtype) for part in (self.cos, self.sin))
        return (states * cos - _half_turned(states) * sin) / (cos.square() + sin.square()).sqrt()


def _half_turned(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


@dataclass(kw_only=True, eq=False)
class _Slots:
    """What is known of the slots of one cache, or of one forward without a cache."""

    visual: Tensor
    rotations: list[Rotation] = field(default_factory=list)
    past: int = 0
    has_visual: bool = True
    groups: dict[int, tuple[int, Tensor]] = field(default_factory=dict)
    layers: dict[int, int] = field(default_factory=dict)
    unrotated: dict[int, Tensor] = field(default_factory=dict)

    def see(self, layer: int, given: Tensor, rotation: Rotation) -> None:
        """Keep the rotation that a layer gets for the new slots; layers that were ``given`` one tensor share it."""
        group, _ = self.groups.setdefault(id(given), (len(self.groups), given))
        self.layers[layer] = group
        if group == len(self.rotations):
            self.rotations.append(rotation)
        elif self.rotations[group].cos.shape[1] == self.past:
            self.rotations[group] = self.rotations[group].then(rotation)


class _Running(threading.local):
    def __init__(self) -> None:
        self.forwards: list[_Slots] = []


@dataclass(kw_only=True, eq=False)
class _Positions:
    """Hooks that learn, in every forward, which slots are visual and how each is rotated."""

    model: nn.Module
    _running: _Running = field(default_factory=_Running)
    _known: WeakKeyDictionary[Any, _Slots] = field(default_factory=WeakKeyDictionary)
    _checked: set[int] = field(default_factory=set)

    def install(self, stack: ExitStack, layers: tuple[AttentionLayer, ...]) -> None:
        """Learn from every forward: ``forward`` is replaced on the instance, so passes of a contrast come by too."""
        attributes, forward = vars(self.model), self.model.forward
        outer = attributes.get("forward")

        @wraps(forward)
        def learning(*args: Any, **kwargs: Any) -> Any:
            slots = self._begin(args, kwargs)
            self._running.forwards.append(slots)
            try:
                output = forward(*args, **kwargs)
            finally:
                self._running.forwards.pop()
                slots.groups, slots.unrotated = {}, {}
            if (cache := getattr(output, CACHE, None)) is not None:
                self._known[cache] = slots
            return output

        def restore() -> None:
            if outer is None:
                del attributes["forward"]
            else:
                attributes["forward"] = outer

        attributes["forward"] = learning
        stack.callback(restore)
        for layer in layers:
            module: Any = layer.module
            source = getattr(module, "q_norm", None) or getattr(module, "q_proj", None)
            if not isinstance(source, nn.Module):
                raise UnsupportedModelError(f"{layer.name} has no q_proj, so its rotary embedding cannot be checked")
            hook = partial(self._rotated, layer.index)
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
            stack.callback(source.register_forward_hook(partial(self._projected, layer.index)).remove)

    def _begin(self, args: Any, kwargs: dict[str, Any]) -> _Slots:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if not isinstance(ids, Tensor):
            raise SettingError("visual tokens are found by their ids: pass input_ids, not inputs_embeds alone")
        cache = given_cache(kwargs)
        past = int(cache.get_seq_length()) if cache is not None else 0
        visual = visual_token_mask(self.model, ids)
        if past and ids.shape[1] == 1:
            visual = torch.zeros_like(visual)  # a generated token, whatever its id
        slots = _Slots(visual=visual, past=past)
        if past:
            known = self._known.get(cache)
            if known is None or known.visual.shape[1] < past or ids.shape[0] % known.visual.shape[0]:
                raise UnsupportedModelError(
                    "this cache was not filled inside the block, so the positions of its visual tokens are not known"
                )
            copies = ids.shape[0] // known.visual.shape[0]  # of each prompt, where a cache was repeated for beams
            slots.visual = torch.cat((known.visual[:, :past].repeat_interleave(copies, 0), visual), dim=1)
            slots.rotations = [rotation.first(past, copies) for rotation in known.rotations]
        slots.has_visual = bool(slots.visual.any())
        return slots

    def _rotated(self, layer: int, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given = kwargs.get("position_embeddings")
        if not self._running.forwards or given is None:
            raise UnsupportedModelError(
                f"layer {layer} gets no rotary embedding from a forward of the whole model, so the positions of its "
                "keys are not known"
            )
        slots = self._running.forwards[-1]
        slots.see(layer, given[0], _one_rotation(module, *given, batch=slots.visual.shape[0]))

    def _projected(self, layer: int, module: nn.Module, args: Any, output: Tensor) -> None:
        if layer not in self._checked and self._running.forwards:
            self._running.forwards[-1].unrotated[layer] = output

    def of(self, layer: int, call: LayerCall) -> tuple[Rotation, Tensor] | None:
        """Rotation and visual slots of the keys of a call; None where there is nothing visual."""
        slots = self._running.forwards[-1]
        rotation, keys = slots.rotations[slots.layers[layer]], call.key.shape[2]
        if keys > slots.visual.shape[1]:
            raise UnsupportedModelError("a static cache has slots that hold nothing yet: use the default cache")
        if layer not in self._checked:
            _check(layer, slots.unrotated.get(layer), rotation, call.query)
            self._checked.add(layer)
        return (rotation.last(keys), slots.visual[:, -keys:]) if slots.has_visual else None


def _one_rotation(module: Any, cos: Tensor, sin: Tensor, *, batch: int) -> Rotation:
    """One rotation per slot, ``(batch, slots, head_dim)``, where a model gives one per axis (M-RoPE) as well."""
    if cos.dim() == 4:
        sections = list(module.config.rope_parameters["mrope_section"]) * 2
        cos, sin = (
            torch.cat([part[i % 3] for i, part in enumerate(angles.split(sections, dim=-1))], dim=-1)
            for angles in (cos, sin)
        )
    return Rotation(cos=cos.expand(batch, -1, -1), sin=sin.expand(batch, -1, -1))


def _check(layer: int, unrotated: Tensor | None, rotation: Rotation, query: Tensor) -> None:
    """Raise unless rotating the layer's projection as we take it to be rotated gives its query."""
    batch, heads, queries, dim = query.shape
    tolerance = _TOLERANCE.get(query.dtype, 5e-2)
    if unrotated is not None and unrotated.numel() == query.numel() and rotation.cos.shape[-1] == dim:
        newest = rotation.last(queries)
        by_row = unrotated.reshape(batch, queries, heads, dim).transpose(1, 2)
        by_head = unrotated.reshape(batch, heads, queries, dim)
        if any(torch.allclose(newest.apply(q), query, rtol=tolerance, atol=tolerance) for q in (by_row, by_head)):
            return
    raise UnsupportedModelError(
        f"layer {layer} does not rotate its queries by halves of the whole head, so its keys cannot be turned back"
    )
