"""Read captions, answers and annotations, and say exactly which line is wrong.

Every reader takes a `Reader`. A strict one raises on the first bad line; one with ``skip_bad=True`` leaves bad lines
out and remembers why, so that a command can count them.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Number
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from farsight.errors import FarSightError, InputError
from farsight.files import MOST_VALUE, decode_json, is_torn, json_elements, json_lines, opened, told

T = TypeVar("T")

Source = str | Path | Iterable[Mapping[str, Any]]
"""A file of JSON Lines or with one JSON list, or the records themselves."""


_HEAD = 1 << 20


class BadRecordError(Exception):
    """What is wrong with one record; a `Reader` adds where it stands, and raises or counts it."""


class Row(NamedTuple):
    """A record and where it stands: ``file:line``, or ``record 3`` of a list in memory."""

    where: str
    fields: Mapping[str, Any]

    def text(self, *keys: str) -> str:
        """Give the text under the first of these keys that there is."""
        value = self._value(keys)
        if not isinstance(value, str):
            raise BadRecordError(f"'{keys[0]}' is {_kind(value)}, not text")
        return value

    def identifier(self, *keys: str) -> str:
        """Give the identifier under the first of these keys that there is: 42, NumPy's 42 and "42" are the same."""
        value = self._value(keys)
        if isinstance(value, str) and value:
            return str(value)
        if not isinstance(value, bool) and isinstance(value, Integral):
            return str(int(value))
        raise BadRecordError(f"'{keys[0]}' is {_kind(value)}, not an identifier (a whole number or a text)")

    def names(self, *keys: str) -> list[str]:
        """Give the list of names under the first of these keys that there is."""
        value = self._value(keys)
        listed = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
        if not listed or not all(isinstance(name, str) for name in value):
            raise BadRecordError(f"'{keys[0]}' is {_kind(value)}, not a list of names")
        return [str(name) for name in value]

    def _value(self, keys: tuple[str, ...]) -> Any:
        for key in keys:
            if key in self.fields:
                return self.fields[key]
        wanted = " or ".join(f"'{key}'" for key in keys)
        has = ", ".join(f"'{key}'" for key in list(self.fields)[:8]) or "nothing"
        raise BadRecordError(f"there is no {wanted}; it has {has}")


class Reader:
    """Reads records, strict or forgiving.

    Parameters
    ----------
    skip_bad
        Leave bad records out and go on. None where the caller has no such choice to offer: the error does not name it.
        What cannot be read at all (no such file, CSV) is raised in every case.
    growing
        The file is a log that something appends to, or a kill ended: a last line that is cut off is left out, and
        remembered in ``skipped``.

    Attributes
    ----------
    skipped
        One message for each record left out.
    """

    def __init__(self, *, skip_bad: bool | None = None, growing: bool = False) -> None:
        self.skip_bad, self.growing = skip_bad, growing
        self.skipped: list[str] = []

    def bad(self, where: str, what: str) -> None:
        """Raise InputError, or count the record as skipped."""
        if not self.skip_bad:
            choice = "" if self.skip_bad is None else ", or leave such records out with --skip-bad (skip_bad=True)"
            raise InputError(f"{where}: {what}; correct it{choice}")
        self.skipped.append(f"{where}: {what}")

    def read(self, source: Source, parse: Callable[[Row], T], file: BinaryIO | None = None) -> Iterator[T]:
        """Go through a file, or a list in memory, and make something of each record.

        Parameters
        ----------
        source
            What to read.
        parse
            Makes one result of one record; raises `BadRecordError`, or any exception, where that cannot be done.
        file
            The file ``source``, if it is open already.

        Raises
        ------
        InputError
            If there is no such file, if it is CSV, or, unless bad records are skipped, at the first one.
        """
        for row in self._rows(source, file):
            try:
                result = parse(row)
            except BadRecordError as problem:
                self.bad(row.where, str(problem))
            except FarSightError:
                raise
            except Exception as problem:
                self.bad(row.where, f"cannot be understood ({told(problem)})")
            else:
                yield result

    def some(self, found: list[T], source: object, what: str) -> list[T]:
        """Give back what was found, or raise InputError if that is nothing."""
        if not found:
            name = source if isinstance(source, (str, Path)) else "the input"
            because = f"; the first of {len(self.skipped)} bad records: {self.skipped[0]}" if self.skipped else ""
            raise InputError(f"{name} has no usable {what}{because}")
        return found

    def _rows(self, source: Source, file: BinaryIO | None) -> Iterator[Row]:
        if isinstance(source, (str, Path)) and file is not None:
            yield from self._file(Path(source), file)
        elif isinstance(source, (str, Path)):
            with opened(source) as file:
                yield from self._file(Path(source), file)
        else:
            for number, fields in enumerate(source, start=1):
                yield Row(f"record {number}", fields)

    def _file(self, path: Path, file: BinaryIO) -> Iterator[Row]:
        head = file.read(_HEAD).removeprefix(codecs.BOM_UTF8)
        file.seek(0)
        if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise InputError(f"{path}: is UTF-16 text; save it as UTF-8")
        if head.lstrip()[:1] == b"[":
            yield from self._list(path, file)
            return
        number = 0
        for number, line in json_lines(file):
            if self.growing and is_torn(line):
                self.skipped.append(f"{path}:{number}: is cut off")
            else:
                yield from self._line(path, number, line)
        if not number:
            raise InputError(f"{path}: is empty; expected one JSON object a line")

    def _line(self, path: Path, number: int, line: bytes) -> Iterator[Row]:
        where = f"{path}:{number}"
        if len(line) > MOST_VALUE:
            self.bad(where, f"has more than {MOST_VALUE // 1_000_000} million letters")
            return
        try:
            fields = decode_json(line.decode())
        except UnicodeDecodeError:
            self.bad(where, "is not UTF-8")
            return
        except json.JSONDecodeError:
            if number == 1 and line.lstrip()[:1] not in b"{[" and b"," in line:
                raise InputError(
                    f'{path}: looks like CSV; expected JSON Lines, one object a line, such as {{"image_id": 42, ...}}'
                ) from None
            torn = not line.endswith(b"\n")
            what = "is cut off, as if writing had been interrupted" if torn else "is not a JSON object on one line"
            self.bad(where, f"{what} ({_shortened(line)})")
            return
        except (ValueError, RecursionError, OverflowError) as error:  # what JSON allows and nobody writes
            self.bad(where, f"is not a sensible JSON object: {told(error)} ({_shortened(line)})")
            return
        if isinstance(fields, dict):
            yield Row(where, fields)
        else:
            self.bad(where, f"is {_kind(fields)}, not a JSON object")

    def _list(self, path: Path, file: BinaryIO) -> Iterator[Row]:
        for number, fields in enumerate(json_elements(file, path, ""), start=1):
            where = f"{path}: record {number}"
            if isinstance(fields, dict):
                yield Row(where, fields)
            else:
                self.bad(where, f"is {_kind(fields)}, not a JSON object")


def _kind(value: object) -> str:
    kinds = ((bool, "true or false"), (Number, "a number"), (str, "text"), (list | tuple | set, "a list"))
    if value is None:
        return "null"
    if isinstance(value, (str, list)) and not value:
        return "empty"
    return next((name for kind, name in kinds if isinstance(value, kind)), "an object")


def _shortened(line: bytes, most: int = 60) -> str:
    text = re.sub(r"\s+", " ", line.decode(errors="replace")).strip()
    return text if len(text) <= most else text[:most] + "..."
