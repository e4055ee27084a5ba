"""Frames to pixel data and back, on several cores; what the Image Pixel module must say for each syntax."""

import math
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import convert_color_space

from appliance.dicom import codecs, exact_jls
from appliance.dicom.codecs import Pixels
from appliance.dicom.stored import Stored
from appliance.dicom.syntaxes import Syntax
from appliance.errors import ApplianceError, InputError
from capture.frame import Clip, Still


@dataclass(frozen=True)
class PixelFacts:
    """What the Image Pixel module says (PS3.3 C.7.6.3), in agreement with the syntax (PS3.5 section 8.2).

    `planar` is None where there is one sample per pixel. `frames` is 1 for a still.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    photometric: str
    planar: int | None
    frames: int = 1

    @property
    def frame_bytes(self) -> int:
        """The size of one frame without compression."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def total_bytes(self) -> int:
        """The size of all frames without compression."""
        return self.frame_bytes * self.frames


# The samples of a taken-over stream: capture.frame.Stream.color to Photometric Interpretation
_STREAM_COLOURS = {"gray": "MONOCHROME2", "ycc": "YBR_FULL_422", "rct": "YBR_RCT", "ict": "YBR_ICT", "rgb": "RGB"}


def pixel_facts(subject: Still | Clip, syntax: Syntax) -> PixelFacts:
    """What the Image Pixel module must say of a still or a clip that is written in this syntax.

    A still's stream keeps its own colours; pixels get those of the syntax. InputError where the syntax has too few bits.
    """
    if isinstance(subject, Clip):
        layout = subject.format
        gray = layout.pixels.startswith("gray")
        shape = (layout.height, layout.width) if gray else (layout.height, layout.width, 3)
        return facts_of_shape(shape, raw_bits(layout.pixels), syntax, subject.frames)
    shape = (subject.height, subject.width) if subject.is_gray else (subject.height, subject.width, 3)
    stream = subject.stream if subject.pixels is None else None
    facts = facts_of_shape(shape, stream.bits if stream else subject.bits, syntax)
    if stream is None:
        return facts
    return replace(facts, photometric=_STREAM_COLOURS[stream.color])


def raw_bits(pixels: str) -> int:
    """The bits per sample of a raw clip's pixel format in FFmpeg's words: 10 for `gray10le`, 16 for `gray16le`, else 8."""
    depth = pixels.removeprefix("gray").removeprefix("rgb48").rstrip("lbe")
    if pixels.startswith("rgb48"):
        return 16
    return int(depth) if pixels.startswith("gray") and depth else 8


def facts_of_shape(shape: tuple[int, ...], bits: int, syntax: Syntax, frames: int = 1) -> PixelFacts:
    """The same for frames of (rows, columns) or (rows, columns, 3) and so many meaningful bits per sample."""
    if syntax.kind == "video":
        # PS3.5 8.2.5 to 8.2.11: three samples, 8 bits (Main 10: 10 of 16), even where the picture is gray
        stored = syntax.max_bits
        return PixelFacts(shape[0], shape[1], 3, 8 if stored == 8 else 16, stored, syntax.colours, 0, frames)
    if bits > syntax.max_bits:
        raise InputError(
            f"{syntax.name} carries at most {syntax.max_bits} bits per sample, this picture has {bits}.",
            "The original was left as it is. Choose jls, j2k or explicit, which keep every bit.",
        )
    colour = len(shape) == 3
    return PixelFacts(
        rows=shape[0],
        columns=shape[1],
        samples=3 if colour else 1,
        bits_allocated=8 if bits <= 8 else 16,
        bits_stored=max(8, bits),
        photometric=syntax.colours if colour else "MONOCHROME2",
        planar=0 if colour else None,  # RLE too: VL objects allow no other value (PS3.3 C.8.12.1)
        frames=frames,
    )


def put(dataset: Dataset, facts: PixelFacts) -> None:
    """Write the facts as group 0028; Number of Frames only for several (the Multi-frame module writes it for one)."""
    dataset.SamplesPerPixel = facts.samples
    dataset.PhotometricInterpretation = facts.photometric
    if facts.planar is not None:
        dataset.PlanarConfiguration = facts.planar
    elif "PlanarConfiguration" in dataset:
        del dataset.PlanarConfiguration
    if facts.frames > 1:
        dataset.NumberOfFrames = facts.frames
    dataset.Rows = facts.rows
    dataset.Columns = facts.columns
    dataset.BitsAllocated = facts.bits_allocated
    dataset.BitsStored = facts.bits_stored
    dataset.HighBit = facts.bits_stored - 1
    if "PixelRepresentation" not in dataset:
        dataset.PixelRepresentation = 0


def ratio(facts: PixelFacts, compressed: int) -> float:
    """How many times smaller the pixel data became, for Lossy Image Compression Ratio (PS3.3 C.7.6.1.1.5.2)."""
    if compressed <= 0:
        raise InputError("The compressed picture is empty.")
    return facts.total_bytes / compressed


def encode(frame: Pixels, bits: int, syntax: Syntax, quality: int = 90) -> bytes:
    """One frame as codecs.encode does, with all cores where that helps; what holds Python's lock runs in a worker."""
    if codecs.needs_worker(syntax, bits):
        return next(encode_many([frame], bits, syntax, quality))
    return codecs.encode(frame, bits, syntax, quality, threads=_cores())


def encode_many(frames: Iterable[Pixels], bits: int, syntax: Syntax, quality: int = 90) -> Iterator[bytes]:
    """Frames as streams, in their order, on every core; at most two frames per core are in memory at a time.

    The frames must not be changed after they were handed over. Errors as codecs.encode.
    """
    if codecs.needs_worker(syntax, bits):
        yield from _in_processes(frames, bits, syntax, quality)
        return
    if syntax.kind == "native":
        yield from (codecs.encode(frame, bits, syntax, quality) for frame in frames)
        return
    several = iter(frames)
    first = list(islice(several, 2))
    if len(first) < 2:
        yield from (encode(frame, bits, syntax, quality) for frame in first)
        return
    with ThreadPoolExecutor(_cores(), "encode") as pool:
        yield from _in_order(
            chain(first, several), lambda frame: pool.submit(codecs.encode, frame, bits, syntax, quality)
        )  # fmt: skip


def _in_processes(frames: Iterable[Pixels], bits: int, syntax: Syntax, quality: int) -> Iterator[bytes]:
    """Worker processes that live as long as this generator; each starts in about a fifth of a second."""
    near = codecs.near(bits, quality) if syntax.lossy else 0

    def submit(frame: Pixels) -> Future[bytes]:
        codecs.check(frame, bits, syntax, quality)
        return pool.submit(exact_jls.encode, frame.astype("<u2", copy=False).tobytes(), frame.shape, bits, near)

    # spawn: a fork of a process that has threads may hang
    with ProcessPoolExecutor(_cores(), multiprocessing.get_context("spawn")) as pool:
        try:
            yield from _in_order(frames, submit)
        except BrokenProcessPool as error:
            raise ApplianceError(
                "The worker that compresses JPEG-LS ended unexpectedly, perhaps for want of memory.",
                "Nothing that was kept is lost. Try again, or choose another syntax.",
            ) from error
        except ImportError as error:
            raise InputError(
                f"JPEG-LS of {bits} bits needs pyjpegls, which is not installed here.",
                "The original was left as it is. Choose j2k, jpeg-lossless or explicit.",
            ) from error


def _in_order(frames: Iterable[Pixels], submit: Callable[[Pixels], Future[bytes]]) -> Iterator[bytes]:
    """Hand frames over while fewer than two per core are under way; a generator that is closed forgets the rest."""
    waiting: deque[Future[bytes]] = deque()
    try:
        for frame in frames:
            waiting.append(submit(frame))
            if len(waiting) >= 2 * _cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _cores() -> int:
    return max(1, min(16, os.cpu_count() or 1))


def decode(path: Path) -> Iterator[Pixels]:
    """The frames of a Part 10 file, one at a time: (rows, columns), or (rows, columns, 3) RGB for colour.

    Any native or frame syntax; InputError for video (capture.picture.read_frames plays that), for palette colour, and
    for a file that is damaged.
    """
    with Stored(path) as stored:
        facts = facts_in(stored.dataset)
        if facts.photometric == "PALETTE COLOR":
            raise InputError(f"{path.name} holds palette colour, which dicap does not show.")
        for pixels in samples(stored):
            yield _to_rgb(pixels, facts) if facts.samples == 3 else pixels


def facts_in(dataset: Dataset) -> PixelFacts:
    """What the Image Pixel module of a dataset says; InputError if it is missing or makes no sense."""
    try:
        colour = dataset.SamplesPerPixel == 3
        facts = PixelFacts(
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            samples=int(dataset.SamplesPerPixel),
            bits_allocated=int(dataset.BitsAllocated),
            bits_stored=int(dataset.BitsStored),
            photometric=str(dataset.PhotometricInterpretation),
            planar=int(dataset.get("PlanarConfiguration") or 0) if colour else None,
            frames=int(dataset.get("NumberOfFrames") or 1),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"The object's picture is not described completely: {error}") from error
    if facts.samples not in (1, 3) or min(facts.rows, facts.columns, facts.frames) < 1:
        raise InputError("The object's picture is described in a way that makes no sense.")
    return facts


def samples(stored: Stored) -> Iterator[Pixels]:
    """The stored samples of each frame, colour by pixel; what a codec transformed itself (JPEG, J2K) is RGB already."""
    facts = facts_in(stored.dataset)
    if facts.bits_allocated not in (8, 16) or stored.syntax.kind == "video":
        what = stored.syntax.name if stored.syntax.kind == "video" else f"{facts.bits_allocated} bits"
        raise InputError(f"The pixels of a {what} object are not read as single frames.")
    signed = bool(stored.dataset.get("PixelRepresentation", 0))
    dtype = np.dtype(f"<{'i' if signed else 'u'}{facts.bits_allocated // 8}")
    shape = (facts.rows, facts.columns) if facts.samples == 1 else (facts.rows, facts.columns, 3)
    if stored.syntax.kind == "native":
        planes = (3, facts.rows, facts.columns) if facts.planar == 1 else shape
        if math.prod(shape) * dtype.itemsize * facts.frames > stored.native_length:
            raise InputError(f"{stored.path.name} has less pixel data than its header promises.")
        for raw in stored.pieces(facts.frame_bytes, facts.frames):
            pixels = np.frombuffer(raw, dtype).reshape(planes)
            yield np.ascontiguousarray(pixels.transpose(1, 2, 0)) if facts.planar == 1 else pixels
        return
    for stream in stored.streams(facts.frames):
        pixels = codecs.decode(stream, stored.syntax, shape, dtype, facts.photometric)
        if signed and pixels.dtype.kind == "u":
            pixels = _with_sign(pixels, facts.bits_stored)
        yield pixels.astype(dtype.newbyteorder("="), copy=False)


def _with_sign(pixels: Pixels, bits: int) -> Pixels:
    """Two's complement of so many bits, as codecs without a notion of sign hand it out (PS3.5 8.1.1)."""
    top = 1 << (bits - 1)
    return np.asarray(((pixels.astype(np.int32) & ((1 << bits) - 1)) ^ top) - top)


def _to_rgb(pixels: Pixels, facts: PixelFacts) -> Pixels:
    """PS3.3 C.7.6.3.1.2; other colour models were turned into RGB by their codec."""
    return convert_color_space(pixels, "YBR_FULL", "RGB") if facts.photometric == "YBR_FULL" else pixels
