"""What ``farsight doctor`` found, as a screen: equal layers are one row, and the verdict is the last line."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from farsight.cli.terminal import new_console


def show(report: dict[str, Any]) -> None:
    """Print the report."""
    from rich.text import Text

    console = new_console()
    console.print(_facts(report))
    if report["layers"]:
        console.print()
        console.print(_layers(report["layers"], report["other_layers"], prefix=f"{report['language_model']}."))
        for line in _trained(report["layers"]):
            console.print(Text(line))
    console.print()
    for line in _methods(report["methods"]):
        console.print(Text(line))
    if (tokens := report["tokens"]) is not None:
        because = "farsight export makes such a model" if tokens["possible"] else tokens["reason"]
        console.print(Text(f"Registers as tokens: {'yes' if tokens['possible'] else 'no'}, {because}"))
    console.print()
    if (seen := report["attention"]) is not None:
        _attention(seen, [layer["index"] for layer in report["layers"]])
    elif report["switchable"]:
        console.print(Text(f"What it attends to was not seen: {report['attention_reason']}", style="yellow"))
    if report["switchable"]:
        console.print("This model can be switched: every layer above can carry registers.", style="green")
    else:
        console.print(Text(f"This model cannot be switched: {report['reason']}", style="red"))
    if seen is not None:
        console.print(Text(seen["sentence"], style="bold"))


def _facts(report: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    for name, value in report["versions"].items():
        facts.add_row(name, Text(value))
    for name in ("device", "dtype", "model", "architecture"):
        facts.add_row(name, Text(report[name]))
    implementations = dict.fromkeys(layer["implementation"] for layer in report["layers"])
    facts.add_row("language model", Text(report["language_model"] or "not found"))
    facts.add_row("attention", Text(", ".join(implementations) or "unknown"))
    return facts


def _layers(layers: list[dict[str, Any]], others: list[dict[str, Any]], prefix: str) -> Any:
    """Rows of a table: layers that differ in nothing but their index are one."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("layers", "module", "class", "heads/kv", "window", "registers"):
        table.add_column(name, overflow="fold")
    rows: dict[tuple[Any, ...], list[int]] = {}
    for layer in layers:
        index, window = str(layer["index"]), layer["sliding_window"]
        name = ".".join("*" if part == index else part for part in layer["name"].removeprefix(prefix).split("."))
        heads = f"{layer['heads']}/{layer['kv_heads']}"
        cells = (name, layer["attention"], heads, "full" if window is None else str(window), layer["reason"] or "yes")
        rows.setdefault(cells, []).append(layer["index"])
    for other in others:
        rows.setdefault(("", other["kind"], "", "", "no softmax attention"), []).append(other["index"])
    for cells, indices in sorted(rows.items(), key=lambda row: row[1]):
        table.add_row(*(Text(cell) for cell in (ranges(indices), *cells)))
    return table


def ranges(numbers: list[int]) -> str:
    """Write rising numbers as ``0-3, 5, 7-9``."""
    runs = [
        [number for _, number in run] for _, run in groupby(enumerate(numbers), key=lambda place: place[1] - place[0])
    ]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _trained(layers: list[dict[str, Any]]) -> list[str]:
    """What layers were trained with that does what registers do."""
    told = []
    if sinks := {layer["index"]: layer["own_sink"] for layer in layers if layer["own_sink"]}:
        told.append(
            f"Trained sinks of its own in layers {ranges(list(sinks))}: they take "
            f"{100 * sum(sinks.values()) / len(sinks):.1f} % of a row, and registers add to them."
        )
    if gates := {layer["index"]: layer["own_gate"] for layer in layers if layer["own_gate"] is not None}:
        told.append(
            f"A trained gate behind attention in layers {ranges(list(gates))}: it multiplies by "
            f"{sum(gates.values()) / len(gates):.2f} on average, after the registers."
        )
    return told


def _methods(rows: list[dict[str, Any]]) -> list[str]:
    """Those that run, with passes per new token beyond greedy decoding's one; the others by what they say."""
    running = ", ".join(f"{row['name']} {row['extra_forwards']:g}" for row in rows if row["runs"])
    told = [f"Methods that run on it, with extra forward passes per token: {running or 'none'}"]
    refusing: dict[str, list[str]] = {}
    for row in rows:
        if not row["runs"]:
            refusing.setdefault(row["reason"].removeprefix(f"{row['name']} "), []).append(row["name"])
    return told + [f"Not {', '.join(names)}: {reason}" for reason, names in refusing.items()]


def _attention(seen: dict[str, Any], indices: list[int]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = new_console()
    layers, uniform = seen["first_token"], seen["first_token_if_uniform"]
    most = max(range(len(layers)), key=layers.__getitem__)
    alone = "" if seen["about"] == "picture" else " (text alone)"
    console.print(Text(
        f"Seen on a prompt of {seen['prompt_tokens']} tokens{alone} and {seen['answer_tokens']} of its answer:"
    ))  # fmt: skip
    facts = Table.grid(padding=(0, 2))
    facts.add_row("first token", Text(
        f"{100 * sum(layers) / len(layers):.0f} % of attention ({100 * uniform:.0f} % if uniform), "
        f"most in layer {indices[most]}: {100 * layers[most]:.0f} %"
    ))  # fmt: skip
    facts.add_row("log Z", Text(f"median {seen['log_z_median']:.1f}, 5 % of rows below {seen['log_z_low']:.1f}"))
    console.print(facts)
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("registers would take, %")
    for name in ("all rows", "generated rows"):
        table.add_column(name, justify="right")
    for share in seen["shares"]:
        values = (f"{100 * share[name]:.2f}" for name in ("all_rows", "generated_rows"))
        table.add_row(*(Text(cell) for cell in (f"sigma {share['sigma']:g}", *values)))
    console.print(table)
    console.print(
        f"In calls of {seen['max_new_tokens']} new tokens; without what the registers of one layer change in the next.",
        style="dim",
    )
    console.print()
