"""The file that every face takes, and what other engines are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from farsight import FLB, AdaIAT, BeamSearch, DeCo, FarSight, Method, Plain
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.grammar import parse_method, parse_methods, read_methods
from farsight.register_tokens import sigma_of
from farsight.tune.candidates import contenders, usual_candidates
from farsight.tune.method_file import forms, in_vllm, write_method

METHODS = {
    "plain": Plain(),
    "farsight": FarSight(sigma=0.1, rows="generated"),
    "layers": FarSight(layers=(0, 2)),
    "measured": AdaIAT(true_rows=((0.25, 1e-7), (0.1, 2.0)), false_rows=((0.2, 1e-9), (0.3, 1 / 3)), alpha=20.0),
    "heads": ConstantGate(value=((0.9, 1.0), (0.8, 1.1)), rows="generated"),
    "composed": FarSight(sigma=0.05) + BeamSearch(num_beams=3),
    "logits": DeCo(alpha=0.1),
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_file_is_read_back_as_the_same_method(tmp_path: Path, name: str) -> None:
    path = tmp_path / "method.yaml"
    write_method(path, METHODS[name], comments=["Turn on: x", "two\nlines # and: more"])
    assert parse_method(f"@{path}") == METHODS[name]
    assert list(parse_methods(f"@{path}").values()) == [METHODS[name]]
    assert path.read_text().startswith("# Turn on: x\n# two lines # and: more\nmethod: ")


@pytest.mark.parametrize("label", sorted(usual_candidates()))
def test_every_candidate_can_be_written(tmp_path: Path, label: str) -> None:
    method = usual_candidates()[label]
    write_method(tmp_path / "method.yaml", method)
    assert list(read_methods(tmp_path / "method.yaml").values()) == [method]


def test_in_vllm_the_candidates_race_as_it_takes_them() -> None:
    racing = contenders(None, vllm=True)
    taken = {label for label, method in racing.items() if in_vllm(method) == method}
    assert {"farsight(sigma=0.1, horizon=infinite, rows=generated)", "farsight(horizon=infinite)", "flb"} <= taken
    assert {label for label in usual_candidates() if "horizon=infinite" in label} <= taken
    assert {"beam", "constant", "farsight(profile=0)"} <= set(racing) - taken


@pytest.mark.parametrize(
    ("method", "found"),
    [
        (Plain(), {}),
        (DeCo(), {}),
        (FarSight(), {"vllm"}),
        (FarSight(profile=0.0), {}),
        (FarSight() + BeamSearch(), {}),
        (FarSight(sigma=sigma_of(10), horizon="infinite"), {"vllm", "register_tokens"}),
        (FarSight(sigma=sigma_of(10), horizon="infinite", rows="generated"), {"vllm"}),
    ],
    ids=["plain", "deco", "farsight", "constant registers", "composed", "tokens", "generated"],
)
def test_other_engines_are_told_in_their_forms_where_they_have_one(method: Method, found: set[str]) -> None:
    made = forms(method)
    assert set(made) == set(found)
    if "register_tokens" in found:
        assert made["register_tokens"] == 10


def test_vllm_whose_answers_have_no_end_is_told_the_infinite_horizon() -> None:
    method = FarSight(sigma=0.05, rows="generated")
    assert in_vllm(method) == FarSight(sigma=0.05, rows="generated", horizon="infinite")
    assert in_vllm(method + FLB()) == FarSight(sigma=0.05, rows="generated", horizon="infinite") + FLB()
    assert forms(method)["vllm"]["farsight"]["horizon"] == "infinite"
    assert (in_vllm(Plain()), in_vllm(DeCo())) == (None, None)


def test_a_method_of_a_file_is_written_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from contextlib import nullcontext\nfrom dataclasses import dataclass\nfrom farsight import Method\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Method):\n"
        "    name, paper, changes = 'mine', 'none', 'logits'\n    much: float = 1.0\n"
        "    def applied(self, model):\n        return nullcontext()\n"
    )
    [(_, method)] = parse_methods(f"{file}:Mine(much=2.0)").items()
    write_method(tmp_path / "method.yaml", method)
    assert parse_method(f"@{tmp_path / 'method.yaml'}") == method
