"""What is remembered of each visitor, in memory and apart from all others."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event, Lock

from farsight.web.drawing import shown_uri
from farsight.web.uploads import Seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a visitor chose to have described."""

    seen: Seen
    name: str
    objects: frozenset[str] | None = None
    """What is in it, where that is known."""

    @property
    def is_video(self) -> bool:
        """Whether it is several frames."""
        return isinstance(self.seen, list)

    @cached_property
    def source(self) -> str:
        """It as a link, scaled down."""
        return shown_uri(self.seen)


@dataclass(kw_only=True, eq=False)
class Session:
    """One visitor."""

    shown: Shown | None = None
    cancelled: Event = field(default_factory=Event)
    """Set when the job that it belongs to is to stop; a new job gets a new one."""
    gone: bool = False

    def new_job(self) -> Event:
        """Cancel the job before, if there is one, and give the event of the next."""
        self.cancelled.set()
        self.cancelled = Event()
        return self.cancelled


class Sessions:
    """Visitors by the key that their browser tab has."""

    def __init__(self, most: int) -> None:
        self.most = most
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

    def forget(self, key: str | None) -> None:
        """Drop a visitor who has left, and what runs for them."""
        with self._lock:
            if (session := self._found.pop(key or "", None)) is not None:
                _forget(session)


def _forget(session: Session) -> None:
    session.gone = True
    session.cancelled.set()
    session.shown = None
