"""Make POPE's questions from any list of objects in pictures.

Li et al., "Evaluating Object Hallucination in Large Vision-Language Models", EMNLP 2023, section 4.1: each picture is
asked about objects that are there and, in turn, as many that are not. What is not there is drawn evenly (random), is
what the collection has most (popular), or what it has most next to the object just asked about (adversarial).

Other than in the authors' script, the objects asked about are drawn, not the first of the list; they are the same in
all three sets; and the outcome depends on the seed and the data only, not on the order of rows or names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from farsight.errors import InputError, SettingError
from farsight.metrics.captions import IMAGE_KEYS
from farsight.metrics.pope.answers import NO, YES
from farsight.metrics.pope.image_names import image_namer
from farsight.metrics.records import BadRecordError, Reader, Row, Source

KINDS = ("random", "popular", "adversarial")
VOWELS = "aeiou"


class Pair(NamedTuple):
    """Two questions about a picture: an object that is there and one that is not."""

    image_id: str
    present: str
    absent: str


@dataclass(frozen=True, kw_only=True)
class QuestionSets:
    """Three sets of questions about the same pictures and the same present objects."""

    pairs: Mapping[str, tuple[Pair, ...]]
    """For each of `KINDS`, the questions in order."""
    per_image: int
    """Pairs that a picture should have."""
    nothing_to_ask: tuple[str, ...]
    """Pictures without a question: no object is in them, or all objects of the collection are."""
    skipped: tuple[str, ...] = ()
    """Why records were left out, one message each."""
    name: Callable[[str], str] = str
    """File name of a picture."""

    @property
    def images(self) -> int:
        """Pictures that are asked about."""
        return len(self._asked)

    @property
    def images_with_fewer(self) -> int:
        """Pictures with questions, but fewer than ``per_image`` pairs: too few objects are, or are not, in them."""
        return sum(count < self.per_image for count in self._asked.values())

    @property
    def questions(self) -> int:
        """Questions of each set, half of them with the answer yes."""
        return 2 * sum(self._asked.values())

    @property
    def _asked(self) -> Counter[str]:
        return Counter(pair.image_id for pair in self.pairs[KINDS[0]])

    def record(self) -> dict[str, Any]:
        """Give the counts for a JSON file."""
        return {
            "images": self.images,
            "questions": self.questions,
            "per_image": self.per_image,
            "images_with_fewer": self.images_with_fewer,
            "images_with_nothing_to_ask": len(self.nothing_to_ask),
            "skipped": len(self.skipped),
        }

    def rows(self, kind: str) -> Iterator[dict[str, Any]]:
        """Give the questions of a kind as POPE's files have them: ``question_id`` from 1, positive and negative."""
        asked = ((pair, label) for pair in self.pairs[kind] for label in (YES, NO))
        for question_id, (pair, label) in enumerate(asked, start=1):
            yield {
                "question_id": question_id,
                "image": self.name(pair.image_id),
                "text": question(pair.present if label == YES else pair.absent),
                "label": label,
            }


def make_questions(
    objects: Source | Mapping[str | int, Iterable[str]],
    *,
    per_image: int = 3,
    seed: int = 0,
    image_template: str = "{}",
    skip_bad: bool = False,
) -> QuestionSets:
    """Make the three sets of questions.

    A picture gets as many pairs as it has objects, up to ``per_image``, and no more than there are objects that it
    lacks; no object is asked about twice in a picture and a set.

    Parameters
    ----------
    objects
        A file of JSON Lines (``image_id`` or ``image``, and ``objects``: a list of any names), such records, or a
        mapping from image to names. A picture may have several records: their objects are put together.
    per_image
        Pairs of questions about a picture.
    seed
        The same seed gives the same questions, in whatever order the records are.
    image_template
        Makes a file name of an image's identifier, such as ``COCO_val2014_{:012d}.jpg`` (see `image_namer`).
    skip_bad
        Leave out bad records and list them in ``skipped``, instead of raising at the first one.

    Raises
    ------
    SettingError
        If ``per_image`` is less than 1, or the template is none or does not fit an identifier.
    InputError
        On bad input, with file, line and remedy; if nothing can be asked about any picture.
    """
    if per_image < 1:
        raise SettingError(f"per_image must be at least 1 pair of questions, got {per_image}")
    name = image_namer(image_template)
    reader = Reader(skip_bad=skip_bad)
    present = _read_objects(objects, reader)
    collection = _Collection(present.values())
    pairs: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    nothing_to_ask = []
    for image_id in sorted(present, key=_by_number):
        name(image_id)  # an identifier that does not fit is an error now, not when half a file is written
        there = present[image_id]
        count = min(per_image, len(there), len(collection.names) - len(there))
        if not count:
            nothing_to_ask.append(image_id)
            continue
        asked = _random(seed, "present", image_id).sample(sorted(there), count)
        for kind in KINDS:
            missing = collection.absent(kind, asked, there, _random(seed, kind, image_id))
            pairs[kind] += [Pair(image_id, *pair) for pair in zip(asked, missing, strict=True)]
    if len(nothing_to_ask) == len(present):
        raise InputError(
            f"nothing can be asked about any of the {len(present)} images: each has none or all of the "
            f"{len(collection.names)} objects of the collection; give more images with different objects"
        )
    return QuestionSets(
        pairs={kind: tuple(found) for kind, found in pairs.items()},
        per_image=per_image,
        nothing_to_ask=tuple(nothing_to_ask),
        skipped=tuple(reader.skipped),
        name=name,
    )


def question(name: str) -> str:
    """Ask whether an object is in the picture; "an" goes before the letters a, e, i, o, u, as in POPE's own files."""
    return f"Is there {'an' if name[0].lower() in VOWELS else 'a'} {name} in the image?"


class _Collection:
    """How often objects are in a picture, and together in one. Ties go by frequency, then by name."""

    def __init__(self, pictures: Iterable[frozenset[str]]) -> None:
        count: Counter[str] = Counter()
        together: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for picture in pictures:
            count.update(picture)
            for one in picture:
                together[one].update(picture - {one})
        self.names = sorted(count)
        self.popular = sorted(count, key=lambda name: (-count[name], name))
        self.companions = {
            one: sorted(others, key=lambda name: (-others[name], -count[name], name))
            for one, others in together.items()
        }

    def absent(self, kind: str, asked: list[str], there: frozenset[str], random: Random) -> list[str]:
        """Choose an object that is not there for each that is asked about, all different."""
        left = [name for name in self.names if name not in there]
        if kind == "random":
            return random.sample(left, len(asked))
        chosen: list[str] = []
        for one in asked:
            ranked = self.popular if kind == "popular" else self.companions[one]
            found = next((name for name in ranked if name not in there and name not in chosen), None)
            if found is None:
                found = random.choice([name for name in left if name not in chosen])
            chosen.append(found)
        return chosen


def _read_objects(source: Source | Mapping[str | int, Iterable[str]], reader: Reader) -> dict[str, frozenset[str]]:
    if isinstance(source, Mapping):
        source = [{"image_id": image_id, "objects": list(names)} for image_id, names in source.items()]

    def parse(row: Row) -> tuple[str, frozenset[str]]:
        image_id = row.identifier(*IMAGE_KEYS)
        names = [" ".join(name.split()) for name in row.names("objects")]
        if "" in names:
            raise BadRecordError(f"image {image_id} has an object without a name")
        return image_id, frozenset(names)

    found: dict[str, frozenset[str]] = {}
    for image_id, names in reader.read(source, parse):
        found[image_id] = found.get(image_id, frozenset()) | names
    reader.some(list(found), source, "image")
    return found


def _random(seed: int, what: str, image_id: str) -> Random:
    """Draw for each picture on its own: its questions do not depend on the pictures before it."""
    return Random(f"{seed} {what} {image_id}".encode(errors="surrogatepass"))


def _by_number(image_id: str) -> tuple[bool, int, str, str]:
    """Sort identifiers that are numbers as numbers, and before all others."""
    number = image_id.lstrip("0") if image_id.isascii() and image_id.isdecimal() else None
    return number is None, len(number or ""), number or "", image_id
