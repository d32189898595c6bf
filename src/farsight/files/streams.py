"""JSON that is read one value at a time: memory holds a value, not the file.

A value has at most `MOST_VALUE` bytes: a caption, a row of annotations. What is in it is bounded as in
`farsight.files.documents`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from farsight.files.documents import decode_json_at
from farsight.files.opening import reading

MOST_VALUE = 4_000_000
"""Bytes of a line, or letters of a value in a list."""

_CHUNK = 1 << 16
_LEFT_OF_A_NUMBER = 2
"""Letters by which ``1e+5`` that is cut off is longer than the number that is seen in it."""
_SPACES = re.compile(r"[ \t\r\n]*")


def json_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give the lines of a file that are not blank, with their numbers from 1; the last may lack its line end.

    A line that is too long comes without its end: as something that is no JSON.
    """
    number = 0
    while line := file.readline(MOST_VALUE + 1):
        number += 1
        if not line.endswith(b"\n"):
            while (rest := file.readline(MOST_VALUE)) and not rest.endswith(b"\n"):
                pass
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            yield number, line


def is_torn(line: bytes) -> bool:
    """Whether a line of `json_lines` is the last of a file that only grows, and a kill cut it off.

    A line that is whole but for its end, as an editor may leave it, is not torn.
    """
    if line.endswith(b"\n") or len(line) > MOST_VALUE:
        return False
    try:
        json.loads(line)
    except RecursionError:
        return False
    except ValueError:
        return True
    return False


def json_elements(file: BinaryIO, where: str | Path, remedy: str = "get it again") -> Iterator[Any]:
    """Give the elements of a file that is one JSON list.

    Raises
    ------
    InputError
        Where it is damaged, after the elements before.
    """
    text = _Text(file)
    with reading(where, "a complete JSON list", remedy):
        yield from text.elements()
        text.end()


def json_lists(file: BinaryIO, where: str | Path, remedy: str = "get it again") -> Iterator[tuple[str, Iterator[Any]]]:
    """Give the lists of a file that is one JSON object: the key of each, and its elements until the next is asked for.

    Raises
    ------
    InputError
        Where it is damaged, after what comes before.
    """
    text = _Text(file)
    form = "a complete JSON file"

    def elements() -> Iterator[Any]:
        with reading(where, form, remedy):
            yield from text.elements()

    with reading(where, form, remedy):
        text.take("{")
        while text.peek() != "}":
            key = text.value()
            text.take(":")
            if text.peek() == "[":
                inside = elements()
                yield str(key), inside
                deque(inside, maxlen=0)
            else:
                text.value()
            if text.peek() != ",":
                break
            text.take(",")
        text.take("}")
        text.end()


class _Text:
    """A JSON text, some of which is in memory: from ``at`` on it is still to be read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text = ""
        self.at = 0
        self.ended = False

    def more(self) -> bool:
        if self.ended:
            return False
        data = self.file.read(_CHUNK)
        self.ended = not data
        self.text = self.text[self.at :] + self.decode(data, final=self.ended)
        self.at = 0
        return True

    def peek(self) -> str:
        """The next letter that is no space; "" at the end."""
        while True:
            found = _SPACES.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, marks: str) -> str:
        """Go past one of these letters, which has to come next."""
        mark = self.peek()
        if not mark or mark not in marks:
            raise ValueError(f"expected {' or '.join(marks)}, found {mark or 'the end'}")
        self.at += 1
        return mark

    def end(self) -> None:
        if mark := self.peek():
            raise ValueError(f"expected the end, found {mark}")

    def elements(self) -> Iterator[Any]:
        """The elements of the list that comes next."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        for number in count(1):
            try:
                element = self.value()
            except json.JSONDecodeError as error:
                raise ValueError(f"entry {number}: {error.msg}") from error
            yield element
            if self.take(",]") == "]":
                return

    def value(self) -> Any:
        """The value that comes next, whole: what follows it is in memory too."""
        self.peek()
        while True:
            try:
                value, end = decode_json_at(self.text, self.at)
            except json.JSONDecodeError:
                if len(self.text) - self.at > MOST_VALUE or not self.more():
                    raise
            else:
                if end - self.at > MOST_VALUE:
                    raise ValueError(f"an entry has more than {MOST_VALUE // 1_000_000} million letters")
                if len(self.text) - end > _LEFT_OF_A_NUMBER or not self.more():
                    self.at = end
                    return value
