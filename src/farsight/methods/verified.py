"""Describe, check each named object, say it again without what failed: after Woodpecker (Yin et al., 2023).

It is no decoding method: answers become checks, and checks become other answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import nn

from farsight.calibration import Verifier
from farsight.errors import InputError, SettingError, UnsupportedModelError
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.detectors import Detector, load_detector
from farsight.inputs.prompts import picture_inputs
from farsight.method import Composed, Method, Plain, parts
from farsight.methods.own_tokenizer import word_tokens
from farsight.methods.said_again import without
from farsight.metrics.pope.questions import question
from farsight.metrics.vocabulary import Vocabulary
from farsight.metrics.words import words
from farsight.setting_checks import Check, check_number, setting

SELF = "self"
EVEN, OWL = 0.0, 0.1
"""Thresholds where nothing was calibrated: "Yes" as likely as "No", and Transformers' own for OWL-ViT and OWLv2."""
PICTURES_ALONE = (
    "verified looks for objects in a picture, and there is none here: leave it out, or describe a picture with it"
)
NO_DECODING = (
    "verified is no decoding method: it checks a finished answer against its picture and says it again, and a model's "
    "generate has neither that text nor that picture. It runs in farsight describe, tune and eval (engines local and "
    "ray), and in Python as farsight.description.generate"
)
_check_name = Check("a name or a folder", lambda value: isinstance(value, str) and value.strip() != "")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What became of an answer, and what that took."""

    text: str
    """What passed; nothing if all failed."""
    draft: str
    """What the model had said."""
    scores: dict[str, float]
    """Of each object that was checked, in the order in which they are named."""
    failed: tuple[str, ...]
    """Those at or below the threshold."""
    seconds: float
    """That the checks took."""

    def record(self) -> dict[str, Any]:
        """Give what a row of answers keeps; times are in ``times.jsonl``."""
        scores = {name: round(score, 4) for name, score in self.scores.items()}
        return {"draft": self.draft, "scores": scores, "failed": list(self.failed)}


@dataclass(frozen=True, kw_only=True)
class Verified(Method):
    """Check what a description names, and say it again without what is not there.

    Woodpecker's five steps with the least machinery: objects are found by a vocabulary, each is one question, and the
    description is said again by leaving out the sentences and clauses that name what failed (`said_again.without`).

    No token is decoded in another way. Beside others (``farsight+verified``) they decode, this checks what they say.

    Parameters
    ----------
    verifier
        Who is asked: ``self``, the model itself ("Is there a dog in the image?", the log-odds of Yes over No as its
        next word), or an open-vocabulary detector of Transformers, a folder or a name such as
        ``google/owlv2-base-patch16-ensemble`` (its best score for "a photo of a dog", from 0 to 1).
    threshold
        An object at or below it failed. None is 0 for the model itself and 0.1 for a detector, calibrated on nothing;
        ``farsight calibrate --for verified`` measures one.

    Raises
    ------
    SettingError
        If a value has no meaning; if "Yes" or "No" is no single token of the model that is to ask itself.
    """

    name: ClassVar[str] = "verified"
    paper: ClassVar[str] = "no decoding method; after Woodpecker, Yin et al., 2023, arXiv 2310.16045"
    changes: ClassVar[str] = "answer"
    extra_forwards: ClassVar[float] = 0.05  # one for each object, of which a caption names one in about 20 tokens

    verifier: str = setting(SELF, _check_name)
    threshold: float | None = setting(None, Check("None", lambda value: value is None) | check_number)

    @classmethod
    def load(cls, path: str | Path) -> Verified:
        """Take what ``farsight calibrate --for verified`` measured.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        found = Verifier.read(path)
        return cls(verifier=found.verifier, threshold=found.threshold)

    def applied(self, model: nn.Module) -> AbstractContextManager[object]:
        """Refuse: a model alone cannot do it; see `Method`."""
        raise UnsupportedModelError(NO_DECODING)

    @property
    def limit(self) -> float:
        """The threshold that counts."""
        return self.threshold if self.threshold is not None else EVEN if self.verifier == SELF else OWL

    def scores(self, loaded: LoadedModel, picture: Image.Image, objects: Sequence[str], together: int) -> list[float]:
        """Ask the verifier about each object: the higher, the surer that it is there. One of one's own goes here.

        Parameters
        ----------
        loaded
            The model that described the picture.
        picture, objects
            What is asked about.
        together
            Most questions in one batch.
        """
        if self.verifier == SELF:
            return log_odds(loaded, picture, objects, together)
        detector = _detector(self.verifier, str(loaded.device))
        return [detector.score(picture, one) for one in objects]

    def checked(
        self, loaded: LoadedModel, picture: Image.Image, draft: str, vocabulary: Vocabulary, *, together: int = 1
    ) -> Checked:
        """Check what an answer names, and leave out what failed.

        An answer that begins with Yes or No is no description, and stays as it is.

        Parameters
        ----------
        loaded
            The model that gave it.
        picture
            What it is about.
        draft
            The answer.
        vocabulary
            Which words name objects.
        together
            Most questions that are asked in one batch.

        Raises
        ------
        InputError
            If a score is no finite number, or the detector cannot be loaded.
        """
        began, text, known = perf_counter(), draft, dict[str, float]()
        first = next(iter(words(draft)), None)
        asking = first is None or first.text not in ("yes", "no")
        # What left can make a word name an object that it did not name beside it, so what is left is looked at again.
        while asking and (new := [name for name in _named(text, vocabulary) if name not in known]):
            found = dict(zip(new, self.scores(loaded, picture, new, together), strict=True))
            if odd := [name for name, score in found.items() if not isfinite(score)]:
                raise InputError(f"the verifier '{self.verifier}' gives '{odd[0]}' no finite score; get it again")
            known |= found
            text = without(text, [name for name, score in known.items() if score <= self.limit], vocabulary)
        return Checked(
            text=text,
            draft=draft,
            scores=known,
            failed=tuple(name for name, score in known.items() if score <= self.limit),
            seconds=perf_counter() - began,
        )

    def told(self, found: Checked) -> str:
        """Say in a line what was done to an answer, and what it took."""
        of_itself = self.verifier == SELF
        by = "the model itself" if of_itself else self.verifier
        calibrated = "" if self.threshold is not None else ", not calibrated"
        count = len(found.scores)
        if not count:
            return "no decoding: the answer names no object that could be checked, and is as it was"
        took = f"{count} more {'pass' if count == 1 else 'passes'}, {found.seconds:.2f} s"
        out = ", ".join(f"{name} ({found.scores[name]:.2g})" for name in found.failed)
        return (
            f"no decoding: {count} {'object' if count == 1 else 'objects'} checked by {by} in {took}, threshold "
            f"{self.limit:.3g}{calibrated}; {f'left out: {out}' if out else 'all passed'}"
        )


def apart(method: Method) -> tuple[Method, Verified | None]:
    """Give what decodes, and what checks the answers."""
    checks = [part for part in parts(method) if isinstance(part, Verified)]
    rest = tuple(part for part in parts(method) if not isinstance(part, Verified))
    return Composed(methods=rest) if len(rest) > 1 else rest[0] if rest else Plain(), next(iter(checks), None)


def log_odds(loaded: LoadedModel, picture: Image.Image, objects: Sequence[str], together: int) -> list[float]:
    """Ask a model whether each object is in a picture: the log-odds of Yes over No as the next word.

    Each word is all of its forms that are one token, with a small and a capital letter. One forward pass an object.

    Raises
    ------
    SettingError
        If one of the words has no such form.
    """
    model: Any = loaded.model
    yes, no = (_answer(loaded, word) for word in ("Yes", "No"))
    found: list[float] = []
    for start in range(0, len(objects), together):
        asked = [question(name) for name in objects[start : start + together]]
        inputs = picture_inputs(loaded, [picture] * len(asked), asked)
        with torch.inference_mode():
            logits = model.generate(
                **inputs, max_new_tokens=1, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
                output_logits=True, return_dict_in_generate=True,
            ).logits[0].double()  # fmt: skip
        found += (logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1)).tolist()
    return found


def _answer(loaded: LoadedModel, word: str) -> list[int]:
    if not (tokens := word_tokens(loaded.tokenizer, word)):
        raise SettingError(
            f"verified asks '{loaded.name}' itself, of which '{word}' is no single token: pass verifier=DETECTOR"
        )
    return list(tokens)


def _named(text: str, vocabulary: Vocabulary) -> list[str]:
    return list(dict.fromkeys(mention.object for mention in vocabulary.mentions(text)))


@cache
def _detector(name: str, device: str) -> Detector:
    return load_detector(name, device=device)
