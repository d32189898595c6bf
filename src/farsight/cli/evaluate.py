"""``farsight eval``: tasks x methods, resumable."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import engines, options, task_options
from farsight.cli.terminal import new_console, note, say
from farsight.errors import SettingError

if TYPE_CHECKING:
    from farsight.evaluate.engine import Engine
    from farsight.evaluate.plan import Plan
    from farsight.evaluate.run_folder import RunFolder
    from farsight.evaluate.scores import PartScores
    from farsight.method import Method

_TASK, _RUN = "Task", "Run"


def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run. The same command goes on with it.")],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="scenes:test, scenes:shifted, videos:test, ..., chair, pope, amber, snowball, lists, lists:chat. Else "
            "told from --objects, --questions; scenes:test without them.",
        ),
    ] = None,
    methods: options.Methods = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Methods and their parameters, instead of --methods.")
    ] = None,
    model: options.Model = options.EMBEDDED,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures.", rich_help_panel=_TASK)] = None,
    objects: task_options.Objects = None,
    questions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="POPE questions, AMBER's data, conversations; one option each.", rich_help_panel=_TASK
        ),
    ] = None,
    synonyms: task_options.Synonyms = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", metavar="TEXT", help="What asks for a caption.", rich_help_panel=_TASK),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many pictures or questions.", rich_help_panel=_TASK)
    ] = None,
    skip: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Of scenes, videos, lists: leave out the first N.", rich_help_panel=_TASK
        ),
    ] = None,
    question_count: task_options.QuestionCount = None,
    max_new_tokens: task_options.CaptionTokens = None,
    batch_size: task_options.BatchSize = 16,
    controls: Annotated[
        bool, typer.Option("--controls", help="Add constant gates of 0.9 and 1.1.", rich_help_panel=_RUN)
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="Draw answers at it; greedy without.", rich_help_panel=_RUN)
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(metavar="X", help="1 is none; by default the task's.", rich_help_panel=_RUN)
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Of the bootstrap, and of answers that are drawn.", rich_help_panel=_RUN),
    ] = 0,
    engine: engines.EngineName = engines.LOCAL,
    address: engines.Address = None,
    workers: engines.Workers = None,
    gpus_per_worker: engines.GpusPerWorker = None,
    tensor_parallel_size: engines.TensorParallelSize = None,
    gpu_memory_utilization: engines.GpuMemoryUtilization = None,
    max_model_len: engines.MaxModelLen = None,
    enforce_eager: engines.EnforceEager = False,
    base_url: engines.BaseUrl = None,
    timeout: engines.Timeout = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attn_implementation: options.AttnImplementation = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print one table of the main figures instead of all.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Compare methods on a task: answers that survive a kill, figures with intervals, a page.

    The first method is the baseline; without --methods they are greedy,farsight.

    Examples: farsight eval --task scenes:test --out runs/scenes

    farsight eval --task pope --questions coco_pope_random.jsonl --images val2014 -m llava-hf/llava-1.5-7b-hf --out run
    """
    if config is not None:
        options.refuse_unused(context, "--config has the methods", "methods")
    if json:
        options.refuse_unused(context, "--json prints all there is", "summary")

    from farsight.cli.truth import vocabulary_file
    from farsight.evaluate.named_tasks import TaskOptions, choose_task, make_task
    from farsight.evaluate.plan import Plan
    from farsight.evaluate.run_folder import PICTURES, claimed
    from farsight.evaluate.scores import score_run
    from farsight.method import needs_drawing, searches
    from farsight.methods.grammar import parse_methods, read_methods

    choice = engines.choose(
        engine,
        device,
        address=address,
        workers=workers,
        gpus_per_worker=gpus_per_worker,
        tensor_parallel_size=tensor_parallel_size,
        gpu_memory_utilization=gpu_memory_utilization,
        max_model_len=max_model_len,
        enforce_eager=enforce_eager,
        base_url=base_url,
        timeout=timeout,
    )
    how = _generation(temperature, repetition_penalty, seed)
    chosen = parse_methods(",".join(methods or ["greedy,farsight"])) if config is None else read_methods(config)
    if controls:
        chosen |= _controls(chosen)
    asked = TaskOptions(
        images=images,
        objects=tuple(objects or ()),
        questions=tuple(questions or ()),
        synonyms=vocabulary_file(synonyms),
        prompt=prompt,
        max_new_tokens=max_new_tokens,
        count=count,
        skip=skip,
        question_count=question_count,
    )
    if temperature is not None and (searching := [label for label, one in chosen.items() if searches(one)]):
        raise SettingError(f"'{searching[0]}' searches and draws nothing: leave it out, or --temperature")
    if temperature is None and (idle := [label for label, one in chosen.items() if needs_drawing(one)]):
        raise SettingError(
            f"'{idle[0]}' changes no greedy answer, since it keeps the best token of every step: pass --temperature 1, "
            "which draws all answers, or leave it out"
        )
    task = choose_task(task, asked)
    choice.check(model, task, chosen, dtype, attn_implementation)
    with stopping(out), claimed(out) as folder:
        made = make_task(task, asked, out / PICTURES)
        videos = any(item.medium == "video" for item in made.items)
        plan = Plan(
            model=model,
            task=made,
            methods=chosen,
            batch_size=batch_size,
            generation=how,
            weights=choice.weights(model, videos=videos),
            device=choice.device_type,
            dtype=dtype,
            attn_implementation=attn_implementation,
            engine=choice.record(),
        )
        answering = choice.make(plan, videos=videos)
        folder.begin(plan.held_to())
        _ask(plan, folder, answering)
        parts = score_run(made, list(chosen), folder.rows, seed=seed)
        results = _write(plan, parts, out)
    if json:
        say(json_format.dumps(results, indent=2, allow_nan=False))
        return
    _print(plan, parts, out, tables=not summary)


def _generation(temperature: float | None, repetition_penalty: float | None, seed: int) -> dict[str, Any]:
    """Arguments of ``generate``."""
    from farsight.setting_checks import check_positive

    for name, value in (("--temperature", temperature), ("--repetition-penalty", repetition_penalty)):
        if value is not None:
            check_positive(name, value)
    drawn = {} if temperature is None else {"do_sample": True, "temperature": temperature, "seed": seed}
    return drawn | ({} if repetition_penalty is None else {"repetition_penalty": repetition_penalty})


@contextmanager
def stopping(out: Path) -> Iterator[None]:
    """Say what becomes of a run that is stopped by Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"stopped: {out} keeps the answers that it has, and the same command goes on with it")
        raise


def _controls(chosen: dict[str, Method]) -> dict[str, Method]:
    from farsight.methods.constant_gate import ConstantGate

    gates = {f"constant(value={value})": ConstantGate(value=value) for value in (0.9, 1.1)}
    return {label: gate for label, gate in gates.items() if gate not in chosen.values()}


def _ask(plan: Plan, folder: RunFolder, engine: Engine) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from farsight.evaluate.run import run

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = new_console(errors=True)
    left = (TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *left, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("answers", total=plan.answers)
        run(plan, folder, engine, lambda batch: bar.update(shown, advance=len(batch.items)))


def _write(plan: Plan, parts: list[PartScores], out: Path) -> dict[str, Any]:
    from farsight.evaluate.finished import write_results

    results = write_results(plan.record(), plan.task, parts, out)
    _write_page(plan, parts, out)
    return results


def _write_page(plan: Plan, parts: list[PartScores], out: Path) -> None:
    from farsight.evaluate.page import draw_differences, run_page
    from farsight.files import write
    from farsight.report.charts import image

    pictures = {item.image_id: item.path for item in plan.task.items if item.path is not None}
    version = plan.record()["farsight"]
    footer = f"Task {plan.task.name}, model {plan.model}, farsight {version}, batches of {plan.batch_size}."
    title, (times, memory) = f"{plan.task.name}: {plan.model}", _costs(plan, out)
    write(out / "report.html", [run_page(title, parts, pictures, footer, times=times, memory=memory)])
    for part in parts:
        if part.differences:
            name = part.part.replace("%", "%25").replace("/", "%2F")
            write(out / f"{name}.png", [image(draw_differences(part))])


def _costs(plan: Plan, out: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Time of each method over the first, and its memory; empty if there is but one, or an engine measures none."""
    from farsight.evaluate.times import memory_of, times_over_first

    labels = list(plan.methods)
    return (times_over_first(out, labels), memory_of(out, labels)) if len(labels) > 1 else ({}, {})


def _print(plan: Plan, parts: list[PartScores], out: Path, *, tables: bool) -> None:
    from farsight.cli.tables import print_table
    from farsight.evaluate.page import (
        SIGNS_LEGEND,
        differences_table,
        figures_table,
        summary_table,
        told_checks,
        told_costs,
    )
    from farsight.evaluate.verdicts import told

    baseline = next(iter(plan.methods))
    times, memory = _costs(plan, out)
    if not tables:
        table = summary_table(parts, times)
        print_table(table.columns, table.rows, marks=table.marks)
        say(SIGNS_LEGEND)
    else:
        for part in parts:
            say("\n  ".join(told(part)))
        for line in told_costs(times, memory):
            say(line)
    for line in told_checks(parts):
        say(line)
    for part in parts:
        for table in [figures_table(part), differences_table(part, baseline)][: 1 + bool(part.differences)] * tables:
            print_table(table.columns, table.rows, marks=table.marks)
        if part.failed:
            item, reason = next(iter(part.failed.items()))
            note(f"{part.part}: {len(part.failed)} items could not be asked and are left out: {item}: {reason}")
    say(f"wrote {out / 'report.html'}, results.json, details.jsonl and answers.jsonl")
