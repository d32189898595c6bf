"""What each method's batches took, kept beside the answers: time over that of the first method, in the same run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from farsight.evaluate.engine import Answer, Said
from farsight.files import json_lines, opened

TIMES = "times.jsonl"
"""In a run folder: a row for each batch that this machine answered, one at a time."""


def keep_time(folder: Path, label: str, said: Said) -> None:
    """Add the row of a batch, if it was timed. A time that cannot be written is no reason to end a run."""
    answers = [one for one in said if isinstance(one, Answer) and one.seconds is not None]
    if not answers:
        return
    tokens, seconds = sum(one.tokens for one in answers), sum(one.seconds or 0.0 for one in answers)
    row = json.dumps({"method": label, "tokens": tokens, "seconds": round(seconds, 6)}, ensure_ascii=False)
    with suppress(OSError), (folder / TIMES).open("a", encoding="utf-8") as file:
        file.write(f"{row}\n")


def seconds_per_token(folder: Path, methods: Sequence[str]) -> dict[str, float]:
    """Read what a token of each method took, of those that were timed; torn rows are left out."""
    path = folder / TIMES
    if not path.is_file():
        return {}
    tokens, seconds = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0.0)
    with opened(path) as file:
        for _, line in json_lines(file):
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if row["method"] in tokens:
                    tokens[row["method"]] += int(row["tokens"])
                    seconds[row["method"]] += float(row["seconds"])
    return {label: seconds[label] / tokens[label] for label in methods if tokens[label]}


def over_first(per_token: Mapping[str, float], methods: Sequence[str]) -> dict[str, float]:
    """Give the time of each method over that of the first; empty if not all were timed."""
    if any(label not in per_token for label in methods):
        return {}
    return {label: per_token[label] / per_token[methods[0]] for label in methods}
