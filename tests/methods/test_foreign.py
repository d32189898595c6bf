"""A method needs no fork: a class in a file that the user names, or a package that adds it, is one like any other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farsight import FarSight, SettingError, parse_method
from farsight.cli.app import app
from farsight.methods import all_methods, settings_of
from farsight.methods.grammar import label_of, parse_methods

FADING = """
from dataclasses import dataclass
from typing import ClassVar

from farsight import ConstantGate
from farsight.setting_checks import check_positive, setting


@dataclass(frozen=True, kw_only=True)
class Fading(ConstantGate):
    name: ClassVar[str] = "fading"
    paper: ClassVar[str] = "mine"

    rate: float = setting(0.5, check_positive)


class Else:
    pass
"""


@pytest.fixture
def fading(tmp_path: Path) -> Path:
    file = tmp_path / "my methods" / "fading.py"
    file.parent.mkdir()
    file.write_text(FADING)
    return file


def test_a_class_of_a_file_is_a_method(fading: Path) -> None:
    method = parse_method(f"{fading}:Fading(rate=0.25)")
    assert (method.name, label_of(method), method.rate) == ("fading", "fading(rate=0.25)", 0.25)
    assert type(method) is type(parse_method(f"{fading}:Fading"))


def test_it_stands_in_lists_and_beside_others(fading: Path) -> None:
    assert list(parse_methods(f"greedy, {fading}:Fading, farsight(sigma=0.1)")) == [
        "greedy",
        "fading",
        "farsight(sigma=0.1)",
    ]
    assert label_of(parse_method(f"{fading}:Fading+beam")) == "fading+beam"


def test_a_run_is_held_to_what_the_file_says(fading: Path) -> None:
    before = settings_of(parse_method(f"{fading}:Fading"))
    fading.write_text(FADING + "\n# changed\n")
    after = settings_of(parse_method(f"{fading}:Fading"))
    assert before.keys() == after.keys()
    assert before["source"] != after["source"]
    assert "source" not in settings_of(FarSight())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}:Nothing", "has no 'Nothing'; it has Fading, Else"),
        ("{}:Else", "'Else' of .*fading.py is no Method; derive the class from farsight.Method"),
        ("{}:Fading(rat=1)", "has no setting 'rat', did you mean 'rate'"),
        ("{}x.py:Fading", "cannot be read"),
    ],
)
def test_what_is_wrong_with_it_is_said(fading: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        parse_method(text.format(fading))


def test_a_broken_file_is_one_line_and_can_be_mended(fading: Path) -> None:
    fading.write_text("import nothing_of_that_name")
    with pytest.raises(SettingError, match=r"cannot be run \(.*nothing_of_that_name.*\); correct it"):
        parse_method(f"{fading}:Fading")
    fading.write_text(FADING)
    assert parse_method(f"{fading}:Fading").name == "fading"


def test_describe_takes_it(fading: Path) -> None:
    picture = Path(__file__).parents[2] / "examples" / "kitchen.png"
    arguments = ["describe", str(picture), "--max-new-tokens", "4", "--method", f"{fading}:Fading(value=0.5)", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert '"fading"' in result.output


def test_workers_on_other_machines_are_refused_it(fading: Path, tmp_path: Path) -> None:
    arguments = ["eval", "--engine", "ray", "--methods", f"greedy,{fading}:Fading", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code != 0
    said = str(result.exception) + result.output
    assert re.search("read from a file, which the workers do not have", " ".join(said.split()))


def install(folder: Path, name: str, text: str) -> None:
    about = folder / "others-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[farsight.methods]\n{name} = others_fading:Fading\n")
    (folder / "others_fading.py").write_text(text)


@pytest.fixture
def path_of_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "others_fading", raising=False)
    return tmp_path


def test_a_package_adds_a_method_by_its_name(path_of_modules: Path) -> None:
    install(path_of_modules, "fading", FADING)
    assert parse_method("fading(rate=2)").name == "fading"
    assert "fading" in all_methods()
    assert "fading" in CliRunner().invoke(app, ["methods", "--json"]).output


def test_a_package_that_is_broken_says_why_when_it_is_asked_for(path_of_modules: Path) -> None:
    install(path_of_modules, "fading", "import nothing_of_that_name")
    assert "fading" not in all_methods()
    with pytest.raises(
        Exception, match="the method 'fading' is of the package others_fading, which cannot be imported"
    ):
        parse_method("fading")


def test_a_package_calls_it_what_it_calls_itself(path_of_modules: Path) -> None:
    install(path_of_modules, "dimming", FADING)
    with pytest.raises(SettingError, match="the method 'dimming' calls itself 'fading'"):
        parse_method("dimming")
