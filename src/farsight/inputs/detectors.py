"""Open-vocabulary detectors of Transformers: OWL-ViT, OWLv2, Grounding DINO and their like, from safetensors alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from farsight.errors import FarSightError, InputError
from farsight.files import told
from farsight.inputs import checkpoint_files, checkpoints


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A detector and the processor that makes its inputs."""

    model: Any
    processor: Any
    name: str

    @torch.inference_mode()
    def score(self, image: Image.Image, object_: str) -> float:
        """How sure it is, from 0 to 1, that some place of a picture shows an object: its best logit, of all places.

        An object is asked about by itself, so that no other one takes part in its score.

        Raises
        ------
        InputError
            If the detector does not take the picture or the words.
        """
        words = f"a photo of {'an' if object_[:1].lower() in 'aeiou' else 'a'} {object_}"
        try:
            inputs = self.processor(images=image, text=[[words]], truncation=True, return_tensors="pt")
            output = self.model(**inputs.to(self.model.device, dtype=self.model.dtype))
        except FarSightError:
            raise
        except Exception as error:  # processors refuse what they do not like in every way there is
            raise InputError(f"'{self.name}' cannot look for '{object_}' ({told(error)})") from error
        return float(output.logits.float().sigmoid().max())


def load_detector(name: str | Path, *, device: str | None = None) -> Detector:
    """Load a detector from a folder, or by a name on the hub.

    Raises
    ------
    InputError
        If there is none, it is no open-vocabulary detector, or is damaged, incomplete or pickled.
    """
    target = checkpoints.resolve_device(device)
    source = str(checkpoints.folder_of(name)) if _is_here(name) else _downloaded(str(name))
    checkpoint_files.check_folder(Path(source))
    where = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(source, **where)
        if type(config) not in transformers.MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING:
            raise InputError(
                f"'{name}' is a {config.model_type} model, which finds no objects by their names; pass a detector such "
                "as google/owlv2-base-patch16-ensemble"
            )
        model, report = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(
            source, config=config, use_safetensors=True, output_loading_info=True, **where
        )
        processor = transformers.AutoProcessor.from_pretrained(source, **where)
    except FarSightError:
        raise
    except Exception as error:  # whatever a damaged checkpoint makes the libraries raise
        raise InputError(f"the detector '{name}' cannot be loaded: {told(error)}") from error
    if lacking := sorted(report["missing_keys"]):
        raise InputError(f"'{name}' lacks {len(lacking)} of its weights, {lacking[0]} for one; get it again")
    return Detector(model=model.to(target).eval(), processor=processor, name=str(name))


def _is_here(name: str | Path) -> bool:
    try:
        checkpoints.folder_of(name)
    except InputError:
        return Path(name).expanduser().exists()
    return True


def _downloaded(name: str) -> str:
    """Fetch what a detector needs, and no pickle."""
    import huggingface_hub

    checkpoints.check(name)
    patterns = ["*.json", "*.safetensors", "*.txt"]
    try:
        return str(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # whatever the network and the client raise
        raise InputError(f"the detector '{name}' cannot be downloaded: {told(error)}") from error
