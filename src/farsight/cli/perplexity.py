"""Perplexities of captions, for the commands that score them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farsight.cli import options
from farsight.cli.terminal import new_console
from farsight.errors import InputError, SettingError

if TYPE_CHECKING:
    from farsight.metrics.captions import Caption
    from farsight.metrics.chair import ChairScore


def perplexities(
    scores: dict[str, ChairScore], model: str, folder: Path | None, prompt: str, device: str | None, dtype: str | None
) -> dict[str, dict[str, float]]:
    """Measure each caption of each file, by image; pictures are looked up before the model is loaded.

    Raises
    ------
    SettingError
        If no folder is given.
    InputError
        If a picture is not in it, if the model cannot be loaded, or if it does not take a caption; the message names
        the caption.
    """
    from rich.markup import escape
    from rich.progress import track

    from farsight.images import find_images, open_image

    if folder is None:
        raise SettingError("--perplexity needs the pictures of the captions; give their folder with --images")
    paths = find_images(folder)
    for name, score in scores.items():
        for one in score.captions:
            if one.caption.image_id not in paths:
                raise InputError(
                    f"{folder}: there is no picture of image {one.caption.image_id}, which {name} describes"
                )
    from farsight.evaluate.perplexity import perplexity
    from farsight.inputs.prompts import check_text

    loaded = options.load(model, device, dtype, None)
    check_text(loaded.processor, prompt)
    for name, score in scores.items():  # before any is measured, which may take long
        for one in score.captions:
            with _naming(name, one.caption):
                check_text(loaded.processor, one.caption.text)
    found: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        found[name] = {}
        for one in track(score.captions, escape(f"perplexity of {name}"), console=new_console(errors=True)):
            image_id, text = one.caption
            with _naming(name, one.caption):
                found[name][image_id] = perplexity(loaded, open_image(paths[image_id]), prompt, text)
    return found


@contextmanager
def _naming(name: str, caption: Caption) -> Iterator[None]:
    """Say which caption of which file it is that cannot be measured."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}, the caption of image {caption.image_id}: {error}") from error
