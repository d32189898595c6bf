"""A process that is told to end does, even if Python drops the first exception."""

from __future__ import annotations

import signal
import time

import pytest

from farsight.web import listening
from farsight.web.listening import terminating


class Finalized:
    """Is told to end while it is finalized, where exceptions are dropped."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def dropped_and_waited() -> None:
    one = Finalized()
    del one
    time.sleep(60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_end_that_python_drops_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AGAIN", 0.05)
    with pytest.raises(SystemExit, match="143"), terminating():
        dropped_and_waited()


def test_an_end_that_is_heard_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AGAIN", 0.05)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"), terminating():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    time.sleep(0.2)
