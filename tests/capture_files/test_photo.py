"""Pictures from disk: untouched where that is legal, upright, with every bit they have, and without a word about anybody."""

import io
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from file_samples import numbered
from PIL import Image, PngImagePlugin

from capture.photo import load
from capture.picture import orient
from capture.source import BadPicture

COLOUR = numbered(5, 96, 64, 0.5)
GRAY = COLOUR[..., 1].copy()
DEEP = (np.arange(64 * 96, dtype=np.uint32).reshape(64, 96) * 10 % 65521).astype(np.uint16)
NAME = "Mustermann"


def jpeg_file(path: Path, picture: np.ndarray = COLOUR, **more) -> Path:
    Image.fromarray(picture).save(path, "JPEG", **{"quality": 92, **more})
    return path


def exif(orientation: int = 1, taken: str = "") -> Image.Exif:
    words = Image.Exif()
    words[0x0112], words[0x013B], words[0x010F] = orientation, NAME, "Camera"
    if taken:
        words.get_ifd(0x8769)[0x9003] = taken
    words.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    return words


@pytest.mark.parametrize(("subsampling", "word"), [("4:4:4", "444"), ("4:2:2", "422"), ("4:2:0", "420")])
def test_a_plain_baseline_jpeg_goes_in_byte_for_byte(subsampling, word, tmp_path):
    path = jpeg_file(tmp_path / "a.jpg", subsampling=subsampling)
    (still,) = load(path)
    assert still.stream is not None and still.stream.data == path.read_bytes()
    assert (still.stream.color, still.stream.subsampling, still.stream.bits) == ("ycc", word, 8)
    assert (still.width, still.height, still.losses, still.derivation) == (96, 64, (), "")


def test_a_gray_baseline_jpeg_goes_in_byte_for_byte(tmp_path):
    path = jpeg_file(tmp_path / "a.jpg", GRAY, restart_marker_blocks=2)
    (still,) = load(path)
    assert still.is_gray and still.stream is not None and still.stream.data == path.read_bytes()


def test_metadata_is_cut_out_of_a_jpeg_and_its_picture_is_not_touched(tmp_path):
    bare = jpeg_file(tmp_path / "bare.jpg").read_bytes()
    more = {"comment": NAME.encode(), "exif": exif(), "icc_profile": NAME.encode() * 20, "xmp": f"<x>{NAME}</x>".encode()}
    path = jpeg_file(tmp_path / "a.jpg", **more)
    path.write_bytes(path.read_bytes() + b"trailer of " + NAME.encode())
    assert path.read_bytes().count(NAME.encode()) > 3
    (still,) = load(path)
    assert still.stream is not None
    assert NAME.encode() not in still.stream.data and b"Exif" not in still.stream.data
    assert still.stream.data == bare


def test_a_preview_inside_the_jfif_header_is_left_out(tmp_path):
    bare = jpeg_file(tmp_path / "bare.jpg").read_bytes()
    segment = bytearray(bare[2:20])
    segment[2:4] = (16 + 12).to_bytes(2, "big")
    segment[16:18] = bytes([2, 2])
    path = tmp_path / "a.jpg"
    path.write_bytes(bare[:2] + bytes(segment) + b"thumbnail!!!" + bare[20:])
    (still,) = load(path)
    assert still.stream is not None and still.stream.data == bare


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_turned_jpeg_comes_upright(orientation, tmp_path):
    path = jpeg_file(tmp_path / "a.jpg", exif=exif(orientation))
    (still,) = load(path)
    with Image.open(path) as image:
        expected = orient(np.asarray(image), orientation)
    assert still.pixels is not None and np.array_equal(still.pixels, expected)
    assert f"EXIF orientation {orientation}" in still.derivation
    assert [loss.codec for loss in still.losses] == ["jpeg"]
    assert still.losses[0].ratio == pytest.approx(COLOUR.size / path.stat().st_size, abs=0.01)


def test_progressive_cmyk_and_rgb_jpegs_are_decompressed_and_say_so(tmp_path):
    cases = {
        "progressive": (Image.fromarray(COLOUR), {"progressive": True}, "progressive"),
        "cmyk": (Image.fromarray(COLOUR).convert("CMYK"), {}, "CMYK"),
        "rgb": (Image.fromarray(COLOUR), {"keep_rgb": True}, "Decompressed"),
        "411": (Image.fromarray(COLOUR), {"subsampling": "4:1:1"}, ""),
    }
    for name, (image, more, word) in cases.items():
        path = tmp_path / f"{name}.jpg"
        image.save(path, "JPEG", quality=95, **more)
        (still,) = load(path)
        if name == "411":  # Pillow's word for 4:2:0
            assert still.stream is not None
            continue
        assert still.stream is None and still.pixels is not None and still.pixels.shape == (64, 96, 3), name
        assert word in still.derivation and still.losses[0].codec == "jpeg", name
        assert np.abs(still.pixels.astype(int) - COLOUR).mean() < 8, name


def test_a_jpeg_of_12_bits_keeps_them(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpeg8_encode(DEEP >> 4, level=95, bitspersample=12))
    (still,) = load(path)
    assert still.bits == 12 and still.pixels is not None and still.pixels.dtype == np.uint16
    assert np.abs(still.pixels.astype(int) - (DEEP >> 4)).mean() < 120 and "12 bits" in still.derivation


def test_when_a_picture_was_taken_is_the_cameras_word_or_the_files_time(tmp_path):
    told = load(jpeg_file(tmp_path / "a.jpg", exif=exif(1, "2019:02:03 04:05:06")))[0].captured
    assert (told.year, told.hour, told.second) == (2019, 4, 6) and told.tzinfo is not None
    for nonsense in ("0000:00:00 00:00:00", "2099:01:01 00:00:00", "yesterday"):
        path = jpeg_file(tmp_path / "b.jpg", exif=exif(1, nonsense))
        (still,) = load(path)
        assert still.captured == datetime.fromtimestamp(path.stat().st_mtime, UTC)


@pytest.mark.parametrize("suffix", [".jp2", ".j2k"])
@pytest.mark.parametrize(("reversible", "colour"), [(True, "rct"), (False, "ict")])
def test_jpeg_2000_goes_in_as_a_bare_codestream(suffix, reversible, colour, tmp_path):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(COLOUR).save(path, irreversible=not reversible, mct=1, comment=NAME)
    (still,) = load(path)
    stream = still.stream
    assert stream is not None and stream.codec == "jpeg2000" and stream.data.startswith(b"\xff\x4f\xff\x51")
    assert stream.data.endswith(b"\xff\xd9") and NAME.encode() not in stream.data
    assert (stream.color, stream.lossy, stream.bits, stream.width) == (colour, not reversible, 8, 96)
    with Image.open(path) as image, Image.open(io.BytesIO(stream.data)) as bare:
        assert np.array_equal(np.asarray(image), np.asarray(bare))
    assert stream.data in path.read_bytes().replace(b"\xff\x64\x00\x0e\x00\x01" + NAME.encode(), b"")


def test_gray_jpeg_2000_keeps_16_bits_and_transparency_is_decoded(tmp_path):
    path = tmp_path / "a.j2k"
    path.write_bytes(imagecodecs.jpeg2k_encode(DEEP, level=0, codecformat="j2k"))
    (still,) = load(path)
    assert still.is_gray and still.stream is not None and still.stream.bits == 16 and not still.stream.lossy
    clear = np.dstack([COLOUR, np.full(GRAY.shape, 255, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "b.jp2", irreversible=False)
    (still,) = load(tmp_path / "b.jp2")
    assert still.stream is None and still.pixels is not None and np.array_equal(still.pixels, COLOUR) and still.losses == ()


def test_png_keeps_what_it_has(tmp_path):
    for name, picture, bits in (("rgb", COLOUR, 8), ("gray", GRAY, 8), ("deep", DEEP, 16)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        (still,) = load(tmp_path / f"{name}.png")
        assert still.pixels is not None and np.array_equal(still.pixels, picture) and still.bits == bits, name
        assert still.losses == () and still.derivation == "" and still.millimetres is None, name


def test_png_palette_bits_transparency_and_deep_colour(tmp_path):
    Image.fromarray(GRAY).convert("P").save(tmp_path / "p.png")
    (still,) = load(tmp_path / "p.png")
    assert still.is_gray and np.array_equal(still.pixels, GRAY)
    Image.fromarray(GRAY > 120).save(tmp_path / "1.png")
    (still,) = load(tmp_path / "1.png")
    assert np.array_equal(still.pixels, (GRAY > 120) * np.uint8(255))
    clear = np.dstack([COLOUR, np.full(GRAY.shape, 255, np.uint8)])
    clear[:20, :, 3] = 0
    Image.fromarray(clear).save(tmp_path / "a.png")
    (still,) = load(tmp_path / "a.png")
    assert not still.pixels[:20].any() and np.array_equal(still.pixels[20:], COLOUR[20:])
    assert "transparent parts shown on black" in still.derivation.lower()
    deep = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    (tmp_path / "d.png").write_bytes(imagecodecs.png_encode(deep))
    (still,) = load(tmp_path / "d.png")
    assert still.bits == 8 and np.abs(still.pixels.astype(int) - deep // 257).max() <= 1
    assert "scaled from 16 to 8 bits" in still.derivation.lower()


def test_the_words_in_a_png_stay_behind_and_a_turned_one_comes_upright(tmp_path):
    words = PngImagePlugin.PngInfo()
    words.add_text("Author", NAME)
    Image.fromarray(COLOUR).save(tmp_path / "a.png", pnginfo=words, exif=exif(6), dpi=(300, 300))
    (still,) = load(tmp_path / "a.png")
    assert np.array_equal(still.pixels, orient(COLOUR, 6)) and NAME not in repr(still) and still.millimetres is None


def test_an_animated_png_is_several_stills(tmp_path):
    frames = [Image.fromarray(numbered(number, 96, 64)) for number in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    stills = load(tmp_path / "a.png")
    assert len(stills) == 3
    assert all(np.array_equal(one.pixels, numbered(place, 96, 64)) for place, one in enumerate(stills))


def test_bmp(tmp_path):
    for name, image in (
        ("rgb", Image.fromarray(COLOUR)),
        ("gray", Image.fromarray(GRAY)),
        ("p", Image.fromarray(COLOUR).quantize(16)),
    ):
        image.save(tmp_path / f"{name}.bmp")
        (still,) = load(tmp_path / f"{name}.bmp")
        assert np.array_equal(still.pixels, np.asarray(image if name != "p" else image.convert("RGB"))), name


def test_tiff_pages_each_become_a_still_with_all_their_bits(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        for picture in (DEEP, DEEP[::-1], GRAY):
            out.write(picture, photometric="minisblack", compression="zlib" if picture.dtype == np.uint16 else None)
    stills = load(path)
    assert [still.bits for still in stills] == [16, 16, 8]
    assert all(np.array_equal(still.pixels, one) for still, one in zip(stills, (DEEP, DEEP[::-1], GRAY), strict=True))


def test_tiff_white_is_white_whatever_zero_means(tmp_path):
    tifffile.imwrite(tmp_path / "w.tif", 255 - GRAY, photometric="miniswhite")
    assert np.array_equal(load(tmp_path / "w.tif")[0].pixels, GRAY)
    tifffile.imwrite(tmp_path / "d.tif", 65535 - DEEP, photometric="miniswhite")
    assert np.array_equal(load(tmp_path / "d.tif")[0].pixels, DEEP)
    tifffile.imwrite(tmp_path / "b.tif", GRAY < 120, photometric="miniswhite", bitspersample=1)
    assert np.array_equal(load(tmp_path / "b.tif")[0].pixels, (GRAY >= 120) * np.uint8(255))
    Image.fromarray(GRAY > 120).save(tmp_path / "fax.tif", compression="group4")
    assert np.array_equal(load(tmp_path / "fax.tif")[0].pixels, (GRAY > 120) * np.uint8(255))


def test_tiff_packed_12_bits_palette_cmyk_and_planes(tmp_path):
    small = DEEP >> 4
    packed = tmp_path / "12.tif"
    _packed_tiff(packed, small)
    (still,) = load(packed)
    assert still.bits == 12 and np.array_equal(still.pixels, small)
    indexed = Image.fromarray(COLOUR).quantize(64)
    indexed.save(tmp_path / "p.tif")
    assert np.array_equal(load(tmp_path / "p.tif")[0].pixels, np.asarray(indexed.convert("RGB")))
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.tif")
    (still,) = load(tmp_path / "c.tif")
    assert np.abs(still.pixels.astype(int) - COLOUR).max() <= 2 and "CMYK" in still.derivation
    tifffile.imwrite(tmp_path / "s.tif", np.moveaxis(COLOUR, -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(load(tmp_path / "s.tif")[0].pixels, COLOUR)


def _packed_tiff(path: Path, picture: np.ndarray) -> None:
    """A TIFF with two pixels in three bytes, as old scanners write them."""
    values = picture.astype(np.uint32).ravel()
    first, second = values[::2], values[1::2]
    data = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()
    rows, columns = picture.shape
    tags = [(256, columns), (257, rows), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, rows), (279, len(data))]
    ifd = len(tags).to_bytes(2, "little")
    for tag, value in tags:
        ifd += (
            tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        )
    path.write_bytes(b"II*\0" + (8 + len(data)).to_bytes(4, "little") + data + ifd + bytes(4))


def test_tiff_colour_of_16_bits_is_scaled_and_not_cut(tmp_path):
    deep = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    (still,) = load(tmp_path / "a.tif")
    assert still.bits == 8 and np.abs(still.pixels.astype(float) - deep / 257).max() <= 0.51
    assert still.derivation == "Scaled from 16 to 8 bits per colour."


def test_tiff_packed_as_jpeg_says_that_it_lost_something(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", compression="jpeg")
    (still,) = load(tmp_path / "a.tif")
    assert [loss.codec for loss in still.losses] == ["jpeg"] and still.losses[0].ratio > 1
    assert np.abs(still.pixels.astype(int) - COLOUR).mean() < 8


def test_millimetres_only_where_a_scanner_may_have_measured_them(tmp_path):
    def spacing(dpi, unit=2, extra=()):
        tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=dpi, resolutionunit=unit, extratags=extra)
        (still,) = load(tmp_path / "a.tif")
        return still.millimetres, still.aspect

    assert spacing((300, 300)) == (pytest.approx((25.4 / 300, 25.4 / 300)), 1)
    assert spacing((118, 59), unit=3) == (pytest.approx((10 / 59, 10 / 118)), Fraction(1, 2))
    assert spacing((204, 196)) == (pytest.approx((25.4 / 196, 25.4 / 204)), Fraction(49, 51))
    assert spacing((72, 72))[0] is None and spacing((96, 96))[0] is None and spacing((300, 300), unit=1)[0] is None
    path = jpeg_file(tmp_path / "a.jpg", dpi=(300, 300))
    assert load(path)[0].millimetres is None


def test_a_turned_tiff_comes_upright_with_its_spacing_turned_too(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GRAY, resolution=(200, 100), resolutionunit=2, extratags=[(274, 3, 1, 6, True)])
    (still,) = load(path)
    assert np.array_equal(still.pixels, orient(GRAY, 6))
    assert still.millimetres == pytest.approx((25.4 / 200, 25.4 / 100)) and still.aspect == 2


def test_numbers_that_are_no_brightness_are_refused(tmp_path):
    for name, values in (
        ("float", GRAY.astype(np.float32)),
        ("signed", DEEP.astype(np.int16)),
        ("wide", DEEP.astype(np.uint32)),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", values)
        with pytest.raises(BadPicture, match="not the brightness"):
            load(tmp_path / f"{name}.tif")


def damaged() -> dict[str, bytes]:
    kept = io.BytesIO()
    Image.fromarray(numbered(1, 320, 240, 1.0)).save(kept, "JPEG", quality=85, restart_marker_blocks=10)
    whole = kept.getvalue()
    scan = whole.index(b"\xff\xda") + 12
    middle = scan + (len(whole) - scan) // 2
    restart = whole.index(b"\xff\xd3", middle - 4000)
    png = io.BytesIO()
    Image.fromarray(COLOUR).save(png, "PNG")
    return {
        "half.jpg": whole[: len(whole) // 2],
        "half-with-end.jpg": whole[: len(whole) // 2] + b"\xff\xd9",
        "no-end.jpg": whole[:-2],
        "header-only.jpg": whole[:scan],
        "first-bytes.jpg": whole[:40],
        "a-piece-missing.jpg": whole[:restart] + whole[restart + 2 :],
        "other-bytes.jpg": whole[:middle] + b"\xff\xc0\x12\x34" * 20 + whole[middle:],
        "half.png": png.getvalue()[: len(png.getvalue()) // 2],
        "wrong-sum.png": png.getvalue().replace(b"IDAT", b"IDAT\0", 1),
        "head.png": png.getvalue()[:20],
        "half.tif": _tiff()[: len(_tiff()) // 2],
        "half.bmp": _bytes(Image.fromarray(COLOUR), "BMP")[:5000],
        "half.jp2": _bytes(Image.fromarray(COLOUR), "JPEG2000")[:200],
    }


def _bytes(image: Image.Image, kind: str) -> bytes:
    kept = io.BytesIO()
    image.save(kept, kind)
    return kept.getvalue()


def _tiff() -> bytes:
    kept = io.BytesIO()
    tifffile.imwrite(kept, DEEP, compression="zlib")
    return kept.getvalue()


@pytest.mark.parametrize("name", sorted(damaged()))
def test_a_damaged_picture_is_refused_in_words(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(damaged()[name])
    with pytest.raises(BadPicture) as caught:
        load(path)
    words = str(caught.value)
    assert name in words and len(words) > len(name) + 10 and "Traceback" not in words
    assert path.read_bytes() == damaged()[name], "the original was left as it is"


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
def test_a_jpeg_that_lacks_some_bytes_in_its_middle_is_refused_in_words(subsampling, tmp_path):
    """libjpeg shows it, with a warning that nobody hears. A few such holes leave a stream that is in order: not all."""
    picture = numbered(5, 320, 240, 0.5)
    options = {} if subsampling == "gray" else {"subsampling": subsampling}
    path = jpeg_file(tmp_path / "a.jpg", picture if options else picture[..., 1].copy(), **options)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + b"\xff\xff\xff\xd9")
    assert len(load(path)) == 1, "fill bytes are no damage"
    said = []
    for tenth in range(2, 10):
        hole = len(whole) * tenth // 10
        path.write_bytes(whole[:hole] + whole[hole + 101 :])
        try:
            load(path)
        except BadPicture as error:
            said.append(str(error))
    assert len(said) >= 6 and all("a.jpg" in words and "damaged" in words for words in said)
