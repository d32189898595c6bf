"""What was measured on pictures for a method, as a small JSON file that says what it is for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.errors import InputError, SettingError
from farsight.files import read_json, reading, write
from farsight.setting_checks import is_number

FORMAT, TEXT_FORMAT, VERIFIER_FORMAT, VERSION = (
    "farsight calibration",
    "farsight text attention",
    "farsight verifier",
    1,
)
_REMEDY = "write it with farsight calibrate"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One strength per layer and head, with which registers absorbed a wanted share on some pictures.

    Parameters
    ----------
    strength
        Factor on the register mass, ``[layer][head]``.
    sigma, rows
        The settings of the registers that it is a factor on.
    absorb
        The share of attention that the registers were to take.
    absorbed
        The share that was reached, mean over heads.
    model, pictures, prompt, max_new_tokens
        The model, the pictures, the prompt and the length of answers that it was measured on.
    """

    strength: tuple[tuple[float, ...], ...]
    sigma: float
    rows: str
    absorb: float
    absorbed: float
    model: str
    pictures: int
    prompt: str
    max_new_tokens: int

    def save(self, path: Path) -> None:
        """Write the file whole or not at all.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        record = {"format": FORMAT, "version": VERSION} | vars(self)
        write(path, [json.dumps(record, indent=1, allow_nan=False).encode()])


@dataclass(frozen=True, kw_only=True)
class TextAttention:
    """How much the rows that name true and false objects read of the text before them, as IAT's paper counts it.

    Parameters
    ----------
    true_rows, false_rows
        Mean attention weight of a generated token, ``[layer][head]``, of rows that name objects that are in the picture
        and of rows that name others.
    true_count, false_count
        How many such rows there were.
    model, pictures, prompt, max_new_tokens
        The model, the pictures, the prompt and the length of answers that it was measured on.
    """

    true_rows: tuple[tuple[float, ...], ...]
    false_rows: tuple[tuple[float, ...], ...]
    true_count: int
    false_count: int
    model: str
    pictures: int
    prompt: str
    max_new_tokens: int

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; see `Calibration.save`."""
        record = {"format": TEXT_FORMAT, "version": VERSION} | vars(self)
        write(path, [json.dumps(record, indent=1, allow_nan=False).encode()])


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Above which score a verifier is believed that an object that was named is there, and how often that is wrong.

    Parameters
    ----------
    verifier
        The setting of `farsight.methods.verified.Verified`.
    threshold
        The score.
    false_there, false_not_there
        Of mentions that are false, the share that passes, and of true ones the share that fails: of pictures that the
        threshold was not chosen on.
    true_count, false_count
        How many objects were named that are there, and that are not.
    model, pictures, prompt, max_new_tokens
        What it was measured on.
    """

    verifier: str
    threshold: float
    false_there: float
    false_not_there: float
    true_count: int
    false_count: int
    model: str
    pictures: int
    prompt: str
    max_new_tokens: int

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; see `Calibration.save`."""
        record = {"format": VERIFIER_FORMAT, "version": VERSION} | vars(self)
        write(path, [json.dumps(record, indent=1, allow_nan=False).encode()])


def read_calibration(path: str | Path) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, something else, or of a newer version.
    """
    return Calibration(**_read(path, Calibration, FORMAT, "registers", _REMEDY, ("strength",)))


def read_text_attention(path: str | Path) -> TextAttention:
    """Read what `TextAttention.save` wrote; raises as `read_calibration` does."""
    tables = ("true_rows", "false_rows")
    remedy = f"{_REMEDY} --for adaiat"
    return TextAttention(**_read(path, TextAttention, TEXT_FORMAT, "attention to text", remedy, tables))


def read_verifier(path: str | Path) -> Verifier:
    """Read what `Verifier.save` wrote; raises as `read_calibration` does."""
    found = Verifier(**_read(path, Verifier, VERIFIER_FORMAT, "a verifier", f"{_REMEDY} --for verified", ()))
    if not isinstance(found.verifier, str) or not is_number(found.threshold):
        raise InputError(f"calibration '{path}' has no threshold of a verifier; {_REMEDY} --for verified again")
    return found


def _read(path: str | Path, kind: Any, form: str, what: str, remedy: str, tables: tuple[str, ...]) -> dict[str, Any]:
    record: Any = read_json(path, remedy)
    if not isinstance(record, dict) or record.get("format") != form:
        raise InputError(f"'{path}' is no calibration of {what}; {remedy}")
    if record.get("version") != VERSION:
        raise InputError(
            f"calibration '{path}' has version {record.get('version')!r}, this farsight reads version {VERSION}: "
            f"upgrade farsight, or {remedy} again"
        )
    fields = {name: record[name] for name in kind.__dataclass_fields__ if name in record}
    if lacking := sorted(set(kind.__dataclass_fields__) - set(fields)):
        raise InputError(f"calibration '{path}' lacks '{lacking[0]}'; {remedy} again")
    for name in tables:
        with reading(f"calibration '{path}': '{name}'", "a table of numbers", f"{remedy} again"):
            fields[name] = tuple(tuple(float(one) for one in layer) for layer in fields[name])
    return fields


def check_share(absorb: object) -> None:
    """Refuse what is no share.

    Raises
    ------
    SettingError
        If it is not a number between 0 and 1.
    """
    if not is_number(absorb) or not 0 < absorb < 1:
        raise SettingError(f"absorb must be a share between 0 and 1, such as 0.05, got {absorb!r}")
