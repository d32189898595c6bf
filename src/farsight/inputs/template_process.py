"""The process in which chat templates are rendered: by Transformers, one request a line, in bounded memory.

It is started by `farsight.inputs.chat_templates`, which ends it when a template takes too long.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

MOST_MEMORY = 2**30
"""Bytes of address space that a template may have."""
MOST_ADDED = 100_000
"""Characters that a template may write beyond four times what it is given."""


def main() -> None:
    """Say that the process is ready, then answer each line of JSON with one, until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    from transformers.utils.chat_template_utils import render_jinja_template

    with suppress(ImportError, ValueError, OSError):  # where there is no such limit, the time is the only one
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    answers.write(b"{}\n")
    answers.flush()
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answer(render_jinja_template, line)).encode() + b"\n")
        answers.flush()


def _answer(render: Any, line: bytes) -> dict[str, Any]:
    try:
        texts, _ = render(**json.loads(line))
    except MemoryError:
        return {"unbounded": f"needs more than {MOST_MEMORY // 2**20} MB of memory"}
    except RecursionError:
        return {"unbounded": "calls itself without end, or is nested too deeply"}
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    if sum(map(len, texts)) > MOST_ADDED + 4 * len(line):
        return {"unbounded": f"writes more than {MOST_ADDED} characters that it was not given"}
    return {"texts": texts}


if __name__ == "__main__":
    main()
