"""``farsight diagnose``: what a model attends to while it answers, as a page with figures."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from farsight.cli import options
from farsight.cli.terminal import say, under_way
from farsight.errors import SettingError


def diagnose(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page, figures and arrays go.")],
    image: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGE", help="A picture, or a folder with the frames of a video; else text."),
    ] = None,
    model: options.Model = options.EMBEDDED,
    prompt: options.OwnPrompt = None,
    max_new_tokens: options.MaxNewTokens = 128,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="One option for each, such as farsight(sigma=0.1); plain is added in front.",
        ),
    ] = None,
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
    from farsight.files import make_folder
    from farsight.images import open_frames, open_image
    from farsight.method import Method, Plain
    from farsight.methods.grammar import label_of, parse_method

    chosen: dict[str, Method] = {"plain": Plain()}
    for text in method or ["farsight"]:
        made = parse_method(text)
        chosen.setdefault(label_of(made), made)
    video = image is not None and image.is_dir()
    seen = None if image is None else open_frames(image) if video else open_image(image)
    if image is None and objects is not None:
        raise SettingError("--objects says what is in a picture, and none is given: give one, or leave --objects out")
    truth = None if objects is None else read_truth(objects, synonyms)
    if truth is not None and image is not None:
        truth.check([image])
    vocabulary = vocabulary_for(model, synonyms) if truth is None else truth.vocabulary
    make_folder(out)  # before a model is loaded, which may take long
    with under_way(f"loading {model}"):
        loaded = options.load(model, device, dtype, attn_implementation, videos=video)
    if image is not None:
        options.note_photographs(model, [image])
    asked = options.prompt_for(prompt, seen)
    with under_way(f"asking {model}"):
        found = look(loaded, seen, asked, chosen, max_new_tokens=max_new_tokens, answer=answer)
    written = write_report(
        found,
        out,
        title=f"{'text' if image is None else image.name}: {model}",
        footer=f"farsight diagnose, model {model}, prompt '{asked}', greedy, at most {max_new_tokens} tokens.",
        vocabulary=vocabulary,
        present=None if truth is None or image is None else truth.present(image),
    )
    if json:
        say(json_format.dumps(written, indent=2, ensure_ascii=False, allow_nan=False))
        return
    say("\n".join(summary(found)))
    say(f"wrote {out / 'report.html'}, figures as PNG and PDF, arrays as .npz, diagnosis.json")
