"""How well a checkpoint describes the world: ``python -m farsight.scenes.measure --split test --count 400``.

False objects and recall by exact matching on the closed vocabulary, questions as in POPE, and the control
that tells whether the model looks at all: the same figures with the pictures exchanged.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

from . import checkpoint_path
from .language import presence_question
from .mentions import mentions
from .render import render
from .world import CATEGORIES, PLACES, SPLITS, Scene, sample_scene

PROMPT = "Describe this image in detail."


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Scores of captions; shares are in percent.

    Parameters
    ----------
    false_mentions
        Mentioned objects (each once a caption) that are not there: CHAIR_I.
    false_captions
        Captions with such an object: CHAIR_S.
    recall
        Objects in the pictures that are mentioned.
    mentioned
        Objects mentioned a caption.
    by_order
        False share of the first, second, ... mentioned object.
    false_from_place
        False objects that belong to the place.
    tokens
        Mean length.
    unfinished
        Captions without an end.
    """

    false_mentions: float
    false_captions: float
    recall: float
    mentioned: float
    by_order: tuple[float, ...]
    false_from_place: float
    tokens: float = 0.0
    unfinished: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PresenceScores:
    """Yes/no questions, as many about objects that are there as about others; in percent."""

    accuracy: float
    yes: float
    questions: int


def score_captions(texts: Sequence[str], scenes: Sequence[Scene]) -> CaptionScores:
    """Compare captions with scenes, by exact matching."""
    wrong: list[list[bool]] = []
    found = present = from_place = 0
    for text, scene in zip(texts, scenes, strict=True):
        named = mentions(text)
        wrong.append([name not in scene.objects for name in named])
        found += len(set(named) & set(scene.objects))
        present += len(scene.objects)
        from_place += sum(name in PLACES[scene.place].own for name in set(named) - set(scene.objects))
    total, false = sum(map(len, wrong)), sum(map(sum, wrong))
    ranks = range(max(map(len, wrong), default=0))
    by_order = [[row[rank] for row in wrong if len(row) > rank] for rank in ranks]
    return CaptionScores(
        false_mentions=_percent(false, total),
        false_captions=_percent(sum(map(any, wrong)), len(wrong)),
        recall=_percent(found, present),
        mentioned=round(total / max(1, len(wrong)), 2),
        by_order=tuple(_percent(sum(rank), len(rank)) for rank in by_order if len(rank) >= 20),
        false_from_place=_percent(from_place, false),
    )


class Speaker:
    """A loaded checkpoint that answers prompts about scenes, greedily, in batches."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def answer(
        self, scenes: Sequence[Scene], prompts: Sequence[str], tokens: int = 160, batch: int = 50
    ) -> list[list[int]]:
        """Return the new token ids of each answer, its end included and padding cut."""
        answers: list[list[int]] = []
        pad = self.model.generation_config.pad_token_id
        for start in range(0, len(scenes), batch):
            pictures = [render(scene) for scene in scenes[start : start + batch]]
            texts = [f"USER: <image>\n{prompt} ASSISTANT:" for prompt in prompts[start : start + batch]]
            inputs = self.processor(images=pictures, text=texts, return_tensors="pt", padding=True)
            out = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
            rows = out[:, inputs["input_ids"].shape[1] :].tolist()
            answers += [[token for token in row if token != pad] for row in rows]
        return answers

    def text(self, tokens: Sequence[int]) -> str:
        """Decode an answer."""
        decoded: str = self.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return decoded.strip()


def measure_captions(
    speaker: Speaker, shown: Sequence[Scene], true: Sequence[Scene]
) -> tuple[CaptionScores, list[str]]:
    """Describe ``shown`` and score against ``true``: the same scenes, or shuffled ones for the control."""
    answers = speaker.answer(shown, [PROMPT] * len(shown))
    end = speaker.model.generation_config.eos_token_id
    texts = [speaker.text(answer) for answer in answers]
    scores = asdict(score_captions(texts, true)) | {
        "tokens": round(sum(map(len, answers)) / len(answers), 1),
        "unfinished": _percent(sum(answer[-1] != end for answer in answers), len(answers)),
    }
    return CaptionScores(**scores), texts


def measure_presence(speaker: Speaker, shown: Sequence[Scene], true: Sequence[Scene], kind: str) -> PresenceScores:
    """Ask about three objects that are there and three that are not.

    ``kind`` chooses the latter: "random" ones, or "adversarial" ones, the most frequent of the place.
    """
    dice = random.Random(f"farsight scenes, presence, {kind}")
    asked: list[tuple[int, str, bool]] = []
    for number, scene in enumerate(true):
        absent = [name for name in CATEGORIES if name not in scene.objects]
        dice.shuffle(absent)
        if kind == "adversarial":
            absent.sort(key=lambda name: -PLACES[scene.place].own.get(name, 0.0))
        asked += [(number, name, True) for name in dice.sample(scene.objects, 3)]
        asked += [(number, name, False) for name in absent[:3]]
    scenes = [shown[number] for number, _, _ in asked]
    answers = speaker.answer(scenes, [presence_question(name) for _, name, _ in asked], tokens=4, batch=120)
    said = [speaker.text(answer).lower().startswith("yes") for answer in answers]
    right = sum(yes == truth for yes, (_, _, truth) in zip(said, asked, strict=True))
    return PresenceScores(
        accuracy=_percent(right, len(asked)), yes=_percent(sum(said), len(asked)), questions=len(asked)
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint on the small world.")
    parser.add_argument("--model", type=Path, default=checkpoint_path(), help="folder (default: the embedded model)")
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--count", type=int, default=200, help="number of scenes, 2 or more (default 200)")
    parser.add_argument("--first", type=int, default=0, help="index of the first scene (default 0)")
    options = parser.parse_args()
    if options.count < 2:
        parser.error("--count must be 2 or more")
    speaker = Speaker(options.model)
    scenes = [sample_scene(options.split, index) for index in range(options.first, options.first + options.count)]
    shifted = [*scenes[1:], scenes[0]]
    captions, texts = measure_captions(speaker, scenes, scenes)
    report = {
        "captions": asdict(captions),
        "captions_shuffled": asdict(measure_captions(speaker, shifted, scenes)[0]),
        "presence_random": asdict(measure_presence(speaker, scenes, scenes, "random")),
        "presence_adversarial": asdict(measure_presence(speaker, scenes, scenes, "adversarial")),
        "presence_shuffled": asdict(measure_presence(speaker, shifted, scenes, "random")),
        "samples": texts[:4],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
