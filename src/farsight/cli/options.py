"""The options that commands share, and the reading of those that are more than a word or a number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farsight.errors import SettingError
from farsight.files import parse_literal

if TYPE_CHECKING:
    from farsight.inputs.checkpoints import LoadedModel
    from farsight.method import Method

EMBEDDED = "embedded"
MOST_INDICES = 10_000
"""Layers or heads that a model could have."""

_MODEL, _METHOD, _OUTPUT = "Model", "Method", "Output"

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="ID_OR_PATH", rich_help_panel=_MODEL,
        help="A folder or a name on the hub; 'embedded' is the small model that comes with farsight.",
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
        metavar="NAME",
        help="A name that 'farsight methods' lists, or farsight(sigma=0.1)+beam.",
        rich_help_panel=_METHOD,
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option(metavar="X", help="Decay rate of the registers; smaller absorbs more.", rich_help_panel=_METHOD),
]
Horizon = Annotated[
    str | None,
    typer.Option(metavar="H", help="generation, infinite, or a length in tokens.", rich_help_panel=_METHOD),
]
Strength = Annotated[
    float | None, typer.Option(metavar="X", help="Factor on the register mass.", rich_help_panel=_METHOD)
]
Profile = Annotated[
    str | None,
    typer.Option(metavar="P", help="linear, none, or a constant register score.", rich_help_panel=_METHOD),
]
Rows = Annotated[
    str | None,
    typer.Option(metavar="R", help="Which tokens own registers: all, generated, text.", rich_help_panel=_METHOD),
]
Slopes = Annotated[
    str | None, typer.Option(metavar="S", help="alibi, or none: one decay for all heads.", rich_help_panel=_METHOD)
]
ScoreScale = Annotated[
    float | None, typer.Option(metavar="X", help="Factor on the attention scores.", rich_help_panel=_METHOD)
]
Layers = Annotated[
    str | None, typer.Option(metavar="LIST", help="Only these layers, such as 0,1 or 0-3.", rich_help_panel=_METHOD)
]
Heads = Annotated[
    str | None, typer.Option(metavar="LIST", help="Only these heads, such as 0,1 or 0-3.", rich_help_panel=_METHOD)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_OUTPUT)]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Show plain decoding and the method side by side.", rich_help_panel=_OUTPUT),
]


def load(
    model: str, device: str | None, dtype: str | None, attn_implementation: str | None, *, videos: bool = False
) -> LoadedModel:
    """Load the checkpoint that ``--model`` names; with ``videos``, 'embedded' is the one that takes them."""
    from farsight import embedded

    return embedded.load(model, device, dtype, attn_implementation, videos=videos)


def embedded_path(videos: bool) -> Path:
    """Where the embedded model lies that takes pictures, or the one that takes videos."""
    from farsight import embedded

    return embedded.embedded_path(videos)


def refuse_unused(context: typer.Context, because: str, *names: str) -> None:
    """Refuse options that are given and of no use: an answer to another question is worse than none.

    Raises
    ------
    SettingError
        With what makes the first of them useless.
    """
    for name in names:
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE":
            raise SettingError(f"--{name.replace('_', '-')} is of no use: {because}; leave it out")


def label(method: Method) -> str:
    """The name of a method and the settings that are not its defaults; of a composed one, those of its parts."""
    from farsight.method import parts
    from farsight.methods import changed_settings

    labels = []
    for part in parts(method):
        changed = changed_settings(part)
        labels.append(f"{part.name} ({changed})" if changed else part.name)
    return " + ".join(labels)


def make_method(text: str, settings: dict[str, Any]) -> Method:
    """Make the method that ``--method`` names, with the settings that other options give.

    Raises
    ------
    SettingError
        If a method with brackets or of several parts has settings from options too: it is not clear whose they are.
    """
    from farsight import methods
    from farsight.evaluate.settings import parse_method

    if "+" not in text and "(" not in text:
        return methods.make_method(text, settings)
    if settings:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in settings)
        raise SettingError(
            f"--method '{text}' has its settings in brackets: write those of {options} there, such as "
            "farsight(sigma=0.1)+beam"
        )
    return parse_method(text)


def number_or_word(text: str | None) -> int | float | str | None:
    """``--horizon 512`` is a number, ``--horizon infinite`` a word."""
    if text is None:
        return None
    value = parse_literal(text.strip())
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def index_list(option: str, text: str | None) -> tuple[int, ...] | None:
    """``0,2,5-7`` as ``(0, 2, 5, 6, 7)``.

    Raises
    ------
    SettingError
        If it is anything but indices from 0 and ranges of them.
    """
    if text is None:
        return None
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = [first, last] if dash else [first]
        if not all(end.isdecimal() for end in ends):
            raise SettingError(f"{option} '{text}' is not a list of indices; write it like 0,1 or 0-3")
        if any(len(end) > len(str(MOST_INDICES)) for end in ends) or int(ends[-1]) > MOST_INDICES:
            raise SettingError(f"{option} '{text}' is longer than any model; write it like 0,1 or 0-3")
        if int(ends[-1]) < int(first):
            raise SettingError(f"{option} '{text}' is not a list of indices; write it like 0,1 or 0-3")
        chosen.update(range(int(first), int(ends[-1]) + 1))
    return tuple(sorted(chosen))
