"""lmms-eval's model ``farsight``: any local model of lmms-eval, decoding with any of our methods.

::

    lmms-eval --model farsight --tasks pope,coco_cap_chair --model_args \
        base=llava_hf,pretrained=llava-hf/llava-1.5-7b-hf,method=farsight,sigma=0.8

lmms-eval finds it through the entry-point group ``lmms_eval.models``. Nothing else of farsight imports this package, so
farsight needs no lmms-eval.
"""

from __future__ import annotations

from typing import Any

NAME = "farsight"
"""What ``--model`` is given."""


def manifest() -> Any:
    """Say to lmms-eval where its model ``farsight`` is; ``--force_simple`` picks the second class.

    Returns
    -------
    lmms_eval.models.registry_v2.ModelManifest
        With a class for chat requests and one for simple requests.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    here = f"{__name__}.model"
    return ModelManifest(
        model_id=NAME, chat_class_path=f"{here}.FarSightChat", simple_class_path=f"{here}.FarSightSimple"
    )
