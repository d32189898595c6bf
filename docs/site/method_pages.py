"""What the code says about a method is put into its page: changes, cost, company, and the docstring of its class."""

import re
from itertools import groupby
from pathlib import Path

from sphinx.application import Sphinx

from farsight.errors import SettingError
from farsight.method import Composed, Method
from farsight.methods import METHODS

_FOLDER = "methods/"
_COSTS = Path(__file__).parents[1] / "benchmarks.md"


def complete(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the facts behind the introduction of a method's page, and the reference of its class at its end."""
    if not docname.startswith(_FOLDER) or (name := docname.removeprefix(_FOLDER)) not in METHODS:
        return
    introduction, heading, rest = source[0].partition("\n## ")
    kind = METHODS[name]
    source[0] = f"{introduction}\n{facts(kind)}\n{heading}{rest}\n{reference(kind)}"


def facts(kind: type[Method]) -> str:
    """Make a table of what a method says of itself, and of which others it can be used with."""
    company = {other: _refusal(kind, METHODS[other]) for other in METHODS if other != kind.name}
    together = [f"[`{other}`]({other}.md)" for other, refusal in company.items() if refusal is None]
    rows = {
        "class": f"{{py:class}}`{kind.__module__}.{kind.__qualname__}`",
        "command": f"`--method {kind.name}`",
        "changes": kind.changes,
        "extra passes": f"{kind.extra_forwards:g} per new token, beyond the one forward pass of greedy decoding",
        "time": _time(kind.name),
        "goes with": ", ".join(together) or "none",
        "not with": "; ".join(_reasons(company)) or "none that changes anything",
    }
    return "\n".join(["| | at a glance |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _time(name: str) -> str:
    found = re.search(rf"^\| {name} \| \*\*([\d.]+)\*\*", _COSTS.read_text(encoding="utf-8"), re.MULTILINE)
    return f"{found[1]} times that of greedy decoding ([how](../benchmarks.md))" if found else "not measured"


def _refusal(kind: type[Method], other: type[Method]) -> str | None:
    try:
        Composed(methods=(kind(), other()))
    except SettingError as error:
        reason = str(error).removesuffix(": leave one out").removesuffix(", and no paper says what they do together")
        both = re.fullmatch(
            rf"({kind.name} and {other.name}|{other.name} and {kind.name}) (both change the .*)", reason
        )
        nothing = "composing it with another means nothing" in reason
        return both[2] if both else "it changes nothing" if nothing else reason.partition(";")[0]
    return None


def _reasons(company: dict[str, str | None]) -> list[str]:
    refused = sorted(((reason, other) for other, reason in company.items() if reason and other != "plain"))
    return [
        f"{', '.join(f'[`{other}`]({other}.md)' for _, other in group)} ({reason})"
        for reason, group in groupby(refused, key=lambda pair: pair[0])
    ]


def reference(kind: type[Method]) -> str:
    """Make the reference of a method's class, from its docstring."""
    title = f"{kind.__module__}.{kind.__qualname__}"
    return (
        f"\n## The class\n\n```{{eval-rst}}\n.. autoclass:: {title}\n   :members:\n   :exclude-members: applied\n```\n"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
