"""What races: FarSight in some settings, its controls, and other methods as their papers or our searches have them.

The list is made for models of which nothing is known. Whoever knows more passes ``--methods``.
"""

from __future__ import annotations

from collections.abc import Mapping

from farsight.errors import SettingError
from farsight.method import Method, Plain
from farsight.methods import METHODS
from farsight.methods.grammar import label_of, parse_method, parse_methods
from farsight.tune.measured import MEASURED
from farsight.tune.method_file import in_vllm
from farsight.tune.told import label_of_tokens

BASELINE = "greedy"
REGISTER_TOKENS = (1, 10, 30)
"""FarSight as so many tokens in front of the prompt, which vLLM and llama.cpp take too."""
CANDIDATES = (
    "farsight",
    "farsight(sigma=0.1, rows=generated)",
    "farsight(sigma=0.05, rows=generated)",
    "farsight(sigma=0.02, rows=generated)",
    "farsight(profile=0)",
    *map(label_of_tokens, REGISTER_TOKENS),
    "constant(value=0.9)",
    "constant(value=0.9, rows=generated)",
    "constant(value=1.1)",
    "flb",
    "rudder",
    "iat",
    "deco(alpha=0.1)",
    "dola(relative_top=0.3)",
    "fixvpe",
    "edvt(strength=0.5)",
    "m3id",
    "pai",
    "vcd(alpha=0.5, beta=0.3)",
    "icd(alpha=0.5, beta=0.3)",
    "beam(num_beams=2)",
    "beam",
)
"""The cheap ones first. Settings other than the defaults are those that `docs/comparison.md` chose."""


def usual_candidates(*, vllm: bool = False) -> dict[str, Method]:
    """Give those of `CANDIDATES` whose method is there, by label, and what stands for those of `MEASURED`.

    ``vllm``: as vLLM takes them, where it does.
    """
    made = [parse_method(text) for text in CANDIDATES if text.partition("(")[0] in METHODS]
    if vllm:
        made = [in_vllm(method) or method for method in made]
    return {label_of(method): method for method in made} | {label: one.method for label, one in MEASURED.items()}


def contenders(text: str | None, *, vllm: bool = False) -> dict[str, Method]:
    """Give what is to race against plain decoding: a list as `farsight eval` takes it, or the usual candidates.

    ``vllm``: the usual candidates as vLLM takes them, registers with the infinite horizon.

    Raises
    ------
    SettingError
        As `farsight.methods.grammar.parse_methods`; if nothing is left, or one is called as plain decoding is.
    """
    chosen: Mapping[str, Method] = usual_candidates(vllm=vllm) if text is None else parse_methods(text)
    racing = {label: method for label, method in chosen.items() if type(method) is not Plain}
    if not racing:
        raise SettingError("--methods has plain decoding alone; add what is to race against it")
    if BASELINE in racing:
        raise SettingError(f"--methods: '{BASELINE}' is what the others race against; give its method another label")
    return racing
