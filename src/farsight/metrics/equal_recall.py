"""A yardstick for methods that say less: the baseline's own captions, stopped where they name as much as the method's.

A method that names fewer false objects often names fewer true ones too, and stopping earlier does that as well. So the
baseline's captions are all cut after as many words as leave them the method's recall, and CHAIR_S of that is what the
method has to beat. The cut is chosen on the captions that are measured: it is a yardstick and no method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farsight.metrics.chair import CaptionScore, ChairScore
from farsight.metrics.cuts import Cut
from farsight.metrics.paired import RESAMPLES, Difference, interval, resampled_sums, two_sided
from farsight.metrics.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The baseline's captions after every number of words.

    Parameters
    ----------
    images
        Of the captions, in order.
    found
        Objects of the picture that a caption has named after 0, 1, 2, ... words, ``(captions, words + 1)``.
    wrong
        Whether it has named one that is not there, in the same shape.
    present
        Objects of each picture, ``(captions,)``.
    """

    images: tuple[str, ...]
    found: NDArray[np.float64]
    wrong: NDArray[np.float64]
    present: NDArray[np.float64]


def stopped(baseline: ChairScore, vocabulary: Vocabulary) -> Stopped:
    """Score captions after every number of words, each cut as `Cut` cuts them."""
    longest = max(caption.length for caption in baseline.captions)
    each = [_named(caption, longest, vocabulary) for caption in baseline.captions]
    return Stopped(
        images=tuple(caption.caption.image_id for caption in baseline.captions),
        found=np.array([found for found, _ in each], dtype=np.float64),
        wrong=np.array([wrong for _, wrong in each], dtype=np.float64),
        present=np.array([len(caption.present) for caption in baseline.captions], dtype=np.float64),
    )


def at_equal_recall(
    baseline: Stopped, other: ChairScore, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Difference, float]:
    """Compare CHAIR_S of a method with that of a baseline that stops where it has the method's recall.

    Recall and CHAIR_S between two numbers of words are on the line between them. In each bootstrap sample the cut is
    chosen anew. A method with more recall than the baseline's whole captions is compared with these. Captions of the
    same pictures are resampled together; captions of others, each on their own, which makes the interval wider.

    Parameters
    ----------
    baseline
        From `stopped`.
    other
        Captions of the method.
    resamples, seed
        Number of samples of the bootstrap, and its seed.

    Returns
    -------
    The difference, whose ``baseline`` is CHAIR_S of the cut captions; and after how many words they are cut.
    """
    scores = {caption.caption.image_id: caption for caption in other.captions}
    paired = set(scores) == set(baseline.images)
    order = [scores[image] for image in baseline.images] if paired else other.captions
    stops = np.concatenate([baseline.found, baseline.wrong, baseline.present[:, None]], axis=1)
    method = np.array([(len(one.found), bool(one.hallucinated), len(one.present)) for one in order], dtype=np.float64)
    lengths = np.arange(baseline.found.shape[1])

    def cut_at(stops: NDArray[np.float64], method: NDArray[np.float64]) -> float:
        return _first_at(stops[: len(lengths)] / max(stops[-1], 1), float(method[0] / max(method[2], 1)))

    def chair_s(stops: NDArray[np.float64], method: NDArray[np.float64]) -> tuple[float, float]:
        wrong = np.interp(cut_at(stops, method), lengths, stops[len(lengths) : -1])
        return float(wrong) / len(baseline.images), float(method[1]) / len(order)

    if paired:
        sums = resampled_sums(np.concatenate([stops, method], axis=1), resamples=resamples, seed=seed)
        samples = zip(sums[:, :-3], sums[:, -3:], strict=True)
    else:
        samples = zip(
            resampled_sums(stops, resamples=resamples, seed=seed),
            resampled_sums(method, resamples=resamples, seed=seed + 1),
            strict=True,
        )
    distribution = np.array([own - cut for cut, own in (chair_s(*sample) for sample in samples)])
    before, after = chair_s(stops.sum(0), method.sum(0))
    low, high = interval(distribution)
    found = Difference(
        name="chair_s_at_equal_recall",
        baseline=before,
        other=after,
        low=low,
        high=high,
        p=two_sided(distribution),
        items=len(order),
    )
    return found, cut_at(stops.sum(0), method.sum(0))


def _first_at(recall: NDArray[np.float64], wanted: float) -> float:
    """The least number of words, and the part of a word, with so much recall; all of them if there is less."""
    reached = np.flatnonzero(recall >= wanted)
    if not len(reached):
        return len(recall) - 1
    if (count := int(reached[0])) == 0:
        return 0
    return count - 1 + float((wanted - recall[count - 1]) / (recall[count] - recall[count - 1]))


def _named(caption: CaptionScore, longest: int, vocabulary: Vocabulary) -> tuple[list[int], list[bool]]:
    found, wrong, named = [0], [False], set[str]()
    for count in range(1, longest + 1):
        if count <= caption.length:
            text = Cut(words=count).text(caption.caption.text, vocabulary)
            named = {mention.object for mention in vocabulary.mentions(text)}
        found.append(len(named & caption.present))
        wrong.append(bool(named - caption.present))
    return found, wrong
