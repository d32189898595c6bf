"""Training that survives a kill: a loop over steps whose whole state is one file.

The matrices are trained with Muon (Jordan et al., 2024; PyTorch's own), which on two cores brings the language model
in 500 steps to where AdamW needs 1,400.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from farsight.errors import InputError
from farsight.files import make_folder, reading

from .plan import Schedule, Stage, differences

FILE = "state.safetensors"
LOCK = "train.lock"

MATRIX_RATE = 0.02
"""Muon's highest learning rate, for all stages."""

DECAY = 0.01
"""Weight decay of everything but what is gentle."""


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
    with reading(file, "the state of a training", "choose another folder"):
        with safe_open(file, "pt") as state:
            told = state.metadata()
        if different := differences(plan, json.loads(told["plan"])):
            raise InputError(f"{folder} holds a run of another plan ({'; '.join(different)}): choose another folder")
        return Position(int(told["stage"]), int(told["step"]))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder, which is made if it is not there, for this training alone.

    Raises
    ------
    InputError
        If another one has it.
    """
    make_folder(folder)
    with reading(folder / LOCK, remedy="choose another folder"):
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{folder}: another training is running there; wait for it, or choose another") from None
    try:
        yield
    finally:
        lock.release()


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
        if self.position > (0, 0):
            with reading(folder / FILE, "the state of this training", "choose another folder"):
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
        self,
        stage: Stage,
        parameters: Mapping[str, nn.Parameter],
        loss_of: Callable[[Tensor, int], tuple[Tensor, str]],
        gentle: Collection[str] = (),
    ) -> None:
        """Do the steps of a stage that are not done yet, with a warm-up and a cosine; see `Optimizer`.

        Parameters
        ----------
        stage
            Which one.
        parameters
            What is trained, by name; they need not belong to the model.
        loss_of
            Gives the loss, and a word about it, from the pictures' numbers and the step.
        gentle
            See `Optimizer`.
        """
        number = self.plan.stages.index(stage)
        if self.position.stage > number:
            return
        start = self.position.step if self.position.stage == number else 0
        optimizer = Optimizer(parameters, stage, gentle)
        if start:
            self._restore(parameters, optimizer, start)
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
                if not math.isfinite(loss.item()):
                    raise InputError(f"{stage.name}: the loss is {loss.item()} at step {step}; choose a lower rate")
                loss.backward()
                nn.utils.clip_grad_norm_(parameters.values(), 1.0)
                optimizer.step(rate_at(step, stage.steps))
                averages[note] = 0.95 * averages.get(note, loss.item()) + 0.05 * loss.item()
                told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(averages.items()))
                bar.update(task, advance=1, loss=told)
                done = step + 1
                if done % self.plan.save_every == 0 or done == stage.steps:
                    self._save(Position(number, done), parameters, optimizer)
                    bar.console.print(f"{stage.name} {done}/{stage.steps}: {told}")
        self.position = Position(number, stage.steps)

    def _save(self, now: Position, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> None:
        """Write everything needed to go on, in one step."""
        tensors = {f"model.{name}": value.detach().clone() for name, value in self.model.state_dict().items()}
        tensors |= {f"trained.{name}": parameter.detach().clone() for name, parameter in parameters.items()}
        tensors |= {f"optimizer.{name}": value.contiguous() for name, value in optimizer.moments().items()}
        told = {"plan": json.dumps(asdict(self.plan)), "stage": str(now.stage), "step": str(now.step)}
        fresh = self.folder / f"{FILE}.new"
        save_file(tensors, fresh, told)
        fresh.replace(self.folder / FILE)

    @torch.no_grad()
    def _restore(self, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer, step: int) -> None:
        with safe_open(self.folder / FILE, "pt") as state:
            for name, parameter in parameters.items():
                parameter.copy_(state.get_tensor(f"trained.{name}"))
            names = [name.removeprefix("optimizer.") for name in state.keys() if name.startswith("optimizer.")]  # noqa: SIM118
            optimizer.restore({name: state.get_tensor(f"optimizer.{name}") for name in names}, step)


class Optimizer:
    """Muon for the matrices inside the layers, AdamW for everything else.

    Parameters
    ----------
    parameters
        By name; a matrix belongs to a layer if its name has ``layers``.
    stage
        Its highest learning rates.
    gentle
        Matrices with one of these in their name are left to AdamW, with the stage's own weight decay.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], stage: Stage, gentle: Collection[str] = ()) -> None:
        self.parameters = parameters
        inside = {
            name
            for name, parameter in parameters.items()
            if "layers." in name and parameter.ndim == 2 and not any(part in name for part in gentle)
        }
        matrices = [parameters[name] for name in parameters if name in inside]
        others = [name for name in parameters if name not in inside]
        held = [parameters[name] for name in others if any(part in name for part in gentle)]
        free = [parameters[name] for name in others if not any(part in name for part in gentle)]
        self.parts: list[tuple[torch.optim.Optimizer, float]] = []
        if matrices:
            muon = torch.optim.Muon(matrices, MATRIX_RATE, momentum=0.95, weight_decay=DECAY)
            self.parts.append((muon, MATRIX_RATE))
        groups = [{"params": free, "weight_decay": DECAY}, {"params": held, "weight_decay": stage.decay}]
        if groups := [group for group in groups if group["params"]]:
            self.parts.append((torch.optim.AdamW(groups, stage.rate, betas=(0.9, 0.98), fused=True), stage.rate))

    def step(self, share: float) -> None:
        """Do a step at this share of the highest learning rates, and clear the gradients."""
        for optimizer, rate in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad()

    def moments(self) -> dict[str, Tensor]:
        """What the optimizers remember, by name."""
        return {
            f"{name}.{moment}": value
            for name, parameter in self.parameters.items()
            for moment, value in self._state(parameter).items()
            if moment != "step"
        }

    def restore(self, moments: Mapping[str, Tensor], step: int) -> None:
        """Remember what was saved after ``step`` steps."""
        for name, parameter in self.parameters.items():
            state = self._state(parameter)
            state["step"] = torch.tensor(float(step))
            for moment, value in moments.items():
                if moment.rpartition(".")[0] == name:
                    state[moment.rpartition(".")[2]] = value.to(parameter.device)

    def _state(self, parameter: nn.Parameter) -> dict[str, Any]:
        own = next(o for o, _ in self.parts if any(parameter is p for group in o.param_groups for p in group["params"]))
        state: dict[str, Any] = own.state[parameter]
        return state


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
