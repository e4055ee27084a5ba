"""TIFF pages as pictures: 1 to 16 bits, gray, colour, palette, CMYK; upright, white as white."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import tifffile

from capture.frame import Loss, Pixels, Still
from capture.picture import orient
from capture.probe import MOST_PIXELS
from capture.source import BadPicture

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_LOSSY = {6: "jpeg", 7: "jpeg", 33003: "jpeg2000", 33004: "jpeg2000", 33005: "jpeg2000", 34712: "jpeg2000"}
_INCH, _CENTIMETRE = 2, 3
_SCREENS = (72.0, 96.0, 144.0)  # what programs write when nobody measured anything
_EXIF_IFD = 34665


def load(path: Path, captured: datetime) -> list[Still]:
    """Every full page of the file as a still, in order; previews and smaller copies are passed over.

    Gray keeps its bits (1-bit pages become black and white of 8), colour comes as 8 bits. BadPicture for damage, for
    numbers that are no brightness (signed, floating point) and for colours that cannot be told.
    """
    try:
        with tifffile.TiffFile(path) as file:
            pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage) or page.aspage()]
            full = [page.aspage() for page in pages]
            full = [page for page in full if not page.subfiletype & 1] or full
            if not full:
                raise BadPicture(f"{path.name} is a TIFF without a page.")
            return [_still(page, path.name, captured) for page in full]
    except (tifffile.TiffFileError, ValueError, IndexError, KeyError, TypeError, RuntimeError, OSError, EOFError) as error:
        raise BadPicture(f"{path.name} is a TIFF, but damaged or of an unknown kind: {error}.") from error


def _still(page: tifffile.TiffPage, name: str, captured: datetime) -> Still:
    """One page, upright, with what was done to it in words."""
    if page.imagewidth * page.imagelength > MOST_PIXELS:
        raise BadPicture(f"{name} has a page of {page.imagewidth} × {page.imagelength} pixels; that is too large.")
    if page.sampleformat != 1 or not 1 <= page.bitspersample <= 16:
        kind = {2: "signed", 3: "floating point"}.get(int(page.sampleformat), "other")
        raise BadPicture(f"{name} holds {page.bitspersample}-bit {kind} numbers and not the brightness of a picture.")
    said: list[str] = []
    bits = int(page.bitspersample)
    pixels, bits = _brightness(page, bits, said)
    if pixels.ndim == 3 and bits > 8:
        said.append(f"scaled from {bits} to 8 bits per colour")
        pixels, bits = _scaled(pixels, bits), 8
    if page.tags.get("Orientation") is not None:
        turn = int(page.tags["Orientation"].value)
        pixels = orient(pixels, turn)
    else:
        turn = 1
    losses: tuple[Loss, ...] = ()
    if int(page.compression) in _LOSSY:
        coded = sum(page.databytecounts)
        losses = (Loss(_LOSSY[int(page.compression)], round(pixels.nbytes / max(coded, 1), 2)),)
    spacing, aspect = _spacing(page)
    if turn >= 5:
        spacing, aspect = (spacing[1], spacing[0]) if spacing else None, 1 / aspect
    words = "; ".join(said)
    return Still(
        captured, np.ascontiguousarray(pixels), bits=bits, aspect=aspect, losses=losses, millimetres=spacing,
        derivation=f"{words[:1].upper()}{words[1:]}." if words else "",
    )  # fmt: skip


def _brightness(page: tifffile.TiffPage, bits: int, said: list[str]) -> tuple[Pixels, int]:
    """The page's samples as brightness or RGB, and how many bits of them mean something.

    Where the file says that zero is white, white becomes the highest number.
    """
    samples = np.squeeze(page.asarray())
    if samples.ndim == 3 and int(page.planarconfig) == 2:
        samples = np.moveaxis(samples, 0, -1)
    kind = int(page.photometric)
    top = (1 << bits) - 1
    if kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        gray = samples[..., 0] if samples.ndim == 3 else samples
        gray = np.atleast_2d(gray)
        if bits == 1:
            gray = gray.astype(np.uint8)
        value = top - gray if kind == _WHITE_IS_ZERO else gray
        if bits < 8:
            return (value.astype(np.uint16) * 255 // top).astype(np.uint8), 8
        return value.astype(np.uint8 if bits == 8 else np.uint16), bits
    if kind == _PALETTE:
        table = np.asarray(page.colormap)
        table = table >> 8 if table.max() > 255 else table
        colours = np.moveaxis(table[:, samples], 0, -1).astype(np.uint8)
        plain = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 1] == colours[..., 2]).all()
        return (colours[..., 0] if plain else colours), 8
    if kind == _CMYK and samples.ndim == 3 and samples.shape[-1] >= 4:
        said.append("converted from CMYK to RGB")
        ink = samples[..., :4].astype(np.uint32)
        light = (top - ink[..., :3]) * (top - ink[..., 3:4]) // top
        return light.astype(samples.dtype), bits
    # YCbCr is unpacked to RGB with its JPEG
    if kind in (_RGB, _YCBCR) and samples.ndim == 3 and samples.shape[-1] >= 3:
        if kind == _YCBCR and int(page.compression) not in (6, 7):
            raise BadPicture(f"{page.parent.filename} holds YCbCr colours that are not packed as JPEG.")
        return _on_black(page, samples, top, said), bits
    raise BadPicture(f"{page.parent.filename} holds colours of a kind ({page.photometric}) that cannot be taken.")


def _on_black(page: tifffile.TiffPage, samples: Pixels, top: int, said: list[str]) -> Pixels:
    """The colours without their transparency (TIFF 6 ExtraSamples; 2 is not yet multiplied)."""
    colours = samples[..., :3]
    extra = [int(kind) for kind in page.extrasamples]
    if samples.shape[-1] > 3 and extra and extra[0] == 2 and (samples[..., 3] < top).any():
        said.append("transparent parts shown on black")
        return (colours.astype(np.uint32) * samples[..., 3:4] // top).astype(samples.dtype)
    return colours


def _scaled(pixels: Pixels, bits: int) -> Pixels:
    """The whole range of `bits` on 0 to 255, rounded."""
    top = (1 << bits) - 1
    return ((pixels.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _spacing(page: tifffile.TiffPage) -> tuple[tuple[float, float] | None, Fraction]:
    """Millimetres between rows and between columns, and the shape of a pixel.

    Millimetres only where a scanner may have written them: a unit of length, no camera's EXIF, no screen's default.
    """
    across, down = (_number(page, name) for name in ("XResolution", "YResolution"))
    if not across or not down:
        return None, Fraction(1)
    aspect = (down / across).limit_denominator(1000)
    unit = int(page.resolutionunit or 0)
    length = {_INCH: 25.4, _CENTIMETRE: 10.0}.get(unit, 0.0)
    per_inch = float(across) * 25.4 / length if length else 0.0
    is_default = any(abs(per_inch - screen) < 0.5 for screen in _SCREENS)
    if not length or is_default or not 10 <= per_inch <= 20_000 or page.tags.get(_EXIF_IFD) is not None:
        return None, aspect
    return (length / float(down), length / float(across)), aspect


def _number(page: tifffile.TiffPage, name: str) -> Fraction | None:
    """A rational tag, None where it is missing or no number."""
    tag = page.tags.get(name)
    if tag is None:
        return None
    above, below = tag.value
    return Fraction(above, below) if above and below else None
