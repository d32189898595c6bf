"""Strengths that were measured on pictures, as a small JSON file that says what they are for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.errors import InputError, SettingError
from farsight.files import read_json, reading, write
from farsight.setting_checks import is_number

FORMAT, VERSION = "farsight calibration", 1
_REMEDY = "write it with 'farsight calibrate'"


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
        The wanted share.
    absorbed
        The share that was reached, mean over heads.
    model, pictures, prompt, max_new_tokens
        What it was measured on.
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


def read_calibration(path: str | Path) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, something else, or of a newer version.
    """
    record: Any = read_json(path, _REMEDY)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"'{path}' is no calibration of registers; {_REMEDY}")
    if record.get("version") != VERSION:
        raise InputError(
            f"calibration '{path}' has version {record.get('version')!r}, this farsight reads version {VERSION}: "
            "upgrade farsight, or write it again with 'farsight calibrate'"
        )
    fields = {name: record[name] for name in Calibration.__dataclass_fields__ if name in record}
    if lacking := sorted(set(Calibration.__dataclass_fields__) - set(fields)):
        raise InputError(f"calibration '{path}' lacks '{lacking[0]}'; {_REMEDY} again")
    with reading(f"calibration '{path}': 'strength'", "a table of numbers", f"{_REMEDY} again"):
        fields["strength"] = tuple(tuple(float(one) for one in layer) for layer in fields["strength"])
    return Calibration(**fields)


def check_share(absorb: object) -> None:
    """Refuse what is no share.

    Raises
    ------
    SettingError
        If it is not a number between 0 and 1.
    """
    if not is_number(absorb) or not 0 < absorb < 1:
        raise SettingError(f"absorb must be a share between 0 and 1, such as 0.05, got {absorb!r}")
