"""Pictures that lie on disk: JPEG and JPEG 2000 as they are where that is possible, everything else as pixels."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import av
import av.error
import imagecodecs
import numpy as np
from PIL import Image, ImageOps, ImageSequence

from capture import jpeg, jpeg2000, tiff
from capture.frame import Loss, Pixels, Still, Stream
from capture.probe import PICTURES, Probed, probe
from capture.source import BadPicture

_ORIENTATION, _EXIF_IFD, _TAKEN, _TAKEN_OFFSET = 0x0112, 0x8769, 0x9003, 0x9011
_UNREADABLE = (
    Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, RuntimeError,
    zlib.error,
)  # fmt: skip


def load(path: Path, probed: Probed | None = None) -> list[Still]:
    """The pictures of a file, one for each page or frame; `probed` saves looking at it again.

    Baseline JPEG and JPEG 2000 keep their stream; EXIF, GPS and all other metadata stay behind in the file, and so does
    the resolution that cameras and screens write without meaning. BadPicture, in words, for what cannot be taken.
    """
    found = probed or probe(path)
    if found.kind not in PICTURES:
        raise BadPicture(f"{path.name} is no picture that can be taken: it is {found.words}.")
    try:
        if found.kind == "jpeg":
            return [_from_jpeg(found)]
        if found.kind == "jpeg2000":
            return [_from_jpeg2000(found)]
        if found.kind == "tiff":
            return tiff.load(path, _file_time(path))
        return list(_from_pillow(found))
    except BadPicture as error:
        words = str(error)
        raise BadPicture(words if path.name in words else f"{path.name}: {words}") from error
    except _UNREADABLE as error:
        raise BadPicture(f"{path.name} is {found.words}, but damaged: {error}.") from error


def _file_time(path: Path) -> datetime:
    """When the file was last written, in the local zone."""
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone()


def _taken(path: Path, exif: Image.Exif) -> datetime:
    """When the picture was taken, in the local zone: EXIF's DateTimeOriginal, else the file's time.

    A camera whose clock says 1980, or a moment that has not come yet, is not believed.
    """
    more = exif.get_ifd(_EXIF_IFD)
    words, offset = str(more.get(_TAKEN, "")), str(more.get(_TAKEN_OFFSET, "")).strip()
    try:
        moment = datetime.strptime(words.strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return _file_time(path)
    if re.fullmatch(r"[+-]\d\d:\d\d", offset):
        moment = datetime.fromisoformat(f"{moment.isoformat()}{offset}")
    moment = moment.astimezone()
    return moment if datetime(1990, 1, 1).astimezone() < moment <= datetime.now().astimezone() else _file_time(path)


def _from_jpeg(found: Probed) -> Still:
    """A JPEG: its stream where that may stay, else its pixels and why."""
    data = found.path.read_bytes()
    header = found.jpeg or jpeg.read_header(data)
    bare = jpeg.strip(data)
    if header.bits != 8:
        return _deep_jpeg(found.path, data, header)
    with Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        captured = _taken(found.path, exif)
        orientation = int(exif.get(_ORIENTATION, 1))
        upright = orientation not in range(2, 9)
        image.load()  # raises for a picture that is cut off
        _demand_whole(bare, header)
        if header.goes_as_it_is and upright:
            stream = Stream(bare, "jpeg", header.width, header.height, 8, header.colour, header.subsampling)
            return Still(captured, stream=stream)
        turned = image if upright else ImageOps.exif_transpose(image)
        pixels = np.asarray(turned.convert("L" if header.colour == "gray" else "RGB"))
    reasons = [] if header.process == "baseline" else [f"a {header.process} JPEG"]
    reasons += [] if upright else [f"turned upright as its EXIF orientation {orientation} says"]
    reasons += ["converted from CMYK to RGB"] if header.colour == "cmyk" else []
    said = "Decompressed" + (": " + "; ".join(reasons) if reasons else "") + "."
    return Still(captured, pixels, losses=(_loss("jpeg", pixels, 8, data),), derivation=said)


def _demand_whole(data: bytes, header: jpeg.Header) -> None:
    """BadPicture where one that forgives nothing stumbles inside the picture: libjpeg only warns and goes on.

    That are FFmpeg's decoder, and libjxl's reader, which must be able to write every bit again.
    """
    coder = av.CodecContext.create("mjpeg", "r")
    coder.options = {"err_detect": "explode"}
    coder.thread_count = 1
    try:
        coder.decode(av.Packet(data))
    except (av.error.InvalidDataError, av.error.BufferTooSmallError) as error:
        raise BadPicture("The JPEG is damaged inside the picture.") from error
    except av.error.PatchWelcomeError:
        return  # a kind that this decoder does not know says nothing about damage
    if header.colour == "gray" or header.subsampling in ("444", "422", "420"):  # libjxl refuses some others that are whole
        try:
            imagecodecs.jpegxl_encode_jpeg(data)
        except imagecodecs.JpegxlError as error:
            raise BadPicture("The JPEG is damaged inside the picture.") from error


def _deep_jpeg(path: Path, data: bytes, header: jpeg.Header) -> Still:
    """A JPEG of more than 8 bits: gray keeps them, colour is scaled."""
    try:
        pixels = np.asarray(imagecodecs.jpeg8_decode(data))
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise BadPicture(f"a JPEG of {header.bits} bits that cannot be decoded: {error}") from error
    said = f"Decompressed: a {header.process} JPEG of {header.bits} bits"
    losses = () if header.process == "lossless" else (_loss("jpeg", pixels, header.bits, data),)
    if pixels.ndim == 3:
        pixels, said = _to_8_bits(pixels, header.bits), said + "; scaled to 8 bits."
        return Still(_file_time(path), pixels, losses=losses, derivation=said)
    return Still(_file_time(path), pixels.astype(np.uint16), bits=header.bits, losses=losses, derivation=said + ".")


def _to_8_bits(pixels: Pixels, bits: int) -> Pixels:
    """The whole range of `bits` on 0 to 255, rounded."""
    top = (1 << bits) - 1
    return ((pixels.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _loss(codec: str, pixels: Pixels, bits: int, data: bytes) -> Loss:
    """What the file had lost before it was unpacked."""
    return Loss(codec, round(pixels.size * (1 if bits <= 8 else 2) / max(len(data), 1), 2))


def _from_jpeg2000(found: Probed) -> Still:
    """A JPEG 2000 picture: decoded once to know that it is whole, then kept as its stream where that may stay."""
    data = found.path.read_bytes()
    coded = jpeg2000.read(data)
    captured = _file_time(found.path)
    pixels = np.asarray(imagecodecs.jpeg2k_decode(data, verbose=0))
    legal = coded.bits == 8 or (coded.colour == "gray" and 8 < coded.bits <= 16)
    if legal and coded.colour != "other" and not coded.high_throughput:
        stream = Stream(
            coded.data, "jpeg2000", coded.width, coded.height, coded.bits, coded.colour, lossy=not coded.reversible
        )
        return Still(captured, stream=stream)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if image.mode not in ("L", "I;16"):
            pixels = np.asarray(_flattened(image)[0])
    if pixels.dtype.kind != "u":
        raise BadPicture("a JPEG 2000 picture of signed numbers and not of brightness.")
    if coded.bits < 8 and pixels.ndim == 2:
        pixels = (pixels.astype(np.uint16) * 255 // ((1 << coded.bits) - 1)).astype(np.uint8)
    losses = () if coded.reversible else (_loss("htj2k" if coded.high_throughput else "jpeg2000", pixels, coded.bits, data),)
    bits = 8 if pixels.ndim == 3 else max(coded.bits, 8)
    said = "Decompressed: a JPEG 2000 picture with a palette, transparency, or colours that cannot be taken as they are."
    if coded.high_throughput:
        said = "Decompressed: a High-Throughput JPEG 2000 picture."
    return Still(captured, pixels, bits=bits, losses=losses, derivation=said)


def _from_pillow(found: Probed) -> Iterator[Still]:
    """PNG (also animated) and BMP."""
    with Image.open(found.path) as image:
        exif = image.getexif()
        captured = _taken(found.path, exif)
        for frame in ImageSequence.Iterator(image):
            frame.load()
            deep = found.bits == 16 and not frame.mode.startswith("I")
            turned = ImageOps.exif_transpose(frame) if exif.get(_ORIENTATION, 1) in range(2, 9) else frame
            upright, said = _flattened(turned)
            pixels = np.asarray(upright)
            bits = 8
            if upright.mode.startswith("I"):
                pixels, bits = pixels.astype(np.uint16), 16
            elif deep:
                said.append("scaled from 16 to 8 bits per colour")
            words = "; ".join(said)
            yield Still(captured, pixels, bits=bits, derivation=f"{words[:1].upper()}{words[1:]}." if words else "")


def _flattened(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture in gray (8 or 16 bits) or RGB, and what was done to it besides unpacking.

    A palette of grays becomes gray; what shines through a transparent picture is black.
    """
    if image.mode.startswith("I") or image.mode == "L":
        return image, []
    if image.mode == "1":
        return image.convert("L"), []
    said: list[str] = []
    if "A" in image.mode or "transparency" in image.info:
        clear = image.convert("RGBA")
        if np.asarray(clear.getchannel("A")).min() < 255:
            said.append("transparent parts shown on black")
        ground = Image.new("RGBA", clear.size, (0, 0, 0, 255))
        flat = Image.alpha_composite(ground, clear).convert("RGB")
    else:
        flat = image.convert("RGB")
    if image.mode in ("P", "PA", "LA", "La"):
        pixels = np.asarray(flat)
        if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all():
            return flat.getchannel("R"), said
    return flat, said
