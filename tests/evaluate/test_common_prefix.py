"""What prompts have in common is read once, and every answer is that of the prompt read whole."""

from __future__ import annotations

import models
import pytest
import torch
from tiny_checkpoint import save_tiny_llama

from farsight import FarSight, Plain
from farsight.attention.cache import CACHE
from farsight.evaluate import local
from farsight.evaluate.common_prefix import leaves_prompts, read_prefix
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.prompts import text_inputs
from farsight.method import Method
from farsight.methods.beam_search import BeamSearch
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.dola import DoLa

BEGINNING = "Objects: dog, ball. Description: a dog with a ball.\n\n"
PROMPTS = [f"{BEGINNING}Objects: {told}. Description:" for told in ("cat", "a bus, two trucks and a car", "one bed")]
LEAVING = {
    "plain": Plain(),
    "generated": FarSight(sigma=0.1, rows="generated"),
    "infinite": FarSight(sigma=0.3, rows="generated", horizon="infinite"),
    "layers": FarSight(sigma=0.05, rows="generated", layers=(1,)),
    "constant": ConstantGate(value=0.8, rows="generated"),
}
OTHERS = {
    "all": FarSight(sigma=0.1),
    "constant": ConstantGate(value=0.8),
    "beam": BeamSearch(num_beams=2),
    "dola": DoLa(),
    "with beam": FarSight(rows="generated") + BeamSearch(num_beams=2),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    found = load(save_tiny_llama(tmp_path_factory.mktemp("llama")), device="cpu")
    found.model.double()
    return found


def said(loaded: LoadedModel, method: Method, prompts: list[str]) -> list[local.Answer]:
    how = {"repetition_penalty": 1.1}
    nothing = [None] * len(prompts)
    return local.answer(loaded, method, nothing, prompts, max_new_tokens=16, generation=how, medium="completion")


@pytest.mark.parametrize("name", LEAVING)
def test_answers_are_those_of_prompts_that_are_read_whole(
    loaded: LoadedModel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, read = LEAVING[name], []
    assert leaves_prompts(method)
    monkeypatch.setattr(local, "read_prefix", lambda *args: read.append(args) or read_prefix(*args))
    together = said(loaded, method, PROMPTS)
    assert len(read) == 1
    monkeypatch.setattr(local, "leaves_prompts", lambda _: False)
    alone = [said(loaded, method, [prompt])[0] for prompt in PROMPTS]
    assert len(read) == 1
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert len({one.text for one in together}) == 3
    for one, other in zip(together, alone, strict=True):
        assert one.absorbed == pytest.approx(other.absorbed, abs=2e-5) if one.absorbed else other.absorbed is None


@pytest.mark.parametrize("name", OTHERS)
def test_what_changes_the_rows_of_a_prompt_or_searches_reads_it_whole(name: str) -> None:
    assert not leaves_prompts(OTHERS[name])


def test_the_cache_holds_the_common_tokens_and_padding_is_behind_them(loaded: LoadedModel) -> None:
    inputs = text_inputs(loaded, PROMPTS, chat=False)
    made = read_prefix(loaded.model, inputs)
    common = len(loaded.tokenizer(f"{BEGINNING}Objects: ").input_ids)
    assert made[CACHE].get_seq_length() == common
    for ids, mask, prompt in zip(made["input_ids"], made["attention_mask"], PROMPTS, strict=True):
        assert mask[:common].all()
        assert loaded.tokenizer.decode(ids[mask.bool()]) == prompt
    assert torch.equal(made["attention_mask"].sum(1), inputs["attention_mask"].sum(1))


def test_prompts_without_a_common_beginning_are_left_alone(loaded: LoadedModel) -> None:
    inputs = text_inputs(loaded, ["One thing or another.", "Another thing or one."], chat=False)
    assert read_prefix(loaded.model, inputs) is inputs


def test_a_model_whose_layers_forget_is_left_alone() -> None:
    ids = torch.arange(40).repeat(2, 1)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert read_prefix(models.mistral(), inputs) is inputs
