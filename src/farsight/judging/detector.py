"""What is in pictures by an open-vocabulary detector of Transformers: a silver judge, whose errors are shown beside it.

An object is there if the detector's best score for "a photo of a ..." is above a threshold. The threshold is chosen on
pictures of which the truth is known, and the error rates that come with it are of pictures that it was not chosen on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from filelock import FileLock
from scipy import stats

from farsight.errors import InputError
from farsight.files import MOST_BYTES, decode_json, read_bytes, reading
from farsight.images import open_image
from farsight.judging.truth import Located
from farsight.metrics.paired import CONFIDENCE
from farsight.metrics.vocabulary import Mention

if TYPE_CHECKING:
    from farsight.inputs.detectors import Detector

NAME = "scores.jsonl"
LEAST = 5
"""Of objects that are there, and of objects that are not, without which no threshold is chosen."""


class Example(NamedTuple):
    """An object of which it is known whether it is in a picture."""

    image_id: str
    object: str
    there: bool


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often a detector is wrong, with Wilson's 95 % interval."""

    wrong: int
    of: int

    @property
    def value(self) -> float:
        """The share."""
        return self.wrong / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """From and to."""
        found = stats.binomtest(self.wrong, self.of).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {self.of}"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Where a detector's threshold is, and how often it is wrong on pictures that the threshold was not chosen on."""

    threshold: float
    false_there: Rate
    """Of what is not there, how much it says is there"""
    false_not_there: Rate
    """Of what is there, how much it says is not there"""

    @property
    def sentence(self) -> str:
        """What stands beside every figure that rests on the detector."""
        return (
            f"it says there of what is not {self.false_there}, and not there of what is {self.false_not_there}; "
            f"threshold {self.threshold:.3g}"
        )

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        rates = {"false_there": self.false_there, "false_not_there": self.false_not_there}
        return {"threshold": self.threshold} | {
            name: {"wrong": rate.wrong, "of": rate.of, "rate": rate.value, "interval": list(rate.interval)}
            for name, rate in rates.items()
        }


def check(examples: Sequence[Example]) -> None:
    """See that enough is known to choose a threshold by.

    Raises
    ------
    InputError
        If fewer than `LEAST` objects are there, or are not, or all are in one picture.
    """
    there, pictures = sum(one.there for one in examples), len({one.image_id for one in examples})
    absent = len(examples) - there
    if there < LEAST or absent < LEAST or pictures < 2:
        raise InputError(
            f"a threshold is chosen on at least {LEAST} objects that are there and {LEAST} that are not, in "
            f"two pictures or more; known are {there} and {absent}, in {pictures}: judge more"
        )


def calibrate(examples: Sequence[Example], scores: Sequence[float]) -> Calibration:
    """Choose the threshold with the fewest errors, those of either kind counted as shares of their own.

    An example is judged for the error rates by the threshold that the examples of all other pictures give.

    Raises
    ------
    InputError
        As `check`.
    """
    check(examples)
    there = np.array([one.there for one in examples], dtype=bool)
    pictures = np.array([one.image_id for one in examples])
    values = np.array(scores, dtype=float)
    said = np.zeros(len(values), dtype=bool)
    for picture in set(pictures):
        own = pictures == picture
        said[own] = values[own] > _threshold(values[~own], there[~own])
    return Calibration(
        threshold=_threshold(values, there),
        false_there=Rate(wrong=int((said & ~there).sum()), of=int((~there).sum())),
        false_not_there=Rate(wrong=int((~said & there).sum()), of=int(there.sum())),
    )


def _threshold(scores: np.ndarray[Any, np.dtype[Any]], there: np.ndarray[Any, np.dtype[Any]]) -> float:
    """Give the middle between two scores, or one beyond them all, at which the shares of errors add up to the least."""
    levels = np.unique(scores)
    middles = np.concatenate(([levels[0] - 1e-6], (levels[1:] + levels[:-1]) / 2, [levels[-1] + 1e-6]))
    missed = (scores[there] <= middles[:, None]).sum(1) / max(1, there.sum())
    made_up = (scores[~there] > middles[:, None]).sum(1) / max(1, (~there).sum())
    return float(middles[np.argmin(missed + made_up)])


class Scores:
    """What a detector said, in a file that only grows: each object of each picture is asked once.

    Parameters
    ----------
    path
        Where it is; it need not be there yet.
    detector
        Whose scores are meant; those of others may be in the file too.
    """

    def __init__(self, path: Path, detector: str) -> None:
        self.path, self.detector = path, detector
        self._known: dict[tuple[str, str], float] = {}
        data = read_bytes(path, MOST_BYTES) if path.exists() else b""
        for number, line in enumerate(
            data[: data.rfind(b"\n") + 1].splitlines(), start=1
        ):  # a torn line is asked again
            with reading(f"{path}:{number}", "a score", "delete this line to have it asked again"):
                row = decode_json(line.decode())
                if row["detector"] == detector:
                    self._known[str(row["image_id"]), str(row["object"])] = float(row["score"])

    def get(self, image_id: str, object_: str) -> float | None:
        """Give a score that is known."""
        return self._known.get((image_id, object_))

    def add(self, image_id: str, object_: str, score: float) -> None:
        """Keep a score, behind the last whole line.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        row = {"detector": self.detector, "image_id": image_id, "object": object_, "score": score}
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock")), self.path.open("a+b") as file:
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
                file.write(json.dumps(row).encode() + b"\n")
        except OSError as error:
            raise InputError(f"{self.path}: no score can be written ({error.strerror or error}); make room") from error
        self._known[image_id, object_] = score


@dataclass(frozen=True, kw_only=True)
class Detected:
    """Pictures that a detector looked at, as a `farsight.judging.truth.Truth`. What is known otherwise comes first.

    Parameters
    ----------
    name
        The detector's name.
    images
        The file of each picture, by ``image_id``.
    known
        Where answers name objects, and what people said of them, which may be nothing.
    score
        Of a picture's file and an object: how sure the detector is that it is there.
    scores
        What it has said so far.
    calibration
        Where its threshold is, and how often it is wrong.
    """

    name: str
    images: Mapping[str, Path]
    known: Located
    score: Callable[[Path, str], float]
    scores: Scores
    calibration: Calibration

    @property
    def sentence(self) -> str:
        """What stands beside every figure."""
        return f"objects are judged by {self.name}: {self.calibration.sentence}"

    def located(self, answer: str) -> list[Mention]:
        """Objects that an answer names, and where."""
        return self.known.located(answer)

    def mentions(self, answer: str) -> list[str]:
        """Objects that an answer names, in the order of the text, with repeats."""
        return [mention.object for mention in self.located(answer)]

    def verdict(self, image_id: str, object_: str) -> bool | None:
        """Whether an object is in a picture; None of a picture that is not there."""
        if (said := self.known.verdict(image_id, object_)) is not None:
            return said
        if image_id not in self.images:
            return None
        return _asked(self.scores, self.score, self.images[image_id], image_id, object_) > self.calibration.threshold

    def unsure(self, image_id: str, object_: str) -> bool:
        """Nothing: a score is above the threshold or is not."""
        return False

    def present(self, image_id: str, named: Set[str]) -> Set[str]:
        """What somebody saw, and what is named that the detector or somebody says is there."""
        return self.known.present(image_id, named) | {name for name in named if self.verdict(image_id, name)}


def score_of(name: str, device: str | None = None) -> Callable[[Path, str], float]:
    """Give how sure a detector is that an object is in a picture; it is loaded when it is asked for the first time.

    Parameters
    ----------
    name
        A folder or a name on the hub, such as ``google/owlv2-base-patch16-ensemble``.
    device
        See `farsight.inputs.checkpoints.resolve_device`.
    """

    @cache
    def loaded() -> Detector:
        from farsight.inputs.detectors import load_detector  # which imports PyTorch and Transformers

        return load_detector(name, device=device)

    return lambda path, object_: loaded().score(open_image(path), object_)


def detected(
    name: str,
    images: Mapping[str, Path],
    known: Located,
    examples: Sequence[Example],
    *,
    file: Path,
    score: Callable[[Path, str], float],
) -> Detected:
    """Choose the threshold of a detector on what is known.

    Parameters
    ----------
    name, images, known, score
        See `Detected`.
    examples
        What is known to be there and not there, in some of the pictures.
    file
        Where scores are kept.

    Raises
    ------
    InputError
        If it cannot be loaded or says no numbers, or too little is known to choose a threshold.
    """
    usable = [one for one in examples if one.image_id in images]
    check(usable)
    scores = Scores(file, name)
    said = [_asked(scores, score, images[one.image_id], one.image_id, one.object) for one in usable]
    return Detected(
        name=name,
        images=images,
        known=known,
        score=score,
        scores=scores,
        calibration=calibrate(usable, said),
    )


def _asked(scores: Scores, score: Callable[[Path, str], float], path: Path, image_id: str, object_: str) -> float:
    """Give a score, which is asked for if it is not known."""
    if (known := scores.get(image_id, object_)) is None:
        known = score(path, object_)
        if not np.isfinite(known):
            raise InputError(f"{path}: '{scores.detector}' gives '{object_}' no finite score; get the detector again")
        scores.add(image_id, object_, known)
    return known
