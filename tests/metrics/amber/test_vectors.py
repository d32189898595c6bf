"""Word vectors as text: read as a stream, only the words that matter."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError, SettingError
from farsight.metrics.amber.vectors import WordVectors, read_vectors

GLOVE = "the 0.1 0.2 0.3\ndog 1 0 0\ncat 0.9 0.1 0\n. . 4 5 6\nroad 0 0 -2.5e0\n"


def saved(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def as_lists(found: WordVectors) -> dict[str, list[float]]:
    return {word: vector.tolist() for word, vector in found.vectors.items()}


@pytest.mark.parametrize(
    "text", [GLOVE, "5 3\n" + GLOVE, "\ufeff" + GLOVE, GLOVE.replace("\n", " \n"), GLOVE.replace("\n", "\r\n")]
)
def test_words_are_read_with_and_without_a_header(tmp_path: Path, text: str) -> None:
    found = read_vectors(saved(tmp_path / "v.txt", text), ["dog", "road", "unicorn"])
    assert as_lists(found) == {"dog": [1, 0, 0], "road": [0, 0, -2.5]}


def test_a_word_that_the_file_has_in_lower_case_gets_that_vector(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.txt", "tv 1 2\n")
    assert as_lists(read_vectors(path, ["TV"])) == {"TV": [1, 2]}
    path = saved(tmp_path / "v.txt", "tv 1 2\nTV 3 4\n")
    assert as_lists(read_vectors(path, ["TV", "dog"])) == {"TV": [3, 4]}
    assert as_lists(read_vectors(path, ["TV", "tv"])) == {"TV": [3, 4], "tv": [1, 2]}


def test_the_first_vector_of_a_word_counts(tmp_path: Path) -> None:
    assert as_lists(read_vectors(saved(tmp_path / "v.txt", "dog 1\ndog 2\n"), ["dog", "cat"])) == {"dog": [1]}


def test_lines_of_other_words_may_be_anything(tmp_path: Path) -> None:
    text = b"the 1 2\nat name@domain.com 1 2\n\xff\xfe 1\nnothing\n\ndog 3 4\n"
    assert as_lists(read_vectors(saved(tmp_path / "v.txt", text), ["dog"])) == {"dog": [3, 4]}


def test_reading_stops_when_all_words_are_found(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.txt", "dog 1 2\ncat 3 4\ndog broken\n")
    assert as_lists(read_vectors(path, ["cat", "dog"])) == {"dog": [1, 2], "cat": [3, 4]}


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("the 1 2\ndog 1\n", r"v\.txt:2: is not a word and 2 numbers"),
        ("the 1 2\ndog 1 2 3\n", r"v\.txt:2: is not a word and 2 numbers"),
        ("the 1 2\ndog 1 two\n", r"v\.txt:2: is not a word and 2 numbers"),
        ("the 1 2\ndog 1 nan\n", r"v\.txt:2: is not a word and 2 numbers"),
        ("3 300\nthe 1 2\n", r"v\.txt:2: is not a word and 300 numbers"),
        (b"3 2\nthe \x00\x01\x02\xff\n", r"v\.txt:2: is not a word and 2 numbers; give word vectors as text"),
        ('{"dog": [1, 2]}\n', r"v\.txt:1: is not a word and 2 numbers"),
        ("dog\n", r"v\.txt:1: is not a word and 1 numbers"),
        ("the 1 2\nhund 3 4\n", r"v\.txt has a vector for none of the 1 words"),
        ("", r"v\.txt has a vector for none of the 1 words"),
        (b"\x1f\x8b\x08\x00", r"v\.txt: is packed \(gzip\); unpack it"),
        (b"PK\x03\x04 1 2", r"v\.txt: is packed \(zip\); unpack it"),
    ],
)
def test_what_is_no_file_of_vectors_is_one_line(tmp_path: Path, text: str | bytes, because: str) -> None:
    with pytest.raises(InputError, match=because) as error:
        read_vectors(saved(tmp_path / "v.txt", text), ["dog"])
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read \(No such file or directory\)"):
        read_vectors(tmp_path / "gone.txt", ["dog"])
    with pytest.raises(InputError, match="cannot be read"):
        read_vectors(tmp_path, ["dog"])


def vectors(**words: list[float]) -> WordVectors:
    return WordVectors(name="made up", vectors={word: np.array(vector) for word, vector in words.items()})


def test_words_are_similar_above_the_threshold_and_not_at_it() -> None:
    similar = vectors(dog=[1, 0], puppy=[0.8001, 0.59987], cat=[4, 3], road=[0, 1]).similar()
    assert similar("dog", "puppy")
    assert similar("puppy", "dog")
    assert not similar("dog", "cat")
    assert not similar("dog", "road")
    assert vectors(dog=[1, 0], cat=[4, 3]).similar(0.79)("dog", "cat")


def test_length_does_not_matter() -> None:
    similar = vectors(dog=[1e-3, 0], puppy=[900, 1], opposite=[-5, 0]).similar()
    assert similar("dog", "puppy")
    assert not similar("dog", "opposite")


def test_a_word_without_a_vector_is_similar_to_itself_only() -> None:
    similar = vectors(dog=[1, 0], nothing=[0, 0]).similar(-1)
    assert similar("unicorn", "unicorn")
    assert similar("nothing", "nothing")
    assert not similar("unicorn", "dog")
    assert not similar("dog", "unicorn")
    assert not similar("dog", "nothing")
    assert not vectors(nothing=[0, 0]).similar(-1)("nothing", "dog")


@given(st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=2, max_size=6), st.floats(-1, 1))
def test_the_cosine_decides(rows: list[list[int]], threshold: float) -> None:
    words = {f"word{number}": np.array(row, dtype=float) for number, row in enumerate(rows)}
    similar = WordVectors(name="made up", vectors=words).similar(threshold)
    for one, a in words.items():
        for other, b in words.items():
            length = np.sqrt((a @ a) * (b @ b))
            cosine = a @ b / length if length else -2
            if abs(cosine - threshold) > 1e-9:
                assert similar(one, other) == (one == other or cosine > threshold)


@pytest.mark.parametrize("threshold", [1.5, -2, float("nan")])
def test_a_threshold_is_a_cosine(threshold: float) -> None:
    with pytest.raises(SettingError, match="must be a cosine, from -1 to 1, got"):
        vectors(dog=[1, 0]).similar(threshold)
