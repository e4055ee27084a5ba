"""One home for each codec, chosen by measurement: one frame to one stream and back.

imagecodecs (libjpeg-turbo, CharLS, OpenJPEG, OpenJPH) releases Python's global lock; what does not runs in a worker.
"""

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from appliance.dicom.syntaxes import Syntax
from appliance.errors import InputError, SettingsError

Pixels = NDArray[Any]  # (rows, columns) or (rows, columns, 3); uint8 up to 8 bits, else uint16


def needs_worker(syntax: Syntax, bits: int) -> bool:
    """Whether the codec holds Python's global lock for a whole frame and belongs in a worker process.

    imagecodecs stamps 16 bits on every JPEG-LS stream of uint16, so 9 to 15 bits are pyjpegls's (PS3.5 8.2.3 wants the
    stream to agree with Bits Stored).
    """
    return syntax.name in ("jls", "jls-near") and 8 < bits < 16


def near(bits: int, quality: int) -> int:
    """JPEG-LS's largest error per sample, in gray levels: 2 of 255 at quality 90, in proportion above 8 bits.

    It is at most 255 (ISO/IEC 14495-1 C.2.3), and never 0: that is the lossless syntax.
    """
    return min(255, max(1, round((100 - quality) / 5)) << max(0, bits - 8))


def encode(frame: Pixels, bits: int, syntax: Syntax, quality: int = 90, threads: int = 1) -> bytes:
    """One frame as one stream of a `frame` syntax, or as native little-endian bytes.

    `frame` as in Pixels with `bits` meaningful bits; `quality` 1 to 100 counts for lossy syntaxes only: JPEG's own scale,
    NEAR as in `near`, else a peak signal-to-noise ratio of quality / 2 dB. `threads` help JPEG 2000 within one frame.
    InputError where the frame does not fit the syntax; not for frames that `needs_worker`.
    """
    check(frame, bits, syntax, quality)
    frame = np.ascontiguousarray(frame)
    if syntax.kind == "native":
        return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()
    try:
        return _ENCODERS[syntax.name](frame, bits, quality, threads)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"A picture of {_size(frame)} could not be compressed as {syntax.name}: {error}") from error


def check(frame: Pixels, bits: int, syntax: Syntax, quality: int = 90) -> None:
    """InputError unless the frame's shape, type and values fit its bits and the syntax; SettingsError for the quality."""
    if not 1 <= quality <= 100:
        raise SettingsError(f"The quality is 1 to 100, not {quality}.")
    if syntax.kind == "video":
        raise InputError(f"{syntax.name} is a video syntax: it takes a clip, not single frames.")
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3) or min(frame.shape[:2]) < 1:
        raise InputError(f"A picture is (rows, columns) or (rows, columns, 3), not {frame.shape}.")
    if max(frame.shape[:2]) > 65_535:
        raise InputError(f"A picture of {_size(frame)} is too large for DICOM, which allows 65535 rows and columns.")
    if bits > syntax.max_bits:
        raise InputError(
            f"{syntax.name} carries at most {syntax.max_bits} bits per sample, this picture has {bits}.",
            "The original was left as it is. Choose jls, j2k or explicit, which keep every bit.",
        )
    if not 1 <= bits <= 16 or frame.dtype != (np.uint8 if bits <= 8 else np.uint16):
        raise InputError(f"A picture of {bits} bits cannot lie in samples of {frame.dtype}.")
    if bits not in (8, 16) and int(frame.max()) >> bits:
        raise InputError(f"The picture has values of more than its {bits} bits.")


def _size(frame: Pixels) -> str:
    return f"{frame.shape[1]} × {frame.shape[0]}"


def _jpeg(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    chroma = "422" if frame.ndim == 3 else None  # YBR_FULL_422 is what PS3.5 Table 8.2.1-1 allows
    return bytes(imagecodecs.jpeg8_encode(frame, level=quality, subsampling=chroma))


def _jpeg_lossless(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    space = "rgb" if frame.ndim == 3 else None  # without it libjpeg would turn RGB into YCbCr, which is not lossless
    stream = imagecodecs.jpeg8_encode(
        frame, colorspace=space, outcolorspace=space, lossless=True, predictor=1, bitspersample=max(bits, 8)
    )
    return bytes(stream)


def _jls(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame))


def _jls_near(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame, level=near(bits, quality)))


def _j2k(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    stream = imagecodecs.jpeg2k_encode(
        frame, codecformat="j2k", bitspersample=max(bits, 8), reversible=True, numthreads=threads
    )
    return bytes(stream)


def _j2k_lossy(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    decibel = max(1, round(quality / 2))
    stream = imagecodecs.jpeg2k_encode(
        frame, decibel, codecformat="j2k", bitspersample=max(bits, 8), reversible=False, numthreads=threads
    )
    return bytes(stream)


def _htj2k(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    if bits <= 8 or bits == 16:
        return bytes(imagecodecs.htj2k_encode(frame, reversible=True))
    centred = (frame.astype(np.int32) - (1 << (bits - 1))).astype(np.int16)
    return _with_precision(bytes(imagecodecs.htj2k_encode(centred, reversible=True)), bits)


def _htj2k_lossy(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    # a quantiser of that step has noise of step / sqrt(12); the inverse colour transform makes it 1.7 times as large
    step = 12**0.5 * 10 ** (-quality / 40) / (1.7 if frame.ndim == 3 else 1)
    if bits <= 8 or bits == 16:
        return bytes(imagecodecs.htj2k_encode(frame, step, reversible=False))
    centred = ((frame.astype(np.int32) - (1 << (bits - 1))) << (16 - bits)).astype(np.int16)
    return _with_precision(bytes(imagecodecs.htj2k_encode(centred, step, reversible=False)), bits)


def _with_precision(stream: bytes, bits: int) -> bytes:
    """Give an HTJ2K stream of signed 16-bit samples around zero its true precision: unsigned, `bits` wide.

    imagecodecs can only say 8 or 16. Ssiz (ISO/IEC 15444-1 A.5.1) tells the decoder which offset to add, and what the
    scale of irreversible coefficients is; the samples were shifted and scaled to match.
    """
    siz = stream.index(b"\xff\x51")
    (components,) = struct.unpack_from(">H", stream, siz + 38)
    changed = bytearray(stream)
    for place in range(siz + 40, siz + 40 + 3 * components, 3):
        if changed[place] != 0x8F:  # signed, 16 bits
            raise InputError("This version of imagecodecs writes HTJ2K headers that dicap does not know.")
        changed[place] = bits - 1
    return bytes(changed)


def _rle(frame: Pixels, bits: int, quality: int, threads: int) -> bytes:
    """PS3.5 G: a header of 64 bytes, then one PackBits segment per byte of a sample, high byte first; rows apart."""
    planes = [frame] if frame.ndim == 2 else [frame[..., sample] for sample in range(3)]
    if bits > 8:
        planes = [part for plane in planes for part in (plane >> 8, plane & 0xFF)]
    segments = [imagecodecs.packbits_encode(np.array(plane, np.uint8, order="C"), axis=-1) for plane in planes]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    starts = np.cumsum([64, *(len(segment) for segment in segments[:-1])]).tolist()
    return struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(starts))) + b"".join(segments)


_ENCODERS: dict[str, Callable[[Pixels, int, int, int], bytes]] = {
    "jpeg": _jpeg,
    "jpeg-lossless": _jpeg_lossless,
    "jls": _jls,
    "jls-near": _jls_near,
    "j2k": _j2k,
    "j2k-lossy": _j2k_lossy,
    "htj2k": _htj2k,
    "htj2k-lossy": _htj2k_lossy,
    "rle": _rle,
}


def decode(stream: bytes, syntax: Syntax, shape: tuple[int, ...], dtype: np.dtype[Any], photometric: str) -> Pixels:
    """One frame's stream as an array of `shape` (as in Pixels) and `dtype`; JPEG's YCbCr and J2K's transforms become RGB.

    `photometric` says what the components of a JPEG stream are. InputError if the stream is damaged or another size.
    """
    try:
        pixels = _decode(stream, syntax, shape, dtype, photometric)
    except (RuntimeError, ValueError, IndexError, struct.error) as error:
        raise InputError(f"A {syntax.name} frame cannot be read: {error}") from error
    if pixels.shape != shape:
        raise InputError(f"A {syntax.name} frame holds {pixels.shape}, but its header says {shape}.")
    return pixels


def _decode(stream: bytes, syntax: Syntax, shape: tuple[int, ...], dtype: np.dtype[Any], photometric: str) -> Pixels:
    if syntax.name.startswith("jpeg"):
        if len(shape) == 2:
            return np.asarray(imagecodecs.jpeg8_decode(stream))
        space = _jpeg_space(stream, photometric) if syntax.lossy else "rgb"
        return np.asarray(imagecodecs.jpeg8_decode(stream, colorspace=space, outcolorspace="rgb"))
    if syntax.name.startswith("jls"):
        return np.asarray(imagecodecs.jpegls_decode(stream))
    if "j2k" in syntax.name:
        # OpenJPEG for HTJ2K too: imagecodecs 2026.3.6 does not clamp what OpenJPH decodes, so lossy white turns black
        return np.asarray(imagecodecs.jpeg2k_decode(stream))
    return _rle_decode(stream, shape, dtype)


def _jpeg_space(stream: bytes, photometric: str) -> str | None:
    """The colours of a JPEG stream: its own JFIF or Adobe marker counts before the header's word (PS3.5 8.2.1)."""
    if b"JFIF\0" in stream[:64] or b"Adobe" in stream[:4096]:
        return None  # libjpeg reads the marker
    return "ycbcr" if photometric.startswith("YBR") else "rgb"


def _rle_decode(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
    count, *starts = struct.unpack_from("<16I", stream)
    samples = 1 if len(shape) == 2 else shape[2]
    if count != samples * dtype.itemsize:
        raise ValueError(f"{count} segments instead of {samples * dtype.itemsize}")
    ends = [*starts[1:count], len(stream)]
    planes: list[Pixels] = []
    for start, end in zip(starts, ends, strict=False):
        plane = np.frombuffer(imagecodecs.packbits_decode(stream[start:end]), np.uint8)
        planes.append(plane[: shape[0] * shape[1]].reshape(shape[:2]))
    if dtype.itemsize == 2:
        planes = [(high.astype(np.uint16) << 8) | low for high, low in zip(planes[::2], planes[1::2], strict=True)]
    pixels = planes[0] if samples == 1 else np.stack(planes, axis=-1)
    return pixels.astype(dtype.newbyteorder("="), copy=False)
