"""The task ``snowball``: a question about a picture alone, and again after a description that is wrong in it.

Zhong et al., ACL 2024, arXiv 2407.00569 (MMHalSnowball): its files of conversations are read as they are. From
any file of objects the task makes such conversations itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.errors import InputError, SettingError
from farsight.evaluate.fingerprints import fingerprint, fingerprints
from farsight.evaluate.named_tasks import NamedTask, TaskOptions
from farsight.evaluate.tasks import DESCRIBE, QUESTION_TOKENS, Item, Task
from farsight.files import read_json, reading, short_names
from farsight.images import find_images
from farsight.metrics.captions import read_objects
from farsight.metrics.pope.questions import VOWELS, make_questions, question
from farsight.metrics.records import BadRecordError, Reader, Row
from farsight.metrics.vocabulary import read_vocabulary

REMEDY = "give a file utterance_*.json of the MMHalSnowball repository, or one of that form"
MADE = ("hallucinated", "true")
"""What is said of the picture before the question, where the task makes it: what is wrong, and, as a control, what is
right."""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """One question of a file, with what was said before."""

    image: str
    answer: str
    modified_answer: str
    turns: tuple[str, ...]
    """By user and assistant in turn; the last one asks."""


def read_talks(path: Path) -> dict[str, Talk]:
    """Read a file of conversations in MMHalSnowball's form: by sample, both answers and the turns.

    Raises
    ------
    InputError
        If it is none; the message names the sample.
    """
    data = read_json(path, REMEDY)
    if not (isinstance(data, dict) and data):
        raise InputError(f"{path}: is not a JSON object of conversations; {REMEDY}")
    talks = {}
    for sample, entry in data.items():
        with reading(f"{path}: sample {sample}", "a conversation", REMEDY):
            talks[sample] = _talk(_row(entry))
    return talks


def _row(entry: Any) -> Row:
    if not isinstance(entry, dict):
        raise BadRecordError("it is not a JSON object")
    return Row("", entry)


def _talk(row: Row) -> Talk:
    turns = [_row(turn) for turn in row.fields["context_list"]]
    pictures = [turn.text("content") for turn in turns if turn.text("type") == "image"]
    texts = [turn for turn in turns if turn.text("type") == "text"]
    roles = [turn.text("role") for turn in texts]
    if len(pictures) != 1 or len(texts) + 1 != len(turns):
        raise BadRecordError("context_list has not exactly one image, and texts")
    if not texts or roles != [("user", "agent")[place % 2] for place in range(len(texts))] or len(texts) % 2 == 0:
        raise BadRecordError("in context_list user and agent do not speak in turn, with the user first and last")
    return Talk(
        image=pictures[0],
        answer=row.text("answer"),
        modified_answer=row.text("modified_answer"),
        turns=tuple(turn.text("content") for turn in texts),
    )


def make_talks(objects: Mapping[str, frozenset[str]]) -> dict[str, dict[str, Talk]]:
    """Make conversations of what is in pictures, by setting: "clean" and `MADE`.

    The questions are those of POPE's adversarial set, one with Yes and one with No for an answer about each picture.
    Before them the assistant has named the picture's objects: rightly, or with the object that is asked about added
    where it is not there, and denied where it is.
    """
    found: dict[str, dict[str, Talk]] = {setting: {} for setting in ("clean", *MADE)}
    rows = [{"image_id": image, "objects": sorted(names)} for image, names in objects.items()]
    for pair in make_questions(rows, per_image=1).pairs["adversarial"]:
        there = sorted(objects[pair.image_id])
        others = [name for name in there if name != pair.present]
        lies = {"yes": _told(others, denied=pair.present), "no": _told([*there, pair.absent])}
        for answer, modified, name in (("yes", "no", pair.present), ("no", "yes", pair.absent)):
            said = {"clean": (), "hallucinated": (DESCRIBE, lies[answer]), "true": (DESCRIBE, _told(there))}
            for setting, earlier in said.items():
                found[setting][f"{pair.image_id}/{answer}"] = Talk(
                    image=pair.image_id, answer=answer, modified_answer=modified, turns=(*earlier, question(name))
                )
    return found


def _told(names: Sequence[str], *, denied: str | None = None) -> str:
    """Say what is in a picture."""
    listed = [f"{'an' if name[0].lower() in VOWELS else 'a'} {name}" for name in names]
    *first, last = listed or ["nothing else"]
    said = f"In the image there is {', '.join(first)}{' and ' if first else ''}{last}."
    return said if denied is None else f"{said} There is no {denied}."


def talk_items(
    part: str, clean: Mapping[str, Talk], told: Mapping[str, Talk], paths: Mapping[str, Path], tokens: int
) -> Iterator[Item]:
    """Ask each question of both, alone and after what was said.

    Raises
    ------
    InputError
        If a question of one has no conversation before it in the other, or the two differ in what is asked.
    """
    for sample, talk in clean.items():
        later = told.get(sample)
        if later is None:
            raise InputError(f"{part}: has no sample {sample}, which the first file has; take both from one version")
        if len(talk.turns) != 1 or len(later.turns) == 1:
            raise InputError(
                f"{part}: sample {sample} must be a question alone in the first file and a conversation in the others"
            )
        if (talk.image, talk.answer, talk.turns[-1]) != (later.image, later.answer, later.turns[-1]):
            raise InputError(f"{part}: sample {sample} asks something else than in the first file")
        for name, one in (("clean", talk), ("told", later)):
            yield Item(
                item_id=f"{part}/{name}/{sample}",
                part=part,
                kind="snowball",
                image_id=one.image,
                path=paths[one.image],
                prompt=one.turns[-1],
                earlier=one.turns[:-1],
                max_new_tokens=tokens,
                medium="talk",
                truth={"sample": sample, "answer": one.answer, "modified_answer": one.modified_answer},
            )


def _check(options: TaskOptions) -> None:
    if bool(options.questions) == bool(options.objects):
        raise SettingError(
            "task 'snowball' needs --objects, to make conversations of, or --questions twice or more: a file of "
            "questions alone (cleanconv), then files of conversations (halluconv)"
        )
    if len(options.questions) == 1:
        raise SettingError("task 'snowball' needs a second --questions: a file of conversations (halluconv)")
    if options.questions and options.synonyms:
        raise SettingError("--synonyms is of no use with --questions: leave it out")


def _make(name: str, options: TaskOptions, folder: Path) -> Task:
    assert options.images is not None
    paths = find_images(options.images)
    vocabulary = read_vocabulary(options.synonyms)
    if options.questions:
        names = short_names(options.questions)
        settings = dict(zip(names, map(read_talks, options.questions), strict=True))
        sources = {"questions": fingerprints(options.questions)}
    else:
        objects = read_objects(list(options.objects), vocabulary, Reader())
        settings = make_talks({image: names for image, names in objects.items() if image in paths})
        sources = {"objects": fingerprints(options.objects)}
        if options.synonyms is not None:
            sources |= {"synonyms": {"file": fingerprint(options.synonyms)}}
    (_, clean), *others = settings.items()
    pictures = list(dict.fromkeys(talk.image for talk in clean.values()))
    chosen = set([image for image in pictures if image in paths][: options.count])
    if not chosen:
        raise InputError(f"{options.images}: has none of the {len(pictures)} pictures that are asked about")
    asked = {sample: talk for sample, talk in clean.items() if talk.image in chosen}
    tokens = options.max_new_tokens or QUESTION_TOKENS
    return Task(
        name=name,
        items=tuple(item for part, told in others for item in talk_items(part, asked, told, paths, tokens)),
        vocabulary=vocabulary,
        sources=options.asked | sources,
        missing=tuple(image for image in pictures if image not in paths),
    )


SNOWBALL = NamedTask(
    make=_make,
    uses=("images", "objects", "questions", "synonyms", "max_new_tokens", "count"),
    needs=("images",),
    check=_check,
    medium="talk",
)
