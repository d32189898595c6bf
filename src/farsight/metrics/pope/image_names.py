"""File names of pictures from their identifiers."""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Formatter

from farsight.errors import SettingError

_FOR_TEXT = re.compile(r"([^{}]?[<>^][1-9]\d?)?")
_FOR_NUMBERS = re.compile(r"0[1-9]\d?d?|d")


def image_namer(template: str) -> Callable[[str], str]:
    """Give the function that makes an image's file name of its identifier.

    Parameters
    ----------
    template
        Text with one pair of braces where the identifier goes: ``{}.jpg``. A format may pad it: ``{:0>12}`` to 12
        characters, ``{:012d}`` or ``{:012}`` to 12 digits. Nothing else is allowed between the braces.

    Raises
    ------
    SettingError
        If the template is none of this kind; by the function, if a format for numbers meets another identifier.
    """
    fields = _fields(template)
    if len(fields) != 1:
        raise _wrong(template, f"it has {len(fields)} pairs of braces")
    (name, spec, conversion) = fields[0]
    for_numbers = _FOR_NUMBERS.fullmatch(spec) is not None
    if name or conversion or not (for_numbers or _FOR_TEXT.fullmatch(spec)):
        raise _wrong(template, "between the braces only a padding such as :0>12 or :012d may stand")

    def named(image_id: str) -> str:
        if not for_numbers:
            return template.format(image_id)
        if not (image_id.isascii() and image_id.isdecimal() and len(image_id) <= 1000):
            raise SettingError(
                f"image template '{template}' is for numbers, and image '{image_id}' is none; pad with {{:0>12}}"
            )
        return template.format(int(image_id))

    return named


def _fields(template: str) -> list[tuple[str, str, str | None]]:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise _wrong(template, str(error)) from None
    return [(name, spec or "", conversion) for _, name, spec, conversion in parts if name is not None]


def _wrong(template: str, because: str) -> SettingError:
    return SettingError(
        f"image template '{template}' makes no file name: {because}; write one like {{}}.jpg or "
        "COCO_val2014_{:0>12}.jpg"
    )
