"""The options that commands share, and the reading of those that are more than a word or a number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from farsight.cli.terminal import note
from farsight.errors import SettingError
from farsight.inputs.named_models import DRAWN_ONLY
from farsight.inputs.named_models import EMBEDDED as EMBEDDED
from farsight.inputs.named_models import load as load

SETTINGS = {
    "sigma": "0.1",
    "horizon": "infinite",
    "strength": "2.0",
    "profile": "0.001",
    "rows": "generated",
    "slopes": "alibi",
    "score-scale": "0.5",
    "layers": "0-3",
    "heads": "0-3",
}
"""What FarSight has, by names that are no options, with an example of each."""

_MODEL, _METHOD, _OUTPUT = "Model", "Method", "Output"

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="ID_OR_PATH", rich_help_panel=_MODEL,
        help="A folder, a name on the hub, or 'embedded' (comes with farsight), 'smollm2' (text), 'smollm2-sees'.",
    ),
]  # fmt: skip
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps; a GPU where there is one.", rich_help_panel=_MODEL),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel=_MODEL,
        help="float32, bfloat16, float16; float32 on a CPU, else the checkpoint's own.",
    ),
]  # fmt: skip
AttnImplementation = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="eager, sdpa, flex_attention, flash_attention_2, ...", rich_help_panel=_MODEL),
]
MOST_NEW_TOKENS = 1_000_000
"""Of an answer: more than any model's context."""


def _check_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise SettingError("--prompt is empty; say what to ask about the pictures")
    return prompt


def check_new_tokens(count: int | None) -> int | None:
    """Refuse a number of tokens that no answer has.

    Raises
    ------
    SettingError
        If it is less than 1 or more than `MOST_NEW_TOKENS`.
    """
    if count is not None and not 0 < count <= MOST_NEW_TOKENS:
        limit = "at least 1" if count <= 0 else f"at most {MOST_NEW_TOKENS}"
        raise SettingError(f"--max-new-tokens must be {limit}, not {count}")
    return count


Prompt = Annotated[
    str,
    typer.Option(
        "--prompt", "-p", metavar="TEXT", help="What to ask about each picture.", callback=_check_prompt
    ),
]  # fmt: skip
PICTURE_PROMPT = "Please describe this image in detail."
"""The prompt of the field's captions, as `farsight eval` asks it too."""
TEXT_PROMPT = "Describe a photo of a street in a small town: what can be seen in it, and where?"


def _check_own_prompt(prompt: str | None) -> str | None:
    return None if prompt is None else _check_prompt(prompt)


OwnPrompt = Annotated[
    str | None,
    typer.Option(
        "--prompt", "-p", metavar="TEXT", callback=_check_own_prompt, help="What to ask; ours if none is given."
    ),
]  # fmt: skip


def prompt_for(prompt: str | None, seen: object) -> str:
    """Give what to ask about what is seen: the user's own, or ours, which is another where nothing is seen."""
    return prompt or (TEXT_PROMPT if seen is None else PICTURE_PROMPT)


def note_photographs(model: str, images: Sequence[Path]) -> None:
    """Say that the embedded model knows drawn scenes only, unless these lie beside their ``objects.jsonl``."""
    drawn = {folder for path in images for folder in (path.parent, path.parent.parent)}
    if model == EMBEDDED and images and not any((folder / "objects.jsonl").is_file() for folder in drawn):
        note(f"{DRAWN_ONLY}, such as -m llava-hf/llava-1.5-7b-hf")


MaxNewTokens = Annotated[
    int,
    typer.Option(
        "--max-new-tokens", "-n", metavar="N", help="Stop after so many tokens.", callback=check_new_tokens
    ),
]  # fmt: skip
MethodName = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="A name that 'farsight methods' lists, greedy, farsight(sigma=0.1)+beam, or @FILE with one in YAML.",
        rich_help_panel=_METHOD,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--methods",
        "--method",
        metavar="LIST",
        help="Such as greedy,farsight,'farsight(sigma=0.1, rows=generated)', or @FILE; may be several options.",
        rich_help_panel=_METHOD,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_OUTPUT)]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Show plain decoding and the method side by side.", rich_help_panel=_OUTPUT),
]


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option is on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_unused(context: typer.Context, because: str, *names: str) -> None:
    """Refuse options that are given and of no use: an answer to another question is worse than none.

    Raises
    ------
    SettingError
        With what makes the first of them useless.
    """
    for name in names:
        if is_given(context, name):
            raise SettingError(f"--{name.replace('_', '-')} is of no use: {because}; leave it out")


def check_no_setting(word: str, option: str = "--method") -> None:
    """Refuse ``--sigma`` and the like, with the way to write it in ``option``.

    Raises
    ------
    SettingError
        If ``word`` is a setting of FarSight, written as an option.
    """
    flag = word.partition("=")[0]
    if flag.startswith("--") and (name := flag.removeprefix("--").replace("_", "-")) in SETTINGS:
        example = f"farsight({name.replace('-', '_')}={SETTINGS[name]})"
        raise SettingError(f'No such option {flag}; write it in the method: {option} "{example}"')
