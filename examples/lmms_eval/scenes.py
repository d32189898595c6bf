"""The drawn scenes as tasks of lmms-eval, scored by farsight's own metrics.

They read the folder ``scenes`` of the folder that lmms-eval is started in: ``farsight scenes draw --out scenes``.
"""

from pathlib import Path
from typing import Any

from PIL import Image

from farsight.images import open_image
from farsight.metrics import chair, pope
from farsight.metrics.vocabulary import read_vocabulary
from farsight_scenes import vocabulary_path
from farsight_scenes.language import DESCRIBE

SCENES = Path("scenes")
SILENT = "..."
"""What an empty caption is scored as: it names nothing."""


def picture(doc: dict[str, Any]) -> list[Image.Image]:
    return [open_image(SCENES / doc.get("file_name", doc.get("image")))]


def free_prompt(doc: dict[str, Any]) -> str:
    return DESCRIBE[0]


def true_objects(doc: dict[str, Any]) -> str:
    return ", ".join(doc["objects"])


def caption_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    row = {"image_id": doc["image_id"], "caption": results[0].strip() or SILENT, "objects": doc["objects"]}
    return {"chair_s": row, "chair_i": row}


def chair_s(rows: list[dict[str, Any]]) -> float:
    return _chair(rows).chair_s


def chair_i(rows: list[dict[str, Any]]) -> float:
    return _chair(rows).chair_i


def _chair(rows: list[dict[str, Any]]) -> chair.ChairScore:
    captions = [{"image_id": row["image_id"], "caption": row["caption"]} for row in rows]
    objects = {row["image_id"]: row["objects"] for row in rows}
    return chair.score(captions, objects, vocabulary=read_vocabulary(vocabulary_path()))


def answer_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    question = {name: doc[name] for name in ("question_id", "image", "text", "label")}
    return {"accuracy": {"question": question, "answer": results[0]}}


def accuracy(rows: list[dict[str, Any]]) -> float:
    answers = [{"question_id": row["question"]["question_id"], "answer": row["answer"]} for row in rows]
    return pope.score(answers, [row["question"] for row in rows]).accuracy
