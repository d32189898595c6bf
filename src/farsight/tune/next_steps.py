"""What one may want to do when a race is over, each with its command, which works as it is printed.

Capital letters stand for what only the reader has.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item
from farsight.tune.method_file import FOR_VLLM, NAME

Steps = list[tuple[str, str]]
"""What for, and the command."""


def after_verdict(
    out: Path,
    plan: Plan,
    *,
    turn_on: bool,
    forms: Mapping[str, Any],
    budget: float | None = None,
    synonyms: str | None = None,
) -> Steps:
    """Give them for a verdict.

    Parameters
    ----------
    out
        The folder of the tuning.
    plan
        What was asked of which model.
    turn_on
        Whether a method is to be turned on.
    forms
        As of `farsight.tune.method_file.forms`.
    budget
        Most time over plain decoding's, if there was one.
    synonyms
        The vocabulary's name, if one was given.
    """
    method, model = shlex.quote(f"@{out / NAME}"), shlex.quote(plan.model)
    if not turn_on:
        steps = [("look again with more pictures, which tell smaller effects", "the same farsight tune, another --out")]
        if budget is not None:
            steps.append(("let slower methods race, too", f"the same farsight tune, --budget above {budget:g}"))
        return [*steps, ("see whether there is anything to absorb", f"farsight doctor --model {model}")]
    first = plan.task.items[0]
    steps = [("see what it changes", f"farsight describe{_seen(first)} --model {model} --method {method} --compare")]
    if first.path is not None:
        steps.append(("try it in the browser", f"farsight web --model {model} --method {method}"))
    compared = shlex.quote(f"greedy,@{out / NAME}")
    steps += [
        ("serve it behind OpenAI's API", f"farsight serve {model} --method {method}"),
        ("use it in Python", f"with farsight.load_method({str(out / NAME)!r})(model): model.generate(...)"),
        (
            "measure it on other pictures",
            f"farsight eval --model {model} --methods {compared}{_task(plan, synonyms)} --out RUN",
        ),
    ]
    if "vllm" in forms:
        another = (out / FOR_VLLM).is_file()
        file = shlex.quote(f"@{out / (FOR_VLLM if another else NAME)}")
        what = "serve it in vLLM" + (", with horizon=infinite, which was not measured" if another else "")
        steps.append((what, f"farsight serve {model} --method {file} --engine vllm"))
    if "register_tokens" in forms:
        count = forms["register_tokens"]
        steps.append(("use it in any other engine", f"farsight export {model} --registers {count} --out MODEL"))
    return steps


def _seen(item: Item) -> str:
    return f" {shlex.quote(str(item.path))}" if item.path is not None else " --prompt PROMPT"


def _task(plan: Plan, synonyms: str | None) -> str:
    """The options that ask other pictures the same, or the same task where it has its own."""
    name, with_objects = plan.task.name, "objects" in plan.task.sources
    own = name not in ("chair", "pictures")
    task = f" --task {shlex.quote(name)}" if own else " --images DIR"
    objects = " --objects FILE" if with_objects or not own else ""
    return task + objects + ("" if synonyms is None else f" --synonyms {shlex.quote(synonyms)}")


def after_agreement(out: Path, synonyms: str | None = None, *, all_judged: bool = False) -> Steps:
    """Give them where too little is known of the pictures: what was named by a vocabulary is judged by the same.

    Where all is judged, and too much of it as unsure, judging alone leads nowhere.
    """
    named = "" if synonyms is None else f" --synonyms {shlex.quote(synonyms)}"
    judge, again = f"farsight judge {shlex.quote(str(out))}{named}", "the same farsight tune again"
    if not all_judged:
        steps = [("say what is in the pictures, a key for each thing that was named", judge)]
        return [*steps, ("go on with what was judged", again)]
    return [
        ("ask about other pictures, on which more can be told", "the same farsight tune, another --images and --out"),
        ("let methods race of which more is known", "the same farsight tune, --methods without the others"),
        ("say of what was unsure whether it is there, if that can be told after all", judge),
    ]
