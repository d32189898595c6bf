"""Pictures that people really have, and files that are no pictures."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farsight.errors import InputError
from farsight.images import decode_image, find_pictures, open_frames, open_image


def red(size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new("RGB", size, (200, 30, 40))


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tiff", "ppm"])
def test_every_common_format_becomes_rgb(tmp_path: Path, ending: str) -> None:
    image = open_image(saved(red((16, 16)), tmp_path / f"a.{ending}"))
    assert (image.mode, image.size) == ("RGB", (16, 16))
    assert np.abs(np.asarray(image, dtype=int) - (200, 30, 40)).max() < 12


def test_a_picture_is_read_whatever_its_name_ends_in(tmp_path: Path) -> None:
    path = saved(red(), tmp_path / "a.png").rename(tmp_path / "a.jpeg")
    assert open_image(str(path)).getpixel((0, 0)) == (200, 30, 40)


def test_a_picture_is_in_memory_when_it_is_returned(tmp_path: Path) -> None:
    path = saved(red(), tmp_path / "a.png")
    image = open_image(path)
    path.unlink()
    assert image.getpixel((5, 3)) == (200, 30, 40)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = red((8, 4))
    image.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = open_image(saved(image, tmp_path / "a.png", exif=exif))
    assert upright.size == (4, 8)
    assert upright.getpixel((3, 0)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_put_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    path = saved(image.convert(mode), tmp_path / "a.png")
    assert open_image(path).getpixel((3, 3)) == (255, 255, 255)
    assert open_image(path).getpixel((0, 0)) == (0, 0, 0)


def test_a_transparent_palette_colour_is_put_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.putpixel((1, 0), 1)
    opened = open_image(saved(image, tmp_path / "a.png", transparency=0))
    assert [opened.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (200, 0, 0)]


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    ramp = np.array([[0, 257 * 64, 257 * 128, 65535]], dtype=np.uint16)
    image = open_image(saved(Image.fromarray(ramp), tmp_path / "a.png"))
    assert [image.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 64, 128, 255)]


def png(depth: int, colour: int, row: bytes, transparent: bytes) -> bytes:
    """A PNG of two pixels in one row, of which one value is transparent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0))
    pixels = chunk(b"tRNS", transparent) + chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "other"),
    [
        (png(1, 0, bytes([0b01000000]), struct.pack(">H", 0)), (255, 255, 255)),
        (png(2, 0, bytes([0b01100000]), struct.pack(">H", 1)), (170, 170, 170)),
        (png(4, 0, bytes([0x5A]), struct.pack(">H", 5)), (170, 170, 170)),
        (png(8, 0, bytes([20, 170]), struct.pack(">H", 20)), (170, 170, 170)),
        (png(16, 0, struct.pack(">2H", 0x1234, 170 * 257), struct.pack(">H", 0x1234)), (170, 170, 170)),
        (png(8, 2, bytes([1, 2, 3, 170, 0, 0]), struct.pack(">3H", 1, 2, 3)), (170, 0, 0)),
        (png(16, 2, struct.pack(">6H", 260, 514, 768, 43690, 0, 0), struct.pack(">3H", 260, 514, 768)), (170, 0, 0)),
    ],
    ids=["grey 1", "grey 2", "grey 4", "grey 8", "grey 16", "colour 8", "colour 16"],
)
def test_the_transparent_value_of_a_png_of_any_depth_is_put_on_white(
    tmp_path: Path, data: bytes, other: tuple[int, int, int]
) -> None:
    (tmp_path / "a.png").write_bytes(data)
    for image in (open_image(tmp_path / "a.png"), decode_image(data, "a")):
        assert [image.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), other]


def test_a_picture_in_memory_is_read_as_its_file_is(tmp_path: Path) -> None:
    ramp = np.array([[0, 257 * 64, 65535]], dtype=np.uint16)
    pictures = {
        "deep.png": Image.fromarray(ramp),
        "clear.png": Image.new("RGBA", (4, 4), (0, 0, 0, 0)),
        "loud.jpg": Image.new("CMYK", (16, 16), (0, 255, 255, 0)),
    }
    for name, picture in pictures.items():
        path = saved(picture, tmp_path / name)
        assert np.array_equal(np.asarray(decode_image(path.read_bytes(), name)), np.asarray(open_image(path)))


@pytest.mark.parametrize(
    ("data", "because"),
    [(b"", "0 bytes"), (b"a red ball", "not a picture"), (png(8, 0, b"", b"\0"), "damaged or cut short")],
)
def test_what_is_no_picture_in_memory_is_called_by_its_name(data: bytes, because: str) -> None:
    with pytest.raises(InputError, match=f"^picture 1 of the request .*{because}"):
        decode_image(data, "picture 1 of the request")


def test_floating_point_samples_between_0_and_1_are_scaled(tmp_path: Path) -> None:
    ramp = np.array([[0.0, 0.2, 1.0, np.nan]], dtype=np.float32)
    image = open_image(saved(Image.fromarray(ramp), tmp_path / "a.tiff"))
    assert [image.getpixel((x, 0))[0] for x in range(4)] == [0, 51, 255, 0]


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    image = open_image(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg"))
    assert np.abs(np.asarray(image, dtype=int) - (255, 0, 0)).max() < 12


def test_one_bit_and_animation_become_one_rgb_picture(tmp_path: Path) -> None:
    assert open_image(saved(Image.new("1", (3, 3), 1), tmp_path / "a.png")).getpixel((0, 0)) == (255, 255, 255)
    path = saved(red(), tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (6, 4))])
    assert open_image(path).getpixel((0, 0)) == (200, 30, 40)


def test_unreadable_exif_data_does_not_matter(tmp_path: Path) -> None:
    path = saved(red(), tmp_path / "a.png", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert open_image(path).size == (6, 4)


def refused(path: Path, because: str, **options: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=because) as error:
            open_image(path, **options)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "gone.png", "was not found")


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    refused(tmp_path, "is a folder")


def test_an_empty_file_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    refused(tmp_path / "a.png", "0 bytes")


def test_a_text_file_called_png_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("a red ball on a beach")
    refused(tmp_path / "a.png", "not a picture that can be read; pass one of PNG, JPEG")


def test_a_format_that_runs_other_programs_is_not_opened(tmp_path: Path) -> None:
    refused(saved(red(), tmp_path / "a.eps"), "not a picture that can be read")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "tiff"])
def test_a_file_that_was_cut_short_is_damaged(tmp_path: Path, ending: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    path = saved(noise, tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "damaged or cut short|not a picture")


def test_a_file_with_flipped_bytes_is_damaged(tmp_path: Path) -> None:
    path = saved(Image.effect_noise((64, 64), 80), tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(path, "damaged or cut short")


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends where its pixels would begin."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


@pytest.mark.parametrize(("width", "height"), [(10_000, 6_000), (12_000, 10_000)])
def test_a_picture_over_the_limit_is_rejected_from_its_header(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(width, height))
    with pytest.raises(InputError, match=r"^the picture has .* megapixels"):
        decode_image(png_header(width, height), "the picture")
    refused(path, rf"{width * height / 1e6:.1f} megapixels \({width} x {height}\), more than the limit of 50")


def test_a_picture_far_over_the_limit_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(60_000, 60_000))
    refused(path, "too many pixels")


@pytest.mark.parametrize(("width", "height"), [(1, 201), (40_000, 100), (1, 40_000_000)])
def test_a_picture_that_is_but_a_line_is_rejected(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(width, height))
    refused(path, rf"is {width} x {height}, longer than 200 times its width")
    assert open_image(saved(red((200, 1)), path)).size == (200, 1)


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA", "P"])
def test_a_tall_picture_is_the_same_as_its_rows(tmp_path: Path, mode: str) -> None:
    """What is converted strip by strip has no seams, and one scale."""
    rows = np.arange(700, dtype=np.float64)[:, None] * np.ones((1, 5))
    if mode in ("I;16", "F"):
        picture = Image.fromarray(rows.astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        colours = np.stack([rows % 256, rows // 3, 255 - rows % 256, rows % 251], axis=-1).astype(np.uint8)
        picture = Image.fromarray(colours, "RGBA").convert(mode)
    opened = np.asarray(open_image(saved(picture, tmp_path / ("a.tiff" if mode == "F" else "a.png"))))
    if mode in ("I;16", "F"):
        expected = np.repeat((rows * 255 / (65535 if mode == "I;16" else 699)).round()[..., None], 3, axis=-1)
    else:
        layer = picture.convert("RGBA")
        expected = np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    assert np.array_equal(opened, expected)


def test_the_limit_is_the_callers_to_set(tmp_path: Path) -> None:
    path = saved(red((10, 10)), tmp_path / "a.png")
    assert open_image(path, max_pixels=100).size == (10, 10)
    refused(path, "more than the limit", max_pixels=99)


def test_frames_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        saved(Image.new("RGB", (4, 4), (80 * number, 0, 0)), tmp_path / f"{number:02d}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    assert [frame.getpixel((0, 0))[0] for frame in open_frames(tmp_path)] == [0, 80, 160]


def test_a_video_without_frames_or_with_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_frames(tmp_path / "nowhere")
    (tmp_path / "00.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00\.png"):
        open_frames(tmp_path)


def test_pictures_are_files_those_of_a_folder_and_what_a_pattern_matches(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.jpg", "[1].png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()

    def names(*given: str) -> list[str]:
        return [path.name for path in find_pictures(tmp_path / name for name in given)]

    assert names("c.jpg", "b.png") == ["c.jpg", "b.png"]
    assert names("") == ["[1].png", "a.png", "b.png", "c.jpg"]
    assert names("?.png", "c*") == ["a.png", "b.png", "c.jpg"]
    assert names("[1].png") == ["[1].png"]
    with pytest.raises(InputError, match="matches no file"):
        names("*.gif")
