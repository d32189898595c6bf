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
from farsight.judging.judgements import NAME as JUDGED
from farsight.tune.asked import PICTURES_ALONE
from farsight.tune.method_file import FOR_VLLM, NAME

Given = dict[str, Any]
"""Options of a command as they were given, by the names that they have in Python."""
Steps = list[tuple[str, str]]
"""What for, and the command."""
ONLY_TUNE = ("budget", "guard", "judge")
"""Options that ``farsight eval`` has not."""


def command(name: str, given: Given, *arguments: object) -> str:
    """Write a command of farsight with its arguments and options, as a shell takes it."""
    words = ["farsight", name, *map(str, arguments)]
    for option, value in given.items():
        if value is None or value is False:
            continue
        flag = f"--{option.replace('_', '-')}"
        each = value if isinstance(value, list | tuple) else [value]
        words += [flag] if value is True else [word for one in each for word in (flag, str(one))]
    return shlex.join(words)


def after_verdict(
    out: Path, plan: Plan, given: Given, *, turn_on: bool, forms: Mapping[str, Any], raced: bool = True
) -> Steps:
    """Give them for a verdict.

    Parameters
    ----------
    out
        The folder of the tuning.
    plan
        What was asked of which model.
    given
        The options that ``farsight tune`` was given.
    turn_on
        Whether a method is to be turned on.
    forms
        As of `farsight.tune.method_file.forms`.
    raced
        Whether any method raced, so that more pictures may tell more.
    """
    method, model = shlex.quote(f"@{out / NAME}"), shlex.quote(plan.model)
    if not turn_on:
        more = {**given, **_more_pictures(plan, given), "out": f"{out}-more"}
        steps = [("look again with more pictures, which tell smaller effects", command("tune", more))] * raced
        if given.get("budget") is not None:
            steps.append(("let slower methods race, too", command("tune", {**given, "budget": None})))
        return [*steps, ("see whether there is anything to absorb", f"farsight doctor --model {model}")]
    first = plan.task.items[0]
    steps = [("see what it changes", f"farsight describe{_seen(first)} --model {model} --method {method} --compare")]
    if first.path is not None:
        steps.append(("try it in the browser", f"farsight web --model {model} --method {method}"))
    others = {name: value for name, value in given.items() if name not in ONLY_TUNE}
    others |= {"methods": f"greedy,@{out / NAME}", **_other_pictures(plan, given), "out": f"{out}-eval"}
    steps += [
        ("serve it behind OpenAI's API", f"farsight serve {model} --method {method}"),
        ("use it in Python", f"with farsight.load_method({str(out / NAME)!r})(model): model.generate(...)"),
        ("measure it on other pictures", command("eval", others)),
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


def _pictures(plan: Plan) -> int | None:
    """How many pictures, or lists, a task was asked for; None if it took all that there are."""
    asked = plan.task.sources.get("count")
    return None if asked is None else int(asked)


def _more_pictures(plan: Plan, given: Given) -> Given:
    """What asks for more: twice as many of what there is more of, or what only the reader has."""
    count = _pictures(plan)
    return _own(plan, given) if count is None else {"count": 2 * count}


def _other_pictures(plan: Plan, given: Given) -> Given:
    """What asks the same of as many others: those behind them, where these have an order, or the reader's own."""
    count = _pictures(plan)
    behind = count is not None and "images" not in given
    return {"skip": count, "count": count} if behind else _own(plan, given) | _one_prompt(given)


def _one_prompt(given: Given) -> dict[str, Any]:
    """The first of several prompts: ``farsight eval`` asks with one."""
    prompts = given.get("prompt")
    return {"prompt": prompts[0]} if prompts else {}


def _own(plan: Plan, given: Given) -> dict[str, Any]:
    """The reader's pictures and what is in them."""
    images = {"images": "DIR"} if "images" in given else {}
    known = given.get("objects") or plan.task.name == PICTURES_ALONE
    return images | ({"objects": "FILE"} if known else {}) | {"count": None}


def after_agreement(out: Path, given: Given, *, all_judged: bool = False) -> Steps:
    """Give them where too little is known of the pictures: what was named by a vocabulary is judged by the same.

    Where all is judged, and too much of it as unsure, judging alone leads nowhere.
    """
    judge = command("judge", {"synonyms": given.get("synonyms")}, out)
    if not all_judged:
        steps = [("say what is in the pictures, a key for each thing that was named", judge)]
        return [*steps, ("go on with what was judged", command("tune", given))]
    other, fewer = f"{out}-more", f"{out}-fewer"
    kept = f"mkdir {shlex.quote(fewer)} && {shlex.join(['cp', str(out / JUDGED), fewer])} && "
    return [
        (
            "ask about other pictures, on which more can be told",
            command("tune", {**given, "images": "DIR", "out": other}),
        ),
        (
            "let methods race of which more is known, with what was judged",
            kept + command("tune", {**given, "methods": "METHODS", "out": fewer}),
        ),
        ("say of what was unsure whether it is there, if that can be told after all", judge),
    ]
