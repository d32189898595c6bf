"""What was measured on pictures for a method, as a small JSON file that says what it is for."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from farsight.errors import InputError, SettingError
from farsight.files import read_json, reading, write
from farsight.setting_checks import is_number

VERSION = 1
_REMEDY = "write it with farsight calibrate"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured on pictures, with what it was measured on; a kind of it has its own numbers beside that.

    Parameters
    ----------
    model, pictures, prompt, max_new_tokens
        The model, the pictures, the prompt and the length of answers.
    """

    form: ClassVar[str]
    """What its file says that it is."""
    what: ClassVar[str]
    remedy: ClassVar[str] = _REMEDY
    tables: ClassVar[tuple[str, ...]] = ()
    """Those of its numbers that are ``[layer][head]``."""

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
        record = {"format": self.form, "version": VERSION} | vars(self)
        write(path, [json.dumps(record, indent=1, allow_nan=False).encode()])

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged, something else, or of a newer version.
        """
        record: Any = read_json(path, cls.remedy)
        if not isinstance(record, dict) or record.get("format") != cls.form:
            raise InputError(f"'{path}' is no calibration of {cls.what}; {cls.remedy}")
        if record.get("version") != VERSION:
            raise InputError(
                f"calibration '{path}' has version {record.get('version')!r}, this farsight reads version {VERSION}: "
                f"upgrade farsight, or {cls.remedy} again"
            )
        names = {field.name for field in fields(cls)}
        if lacking := sorted(names - set(record)):
            raise InputError(f"calibration '{path}' lacks '{lacking[0]}'; {cls.remedy} again")
        found = {name: record[name] for name in names}
        for name in cls.tables:
            with reading(f"calibration '{path}': '{name}'", "a table of numbers", f"{cls.remedy} again"):
                found[name] = tuple(tuple(float(one) for one in layer) for layer in found[name])
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class Calibration(Measured):
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
    """

    form = "farsight calibration"
    what = "registers"
    tables = ("strength",)

    strength: tuple[tuple[float, ...], ...]
    sigma: float
    rows: str
    absorb: float
    absorbed: float


@dataclass(frozen=True, kw_only=True)
class TextAttention(Measured):
    """How much the rows that name true and false objects read of the text before them, as IAT's paper counts it.

    Parameters
    ----------
    true_rows, false_rows
        Mean attention weight of a generated token, ``[layer][head]``, of rows that name objects that are in the picture
        and of rows that name others.
    true_count, false_count
        How many such rows there were.
    """

    form = "farsight text attention"
    what = "attention to text"
    remedy = f"{_REMEDY} --for adaiat"
    tables = ("true_rows", "false_rows")

    true_rows: tuple[tuple[float, ...], ...]
    false_rows: tuple[tuple[float, ...], ...]
    true_count: int
    false_count: int


@dataclass(frozen=True, kw_only=True)
class Verifier(Measured):
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
    """

    form = "farsight verifier"
    what = "a verifier"
    remedy = f"{_REMEDY} --for verified"

    verifier: str
    threshold: float
    false_there: float
    false_not_there: float
    true_count: int
    false_count: int

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `save` wrote; see `Measured.read`."""
        found = super().read(path)
        if not isinstance(found.verifier, str) or not is_number(found.threshold):
            raise InputError(f"calibration '{path}' has no threshold of a verifier; {cls.remedy} again")
        return found


def check_share(absorb: object) -> None:
    """Refuse what is no share.

    Raises
    ------
    SettingError
        If it is not a number between 0 and 1.
    """
    if not is_number(absorb) or not 0 < absorb < 1:
        raise SettingError(f"absorb must be a share between 0 and 1, such as 0.05, got {absorb!r}")
