"""``farsight tune``: which method to turn on, for this model and these pictures."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.cli import engines, options, task_options
from farsight.cli.evaluate import stopping
from farsight.cli.terminal import note, say
from farsight.cli.tune_progress import TuneProgress
from farsight.errors import SettingError

if TYPE_CHECKING:
    from farsight.cli.engine_choices import LocalChoice
    from farsight.method import Method
    from farsight.tune.agreement import Agreement
    from farsight.tune.forecast import Forecast
    from farsight.tune.tuning import Tuning
    from farsight.tune.verdict import Verdict

_TASK, _RUN = "Task", "Run"


def tune(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(metavar="TUNED", help="Folder of all that is found; the same command goes on. --plan needs none."),
    ] = None,
    model: options.Model = options.EMBEDDED,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Your pictures.", rich_help_panel=_TASK)] = None,
    objects: task_options.Objects = None,
    synonyms: task_options.Synonyms = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Instead of --images: scenes:test, scenes:shifted, videos:test, lists, ...",
            rich_help_panel=_TASK,
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt", "-p", metavar="TEXT", help="What asks for a caption; may be several.", rich_help_panel=_TASK
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only so many pictures.", rich_help_panel=_TASK)
    ] = None,
    question_count: task_options.QuestionCount = None,
    max_new_tokens: task_options.CaptionTokens = None,
    methods: options.Methods = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="X", help="Most time per token over plain decoding's, such as 1.1; any without."),
    ] = None,
    guard: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What may change: recall=1, words=10, repetition=1, answers=1 unless said otherwise; NAME=off.",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="A detector that judges what nobody did: google/owlv2-base-patch16-ensemble, ...",
            rich_help_panel=_TASK,
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would ask and how long it takes; write nothing.")
    ] = False,
    batch_size: task_options.BatchSize = 16,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of the split and the bootstrap.", rich_help_panel=_RUN)
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
    json: options.Json = False,
) -> None:
    """Find the method to turn on for a model and pictures: a race, a verdict with intervals, a file to use it by.

    Without --methods all that docs/tune.md lists race against plain decoding.

    Examples: farsight tune --task scenes:test --count 100 --out tuned

    farsight tune -m llava-hf/llava-1.5-7b-hf --images photos --objects objects.jsonl --budget 1.1 --out tuned
    """
    from farsight.cli.truth import vocabulary_file
    from farsight.evaluate.named_tasks import TaskOptions
    from farsight.evaluate.plan import Plan
    from farsight.evaluate.run_folder import PICTURES, claimed
    from farsight.method import Plain
    from farsight.setting_checks import check_positive
    from farsight.tune.asked import PICTURES_ALONE, by_picture, choose, make, truth_of
    from farsight.tune.candidates import BASELINE, contenders
    from farsight.tune.forecast import Forecast
    from farsight.tune.guards import parse_guards
    from farsight.tune.measured import captions_first, measured
    from farsight.tune.results import write_found
    from farsight.tune.tuning import Tuning

    if out is None and not plan:
        raise SettingError("where is it to be kept? Pass --out TUNED, a new folder, or --plan to ask nothing yet")
    if budget is not None:
        check_positive("--budget", budget)
    guards = parse_guards(guard)
    racing = contenders(",".join(methods) if methods else None, vllm=engine == engines.VLLM)
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
    if budget is not None and not choice.timed:
        raise SettingError(f"--budget: methods cannot be timed one by one with --engine {engine}; leave --budget out")
    asked = TaskOptions(
        images=images,
        objects=tuple(objects or ()),
        synonyms=vocabulary_file(synonyms),
        prompt=prompt[0] if prompt and len(prompt) == 1 else None,
        max_new_tokens=max_new_tokens,
        count=count,
        question_count=question_count,
    )
    name = choose(task, asked, prompt or [])
    if judge is not None and name != PICTURES_ALONE:
        raise SettingError("--judge is for --images of which nothing is known, unlike these: leave it out")
    refused = _refused(choice, name, model, racing, dtype, attn_implementation)
    raced = {BASELINE: Plain()} | {label: method for label, method in racing.items() if label not in refused}
    with _place(None if plan else out) as place, claimed(place) as folder:
        made = make(name, asked, prompt or [], place / PICTURES)
        by_picture(made)  # refuses a task that has nothing to choose by, before anything is timed
        videos = any(item.medium == "video" for item in made.items)
        whole = Plan(
            model=model,
            task=made,
            methods=raced,
            batch_size=batch_size,
            weights=choice.weights(model, videos=videos),
            device=choice.device_type,
            dtype=dtype,
            attn_implementation=attn_implementation,
            engine=choice.record(),
        )
        engine_made = choice.make(whole, videos=videos)
        with TuneProgress() as progress, choice.staying(engine_made):
            if not plan:
                folder.begin(whole.held_to() | {"tune": {"seed": seed}})
            known, unmeasured = measured(whole, engine_made, seed, None if plan else place, progress)
            tuning = Tuning(
                plan=known,
                folder=folder,
                engine=engine_made,
                truth=truth_of(name, asked, made, place, None if plan else judge, device),
                guards=guards,
                budget=budget,
                judged=name == PICTURES_ALONE and judge is None,
                loads_each=choice.loads_each,
                timed=choice.timed,
                knows_methods=choice.knows_methods,
                seed=seed,
                refused=refused | unmeasured,
                progress=progress,
            )
            found = tuning.forecast(captions_first(known, seed)) if plan else tuning.found()
        given = {name: value for name, value in context.params.items() if options.is_given(context, name)}
        written = {} if isinstance(found, Forecast) else write_found(tuning, found, given | {"json": False})
    if json:
        say(json_format.dumps(found.record() | written, indent=2, allow_nan=False))
    else:
        _print(tuning, found, written)


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    """Where things are written: nowhere that stays, if there is only a plan."""
    if out is not None:
        with stopping(out):
            yield out
        return
    with TemporaryDirectory() as nowhere:
        yield Path(nowhere)


def _refused(
    choice: LocalChoice, task: str, model: str, racing: Mapping[str, Method], *how: str | None
) -> dict[str, str]:
    """What the engine does not take, with its reasons; what it does is then known to it."""
    from farsight.method import Plain
    from farsight.tune.asked import PICTURES_ALONE
    from farsight.tune.candidates import BASELINE

    known = "chair" if task == PICTURES_ALONE else task
    plain = {BASELINE: Plain()}
    choice.check(model, known, plain, *how)
    refused = {}
    for label, method in racing.items():
        try:
            choice.check(model, known, plain | {label: method}, *how)
        except SettingError as error:
            refused[label] = str(error)
    choice.check(model, known, plain | {label: one for label, one in racing.items() if label not in refused}, *how)
    return refused


def _print(tuning: Tuning, found: Verdict | Agreement | Forecast, written: Mapping[str, Any]) -> None:
    from farsight.cli.tables import print_table
    from farsight.judging.detector import Detected
    from farsight.tune.agreement import Agreement
    from farsight.tune.forecast import Forecast, told_answers
    from farsight.tune.method_file import NAME
    from farsight.tune.page import final_table
    from farsight.tune.results import PAGE
    from farsight.tune.told import told
    from farsight.tune.verdict import VERDICT, Verdict

    out = tuning.folder.path
    if isinstance(found, Forecast):
        figures = ("methods", "pictures", "captions", "questions", "answers")
        rows = [[stage.name, *(str(getattr(stage, name)) for name in figures)] for stage in found.stages]
        print_table(["", "methods", "pictures", "captions each", "questions each", "answers at most"], rows)
        for label, reason in tuning.refused.items():
            note(f"{told(label)} is out: {reason}")
    say(found.sentence)
    if isinstance(tuning.truth, Detected):
        say(tuning.truth.sentence)
    if tuning.failed:
        note(tuning.told_failed)
    if not isinstance(found, Forecast):
        for label, reason in found.left_out.items():
            note(f"{told(label)} is out: {reason}")
    if isinstance(found, Verdict) and found.outcome.final:
        table = final_table(found)
        print_table(table.columns, table.rows)
    for engine, form in written.get("forms", {}).items():
        say(f"{engine}: {json_format.dumps(form)}")
    if steps := written.get("next"):
        say("next:")
        for step in steps:
            say(f"  {step['to']}:\n    {step['command']}")
    if written:
        method = "" if isinstance(found, Agreement) else f"{NAME}, "
        say(f"wrote {out / PAGE}, {method}{VERDICT} and answers.jsonl ({told_answers(**written['answers'])})")
