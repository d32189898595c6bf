"""MMHal-Bench (Sun et al., 2023): 96 questions whose answers GPT-4 judges.

The answers are written in the benchmark's own format, ``response_template.json`` filled in, for its own script:
``python eval_gpt4.py --response mmhal_responses.json``. It gives the score (0 to 6) and the hallucination rate.
Its pictures lie in ``mmhal/images`` under the names that their addresses end with.
"""

import json
from pathlib import Path
from typing import Any

from lmms_eval.tasks._task_utils.file_utils import generate_submission_file
from PIL import Image

from farsight.images import open_image

IMAGES = Path("mmhal", "images")


def picture(doc: dict[str, Any]) -> list[Image.Image]:
    return [open_image(IMAGES / doc["image_src"].rpartition("/")[2])]


def results(doc: dict[str, Any], said: list[str]) -> dict[str, Any]:
    return {"answered": {**doc, "model_answer": said[0].strip()}}


def answered(rows: list[dict[str, Any]], args: Any) -> float:
    """Write the answers for the judge; the figure is the share of questions that got one."""
    Path(generate_submission_file("mmhal_responses.json", args)).write_text(json.dumps(rows, indent=2))
    return sum(bool(row["model_answer"]) for row in rows) / len(rows)
