"""How much methods disagree on pictures of which nothing is known: where to look, and never who is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item
from farsight.judging.truth import Truth


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of each method, how its answers differ from plain decoding's."""

    pictures: int
    same: Mapping[str, float]
    """Share of answers that are the same, letter by letter."""
    added: Mapping[str, float]
    """Objects of an answer that plain decoding does not name there, on average."""
    dropped: Mapping[str, float]
    """Objects that only plain decoding names."""
    unknown: int
    """Mentions, each object of a picture once, that somebody has to judge."""
    winner: str | None = None
    """Who won the race on what was judged, if there was one; these are the other pictures then."""

    @property
    def sentence(self) -> str:
        """What is known, which is not who is better."""
        if self.winner is not None:
            return (
                f"The race chose {self.winner}. It and plain decoding were asked about {self.pictures} other pictures, "
                f"and whether it is better is known when these are judged: {self.unknown} mentions."
            )
        asked = "1 method was" if len(self.same) == 1 else f"{len(self.same)} methods were"
        return (
            f"{asked} asked about {self.pictures} pictures. What is in these is not known, so "
            f"nothing here says which method is better: {self.unknown} mentions are to be judged first."
        )

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        methods = {
            label: {"same": self.same[label], "added": self.added[label], "dropped": self.dropped[label]}
            for label in self.same
        }
        return {"verdict": self.sentence, "pictures": self.pictures, "unknown": self.unknown, "agreement": methods}


def agreement(
    baseline: str,
    labels: Sequence[str],
    items: Sequence[Item],
    rows: Mapping[Key, Mapping[str, Any]],
    truth: Truth,
    *,
    winner: str | None = None,
) -> Agreement:
    """Compare what methods name with what plain decoding names.

    Parameters
    ----------
    baseline, labels
        Plain decoding, and the others.
    items
        Captions, all of which have answers.
    rows
        The answers by method and item.
    truth
        Says what an answer names.
    winner
        Who won a race on other pictures.
    """
    named = {
        (label, item.item_id): set(truth.mentions(rows[label, item.item_id]["text"]))
        for label in (baseline, *labels)
        for item in items
    }

    def mean(count: float) -> float:
        return count / len(items)

    unknown = {
        (item.image_id, name)
        for item in items
        for label in (baseline, *labels)
        for name in named[label, item.item_id]
        if truth.verdict(item.image_id, name) is None
    }
    plain = {item.item_id: named[baseline, item.item_id] for item in items}
    texts = {key: row["text"] for key, row in rows.items()}
    return Agreement(
        pictures=len({item.image_id for item in items}),
        same={
            label: mean(sum(texts[label, item.item_id] == texts[baseline, item.item_id] for item in items))
            for label in labels
        },
        added={
            label: mean(sum(len(named[label, item.item_id] - plain[item.item_id]) for item in items))
            for label in labels
        },
        dropped={
            label: mean(sum(len(plain[item.item_id] - named[label, item.item_id]) for item in items))
            for label in labels
        },
        unknown=len(unknown),
        winner=winner,
    )
