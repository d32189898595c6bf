"""A process of a Ray cluster that holds a model and answers one request at a time."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from farsight.errors import FarSightError
from farsight.evaluate.engine import Request, Said
from farsight.evaluate.fingerprints import weights_fingerprint
from farsight.evaluate.local import answer_request
from farsight.evaluate.plan import versions
from farsight.inputs.checkpoints import LoadedModel

_PACKAGE = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a worker is, told when its model is loaded."""

    pid: int
    machine: str
    versions: dict[str, str]
    weights: str | None
    """Fingerprint of the checkpoint, where it is a folder."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a call: one of ``ready``, ``said`` and ``error``, and the warnings of this package on the way."""

    ready: Ready | None = None
    said: Said = ()
    error: FarSightError | None = None
    unseen: Sequence[Path] = ()
    """Pictures that are not on this machine."""
    warned: list[str] = field(default_factory=list)


class Worker:
    """Holds a model. `farsight.evaluate.ray_engine` makes it an actor; each call comes back as one `Reply`.

    Parameters
    ----------
    load
        Gives the model, on the device that Ray has left visible to this process.
    threads
        In which a CPU computes: as many as in the driver, since they change the last bits of a sum.
    folder
        In which the driver is, for paths that are relative.
    """

    def __init__(self, load: Callable[[], LoadedModel], threads: int, folder: Path) -> None:
        self._load, self._threads = load, threads
        if folder.is_dir():
            os.chdir(folder)
        self._loaded: LoadedModel | None = None

    def start(self) -> Reply:
        """Load the model."""
        with _noted() as warned:
            torch.set_num_threads(self._threads)
            try:
                self._loaded = self._load()
            except FarSightError as error:
                return Reply(error=error, warned=warned)
            folder = Path(getattr(self._loaded.model, "name_or_path", ""))
            ready = Ready(
                pid=os.getpid(),
                machine=platform.node(),
                versions=versions(),
                weights=weights_fingerprint(folder),
            )
        return Reply(ready=ready, warned=warned)

    def answer(self, request: Request) -> Reply:
        """Answer one batch, exactly as `farsight.evaluate.local.LocalEngine` does."""
        assert self._loaded is not None
        with _noted() as warned:
            try:
                unseen = [path for path in request.paths if path is not None and not path.exists()]
                return Reply(said=answer_request(self._loaded, request), unseen=unseen, warned=warned)
            except FarSightError as error:
                return Reply(error=error, warned=warned)


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Fill a list with what this package warns of, for the driver to say."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield texts
        finally:
            texts += [str(one.message) for one in caught if one.filename.startswith(_PACKAGE)]
