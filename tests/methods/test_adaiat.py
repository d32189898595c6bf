"""AdaIAT against its equations, and what it is measured by: attention written out in float64 at every step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import contrasts
import models
import pytest
import torch
from literal_attention import Literal, literally
from test_grid import greedy
from tiny_checkpoint import save_tiny_llava
from torch import Tensor
from transformers import PreTrainedModel

from farsight import AdaIAT, FarSight, InputError, SettingError
from farsight.calibration import TextAttention
from farsight.diagnose.diagnosis import pieces_of
from farsight.diagnose.layout import lay_out
from farsight.diagnose.object_rows import measure
from farsight.images import open_image
from farsight.inputs.checkpoints import load
from farsight.methods import make_method
from farsight.methods.grammar import parse_method
from farsight.metrics.vocabulary import Mention

builders = pytest.mark.parametrize("build", [*contrasts.BUILDERS, models.llama])
TRUE = ((0.30, 0.05, 0.20, 0.10), (0.08, 0.30, 0.02, 0.14))
FALSE = ((0.10, 0.10, 0.05, 0.00), (0.04, 0.10, 0.05, 0.06))
METHOD = AdaIAT(true_rows=TRUE, false_rows=FALSE, alpha=4.0, beta=0.8, layers=(0, 1))


def reference(model: PreTrainedModel, method: AdaIAT, acted: list[bool] | None = None) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        length = prompt["input_ids"].shape[1]

        def increased(layer: int, weights: Tensor) -> Tensor:
            weights = weights.clone()
            true, false = TRUE[layer], FALSE[layer]
            threshold = sum(false) + method.beta * (sum(true) - sum(false))
            for row in range(length, length + len(tokens)):
                read = weights[0, :, row, length : row + 1]
                acts = sum(float(one.mean()) for one in read) < threshold
                if acted is not None and layer in (method.layers or ()):
                    acted.append(acts)
                for head in range(len(true)) if acts and layer in (method.layers or ()) else ():
                    more = max(true[head] / false[head] - 1, 0) if false[head] else 0
                    changed = weights[0, head, row].clone()
                    changed[length : row + 1] *= 1 + method.alpha * more
                    weights[0, head, row] = changed / changed.sum()
            return weights

        with literally(model, Literal(reweigh=increased)):
            return contrasts.last_logits(model, prompt, tokens)

    return logits


@builders
def test_every_greedy_step_of_a_left_padded_batch_is_the_equation(build: Any) -> None:
    acted: list[bool] = []
    contrasts.check_greedy_batch(contrasts.exact(build), METHOD, reference(contrasts.exact(build), METHOD, acted))
    assert 0 < sum(acted) < len(acted), "the thresholds must divide these rows to be tested"


@builders
def test_every_sampled_step_is_the_equation(build: Any) -> None:
    contrasts.check_sampling(contrasts.exact(build), METHOD, reference(contrasts.exact(build), METHOD))


@pytest.mark.parametrize("build", [models.llava, models.llama])
def test_beams_walk_over_the_equation(build: Any) -> None:
    method = AdaIAT(true_rows=TRUE, false_rows=FALSE, alpha=20.0, beta=1.0, layers=(0, 1))
    contrasts.check_beams(contrasts.exact(build), method, reference(contrasts.exact(build), method))


@builders
def test_nothing_increased_is_plain_decoding(build: Any) -> None:
    contrasts.check_neutral(build(), AdaIAT(true_rows=TRUE, false_rows=FALSE, alpha=0, layers=(0, 1)))
    contrasts.check_neutral(build(), AdaIAT(true_rows=TRUE, false_rows=TRUE, layers=(0, 1)))


WAYS: dict[str, dict[str, Any]] = {
    "without a cache": {"use_cache": False},
    "a static cache": {"cache_implementation": "static", "disable_compile": True},
    "looked-up candidates": {"prompt_lookup_num_tokens": 3},
}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())
def test_every_way_to_run_the_model_gives_the_same_tokens(how: dict[str, Any]) -> None:
    model = models.llama()
    method = AdaIAT(true_rows=4.0, false_rows=1.0, layers=(0, 1))
    with method(model):
        expected = greedy(model).sequences
        assert torch.equal(greedy(model, **how).sequences, expected)
    assert not torch.equal(greedy(model).sequences, expected)


def test_registers_join_the_softmax_over_the_increased_weights() -> None:
    model, method = models.llava(), AdaIAT(true_rows=4.0, false_rows=1.0, layers=(0, 1))
    with method(model):
        alone = torch.cat(greedy(model).logits)
    with (method + FarSight(sigma=50.0))(model):
        absorbing_nothing = torch.cat(greedy(model).logits)
    torch.testing.assert_close(absorbing_nothing, alone, atol=1e-5, rtol=0)


def test_without_a_measurement_it_says_how_to_make_one() -> None:
    with pytest.raises(SettingError, match=r"farsight calibrate --for adaiat .* adaiat\(load=FILE\)"):
        AdaIAT()(models.llama()).__enter__()
    with pytest.raises(SettingError, match="true_rows has 3 layers, this model has 2"):
        AdaIAT(true_rows=(1, 2, 3), false_rows=1.0)(models.llama()).__enter__()


def letters(text: str) -> list[Mention]:
    """Objects in an answer of random characters: every fifth is one, by turns there and not there."""
    return [Mention("o", "o" if at % 2 else "x", at, at + 1, 0) for at in range(0, len(text), 5)]


def test_rows_that_name_objects_are_measured_as_they_are_written_out(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    """Whatever the model says; its first token has no text to read and does not count."""
    loaded = load(model, device="cpu")
    found = measure(loaded, [(open_image(picture), {"o"})], letters, "What is this?", max_new_tokens=20)
    exact: Any = load(model, device="cpu").model
    exact = exact.double()
    layout = lay_out(loaded, open_image(picture), "What is this?")
    length = layout.prompt_slots
    tokens = loaded.model.generate(**layout.inputs, max_new_tokens=20, do_sample=False)[:, length:]  # type: ignore[operator]
    literal = Literal()
    inputs = {n: v.double() if v.is_floating_point() else v for n, v in layout.inputs.items()}
    inputs["input_ids"] = torch.cat((inputs["input_ids"], tokens), 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with literally(exact, literal), torch.no_grad():
        exact(**inputs, use_cache=False)
    pieces = pieces_of(loaded, tokens[0].tolist())
    ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0).tolist()
    rows: dict[bool, list[list[list[float]]]] = {True: [], False: []}
    for mention in letters("".join(pieces)):
        step = next(number for number, end in enumerate(ends) if end > mention.start)
        if step > 0:
            row = length + step - 1
            read = [literal.weights[layer][0, :, row, length : row + 1].mean(-1).tolist() for layer in range(3)]
            rows[mention.object == "o"].append(read)
    for is_true, table, count in (
        (True, found.true_rows, found.true_count),
        (False, found.false_rows, found.false_count),
    ):
        assert count == len(rows[is_true]) > 0
        expected = torch.tensor(rows[is_true]).double().mean(0)
        torch.testing.assert_close(torch.tensor(table).double(), expected, atol=1e-6, rtol=1e-4)
    found.save(tmp_path / "rows.json")
    made = AdaIAT.load(tmp_path / "rows.json")
    assert made == AdaIAT(true_rows=found.true_rows, false_rows=found.false_rows)
    assert parse_method(f"adaiat(load={tmp_path / 'rows.json'}, alpha=3)") == make_method(
        "adaiat", {"true_rows": found.true_rows, "false_rows": found.false_rows, "alpha": 3}
    )
    with pytest.raises(SettingError, match="leave out true_rows, or load"):
        parse_method(f"adaiat(load={tmp_path / 'rows.json'}, true_rows=1)")


def test_answers_that_name_one_kind_of_object_are_refused(model: Path, picture: Path) -> None:
    with pytest.raises(InputError, match=r"name no false object behind their first token.*take more pictures"):
        measure(load(model, device="cpu"), [(open_image(picture), {"o", "x"})], letters, "What?", max_new_tokens=20)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (20, 20), (200, 30, 40)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_file_of_another_kind_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"format": "farsight calibration", "version": 1}))
    with pytest.raises(InputError, match=r"is no calibration of attention to text; .* --for adaiat"):
        AdaIAT.load(path)
    TextAttention(
        true_rows=(("much",),), false_rows=((1,),), true_count=1, false_count=1, model="m", pictures=1, prompt="p",  # type: ignore[arg-type]
        max_new_tokens=1,
    ).save(path)  # fmt: skip
    with pytest.raises(InputError, match=r"'true_rows'.*table of numbers"):
        AdaIAT.load(path)


@pytest.mark.parametrize(
    "wrong", [{"alpha": -0.1}, {"beta": 2}, {"layers": ()}, {"true_rows": -1}, {"false_rows": "few"}, {"true_rows": ()}]
)
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        AdaIAT(**wrong)
