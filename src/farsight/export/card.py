"""What is said about an exported model: ``farsight.json`` for programs, and a model card for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from farsight.export.check import Verdict
from farsight.export.template import VARIABLE
from farsight.export.tokens import RegisterToken
from farsight.register_tokens import sigma_of


def facts(
    token: RegisterToken, registers: int, verdict: Verdict, how: str, source: str, version: str
) -> dict[str, Any]:
    """Give what ``farsight.json`` holds; ``how`` says what was checked."""
    return {
        "farsight": version,
        "model": source,
        "registers": registers,
        "sigma": sigma_of(registers) if registers else None,
        "horizon": "infinite",
        "token": token.text,
        "token_id": token.number,
        "token_was": token.how,
        "checked": {"how": how, **asdict(verdict)},
    }


def card(about: dict[str, Any], original: str) -> str:
    """Put a section about the registers on top of a model card, behind its front matter."""
    front = ""
    if original.startswith("---\n") and (end := original.find("\n---", 4)) >= 0:
        end += len("\n---")
        front, original = original[:end] + "\n\n", original[end:].lstrip("\n")
    checked = about["checked"]
    lines = [
        f"# {about['model']} with attention registers",
        "",
        f"Made by farsight {about['farsight']}. One token, `{about['token']}` (number {about['token_id']}), has an",
        "embedding of zeros, so that its key and its value are zero in every layer: it takes part in the softmax of",
        "each row and adds nothing. The other weights are those of the original.",
        "",
        f"The chat template writes {about['registers']} of them in front of everything"
        + (
            "." if about["sigma"] is None else f', which is `FarSight(sigma={about["sigma"]:.4g}, horizon="infinite")`.'
        ),
        f'A request sets another number with `chat_template_kwargs={{"{VARIABLE}": 20}}`; 0 is the original model.',
        "Without a chat template they have to be written in front of the text, and of the token that begins it.",
        "",
        "The token is never to be generated: where an engine does not read `suppress_tokens` of",
        f"`generation_config.json`, set `logit_bias={{'{about['token_id']}': -100}}`.",
        "",
        f"Checked: {checked['how']}.",
    ]
    if checked["window"] is not None:
        lines += [
            "",
            f"Some layers read the last {checked['window']} tokens only; rows further on have no registers in those.",
        ]
    return front + "\n".join(lines) + "\n\n" + original
