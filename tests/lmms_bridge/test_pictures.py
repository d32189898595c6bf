"""Pictures of a task of lmms-eval, without lmms-eval."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from farsight.images import as_opened
from farsight.lmms_eval.pictures import as_every_face_has_them, with_pictures_opened

CLEAR = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
DEEP = Image.fromarray(np.full((4, 4), 128 * 257, dtype=np.uint16))
RED = Image.new("RGB", (4, 4), "red")


@pytest.mark.parametrize(("picture", "colour"), [(CLEAR, (255,) * 3), (DEEP, (128,) * 3), (RED, (255, 0, 0))])
def test_what_a_task_has_opened_is_as_every_face_opens_it(picture: Image.Image, colour: Any) -> None:
    """As ``doc_to_visual`` gives pictures, and as ``doc_to_messages`` does."""
    visual = with_pictures_opened(lambda doc: [picture])({})
    assert visual[0].getpixel((0, 0)) == colour
    part = {"type": "image", "url": picture}
    messages = with_pictures_opened(lambda doc: [{"role": "user", "content": [part, {"type": "text", "text": "a"}]}])(
        {}
    )
    assert messages[0]["content"][0]["url"].getpixel((0, 0)) == colour
    assert messages[0]["content"][1]["text"] == "a"


def test_a_picture_in_rgb_is_left_as_it_is() -> None:
    assert as_opened(RED) is RED


def test_a_picture_that_lies_on_its_side_is_put_upright() -> None:
    lying = Image.new("RGB", (8, 4))
    lying.getexif()[0x0112] = 6
    assert as_opened(lying).size == (4, 8)
    assert lying.size == (8, 4)


def test_what_is_no_picture_and_no_function_stays() -> None:
    for argument in ("prompt", 3, None):
        assert with_pictures_opened(argument) is argument
    assert as_every_face_has_them(("a.mp4", {"fps": 1})) == ("a.mp4", {"fps": 1})
