"""MSVD-QA and MSRVTT-QA (Xu et al., ACM MM 2017), with the files that their authors released.

``exact_match`` is the share of answers that are the right word. The published figures are GPT-3.5's judgement, as in
Video-ChatGPT: for its script the answers are also written as ``id``, ``question``, ``answer`` and ``pred``.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from lmms_eval.tasks._task_utils.file_utils import generate_submission_file

from farsight.evaluate.exact import words

MSVD, MSRVTT = Path("msvd"), Path("msrvtt")


def msvd_video(doc: dict[str, Any]) -> list[str]:
    return [_existing(MSVD / "YouTubeClips" / f"{_clips()[doc['video_id']]}.avi")]


def msrvtt_video(doc: dict[str, Any]) -> list[str]:
    return [_existing(MSRVTT / "TestVideo" / f"video{doc['video_id']}.mp4")]


def question(doc: dict[str, Any]) -> str:
    return doc["question"].strip().capitalize().rstrip("? ") + "?"


def results(doc: dict[str, Any], said: list[str]) -> dict[str, Any]:
    row = {"id": doc["id"], "question": doc["question"], "answer": doc["answer"], "pred": said[0].strip()}
    return {"exact_match": row}


def msvd_exact_match(rows: list[dict[str, Any]], args: Any) -> float:
    return _exact_match(rows, args, "msvd_qa.jsonl")


def msrvtt_exact_match(rows: list[dict[str, Any]], args: Any) -> float:
    return _exact_match(rows, args, "msrvtt_qa.jsonl")


def _exact_match(rows: list[dict[str, Any]], args: Any, name: str) -> float:
    Path(generate_submission_file(name, args)).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sum(words(row["pred"]) == words(row["answer"]) for row in rows) / len(rows)


def _existing(path: Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; docs/reproduce.md says where videos go")
    return str(path)


@cache
def _clips() -> dict[int, str]:
    """Clip of each number, from lines such as ``-4wsuPCjDBc_5_15 vid1``."""
    lines = (MSVD / "youtube_mapping.txt").read_text().split("\n")
    pairs = [line.split() for line in lines if line.strip()]
    return {int(number.removeprefix("vid")): clip for clip, number in pairs}
