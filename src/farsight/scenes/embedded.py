"""The model by the name ``embedded``: one that takes pictures and one that takes videos."""

from __future__ import annotations

from farsight.inputs.named_models import NamedModel

from . import checkpoint_path, video_checkpoint_path, vocabulary_path

MODEL = NamedModel(folders={"picture": checkpoint_path, "video": video_checkpoint_path}, vocabulary=vocabulary_path())
