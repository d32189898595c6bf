"""Can FarSight be switched on in an architecture, and does what it generates equal the definition?"""

from __future__ import annotations

import re
from typing import Any

import torch
from architectures import ROWS, Row
from inputs import kinds_of, left_padded, length_of, prompt, with_positions
from model_state import state
from reference import SIGMA, logits_of_definition
from tiny_model import CLASSES, FIRST_WORD, biased_model, tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from farsight import FarSight, UnsupportedModelError
from farsight.attention.layers import LanguageModel, locate
from farsight.export.check import ALTERNATIVE, check_tokens

NEW = 5
METHOD = FarSight(sigma=SIGMA)
TOLERANCE = 2e-4
EFFECT = 20
"""How many times the error of the arithmetic the change that registers make must be, at every step"""
ABSORBED = 1e-4
WINDOW = "yes: as far as a sliding window or a chunk reaches; further on its layers lose the tokens"


class DefectError(AssertionError):
    """What no row of the table may have."""


class WrongReferenceError(DefectError):
    """Plain decoding already differs from one forward over all tokens."""


def check(name: str) -> dict[str, Any]:
    """One row of the table: ``result`` is ok, refused or defect, with the ``reason`` of the latter two."""
    row = ROWS.get(name, Row())
    found: dict[str, Any] = {"architecture": name, "class": CLASSES[name]}
    try:
        model = tiny_model(name, row.config, row.attention)
    except ImportError as missing:
        needed = re.search(r"requires the (\w+) library", str(missing))
        package = missing.name if needed is None else needed[1]
        return {**found, "result": "refused", "reason": f"not built here: its vision tower needs the package {package}"}
    if not model.can_generate():
        return {**found, "result": "refused", "reason": "cannot generate text"}
    try:
        located = locate(model, encoder_decoder=True)
        with METHOD(model):
            pass
    except UnsupportedModelError as refusal:
        return {**found, "result": "refused", "reason": str(refusal)}
    found["where"] = [[layer.index, type(layer.module).__name__] for layer in located.layers]
    found["elsewhere"] = _elsewhere(located)
    found["attention"] = row.attention
    found["tower"] = row.tower
    names = {layer.name for layer in located.layers}
    kinds = kinds_of(model, row)
    for kind in kinds:
        found[kind] = compare(model, prompt(model, row, kind), names)
    one, other = prompt(model, row, kinds[0], seed=1), prompt(model, row, kinds[0], before=5, seed=2)
    found["batch"] = check_batch(model, row, left_padded(row, one, other), names)
    found["static cache"] = check_static_cache(model, one)
    check_restored(model, one)
    found["tokens"] = check_registers_as_tokens(name, row, kinds[0])
    return {**found, "restored": True, "result": "ok"}


def _elsewhere(located: LanguageModel) -> list[str]:
    """What mixes tokens in the layers that get no registers."""
    with_registers = tuple(layer.name for layer in located.layers)
    found = set()
    for name, module in located.module.named_modules(prefix=located.name):
        if re.search(
            r"\.(layers|blocks|gated_cross_attn_layers)\.\d+\.(\w*attn\w*|\w*mixer\w*|conv|mamba)$", name
        ) and (name not in with_registers and not re.search("norm|gate$", name)):
            found.add(type(module).__name__)
    return sorted(found)


def generate(model: PreTrainedModel, inputs: dict[str, Tensor], **kwargs: Any) -> tuple[Tensor, Tensor]:
    """New tokens of cached greedy decoding, ``(batch, new)``, and their logits, ``(batch, new, vocabulary)``."""
    torch.manual_seed(0)
    found = model.generate(
        **{name: value for name, value in inputs.items() if name != "position_ids"},
        max_new_tokens=NEW,
        do_sample=False,
        suppress_tokens=list(range(FIRST_WORD)),
        output_logits=True,
        return_dict_in_generate=True,
        **kwargs,
    )
    return found.sequences[:, -NEW:], torch.stack(found.logits, dim=1).double()


def compare(model: PreTrainedModel, inputs: dict[str, Tensor], names: set[str]) -> dict[str, float]:
    """Largest differences between logits: of FarSight and its definition, and of FarSight and plain decoding."""
    plain_tokens, plain = generate(model, inputs)
    literal, _ = logits_of_definition(model, inputs, plain_tokens, 0)
    scale = max(1.0, float(literal.abs().max()))
    if (noise := _distance(plain, literal)) > TOLERANCE * scale:
        raise WrongReferenceError(f"the reference is not this model: plain decoding differs from it by {noise:.1e}")
    with METHOD(model):
        tokens, logits = generate(model, inputs)
    length = length_of(inputs) + NEW
    expected, absorbed = logits_of_definition(model, inputs, tokens, length)
    without, _ = logits_of_definition(model, inputs, tokens, 0)
    error, effect = _distance(logits, expected), float((expected - without).abs().amax((0, 2)).min())
    if set(absorbed) != names:
        raise DefectError(f"registers belong in {sorted(absorbed)} and are in {sorted(names)}")
    if min(absorbed.values()) < ABSORBED:
        raise DefectError(f"registers absorb nothing: {absorbed}")
    if error > TOLERANCE * scale:
        raise DefectError(f"differs from the definition by {error:.1e} (plain: {noise:.1e}, effect: {effect:.1e})")
    if effect < EFFECT * max(error, noise, 1e-7):
        raise DefectError(f"registers change the logits by {effect:.1e} only")
    return {"error": error, "effect": effect, "absorbed": max(absorbed.values())}


def check_batch(model: PreTrainedModel, row: Row, inputs: dict[str, Tensor], names: set[str]) -> dict[str, float] | str:
    """A left-padded batch; where the cache changes what plain decoding says about one, that is said instead."""
    inputs = with_positions(inputs) if row.positions else inputs
    try:
        return compare(model, inputs, names)
    except WrongReferenceError:
        cached, recomputed = (generate(model, inputs, use_cache=use)[1] for use in (True, False))
        if _agree(cached, recomputed):
            raise
        return f"not in plain decoding either: its cache changes the logits by {_distance(cached, recomputed):.1e}"


def _agree(one: Tensor, other: Tensor) -> bool:
    return _distance(one, other) <= TOLERANCE * max(1.0, float(other.abs().max()))


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def check_static_cache(model: PreTrainedModel, inputs: dict[str, Tensor]) -> str:
    """Whether a static cache gives what the default cache gives; where it does not in plain decoding, that is said."""
    plainly = _differs_with_static_cache(model, inputs)
    if plainly is not None:
        return f"not in plain decoding either: {plainly}"
    with METHOD(model):
        difference = _differs_with_static_cache(model, inputs)
    if difference is not None:
        raise DefectError(f"static cache: {difference}")
    return "ok"


def _differs_with_static_cache(model: PreTrainedModel, inputs: dict[str, Tensor]) -> str | None:
    _, expected = generate(model, inputs)
    try:
        _, found = generate(model, inputs, cache_implementation="static", disable_compile=True)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    difference, scale = _distance(found, expected), max(1.0, float(expected.abs().max()))
    return None if difference <= TOLERANCE * scale else f"logits differ by {difference:.1e}"


def check_registers_as_tokens(name: str, row: Row, kind: str) -> str:
    """Whether tokens with a zero embedding are registers, with a picture or else in texts; why not."""
    model = biased_model(name, row.config, row.attention)
    inputs = prompt(model, row, kind)
    verdict = check_tokens(model, inputs)
    limited = "" if verdict.window is None else WINDOW
    if verdict.possible:
        return limited or "ok"
    reason = str(verdict.reason).partition(f"; {ALTERNATIVE}")[0]
    if verdict.error is None:
        cause = re.search(r"\((\S+) is one of", reason)
        what = re.search("has a (.+?) that is not zero", reason)
        if what is None:
            return f"no: {reason}"
        return "no: biases" if cause else f"no: a {what[1]} that is not zero, without a bias"
    ids = torch.randint(FIRST_WORD, model.get_input_embeddings().weight.shape[0], (1, 9), generator=_seeded())
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    try:
        alone = check_tokens(model, text)
    except Exception:  # a model that reads no text without a picture
        alone = verdict
    if alone.possible:
        return "no: in texts alone, with a picture the logits differ"
    return "no: keys and values are zero, and the logits differ all the same"


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def check_restored(model: PreTrainedModel, inputs: dict[str, Tensor]) -> None:
    tokens, logits = generate(model, inputs)
    before = state(model)
    with METHOD(model):
        generate(model, inputs)
    if state(model) != before:
        raise DefectError("leaving did not restore the model's attributes, hooks or configs")
    again, same = generate(model, inputs)
    if not (torch.equal(again, tokens) and torch.equal(same, logits)):
        raise DefectError("leaving did not restore what the model says")
