"""JSON is read one value at a time, wherever the text is cut."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError
from farsight.files import MOST_VALUE, json_elements, json_lines, json_lists

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


class InPieces(io.BytesIO):
    """A file that gives only a few bytes at once."""

    size = 1

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.size)


@given(st.lists(values), st.integers(1, 9), st.sampled_from([None, 2]), st.booleans())
def test_elements_are_those_of_the_list_wherever_it_is_cut(
    elements: list[Any], size: int, indent: int | None, ascii_only: bool
) -> None:
    file = InPieces(json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode(errors="replace"))
    file.size = size
    assert list(json_elements(file, "a.json")) == json.loads(file.getvalue())


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values), st.integers(1, 9))
def test_lists_have_their_keys_whatever_is_beside_them(document: dict[str, Any], size: int) -> None:
    file = InPieces(json.dumps(document).encode(errors="replace"))
    file.size = size
    lists = {key: value for key, value in json.loads(file.getvalue()).items() if isinstance(value, list)}
    assert {key: list(elements) for key, elements in json_lists(file, "a.json")} == lists
    file.seek(0)
    assert [key for key, _ in json_lists(file, "a.json")] == list(lists)


@pytest.mark.parametrize(
    "text",
    ["", "[", "[1", "[1,", "[1 2]", "[1]]", "[1] 2", "{}", "[" * 100_000, "[[" + "[" * 500 + "]" * 500 + "]]", "[1,]",
     '["a', "[1, oops]", f"[{'9' * 6000}]", f"[{'9' * 101}]", "[1, \xff]"],
)  # fmt: skip
def test_a_damaged_list_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^a\.json: .* get it again$") as caught:
        list(json_elements(io.BytesIO(text.encode("latin-1")), "a.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a"', '{"a":', '{"a": [1', '{"a": [1]', '{"a": 1} 2', "[]", '{"a" 1}', '{"b": ' + "[" * 100_000]
)
def test_a_damaged_object_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^a\.json: .*; get it again$"):
        [list(elements) for _, elements in json_lists(io.BytesIO(text.encode()), "a.json")]


def test_nesting_costs_no_memory() -> None:
    """A parser that remembers the path to every level takes gigabytes for this."""
    file = io.BytesIO(b'{"images": [' + b'{"a": [' * 60_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="nested too deeply"):
        dict(json_lists(file, "a.json"))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_value_without_end_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a\.json: "):
        list(json_elements(io.BytesIO(b'["' + b"x" * (2 * MOST_VALUE)), "a.json"))
    with pytest.raises(InputError, match="entry has more than 4 million letters"):
        list(json_elements(io.BytesIO(b'["' + b"x" * (MOST_VALUE + 5) + b'"]'), "a.json"))


def test_lines_have_their_numbers_and_a_long_one_no_end() -> None:
    text = b"\xef\xbb\xbfone\n\n \r\ntwo\n" + b"x" * (3 * MOST_VALUE) + b"\nlast"
    lines = list(json_lines(io.BytesIO(text)))
    assert [(number, line[:4]) for number, line in lines] == [(1, b"one\n"), (4, b"two\n"), (5, b"xxxx"), (6, b"last")]
    assert len(lines[2][1]) == MOST_VALUE + 1
