"""How much is known of what methods name, where people judge it: too little of it says nothing of who is better.

What nobody judged counts neither as true nor as false. So a method that names new objects would gain by their not being
judged: what it names beside plain decoding has to be judged as well as what it names in all has to be known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item
from farsight.judging.truth import Truth

LEAST_KNOWN = 0.5
"""Of what a method names, how much has to be known before it is counted."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one method names, each object of a picture once."""

    named: int
    known: int
    """To be there, or not to be there."""
    new: int
    """Objects that plain decoding does not name in the picture."""
    new_judged: int
    """Of these, how many somebody judged, be it as unsure."""

    @property
    def clear(self) -> bool:
        """Whether enough of it is known to count it."""
        return self.known >= LEAST_KNOWN * self.named


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of what methods name in some pictures."""

    methods: Mapping[str, Share]
    unjudged: int
    """Objects, each of a picture once, that nobody judged."""
    unsure: int
    """Objects of which judges were unsure, or contradict each other."""

    @property
    def enough(self) -> bool:
        """Whether it is enough to compare the methods."""
        return all(one.clear and one.new_judged >= LEAST_KNOWN * one.new for one in self.methods.values())

    @property
    def sentence(self) -> str:
        """Say how much is judged of what each names."""
        said = ", ".join(f"{one.known} of {one.named} that {label} names" for label, one in self.methods.items())
        return f"Known by judging, of the objects: {said}."

    @property
    def unclear(self) -> str:
        """Say that all is judged, and too much of it as unsure."""
        labels = ", ".join(label for label, one in self.methods.items() if not one.clear)
        return (
            f"all that is named there is judged, and less than half of what {labels} names is known to be there or "
            f"not: of {self.unsure} objects judges are unsure, or contradict each other, and these count nowhere"
        )

    def record(self) -> dict[str, dict[str, int]]:
        """Give the figures of each method for a JSON file."""
        return {label: {"named": one.named, "known": one.known} for label, one in self.methods.items()}


def known_of(
    baseline: str, labels: Sequence[str], items: Sequence[Item], rows: Mapping[Key, Mapping[str, Any]], truth: Truth
) -> Known:
    """Look up what methods name.

    Parameters
    ----------
    baseline, labels
        Plain decoding, and the others.
    items
        What all of them were asked, of which captions name something.
    rows
        The answers by method and item.
    truth
        What is known of the pictures.
    """
    named = {
        label: {
            (item.image_id, name)
            for item in items
            if item.kind == "caption"
            for name in truth.mentions(rows[label, item.item_id]["text"])
        }
        for label in (baseline, *labels)
    }
    everything = set().union(*named.values())
    known = {one for one in everything if truth.verdict(*one) is not None}
    unsure = {one for one in everything - known if truth.unsure(*one)}
    shares = {}
    for label, objects in named.items():
        new = objects - named[baseline]
        shares[label] = Share(
            named=len(objects), known=len(objects & known), new=len(new), new_judged=len(new & (known | unsure))
        )
    return Known(methods=shares, unjudged=len(everything - known - unsure), unsure=len(unsure))
