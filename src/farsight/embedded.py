"""Models by the name that users give them: ``embedded`` are the small ones that come with the package."""

from __future__ import annotations

from pathlib import Path

from farsight.inputs import checkpoints
from farsight.inputs.checkpoints import LoadedModel
from farsight.metrics.vocabulary import Vocabulary, coco, read_vocabulary
from farsight.scenes import checkpoint_path, video_checkpoint_path, vocabulary_path
from farsight.scenes.video.processor import FramesProcessor, has_frames_processor

EMBEDDED = "embedded"


def load(
    model: str, device: str | None, dtype: str | None, attn_implementation: str | None, *, videos: bool = False
) -> LoadedModel:
    """Load a checkpoint by its folder or name; with ``videos``, 'embedded' is the one that takes them.

    Raises
    ------
    InputError, SettingError
        As `farsight.inputs.checkpoints.load`.
    """
    source = embedded_path(videos) if model == EMBEDDED else model
    loaded = checkpoints.load(
        source,
        device=device,
        dtype=dtype,
        attn_implementation=attn_implementation,
        load_processor=FramesProcessor.from_pretrained if has_frames_processor(source) else None,
    )
    return LoadedModel(loaded.model, loaded.processor, model)


def embedded_path(videos: bool) -> Path:
    """Where the embedded model lies that takes pictures, or the one that takes videos."""
    return video_checkpoint_path() if videos else checkpoint_path()


def scenes_vocabulary() -> Vocabulary:
    """Which words name the objects of the drawn scenes."""
    return read_vocabulary(vocabulary_path())


def vocabulary_of(model: str) -> Vocabulary:
    """COCO's, or that of the drawn scenes for the embedded models."""
    return scenes_vocabulary() if model == EMBEDDED else coco()
