"""``farsight diagnose``: what a model attends to while it answers, as a page with figures."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farsight.cli import options
from farsight.cli.terminal import say, under_way
from farsight.errors import SettingError

if TYPE_CHECKING:
    from farsight.diagnose.layout import Visual


def diagnose(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page, figures and arrays go.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE", help="Pictures, or '*.jpg'; a folder is the frames of a video. Without one, text."
        ),
    ] = None,
    model: options.Model = options.EMBEDDED,
    prompt: options.OwnPrompt = None,
    max_new_tokens: options.MaxNewTokens = 128,
    methods: options.Methods = None,
    objects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is in the picture, rows of image_id and objects: marks what is not."),
    ] = None,
    synonyms: Annotated[
        str | None, typer.Option(metavar="FILE", help="A vocabulary of objects; 'scenes' for the drawn ones.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Look at this answer, not at what each method would say.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    json: options.Json = False,
) -> None:
    """See why: attention collapse, positional decay, registers at work, where each word looks.

    Plain decoding stands in front of the methods, which are farsight if none are given. Several pictures have a folder
    each in DIR.

    Examples: farsight diagnose photo.jpg --method farsight --out diagnosis

    farsight diagnose examples/park.png --objects examples/objects.jsonl --synonyms scenes --out diagnosis

    farsight diagnose --model smollm2 --prompt "What is in a kitchen?" --out diagnosis

    Without a picture, what counts is the attention on the prompt behind its first token.
    """
    from farsight.cli.explain import vocabulary_for
    from farsight.cli.truth import read_truth
    from farsight.diagnose import diagnose as look
    from farsight.diagnose.page import summary
    from farsight.diagnose.report import write_report
    from farsight.files import make_folder, short_names
    from farsight.images import matching
    from farsight.method import Plain
    from farsight.methods.grammar import label_of, parse_methods

    given = parse_methods(",".join(methods or ["farsight"]))
    chosen = {label_of(Plain()): Plain()} | {label: one for label, one in given.items() if one != Plain()}
    paths = matching(images or ())
    if not paths and objects is not None:
        raise SettingError("--objects says what is in a picture, and none is given: give one, or leave --objects out")
    for path in paths:  # before a model is loaded, which may take long
        _seen(path)
    if len({path.is_dir() for path in paths}) > 1:
        raise SettingError("pictures and videos are of different models: diagnose them one after the other")
    truth = None if objects is None else read_truth(objects, synonyms)
    if truth is not None:
        truth.check(paths)
    vocabulary = vocabulary_for(model, synonyms) if truth is None else truth.vocabulary
    names = short_names(paths) if len(paths) > 1 else ["."]
    for name in names:
        make_folder(out / name)
    with under_way(f"loading {model}"):
        loaded = options.load(model, device, dtype, attn_implementation, videos=any(path.is_dir() for path in paths))
    options.note_photographs(model, paths)
    written = {}
    shown: list[Path | None] = [*paths] if paths else [None]
    for name, picture in zip(names, shown, strict=True):
        place = out / name
        asked = options.prompt_for(prompt, picture)
        with under_way(f"asking {model}" if picture is None else f"asking {model} about {picture}"):
            found = look(
                loaded,
                None if picture is None else _seen(picture),
                asked,
                chosen,
                max_new_tokens=max_new_tokens,
                answer=answer,
            )
        written[name] = write_report(
            found,
            place,
            title=f"{'text' if picture is None else picture.name}: {model}",
            footer=f"farsight diagnose, model {model}, prompt '{asked}', greedy, at most {max_new_tokens} tokens.",
            vocabulary=vocabulary,
            present=None if truth is None or picture is None else truth.present(picture),
        )
        if not json:
            say("\n".join([*([f"{picture}:"] if len(paths) > 1 else []), *summary(found)]))
            say(f"wrote {place / 'report.html'}, figures as PNG and PDF, arrays as .npz, diagnosis.json")
    if json:
        record = written if len(names) > 1 else written["."]
        say(json_format.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))


def _seen(path: Path) -> Visual:
    from farsight.images import open_frames, open_image

    return open_frames(path) if path.is_dir() else open_image(path)
