"""What one may want to do when a race is over, each with its command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farsight.tune.method_file import NAME


def after_verdict(out: Path, model: str, *, turn_on: bool, forms: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give them for a verdict.

    Parameters
    ----------
    out
        The folder.
    model
        What was asked.
    turn_on
        Whether a method is to be turned on.
    forms
        As of `farsight.tune.method_file.forms`.
    """
    method, model = shlex.quote(f"@{out / NAME}"), shlex.quote(model)
    if not turn_on:
        return [
            ("look again with more pictures, which tell smaller effects", "farsight tune ... --count N --out ANOTHER"),
            ("let slower methods race", "farsight tune ... --budget 3 --out ANOTHER"),
            ("see whether there is anything to absorb", f"farsight doctor --model {model}"),
        ]
    steps = [
        ("see it on a picture", f"farsight describe PICTURE --model {model} --method {method} --compare"),
        ("try it in the browser", f"farsight web --model {model} --method {method}"),
        ("serve it behind OpenAI's API", f"farsight serve {model} --method {method}"),
        ("use it in Python", f"with farsight.load_method({str(out / NAME)!r})(model): model.generate(...)"),
        ("measure it on other pictures", f"farsight eval --model {model} --methods {method} --task ... --out RUN"),
    ]
    if "vllm" in forms:
        steps.append(("serve it in vLLM", f"farsight serve {model} --method {method} --engine vllm"))
    if "register_tokens" in forms:
        count = forms["register_tokens"]
        steps.append(("use it in any other engine", f"farsight export {model} --registers {count} --out MODEL"))
    return steps


def after_agreement(out: Path) -> list[tuple[str, str]]:
    """Give them where nothing is known of the pictures."""
    return [
        ("say what is in the pictures, a key for each thing that was named", f"farsight judge {shlex.quote(str(out))}"),
        ("go on with what was judged", "the same farsight tune again"),
    ]
