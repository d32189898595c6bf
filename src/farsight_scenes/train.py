"""Train a model of the small world from nothing: ``python -m farsight_scenes.train --config FILE --out DIR``.

The tower learns what each patch shows; the projector learns to say it in the language model's own word embeddings;
the language model learns to read lists and answers off the visual tokens, and then to describe. Steps count, not
minutes, so that a plan gives the same model at any speed. A run that is killed goes on where it was saved.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaProcessor, PreTrainedModel

from farsight.errors import FarSightError
from farsight.inputs.frames_processor import FramesProcessor

from . import stages
from .network import build_model, build_processor, build_tokenizer
from .plan import Plan, default_plan_path, read_plan
from .progress import Run, held
from .views import make_views

MODEL = "model"
"""Name of the folder with the finished checkpoint, inside the folder of the run."""


def train(plan: Plan, folder: Path) -> Path:
    """Run the stages that are not done and write the checkpoint.

    Parameters
    ----------
    plan
        What to train.
    folder
        Where the state is kept while it trains, and the checkpoint afterwards.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    InputError
        If the folder holds a run of another plan, or another training is running there.
    """
    with held(folder):
        return _train(plan, folder)


def _train(plan: Plan, folder: Path) -> Path:
    torch.manual_seed(plan.seed)
    tokenizer = build_tokenizer(plan.sizes)
    model = build_model(tokenizer, plan.sizes)
    if torch.cuda.is_available():
        model.cuda()
    if not torch.cuda.is_available() or any(stage.sinks for stage in plan.language):
        model.set_attn_implementation("eager")  # gives the weights; and on a CPU its backward is faster than SDPA's
    run = Run(plan, folder, model)
    run.console.print(f"drawing {plan.scenes} pictures")
    views = make_views("train", plan.scenes)

    head = stages.tower_head(model)
    if run.begins(plan.tower) or run.inside(plan.tower):
        run.train(plan.tower, stages.tower_parameters(model, head), stages.tower_loss(model, head, views))
        accuracy = stages.tower_accuracy(model, head, make_views("validation", min(1000, plan.scenes)))
        run.console.print(f"tower: category of {accuracy:.1f} % of the patches with an object, validation")

    if run.begins(plan.projector):
        stages.start_projector(model, views)
    loss = stages.projector_loss(model, tokenizer, views)
    run.train(plan.projector, dict(model.model.multi_modal_projector.named_parameters()), loss)
    if run.begins(plan.language[0]):
        stages.speak_up(model)

    features = stages.visual_tokens(model, views)
    parameters = dict(model.model.language_model.named_parameters())
    for stage in plan.language:
        loss = stages.language_loss(model, tokenizer, features, plan, stage)
        run.train(stage, parameters, loss, stages.QUERIES_AND_KEYS)
    save(model, build_processor(tokenizer), folder / MODEL)
    run.console.print(f"saved {folder / MODEL}")
    return folder / MODEL


def save(model: PreTrainedModel, processor: LlavaProcessor | FramesProcessor, out: Path) -> None:
    """Write weights (float16), tokenizer and processor to a new folder, then put it in place of ``out``."""
    fresh = out.with_name(out.name + ".new")
    old = out.with_name(out.name + ".old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.half().save_pretrained(fresh)
    processor.save_pretrained(fresh)
    publish_names(fresh / "model.safetensors")
    (fresh / "model.safetensors").chmod(0o644)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def publish_names(weights: Path) -> None:
    """Give the vision tower's weights the names of published LLaVA checkpoints, which other engines know (vLLM)."""
    tower, inner = "vision_tower.", "vision_tower.vision_model."
    named = {
        name if name.startswith(inner) or not name.startswith(tower) else inner + name.removeprefix(tower): tensor
        for name, tensor in load_file(weights).items()
    }
    save_file(named, weights, metadata={"format": "pt"})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train a model of the small world.")
    parser.add_argument("--config", type=Path, default=default_plan_path(), help="plan, TOML (default: llava.toml)")
    parser.add_argument("--out", type=Path, required=True, help="folder; a run of the same plan in it goes on")
    options = parser.parse_args()
    try:
        train(read_plan(options.config), options.out)
    except FarSightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
