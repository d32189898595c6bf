"""How much methods disagree on pictures of which nothing is known: where to look, and never who is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item
from farsight.judging.truth import Truth
from farsight.tune.known import Known, known_of


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
    known: Known
    """What is known of what they name, which is too little."""
    left_out: Mapping[str, str]
    """Methods that are not compared, with the reason."""
    winner: str | None = None
    """Who won the race on what was judged, if there was one; these are the other pictures then."""

    @property
    def sentence(self) -> str:
        """What is known, which is not who is better; and what is to be judged, or that judging tells no more."""
        if self.winner is not None:
            asked = (
                f"The race chose {self.winner}. It and plain decoding were asked about {self.pictures} other pictures"
            )
            if self.unknown:
                return f"{asked}, and whether it is better is known when these are judged: {self.unknown} objects."
            return f"{asked}, and whether it is better is not known: {self.known.unclear}."
        methods = "1 method was" if len(self.same) == 1 else f"{len(self.same)} methods were"
        asked = f"{methods} asked about {self.pictures} pictures."
        if self.unknown:
            return (
                f"{asked} What is in these is not known, so nothing here says which method is better: {self.unknown} "
                "objects are to be judged first."
            )
        return f"{asked} Nothing here says which method is better: {self.known.unclear}."

    @property
    def unknown(self) -> int:
        """Objects, each of a picture once, that somebody has to judge."""
        return self.known.unjudged

    def record(self) -> dict[str, Any]:
        """Give the figures for a JSON file."""
        methods = {
            label: {"same": self.same[label], "added": self.added[label], "dropped": self.dropped[label]}
            for label in self.same
        }
        return {
            "verdict": self.sentence,
            "pictures": self.pictures,
            "unknown": self.unknown,
            "unsure": self.known.unsure,
            "left_out": dict(self.left_out),
            "agreement": methods,
        }


def agreement(
    baseline: str,
    labels: Sequence[str],
    items: Sequence[Item],
    rows: Mapping[Key, Mapping[str, Any]],
    truth: Truth,
    *,
    left_out: Mapping[str, str],
    winner: str | None = None,
) -> Agreement:
    """Compare what methods name with what plain decoding names.

    Parameters
    ----------
    baseline, labels
        Plain decoding, and the others.
    items
        Captions that all of these methods answered.
    rows
        The answers by method and item.
    truth
        Says what an answer names, and what is known of it.
    left_out
        Methods that are not compared, with the reason.
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
        known=known_of(baseline, labels, items, rows, truth),
        left_out=left_out,
        winner=winner,
    )
