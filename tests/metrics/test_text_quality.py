"""Text quality is measured without a judge."""

from __future__ import annotations

import pytest

from farsight.metrics.text_quality import quality, repetition, spoken


def test_words_are_counted_without_punctuation() -> None:
    assert spoken("A dog, the dog's ball: 3 ... — (hot-dog)!") == ("a", "dog", "the", "dog", "ball", "3", "hot-dog")


def test_repetition_is_the_share_of_4_grams_said_before() -> None:
    assert repetition(["a", "b", "c", "d", "e"]) == 0
    assert repetition(["a", "b", "c", "d", "a", "b", "c", "d"]) == pytest.approx(1 / 5)
    assert repetition(["a", "a", "a", "a", "a", "a"]) == pytest.approx(2 / 3)
    assert repetition(["a", "b", "c"]) == 0


def test_distinct_n_is_of_all_texts_together() -> None:
    found = quality(["a dog and", "a dog or"])
    assert found.distinct_1 == 4 / 6
    assert found.distinct_2 == 3 / 4
    assert found.words == 3


def test_perplexity_is_the_geometric_mean_if_there_is_one() -> None:
    assert quality(["a"]).perplexity is None
    assert quality(["a", "b"], perplexities=[2, 8]).perplexity == pytest.approx(4)


def test_nothing_gives_zeros() -> None:
    assert quality([]).words == 0
    assert quality(["", "..."]).distinct_1 == 0
