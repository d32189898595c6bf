"""How well a checkpoint describes the world: ``python -m farsight_scenes.measure --split test --count 500``.

Free and counted captions, yes/no questions as in POPE, and the control that tells whether the model looks at all:
the same with the pictures exchanged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.utils import logging

from farsight.errors import FarSightError, InputError

from . import checkpoint_path
from .draw import pope_rows
from .language import counted_prompt
from .pope import KINDS, Kind, write_questions
from .scoring import percent, score_captions, score_presence, score_snowball
from .speaker import Answer, Speaker
from .world import PLACES, SPLITS, Scene, sample_scene

PROMPT = "Describe this image in detail."
ATTENDED = 32
"""Captions that the attention is averaged over."""

Report = dict[str, Any]


def measure(speaker: Speaker, scenes: Sequence[Scene], out: Path | None = None) -> Report:
    """Measure everything.

    Parameters
    ----------
    speaker
        The checkpoint.
    scenes
        What it is shown, two or more.
    out
        Folder for the captions and answers, in the formats that `farsight score` reads.
    """
    pictures = speaker.look(scenes)
    exchanged = pictures.roll(-1, 0)
    free = [PROMPT] * len(scenes)
    counted = [counted_prompt(len(scene.things)) for scene in scenes]
    report: Report = {}
    told: dict[str, list[Answer]] = {}
    for name, shown, prompts in (
        ("captions", pictures, free),
        ("captions_counted", pictures, counted),
        ("captions_exchanged", exchanged, free),
    ):
        told[name] = speaker.answer(shown, prompts)
        report[name] = caption_report(told[name], scenes)
    for kind in KINDS:
        report[f"pope_{kind}"], rows = presence_report(speaker, pictures, scenes, kind)
        if out:
            _lines(out / f"answers_pope_{kind}.jsonl", rows)
    report["pope_exchanged"], _ = presence_report(speaker, exchanged, scenes, "random")
    few = slice(ATTENDED)
    shares = speaker.attention(pictures[few], free[few], told["captions"][few])
    report["attention_first_token"], report["attention_picture"] = (
        [round(100 * share, 1) for share in column] for column in shares.T.tolist()
    )
    if out:
        for name in ("captions", "captions_counted"):
            texts = [answer.text for answer in told[name]]
            rows = [{"image_id": s.image_id, "caption": text} for s, text in zip(scenes, texts, strict=True)]
            _lines(out / f"{name}.jsonl", rows)
    return report


def caption_report(answers: Sequence[Answer], scenes: Sequence[Scene]) -> Report:
    """All scores of captions, and the share that names the right place."""
    texts = [answer.text for answer in answers]
    snowball = score_snowball(texts, scenes)
    places = [[name for name in PLACES if name in text.split(".")[0]] for text in texts]
    right = sum(named == [scene.place] for named, scene in zip(places, scenes, strict=True))
    scores = asdict(score_captions(texts, scenes, [(answer.tokens, answer.ended) for answer in answers]))
    place = {"place": percent(right, len(texts))} if any(places) else {}
    return scores | place | {"snowball": asdict(snowball) if snowball else None}


def presence_report(
    speaker: Speaker, pictures: Tensor, scenes: Sequence[Scene], kind: Kind
) -> tuple[Report, list[dict[str, object]]]:
    """Scores of the answers to one kind of questions, and the answers, a row each."""
    asked = [question for scene in scenes for question in write_questions(scene, kind)]
    each = len(asked) // len(scenes)
    shown = pictures.repeat_interleave(each, 0)
    answers = speaker.answer(shown, [question.text for question in asked], tokens=4, batch=128)
    said = [answer.text.lower().startswith("yes") for answer in answers]
    rows = [row | {"answer": answer.text} for row, answer in zip(pope_rows(scenes, kind), answers, strict=True)]
    return asdict(score_presence(said, [question.there for question in asked])), rows


def _lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fresh.replace(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint on the small world.")
    parser.add_argument("--model", type=Path, default=checkpoint_path(), help="folder (default: the embedded model)")
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--count", type=int, default=200, help="number of scenes, 2 or more (default 200)")
    parser.add_argument("--first", type=int, default=0, help="index of the first scene (default 0)")
    parser.add_argument("--out", type=Path, help="folder for captions.jsonl, answers_pope_*.jsonl and report.json")
    options = parser.parse_args()
    if options.count < 2 or options.first < 0:
        parser.error("--count must be 2 or more, --first 0 or more")
    logging.disable_progress_bar()
    try:
        if not (options.model / "config.json").exists():
            raise InputError(f"{options.model} holds no checkpoint: name the folder with its config.json")
        scenes = [sample_scene(options.split, options.first + index) for index in range(options.count)]
        report = measure(Speaker(options.model), scenes, options.out)
    except FarSightError as error:
        sys.exit(f"error: {error}")
    if options.out:
        _lines(options.out / "report.json", [report])
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
