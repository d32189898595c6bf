"""What AdaIAT has to know, measured in the batches of the race: as each caption's attention is written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llama, save_tiny_llava
from tiny_video_checkpoint import save_tiny_video_model

from farsight.calibration import TextAttention
from farsight.diagnose.diagnosis import pieces_of
from farsight.errors import UnsupportedModelError
from farsight.evaluate.engine import Said
from farsight.evaluate.local import answer_request
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.run import request_of
from farsight.evaluate.tasks import Item, Medium, Task
from farsight.images import open_frames, open_image
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.prompts import picture_inputs, text_inputs, video_inputs
from farsight.method import Plain
from farsight.metrics.vocabulary import Mention, coco
from farsight.tune.text_rows import measure

LONG = "Some words that come first in every prompt, so many that they are read once for all of them. " * 3


class Letters:
    """Objects in an answer of random characters: every third is one, by turns there and not there."""

    def mentions(self, text: str) -> list[Mention]:
        return [Mention("o", "o" if at % 2 else "x", at, at + 1, 0) for at in range(0, len(text), 3)]


def items_of(medium: Medium, folder: Path) -> list[Item]:
    """Prompts of several lengths, one of them about what is no picture."""
    paths: list[Path | None] = [None] * 5
    if medium in ("picture", "video"):
        paths = [folder / f"{number}{'.png' if medium == 'picture' else ''}" for number in range(5)]
    for number, path in enumerate(paths):
        if path is None:
            continue
        colour = (60 * number, 200 - 50 * number, 0)
        if number == 1:
            path.write_text("nothing")
        elif medium == "picture":
            Image.new("RGB", (30, 20), colour).save(path)
        else:
            path.mkdir()
            for frame in range(8):
                Image.new("RGB", (48, 48), (*colour[:2], 30 * frame)).save(path / f"{frame}.png")
    return [
        Item(
            item_id=f"p/{number}", part="p", kind="caption", image_id=f"{number}", path=path,
            prompt=f"{LONG if medium == 'completion' else ''}What is {'here and ' * number}this?",
            max_new_tokens=14, medium=medium, truth={"objects": ["o"]},
        )
        for number, path in enumerate(paths)
    ]  # fmt: skip


def model_of(medium: Medium, folder: Path) -> LoadedModel:
    save: Any = {"picture": save_tiny_llava, "video": save_tiny_video_model}.get(medium, save_tiny_llama)
    return load(save(folder / "model"), device="cpu")


def generated(loaded: LoadedModel, task: Task) -> Iterator[tuple[Batch, Said]]:
    plan = Plan(model="m", task=task, methods={"plain": Plain()}, batch_size=3)
    for batch in batches(plan):
        yield batch, answer_request(loaded, request_of(plan, 0, batch))


def inputs_of(loaded: LoadedModel, item: Item) -> dict[str, Any]:
    if item.path is None:
        return text_inputs(loaded, [item.prompt], chat=item.medium == "text")
    if item.medium == "video":
        return video_inputs(loaded, [open_frames(item.path)], [item.prompt])
    return picture_inputs(loaded, [open_image(item.path)], [item.prompt])


@pytest.mark.parametrize("medium", ["picture", "video", "completion"])
def test_rows_that_name_objects_are_averaged_over_all_captions(medium: Medium, tmp_path: Path) -> None:
    loaded, items, names = model_of(medium, tmp_path), items_of(medium, tmp_path), Letters()
    task = Task(name="t", items=tuple(items), vocabulary=names, sources={})  # type: ignore[arg-type]
    measure(loaded, task, generated(loaded, task), tmp_path / "rows.json")
    found = TextAttention.read(tmp_path / "rows.json")

    model: Any = load(tmp_path / "model" / ("video" if medium == "video" else ""), device="cpu").model
    model.set_attn_implementation("eager")
    rows: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    for item in items:
        if medium != "completion" and item.image_id == "1":
            continue
        inputs = inputs_of(loaded, item)
        length = inputs["input_ids"].shape[1]
        stop = {"stop_strings": ["\n"], "tokenizer": loaded.tokenizer} if medium == "completion" else {}
        with torch.inference_mode():
            ids = model.generate(**inputs, max_new_tokens=14, do_sample=False, **stop)
            whole = inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            layers = model(**whole, use_cache=False, output_attentions=True).attentions
        pieces = pieces_of(loaded, ids[0, length:].tolist())
        ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0).tolist()
        for mention in names.mentions("".join(pieces)):
            if (step := next(number for number, end in enumerate(ends) if end > mention.start)) > 0:
                read = [one[0, :, length + step - 1, length : length + step].mean(-1) for one in layers]
                rows[mention.object == "o"].append(torch.stack(read))
    for table, count, kind in (
        (found.true_rows, found.true_count, True),
        (found.false_rows, found.false_count, False),
    ):
        assert count == len(rows[kind]) > 0
        torch.testing.assert_close(torch.tensor(table), torch.stack(rows[kind]).mean(0), atol=1e-5, rtol=1e-3)
    assert found.pictures == len(items) - (medium != "completion")
    assert (found.prompt, found.max_new_tokens) == ("the prompts of t", 14)


def test_what_the_method_refuses_is_not_asked_for_a_caption(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    loaded = model_of("text", tmp_path)
    config = T5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    behind = replace(loaded, model=T5ForConditionalGeneration(config).eval())
    task = Task(name="t", items=(), vocabulary=coco(), sources={})

    def never() -> Iterator[tuple[Batch, Said]]:
        raise AssertionError
        yield

    with pytest.raises(UnsupportedModelError):
        measure(behind, task, never(), tmp_path / "rows.json")
