"""Perplexities of captions, for the commands that score them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from farsight.cli import options
from farsight.cli.terminal import new_console
from farsight.errors import InputError, SettingError

if TYPE_CHECKING:
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
        If a picture is not in it, or if the model cannot be loaded.
    """
    from rich.markup import escape
    from rich.progress import track

    from farsight.cli.quiet import quiet
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
    with quiet():
        from farsight.evaluate.perplexity import perplexity

        loaded = options.load(model, device, dtype, None)
        return {
            name: {
                one.caption.image_id: perplexity(
                    loaded, open_image(paths[one.caption.image_id]), prompt, one.caption.text
                )
                for one in track(score.captions, escape(f"perplexity of {name}"), console=new_console(errors=True))
            }
            for name, score in scores.items()
        }
