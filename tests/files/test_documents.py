"""JSON, TOML, YAML and values as Python writes them: what is damaged or without measure is one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError
from farsight.files import parse_json, parse_literal, read_json, read_toml, read_yaml

ALIASES = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGES = ALIASES.replace("[x, x]", "{x: 1}").replace("[*", "{<<: [*").replace("]\n", "]}\n")

DAMAGED = {
    read_json: {
        "empty": "",
        "cut off": '{"a": ',
        "two": "1 2",
        "deep": "[" * 100_000,
        "deep and whole": "[" * 500 + "]" * 500,
        "deep objects": '{"a":' * 500 + "1" + "}" * 500,
        "digits": "9" * 6000,
        "fewer digits": f'{{"a": [-{"9" * 101}]}}',
    },
    read_toml: {
        "cut off": "a = [",
        "twice": "a = 1\na = 2",
        "deep": "a = " + "[" * 50_000,
        "deep and whole": "a = " + "[" * 150 + "]" * 150,
        "deep tables": "[" + "a." * 150 + "a]",
        "a key of many points": "a." * 90_000 + "a = 1",
        "digits": "a = " + "9" * 6000,
        "fewer digits": "a = " + "9" * 101,
    },
    read_yaml: {
        "cut off": "[a, ",
        "two": "a\n---\nb",
        "deep": "[" * 50_000,
        "deep lists": "- " * 50_000,
        "deep and whole": "[" * 150 + "]" * 150,
        "digits": "a: " + "9" * 6000,
        "hexadecimal digits": "0x" + "9" * 6000,
        "base 60": "1:" * 5000 + "1",
        "a day that is none": "2001-99-99",
        "a key twice": "a: 1\nb: 2\na: 3",
        "a list as a key": "[a, b]: 1",
        "code": "!!python/object/apply:os.system [exit]",
        "aliases of aliases": ALIASES,
        "merged aliases": MERGES,
        "itself": "&a [*a]",
        "its own key": "&a {*a : 1}",
        "control": "a\x01b",
    },
}


@pytest.mark.parametrize(
    ("read", "text"),
    [
        pytest.param(read, text, id=f"{read.__name__}, {name}")
        for read, texts in DAMAGED.items()
        for name, text in texts.items()
    ],
)
def test_a_damaged_document_is_one_short_line_with_its_name(
    tmp_path: Path, read: Callable[[Path], Any], text: str
) -> None:
    path = tmp_path / "a document"
    path.write_text(text, encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    assert len(line) < 400 + len(str(path))
    assert time.monotonic() - start < 30


def test_sound_documents_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for read, text, value in (
        (read_json, '\ufeff{"a": [1, 1e400, "[[[", null]}', {"a": [1, float("inf"), "[[[", None]}),
        (read_json, f'"{"9" * 6000}"', "9" * 6000),
        (read_toml, "[a.b]\nc = [1, 2.5]", {"a": {"b": {"c": [1, 2.5]}}}),
        (read_yaml, "a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        (read_yaml, "", None),
        (read_yaml, "null: 1\ntrue: 2\n3: 4", {None: 1, True: 2, 3: 4}),
    ):
        path.write_text(text, encoding="utf-8")
        assert read(path) == value


def test_a_hundred_levels_are_read_and_one_more_is_not() -> None:
    parse_json("[" * 100 + "]" * 100, "a")
    with pytest.raises(InputError, match="nested too deeply"):
        parse_json("[" * 101 + "]" * 101, "a")


def test_a_text_that_is_no_file_is_named_by_its_option() -> None:
    assert parse_json("{}", "--additional-config") == {}
    with pytest.raises(InputError, match=r"^--additional-config: is not JSON \(Expecting .*\); correct it$"):
        parse_json("{", "--additional-config")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.1", 0.1), ("[0, 1]", [0, 1]), ("None", None), ("'a'", "a"), ("-1e-3", -0.001), ("(1, (2,))", (1, (2,)))],
)
def test_a_value_is_read_as_python_writes_it(text: str, value: Any) -> None:
    assert parse_literal(text) == value


@pytest.mark.parametrize(
    "text",
    ["alibi", "", "9" * 6000, "9" * 101, "(" * 5000, "-" * 90_000 + "1", "[" * 150 + "]" * 150, "1+" * 40_000 + "1",
     "__import__('os')", "1if 1else 2", "{[]: 1}", "\0", "f'{1}'"],
)  # fmt: skip
def test_what_is_no_value_is_a_text(text: str, recwarn: pytest.WarningsRecorder) -> None:
    assert parse_literal(text) == text
    assert not recwarn.list


@given(st.text())
def test_any_text_has_a_value(text: str) -> None:
    parse_literal(text)
