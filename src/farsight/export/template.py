"""The chat template of an exported model: registers in front of everything, as many as a request says."""

from __future__ import annotations

import json

TALK = [{"role": "user", "content": "Name three things that one sees at a beach, and say why they are there."}]
"""What a template is tried with."""
VARIABLE = "registers"
"""Of a template, which a request sets: ``chat_template_kwargs={"registers": 20}``."""


def with_registers(template: str, token: str, registers: int, bos: str | None = None) -> str:
    """Put registers in front of what a template writes, and then the token that begins a text if engines added it.

    Written so that Jinja and the engines of llama.cpp and others agree on it: a loop, and a text at its end, behind
    which no line end is swallowed.
    """
    written = json.dumps(token, ensure_ascii=False)
    begin = json.dumps(bos or "", ensure_ascii=False)
    return (
        f"{{% for _ in range({VARIABLE} if {VARIABLE} is defined else {registers}) %}}{{{{ {written} }}}}{{% endfor %}}"
        f"{{{{ {begin} }}}}{template}"
    )
