"""Figures that are ratios of sums over pictures: AMBER's, and how often a model is misled by what it was told.

Each answer, or each pair of answers, adds to the numerator and the denominator of each figure; all that is about one
picture is drawn together in the bootstrap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from farsight.evaluate.tasks import Item
from farsight.metrics import misled
from farsight.metrics.amber import discriminative, generative
from farsight.metrics.amber.data import Amber
from farsight.metrics.amber.scoring import equal
from farsight.metrics.paired import RESAMPLES, Difference, ratio_difference

Said = Mapping[str, str]
"""What was answered, by item."""
Term = tuple[str, str, tuple[int, int]]
"""A picture, a figure, and what the picture adds to its numerator and denominator."""
Sums = Mapping[str, Mapping[str, tuple[int, int]]]
"""By figure and by picture, numerator and denominator."""


def _descriptions(items: Sequence[Item], said: Said) -> Iterator[Term]:
    for item in items:
        amber: Amber = item.truth["amber"]
        described = generative.describe(amber.scenes[item.truth["id"]], said[item.item_id], amber, equal)
        yield from ((item.image_id, name, terms(described)) for name, terms in generative.FIGURES.items())


def _answers(items: Sequence[Item], said: Said) -> Iterator[Term]:
    for item in items:
        answer = discriminative.answer(item.truth["amber"].questions[item.truth["id"]], said[item.item_id])
        yield from ((item.image_id, name, terms(answer)) for name, terms in discriminative.FIGURES.items())


def _misled(items: Sequence[Item], said: Said) -> Iterator[Term]:
    pairs: defaultdict[str, dict[bool, Item]] = defaultdict(dict)
    for item in items:
        pairs[item.truth["sample"]][bool(item.earlier)] = item
    for pair in pairs.values():
        if len(pair) == 2:  # one that could not be asked leaves no pair
            truth = pair[True].truth
            asked = misled.Pair(
                answer=truth["answer"],
                modified_answer=truth["modified_answer"],
                clean=said[pair[False].item_id],
                told=said[pair[True].item_id],
            )
            yield from ((pair[True].image_id, name, terms(asked)) for name, terms in misled.FIGURES.items())


TERMS: Mapping[str, Callable[[Sequence[Item], Said], Iterator[Term]]] = {
    "amber_description": _descriptions,
    "amber_answer": _answers,
    "snowball": _misled,
}
"""By kind of item (`farsight.evaluate.tasks.Kind`)."""


def sums(kind: str, items: Sequence[Item], said: Said) -> Sums:
    """Add up what answers are worth, picture by picture."""
    found: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for picture, figure, (above, below) in TERMS[kind](items, said):
        before = found[figure].get(picture, (0, 0))
        found[figure][picture] = (before[0] + above, before[1] + below)
    return found


def figures(found: Sums) -> dict[str, float]:
    """Give each figure; 0 where there is nothing to divide by."""
    whole = {name: [sum(one) for one in zip(*pictures.values(), strict=True)] for name, pictures in found.items()}
    return {name: above / max(below, 1) for name, (above, below) in whole.items()}


def compare(baseline: Sums, other: Sums, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Difference]:
    """Give the difference of each figure with its interval; both have the same pictures."""
    found = {}
    for name, pictures in baseline.items():
        one, two = (zip(*side.values(), strict=True) for side in (pictures, other[name]))
        first, second = tuple(map(list, one)), tuple(map(list, two))
        found[name] = ratio_difference(
            name, (first[0], first[1]), (second[0], second[1]), resamples=resamples, seed=seed
        )
    return found
