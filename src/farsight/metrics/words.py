"""Words of a caption, as the standard CHAIR script cuts them.

That script runs NLTK's ``word_tokenize``: sentences first, then the Penn Treebank rules on each. What decides a score
is only which words of letters stand alone and which stand next to each other, so one expression does the same here
without NLTK and its data. The test holds it against NLTK's own tokenizer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ALONE = r";@#$%&?!*()\[\]{}<>\"«»“”‘’„`\u2012-\u2015"
"""Characters that are always tokens of their own."""
_STOP = r"\.(?:\s|[\])}>\"'»”’\s]*$)"
"""The full stop that ends a sentence: before a space, or with whatever closes after it at the end of the text."""
_EDGE = rf"(?=\s|$|'(?:\s|$|')|[{_ALONE}]|[:,](?!\d)|--|\.\.|{_STOP})"
"""Where a word is over."""

_TOKEN = re.compile(
    rf"""
    \.{{2,}} | -- | ''
  | '(?:s|m|d|ll|re|ve){_EDGE}                # the end of "dog's" and of "they'll"
  | (?: [^\s'.,:\-{_ALONE}]
      | -(?!-)                                # hot-dog is one token
      | \.(?!\.)(?!{_STOP[2:]})               # and so are 3.5 and street.The
      | [,:](?=\d)
      | (?<=\w)'(?!'|(?:s|m|d|ll|re|ve)?{_EDGE})
    )+
  | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Word(NamedTuple):
    """A token in lower case and where it stands in the text, in characters."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """Cut a text into tokens: words, numbers and punctuation, in order."""
    return [Word(found.group().lower(), found.start(), found.end()) for found in _TOKEN.finditer(text)]
