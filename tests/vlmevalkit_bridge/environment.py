"""Make torchvision, built for CUDA, load beside PyTorch for CPUs, in the environment that runs this file."""

from __future__ import annotations

import sysconfig
from pathlib import Path

OPERATORS = """

if not _has_ops():  # declared for farsight's tests of VLMEvalKit: torchvision's own are built for another PyTorch
    _declared = torch.library.Library("torchvision", "FRAGMENT")
    _declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def declare_operators() -> None:
    """Without these two names `import torchvision` fails; nothing here calls them."""
    file = Path(sysconfig.get_path("purelib")) / "torchvision" / "extension.py"
    text = file.read_text(encoding="utf-8")
    if OPERATORS not in text:
        file.write_text(text + OPERATORS, encoding="utf-8")


if __name__ == "__main__":
    declare_operators()
