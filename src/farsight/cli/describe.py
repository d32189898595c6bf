"""``farsight describe``: what is in these pictures?"""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import options
from farsight.cli.terminal import new_console, say, under_way, visible
from farsight.errors import SettingError

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console
    from rich.text import Text

    from farsight.cli.truth import Truth
    from farsight.description import Description
    from farsight.inputs.checkpoints import LoadedModel
    from farsight.method import Method
    from farsight.metrics.vocabulary import Vocabulary


def describe(
    context: typer.Context,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE", help="Pictures, folders, or '*.jpg'; without, --prompt is all."),
    ] = None,
    model: options.Model = options.EMBEDDED,
    prompt: options.Prompt = options.PICTURE_PROMPT,
    max_new_tokens: options.MaxNewTokens = 256,
    method: options.MethodName = "farsight",
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    objects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is in the pictures, rows of image_id and objects: marks what is not."),
    ] = None,
    synonyms: Annotated[
        str | None, typer.Option(metavar="FILE", help="Which words name objects; COCO's, or 'scenes'.")
    ] = None,
    compare: options.Compare = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Under it, what each object word looked at and what the registers took."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Describe pictures, greedily, with a method that makes the model hallucinate less.

    Examples: farsight describe --compare photo.jpg --method "farsight(sigma=0.1)"

    farsight describe *.jpg --model llava-hf/llava-1.5-7b-hf --json > descriptions.json

    farsight describe --model smollm2 --prompt "What is in a kitchen?" --compare
    """
    if not images:
        if not options.is_given(context, "prompt"):
            raise SettingError("there is nothing to describe: give a picture, or ask without one with --prompt")
        options.refuse_unused(context, "it is about pictures, and none is given", "objects", "explain")
    from farsight.cli.explain import vocabulary_for
    from farsight.cli.truth import read_truth
    from farsight.images import find_pictures, open_image
    from farsight.inputs.prompts import check_takes_images, check_text
    from farsight.method import Plain
    from farsight.methods.grammar import parse_method
    from farsight.methods.verified import PICTURES_ALONE, apart

    chosen = parse_method(method)
    checks = apart(chosen)[1] is not None
    if objects is None and not explain and not checks:
        options.refuse_unused(
            context, "it says which words are objects, for --objects, --explain and --method verified", "synonyms"
        )
    if checks and not images:
        raise SettingError(PICTURES_ALONE)
    if checks and explain:
        raise SettingError(
            "--explain shows where words looked when they were decoded, and verified says them again later: leave "
            "one out"
        )
    methods = [Plain(), chosen] if compare else [chosen]
    if compare and chosen == Plain():
        raise SettingError("--compare shows greedy decoding next to another method; choose one with --method")
    images = find_pictures(images or ())
    shown: list[Path | None] = [*images] if images else [None]
    for path in images:  # before a model is loaded, which may take long
        open_image(path)
    truth = None if objects is None else read_truth(objects, synonyms)
    if truth is not None:
        truth.check(images)
    with under_way(f"loading {model}"):
        loaded = options.load(model, device, dtype, attn_implementation)
    options.note_photographs(model, images)
    if images:
        check_takes_images(loaded)
    check_text(loaded.processor, prompt)
    job = _Job(loaded, methods, prompt, max_new_tokens, truth)
    if explain or checks:
        vocabulary = vocabulary_for(model, synonyms) if truth is None else truth.vocabulary
        job.vocabulary, job.explains = vocabulary, explain
    if json:
        say(json_format.dumps(job.records(shown), indent=2, ensure_ascii=False, allow_nan=False))
    elif compare:
        job.compare(shown)
    else:
        job.stream(shown)


class _Job:
    """Several pictures, or none (None), one model, one or two methods, in one of three forms."""

    def __init__(
        self, loaded: LoadedModel, methods: list[Method], prompt: str, max_new_tokens: int, truth: Truth | None
    ) -> None:
        self.truth = truth
        self.vocabulary: Vocabulary | None = None
        """Which words name objects; given where they are to be explained, or checked."""
        self.explains = False
        self.loaded = loaded
        self.methods = methods
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens

    def stream(self, images: list[Path | None]) -> None:
        from farsight.cli.comparison import has_colour, truth_note
        from farsight.images import open_image
        from farsight.methods.grammar import label_of

        console = new_console()
        colour = has_colour(console)
        show = None if self.truth is not None else _stream  # what is marked is known when all is said
        for number, path in enumerate(images):
            _title(console, path, first=number == 0)
            image = None if path is None else open_image(path)
            said = self._generate(self.methods[0], image, show)
            if said.text and show is None:
                console.print(self._marked(path, said.text, colour=colour) or visible(said.text), soft_wrap=True)
            else:
                say("" if said.text else "(the model said nothing)")
            console.print(f"{label_of(self.methods[0])}: {said.pace}", style="dim")
            _tell(console, said)
            self._explain(console, path)
        if self.truth is not None:
            console.print(truth_note(colour=colour))

    def compare(self, images: list[Path | None]) -> None:
        from farsight.cli.comparison import Side, has_colour, side_by_side
        from farsight.methods.grammar import label_of

        console = new_console()
        colour = has_colour(console)
        labels = [label_of(method) for method in self.methods]
        for number, (path, said) in enumerate(self._said(images)):
            _title(console, path, first=number == 0)
            left, right = (
                Side(title=title, text=one.text, below=one.pace, marked=self._marked(path, one.text, colour=colour))
                for title, one in zip(labels, said, strict=True)
            )
            console.print(side_by_side(console, left, right))
            _tell(console, *said)
            self._explain(console, path)
        console.print("Times are those of single runs after a short warm-up, not a benchmark.", style="dim")

    def _explain(self, console: Console, path: Path | None) -> None:
        from farsight.cli.explain import print_explained
        from farsight.methods.grammar import label_of

        if self.explains and path is not None:
            for method in self.methods:
                print_explained(console, self._explained(path, method), label_of(method))

    def _explained(self, path: Path, method: Method) -> list[dict[str, Any]]:
        from farsight.cli.explain import explained
        from farsight.images import open_image

        assert self.vocabulary is not None
        present = None if self.truth is None else self.truth.present(path)
        asked = (open_image(path), self.prompt, self.max_new_tokens)
        return explained(self.loaded, method, *asked, self.vocabulary, present)

    def _marked(self, path: Path | None, text: str, *, colour: bool) -> Text | None:
        from farsight.cli.comparison import mark_objects

        if self.truth is None or path is None or (present := self.truth.present(path)) is None:
            return None
        return mark_objects(text, self.truth.vocabulary.mentions(text), present, colour=colour)

    def records(self, images: list[Path | None]) -> list[dict[str, Any]]:
        """One object for each picture and method."""
        from farsight.methods import settings_of
        from farsight.methods.grammar import label_of

        about = {
            "model": self.loaded.name,
            "device": str(self.loaded.device),
            "dtype": str(self.loaded.dtype).removeprefix("torch."),
            "prompt": self.prompt,
            "max_new_tokens": self.max_new_tokens,
        }
        return [
            {"image": None if path is None else str(path)}
            | about
            | {"label": label_of(method), "method": settings_of(method), "text": one.text, "tokens": one.tokens}
            | {"seconds": round(one.seconds, 4), "tokens_per_second": round(one.tokens_per_second, 2)}
            | ({} if self.truth is None or path is None else self.truth.record(path, one.text))
            | ({} if one.checked is None else {"checked": one.checked.record(), "checks": one.told})
            | ({"explained": self._explained(path, method)} if self.explains and path is not None else {})
            for path, said in self._said(images)
            for method, one in zip(self.methods, said, strict=True)
        ]

    def _said(self, images: list[Path | None]) -> Iterator[tuple[Path | None, list[Description]]]:
        """What each method says about each picture, with progress on stderr."""
        from farsight.description import warm_up
        from farsight.images import open_image

        for number, path in enumerate(images, start=1):
            image = None if path is None else open_image(path)
            with under_way(f"{path or self.prompt} ({number} of {len(images)})"):
                if number == 1:
                    warm_up(self.loaded, self.methods, image, self.prompt)
                said = [self._generate(method, image) for method in self.methods]
            yield path, said

    def _generate(
        self, method: Method, image: Image.Image | None, show: Callable[[str], None] | None = None
    ) -> Description:
        from farsight.description import generate

        asked = (image, self.prompt, self.max_new_tokens)
        return generate(self.loaded, method, *asked, show=show, vocabulary=self.vocabulary)


def _title(console: Console, path: Path | None, *, first: bool) -> None:
    if not first:
        console.print()
    if path is not None:
        console.print(str(path), style="bold")


def _tell(console: Console, *said: Description) -> None:
    """Print what was done to answers behind decoding."""
    from rich.text import Text

    for one in said:
        if one.told:
            console.print(Text(one.told, style="dim"), soft_wrap=True)


def _stream(text: str) -> None:
    say(text, end="")
