"""Two thousand tokens of context on the embedded model fit in two gigabytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, sys
from PIL import Image
from farsight import FarSight, Plain
from farsight.inputs.checkpoints import load
from farsight.diagnose import diagnose
from farsight_scenes import checkpoint_path
prompt = "Describe this image in detail. " * int(sys.argv[1])
loaded = load(checkpoint_path(), device="cpu")
loaded.model.config.get_text_config(decoder=True).max_position_embeddings = 4096  # longer prompts are refused
found = diagnose(
    loaded, Image.new("RGB", (128, 128), "red"), prompt,
    {"plain": Plain(), "farsight": FarSight(sigma=0.1)}, max_new_tokens=8,
)
slots = found[0].arrays["kept"].shape[-1]
kept = sum(array.nbytes for array in found[0].arrays.values())
print(json.dumps({"slots": slots, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "kept": kept}))
"""


def measured(repeats: int) -> dict[str, int]:
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\n{SCRIPT}", str(repeats)],
        capture_output=True, text=True, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_two_thousand_tokens_fit_in_two_gigabytes_and_what_is_kept_grows_linearly() -> None:
    short, long = measured(70), measured(340)
    assert long["slots"] >= 2000
    assert long["peak"] < 2 * 1024**3
    assert long["kept"] / short["kept"] < 1.1 * long["slots"] / short["slots"]
