"""What is remembered of each visitor, in memory and apart from all others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock

from farsight.web.drawing import Seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a visitor chose to have described."""

    name: str
    seen: Callable[[], Seen]
    """Gives the picture or the frames, which are kept as the file that they came in: decoded they are far larger."""
    source: str
    """The picture as a link, scaled down."""
    is_video: bool
    size: int = 0
    """Bytes that are kept for it."""
    objects: frozenset[str] | None = None
    """What is in it, where that is known."""


@dataclass(kw_only=True, eq=False)
class Session:
    """One visitor."""

    shown: Shown | None = None
    cancelled: Event = field(default_factory=Event)
    """Set when the job that it belongs to is to stop; a new job gets a new one."""
    refused: bool = False
    """Whether an upload was, of which something is said that a page that begins late must not replace."""
    gone: bool = False

    def new_job(self) -> Event:
        """Cancel the job before, if there is one, and give the event of the next."""
        self.cancelled.set()
        self.cancelled = Event()
        return self.cancelled


class Sessions:
    """Visitors by the key that their browser tab has.

    Parameters
    ----------
    most
        How many are remembered.
    most_bytes
        Of what all of them chose.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most = most
        self.most_bytes = most_bytes
        self._found: OrderedDict[str, Session] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._found)

    def of(self, key: str | None) -> Session:
        """Give the visitor of this key, a new one if need be."""
        with self._lock:
            session = self._found.setdefault(key or "", Session())
            self._found.move_to_end(key or "")
            while len(self._found) > self.most:
                _forget(self._found.popitem(last=False)[1])
            return session

    def show(self, key: str | None, shown: Shown) -> None:
        """Keep what a visitor chose; if that is too much, forget what others did, from the one away longest on."""
        self.of(key).shown = shown
        with self._lock:
            kept = sum(session.shown.size for session in self._found.values() if session.shown)
            for session in self._found.values():
                if kept > self.most_bytes and session.shown is not None and session.shown is not shown:
                    kept -= session.shown.size
                    session.shown = None

    def forget(self, key: str | None) -> None:
        """Drop a visitor who has left, and what runs for them."""
        with self._lock:
            if (session := self._found.pop(key or "", None)) is not None:
                _forget(session)


def _forget(session: Session) -> None:
    session.gone = True
    session.cancelled.set()
    session.shown = None
