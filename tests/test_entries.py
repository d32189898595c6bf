"""Names stand for what is imported when they are asked for, also what another package adds; what is missing is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from farsight.entries import Registry
from farsight.errors import InputError
from farsight.inputs.named_models import EMBEDDED, MODELS, NamedModel, source_of, vocabulary_of

NUMBERS: Registry[int] = Registry(
    kind=int,
    noun="number",
    group="farsight.numbers",
    own={"five": "numbers_of_ours:FIVE", "none": "numbers_of_ours:NO"},
)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of modules in which packages are installed."""
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("numbers_of_ours", "numbers_of_others"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def install(packages: Path, points: str, **modules: str) -> None:
    about = packages / "others-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(points)
    for name, text in modules.items():
        (packages / f"{name}.py").write_text(text)


def test_names_of_ours_and_of_others_are_found(packages: Path) -> None:
    install(
        packages,
        "[farsight.numbers]\nseven = numbers_of_others:SEVEN\nfive = numbers_of_others:SEVEN\n",
        numbers_of_ours="FIVE = 5",
        numbers_of_others="SEVEN = 7",
    )
    assert NUMBERS.names() == ("five", "none", "seven")
    assert [NUMBERS.find(name) for name in ("five", "seven", "nine")] == [5, 7, None]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "five",
            None,
            r"which cannot be imported \(ModuleNotFoundError: No module named 'numbers_of_ours'\); install it, or",
        ),
        (
            "none",
            "FIVE = 5",
            r"which cannot be imported \(AttributeError: .*'NO'.*\); install it, or choose another number",
        ),
        ("five", "raise RuntimeError('no such device')", r"which cannot be imported \(RuntimeError: no such device\)"),
        ("five", "FIVE = '5'", r"where numbers_of_ours:FIVE is no int; get another version of it"),
    ],
    ids=["missing", "without the name", "broken", "of another kind"],
)
def test_what_is_wrong_with_a_package_is_said_in_one_line(
    packages: Path, name: str, text: str | None, problem: str
) -> None:
    if text is not None:
        (packages / "numbers_of_ours.py").write_text(text)
    with pytest.raises(InputError, match=rf"^the number '{name}' is of the package numbers_of_ours, {problem}"):
        NUMBERS.find(name)


def test_every_model_of_ours_is_there() -> None:
    for name in MODELS.own:
        model = MODELS.find(name)
        assert model is not None
        if not name.startswith("smollm2"):  # which are made of a package of its own when they are asked for
            assert (model.folder() / "config.json").is_file()


def test_a_model_of_another_package_is_known_by_its_name(packages: Path) -> None:
    install(
        packages,
        "[farsight.models]\nowl = numbers_of_others:OWL\n",
        numbers_of_others="from pathlib import Path\n"
        "from farsight.inputs.named_models import NamedModel\n"
        "OWL = NamedModel(folders={'picture': lambda: Path('owl'), 'video': lambda: Path('owl-video')}, "
        "vocabulary=Path('birds.toml'))\n",
    )
    assert (source_of("owl"), source_of("owl", videos=True)) == ("owl", "owl-video")
    assert vocabulary_of("owl") == Path("birds.toml")


def test_any_other_name_is_a_folder_or_of_the_hub() -> None:
    assert source_of("llava-hf/llava-1.5-7b-hf", videos=True) == "llava-hf/llava-1.5-7b-hf"
    assert vocabulary_of("llava-hf/llava-1.5-7b-hf") is None


def test_a_model_that_takes_no_videos_is_the_same_for_all() -> None:
    def folder() -> Path:
        return Path("words")

    assert NamedModel(folders={"text": folder}).folder(videos=True) == Path("words")


def test_the_embedded_model_has_words_of_its_own() -> None:
    found = vocabulary_of(EMBEDDED)
    assert found is not None
    assert found.name == "vocabulary.toml"
