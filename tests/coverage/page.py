"""docs/coverage.md, from the results of `matrix`."""

from __future__ import annotations

from collections import Counter
from typing import Any

_HEAD = """# Coverage

What this page is for: to look up whether your architecture is exact, and with which kinds of input.

Every architecture in Transformers' image-text-to-text mapping, as a tiny random model of its own config class (torch
{torch}, transformers {transformers}, CPU, float32; written by `make coverage`):
**{ok} ok, {refused} refused, {defect} defects.**

`ok` in a column means:

- **image**, **video**: each step of cached greedy decoding with an image (a video) gives the logits of the materialised
  definition, computed by one forward without a cache whose attention is written out in float64, within 2e-4 of their
  scale. Registers change every step's logits by at least 20 times that error, and absorb something in exactly the
  layers that carry them.
- **batch**: the same for two prompts of different length, padded on the left.
- **static**: a static cache gives the logits of the default one.
- **restored**: afterwards attributes, hooks, configs and logits are what they were, bit for bit.
- **registers as tokens**: in the model with random biases, tokens with a zero embedding have zero keys and values in
  every layer, and a prompt behind five of them has the logits of FarSight with their mass, within 1e-3 of their scale
  ([any engine](any_engine.md)). What is `no` there has the other ways.

A number points to a note below the table: there plain decoding itself does not do what the column asks; in the last,
why not. A row is *refused* where FarSight says so itself on entering the block, and where a model of this kind
cannot be built here. Encoder-decoder models have their registers in the decoder's causal self-attention alone. Where a
model stands *with a tower* of another kind, its own needs torchvision, which does not load beside the CPU build of
torch here: the language model and its attention are its own. The column **CUDA** is empty: nothing has been run on a
GPU yet.

| architecture | model | registers in | image | video | batch | static | restored | registers as tokens | CUDA |
|---|---|---|---|---|---|---|---|---|---|
"""


def page(rows: list[dict[str, Any]], versions: dict[str, str]) -> str:
    """The page: a table of what is served, notes, and a list of what is refused, with the reason."""
    counts = dict.fromkeys(("ok", "refused", "defect"), 0) | Counter(row["result"] for row in rows)
    notes: list[str] = []
    lines = [_line(row, notes) for row in rows if row["result"] == "ok"]
    text = _HEAD.format(**versions, **counts) + "\n".join(lines) + "\n"
    if notes:
        text += "\n" + "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)) + "\n"
    for result, title in (("refused", "Refused"), ("defect", "Defects")):
        if counts[result]:
            text += f"\n## {title}\n\n| architecture | model | reason |\n|---|---|---|\n"
            text += "".join(
                f"| {row['architecture']} | {row['class']} | {_plain(row['reason'])} |\n"
                for row in rows
                if row["result"] == result
            )
    return text


def _line(row: dict[str, Any], notes: list[str]) -> str:
    tower = "" if row.get("tower") is None else f" with a {row['tower']} tower"
    cells = [row["architecture"], row["class"] + tower, _where(row)]
    cells += [_cell(row.get(column), notes) for column in ("image", "video", "batch", "static cache")]
    cells += ["ok" if row["restored"] else "", _as_tokens(row["tokens"], notes), ""]
    return "| " + " | ".join(cells) + " |"


def _where(row: dict[str, Any]) -> str:
    """The attention classes that carry registers, and what mixes tokens in the other layers."""
    kinds = sorted({kind for _, kind in row["where"]})
    text = ", ".join(kinds) + ("" if row["attention"] == "sdpa" else f" ({row['attention']})")
    return text + (f"; none in {', '.join(row['elsewhere'])}" if row["elsewhere"] else "")


def _cell(found: Any, notes: list[str]) -> str:
    if found is None:
        return "–"
    if isinstance(found, dict) or found == "ok":
        return "ok"
    note = _plain(found)
    if note not in notes:
        notes.append(note)
    return f"({notes.index(note) + 1})"


def _as_tokens(found: str, notes: list[str]) -> str:
    answer, _, why = found.partition(": ")
    return f"{answer} {_cell(why, notes)}" if why else answer


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
