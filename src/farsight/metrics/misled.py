"""Is a model misled by a hallucination that stands in the conversation already?

Zhong et al., "Investigating and Mitigating the Multimodal Hallucination Snowballing in Large Vision-Language Models",
ACL 2024, arXiv 2407.00569 (MMHalSnowball): a question is asked about a picture alone (*clean*), and again after a
description, put into the model's mouth, that is wrong in what is asked (*told*). The rule by which answers are read is
that of the authors' script: an answer is right if the right one is contained in it and the wrong one is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One question, and what was answered to it both times."""

    answer: str
    """What is right, by the picture."""
    modified_answer: str
    """What would be right, by the conversation."""
    clean: str
    """What was said when nothing had been."""
    told: str
    """What was said after the conversation."""

    @property
    def right_clean(self) -> bool:
        """Whether the picture alone was answered rightly."""
        return says(self.clean, self.answer, self.modified_answer)

    @property
    def right_told(self) -> bool:
        """Whether it still was after the conversation."""
        return says(self.told, self.answer, self.modified_answer)

    @property
    def misled(self) -> bool:
        """Whether the answer after the conversation is the conversation's."""
        return says(self.told, self.modified_answer, self.answer)


def says(text: str, wanted: str, other: str) -> bool:
    """Whether a text contains one answer and not the other; capitals are the same in the text and the wanted one."""
    said = text.lower()
    return wanted.lower() in said and other not in said


FIGURES: Mapping[str, Callable[[Pair], tuple[int, int]]] = {
    "accuracy_clean": lambda one: (one.right_clean, 1),
    "accuracy_told": lambda one: (one.right_told, 1),
    "flip_rate": lambda one: (one.right_clean and one.misled, one.right_clean),
    "weak_flip_rate": lambda one: (one.right_clean and not one.right_told, one.right_clean),
}
"""What each pair adds to the numerator and to the denominator of a figure. The flip rate is the share of the questions
that were answered rightly of which the answer becomes the conversation's; the weak one, of which it is right no
more."""
