"""A description cut into pieces: nothing is lost, what differs and what names objects is marked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farsight.inputs.named_models import EMBEDDED, vocabulary_of
from farsight.metrics.vocabulary import read_vocabulary
from farsight.web.fragments import fragment
from farsight.web.marking import Piece, differing_spans, pieces

VOCABULARY = read_vocabulary(vocabulary_of(EMBEDDED))
TEXTS = st.lists(st.sampled_from(["There", "is", "a", "red", "dog.", "traffic", "light", "cups,", "\n", "  "])).map(
    " ".join
)


@given(TEXTS, TEXTS)
def test_pieces_are_the_text_and_mark_every_differing_word(left: str, right: str) -> None:
    spans = differing_spans(left, right)
    for text, differing in zip((left, right), spans, strict=True):
        found = pieces(text, differing, VOCABULARY.mentions(text), {"dog"})
        assert "".join(piece.text for piece in found) == text
        mentions = [piece for piece in found if piece.mention is not None]
        assert [piece.object for piece in mentions] == [one.object for one in VOCABULARY.mentions(text)]
        assert all((piece.kind == "true") == (piece.object == "dog") for piece in mentions)
    same = [text for side, text in zip(spans, (left, right), strict=True) for text in [_without(text, side)]]
    assert same[0] == same[1]


def _without(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """Words that are on both sides, in order."""
    kept = list(text)
    for start, end in spans:
        kept[start:end] = " " * (end - start)
    return "".join(kept).split()


def test_a_name_of_two_words_is_one_piece_though_one_of_them_differs() -> None:
    text = "A red traffic light."
    [mention] = VOCABULARY.mentions(text)
    found = pieces(text, [(6, 13)], [mention], None)
    assert Piece(text="traffic light", differs=True, mention=0, object="traffic light") in found


def test_what_a_model_says_cannot_become_markup() -> None:
    made = fragment("status", text="<script>alert(1)</script> {{x}} ${y} `", kind="", step=0, steps=0)
    assert "<script" not in made
    assert not set("{}$`") & set(made)
