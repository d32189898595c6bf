"""``farsight web``: what is wrong is said on one line, before a server is started."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest

from farsight import FarSight

WITH_GRADIO = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="make test-web installs it")


def test_without_gradio_the_remedy_is_said(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "gradio" else found(name, *more)
    )
    result = run("web")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: farsight web needs Gradio, which is not installed: pip install '.[web]' in a clone of farsight\n"
    )


@pytest.mark.parametrize("value", ["0", "-1", "nan", "100000"])
def test_limits_without_meaning_are_refused(run: Any, value: str) -> None:
    result = run("web", "--max-megabytes", value)
    assert result.exit_code == 2
    assert "--max-megabytes must be above 0" in result.stderr


@pytest.mark.parametrize("host", ["", "  "])
def test_an_empty_host_is_not_everywhere(run: Any, host: str) -> None:
    result = run("web", "--host", host)
    assert result.exit_code == 2
    assert "--host is empty" in result.stderr


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    from farsight.errors import InputError
    from farsight.web.server import run_names

    with pytest.raises(InputError, match="is no run folder"):
        run_names([tmp_path])


@WITH_GRADIO
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "99999"], "--port 99999 is no port"),
        (["--port", "-1"], "--port -1 is no port"),
        (["--port", "web"], "--port"),
        (["--host", "203.0.113.7"], "is no address of this machine"),
        (["--run", "/no/such/run"], "is no run folder"),
        (["--judge", "/no/such/run"], "/no/such/run: cannot be read"),
        (["--model", "/no/such/model"], "was not found"),
    ],
)
def test_bad_settings_are_refused(run: Any, options: list[str], said: str) -> None:
    result = run("web", "--port", "0", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@WITH_GRADIO
def test_a_port_that_is_taken_is_named(run: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("web", "--port", port)
    assert result.exit_code == 2
    assert f"port {port} cannot be used" in result.stderr


@WITH_GRADIO
def test_the_page_offers_the_method_of_a_file(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from farsight.web import server

    class EnoughError(Exception):
        pass

    def serving(models: Any, **more: Any) -> None:
        assert models.methods == {"farsight(sigma=0.3)": FarSight(sigma=0.3)}
        raise EnoughError

    monkeypatch.setattr(server, "serving", serving)
    (tmp_path / "method.yaml").write_text("method: farsight\nsigma: 0.3\n")
    result = run("web", "--method", f"@{tmp_path / 'method.yaml'}")
    assert isinstance(result.exception, EnoughError)
