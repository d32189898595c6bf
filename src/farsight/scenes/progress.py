"""Training that survives a kill: a loop over steps whose whole state is one file."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from farsight.errors import InputError

from .plan import Schedule, Stage, differences

FILE = "state.safetensors"


class Position(NamedTuple):
    """How far training is: the stage, by number, and the steps done in it."""

    stage: int
    step: int


def position(folder: Path, plan: Schedule) -> Position:
    """Read how far a folder is; the beginning if it holds no state.

    Raises
    ------
    InputError
        If the state belongs to another plan.
    """
    file = folder / FILE
    if not file.exists():
        return Position(0, 0)
    with safe_open(file, "pt") as state:
        told = state.metadata()
    if different := differences(plan, json.loads(told["plan"])):
        raise InputError(f"{folder} holds a run of another plan ({'; '.join(different)}): choose another folder")
    return Position(int(told["stage"]), int(told["step"]))


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put the saved weights into a model."""
    with safe_open(folder / FILE, "pt") as state:
        names = [name for name in state.keys() if name.startswith("model.")]  # noqa: SIM118
        model.load_state_dict({name.removeprefix("model."): state.get_tensor(name) for name in names})


class Run:
    """One run in one folder: where it stands, and the console that shows it.

    Parameters
    ----------
    plan
        What is trained.
    folder
        Where the state is kept; an earlier run of the same plan goes on.
    model
        What is trained; a saved state is put into it.
    """

    def __init__(self, plan: Schedule, folder: Path, model: nn.Module) -> None:
        self.plan, self.folder, self.model = plan, folder, model
        self.console = Console(highlight=False, soft_wrap=True)
        self.position = position(folder, plan)
        folder.mkdir(parents=True, exist_ok=True)
        if self.position > (0, 0):
            load_weights(folder, model)
            self.console.print(f"going on in {plan.stages[self.position.stage].name} after step {self.position.step}")

    def begins(self, stage: Stage) -> bool:
        """Say whether a stage comes next and has no step yet."""
        number = self.plan.stages.index(stage)
        before = Position(number - 1, self.plan.stages[number - 1].steps) if number else Position(0, 0)
        return self.position == before

    def inside(self, stage: Stage) -> bool:
        """Say whether a stage has steps, but not all."""
        return self.position.stage == self.plan.stages.index(stage) and 0 < self.position.step < stage.steps

    def train(
        self, stage: Stage, parameters: list[nn.Parameter], loss_of: Callable[[Tensor, int], tuple[Tensor, str]]
    ) -> None:
        """Do the steps of a stage that are not done yet: AdamW, with a warm-up and a cosine.

        Parameters
        ----------
        stage
            Which one.
        parameters
            What is trained; they need not belong to the model.
        loss_of
            Gives the loss, and a word about it, from the pictures' numbers and the step.
        """
        number = self.plan.stages.index(stage)
        if self.position.stage > number:
            return
        start = self.position.step if self.position.stage == number else 0
        adam = torch.optim.AdamW(parameters, stage.rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
        if start:
            self._restore(parameters, adam, start)
        averages: dict[str, float] = {}
        with Progress(
            TextColumn(stage.name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=self.console,
        ) as bar:
            task = bar.add_task(stage.name, total=stage.steps, completed=start, loss="")
            for step in range(start, stage.steps):
                loss, note = loss_of(rows_of(self.plan, stage, step), step)
                for group in adam.param_groups:
                    group["lr"] = stage.rate * rate_at(step, stage.steps)
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                adam.step()
                adam.zero_grad()
                averages[note] = 0.95 * averages.get(note, loss.item()) + 0.05 * loss.item()
                told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(averages.items()))
                bar.update(task, advance=1, loss=told)
                done = step + 1
                if done % self.plan.save_every == 0 or done == stage.steps:
                    self._save(Position(number, done), parameters, adam)
                    bar.console.print(f"{stage.name} {done}/{stage.steps}: {told}")
        self.position = Position(number, stage.steps)

    def _save(self, now: Position, parameters: list[nn.Parameter], adam: torch.optim.Optimizer) -> None:
        """Write everything needed to go on, in one step."""
        tensors = {f"model.{name}": value.detach().clone() for name, value in self.model.state_dict().items()}
        for number, parameter in enumerate(parameters):
            tensors[f"trained.{number}"] = parameter.detach().clone()
            for name in ("exp_avg", "exp_avg_sq"):
                tensors[f"adam.{number}.{name}"] = adam.state[parameter][name].contiguous()
        told = {"plan": json.dumps(asdict(self.plan)), "stage": str(now.stage), "step": str(now.step)}
        fresh = self.folder / f"{FILE}.new"
        save_file(tensors, fresh, told)
        fresh.replace(self.folder / FILE)

    @torch.no_grad()
    def _restore(self, parameters: list[nn.Parameter], adam: torch.optim.Optimizer, step: int) -> None:
        with safe_open(self.folder / FILE, "pt") as state:
            for number, parameter in enumerate(parameters):
                parameter.copy_(state.get_tensor(f"trained.{number}"))
                moments = {name: state.get_tensor(f"adam.{number}.{name}") for name in ("exp_avg", "exp_avg_sq")}
                adam.state[parameter] = {"step": torch.tensor(float(step))} | {
                    name: value.to(parameter.device) for name, value in moments.items()
                }


def rate_at(step: int, steps: int) -> float:
    """Learning rate as a share of the highest: 5 % of the steps up, then down to 3 % along half a cosine."""
    warm = min(1.0, (step + 1) / (0.05 * steps))
    return warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def rows_of(plan: Schedule, stage: Stage, step: int) -> Tensor:
    """Which pictures a step sees, ``(batch,)``: every epoch has an order of its own, known from the seed alone."""
    each = plan.scenes // stage.batch
    seed = random.Random(f"farsight scenes, {plan.seed}, {stage.name}, {step // each}").getrandbits(60)
    order = torch.randperm(plan.scenes, generator=torch.Generator().manual_seed(seed))
    return order[step % each * stage.batch :][: stage.batch]
