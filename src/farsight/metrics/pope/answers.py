"""Whether an answer says yes or no: the rule of POPE's own script (Li et al., EMNLP 2023), and a strict one."""

from __future__ import annotations

import re

YES, NO, UNANSWERED = "yes", "no", "unanswered"

_YES_WORDS = {"yes", "yeah", "yep", "yup"}
_NO_WORDS = {"no", "not", "none", "nope", "nah", "never", "neither", "nor", "nothing", "without", "cannot"}
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def read_official(answer: str) -> str:
    """Read an answer by the rule of POPE's own script: it is "yes" unless it says no in one of three ways.

    What comes after the first full stop and all commas are dropped, and the rest is cut at single spaces. The answer is
    "no" if one of the pieces is exactly ``No``, ``no`` or ``not``. All else is "yes": ``None``, ``NO``, ``Nope``,
    ``No!``, ``It isn't``, and an empty answer too.
    """
    return NO if {"No", "no", "not"} & set(_pieces(answer)) else YES


def begins_clearly(answer: str) -> bool:
    """Tell whether the first of the official rule's pieces is ``Yes``, ``yes``, ``No`` or ``no``.

    ``NO``, ``**No**``, ``Nope`` and ``No!`` are none of them, and count as yes.
    """
    return _pieces(answer.lstrip(" "))[0] in {"Yes", "yes", "No", "no"}


def _pieces(answer: str) -> list[str]:
    return answer.partition(".")[0].replace(",", "").split(" ")


def read_strict(answer: str) -> str:
    """Read an answer by what its first sentence says: "yes", "no", or "unanswered" if neither or both.

    The first sentence ends at the first full stop, exclamation mark, question mark or end of a line. Upper and lower
    case are the same. Words that mean yes are yes, yeah, yep, yup; words that mean no are no, not, none, nope, nah,
    never, neither, nor, nothing, without, cannot, and all that end in n't.
    """
    sentence = re.split(r"[.!?\n]", answer.lstrip(), maxsplit=1)[0].lower().replace("’", "'")
    found = set(_WORD.findall(sentence))
    says_yes = bool(found & _YES_WORDS)
    says_no = bool(found & _NO_WORDS) or any(word.endswith("n't") for word in found)
    if says_yes == says_no:
        return UNANSWERED
    return YES if says_yes else NO
