"""``farsight scenes draw`` and ``farsight train``: the small world and the models that are trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from farsight.cli.terminal import say
from farsight.errors import SettingError
from farsight.files import read_toml

from .world import Split

scenes = typer.Typer(no_args_is_help=True, add_completion=False)
training = typer.Typer(add_completion=False)


@scenes.callback()
def world() -> None:
    """Draw the small world that the embedded model lives in."""


@scenes.command()
def draw(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="train, calibration, validation, test, or shifted: companions reversed.")
    ] = "test",
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many.")] = 100,
    start: Annotated[int, typer.Option(metavar="N", min=0, help="Index of the first.")] = 0,
    side: Annotated[int, typer.Option(metavar="PIXELS", min=16, help="Width and height.")] = 384,
    videos: Annotated[bool, typer.Option("--videos", help="Short videos instead, a folder of frames each.")] = False,
) -> None:
    """Draw pictures with their truth: objects.jsonl, captions.jsonl, pope_*.jsonl, in the formats of the field.

    Example: farsight scenes draw --split test --count 100 --out scenes
    """
    from . import draw as drawing

    if split not in get_args(Split):
        raise SettingError(f"unknown split '{split}'; there are {', '.join(get_args(Split))}")
    make = drawing.draw_videos if videos else drawing.draw
    make(split, count, out, start=start, side=side)  # type: ignore[arg-type]
    say(f"drew {count} {'videos' if videos else 'pictures'} of the split {split} in {out}")


@training.command()
def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the training. The same command goes on with it.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="What to train; the embedded model's plan by default.")
    ] = None,
) -> None:
    """Train a model of the small world, or teach a language model to see it; a killed run goes on where it was.

    Examples: farsight train --out training

    farsight train --config src/farsight_scenes/video/video.toml --out training-video

    farsight train --config src/farsight_scenes/seeing/smollm2.toml --out training-seeing
    """
    from .plan import default_plan_path, make_plan
    from .seeing.plan import is_seeing_plan, make_seeing_plan
    from .seeing.train import train_seeing
    from .train import train as train_image
    from .video.plan import is_video_plan, make_video_plan
    from .video.train import train_video

    path = config or default_plan_path()
    data = read_toml(path)
    if is_video_plan(data):
        made = train_video(make_video_plan(path, data), out)
    elif is_seeing_plan(data):
        made = train_seeing(make_seeing_plan(path, data), out)
    else:
        made = train_image(make_plan(path, data), out)
    say(f"wrote {made}")
