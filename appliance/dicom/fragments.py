"""What a Pixel Data element can be written from: native frames, compressed frames, a video, or nothing (PS3.5 A.4)."""

import os
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Protocol

from pydicom.dataset import Dataset

from appliance.dicom.syntaxes import SYNTAXES, Syntax
from appliance.errors import InputError

LARGEST_FRAGMENT = (1 << 32) - 2  # PS3.5 A.4: an even length below the undefined one
_PIECE = 1 << 20
_UNDEFINED = 0xFFFFFFFF


class Sink(Protocol):
    """Where the bytes go: a file, or something that deflates."""

    def write(self, piece: bytes, /) -> object:
        """Take one piece."""
        ...


class PixelWriter(Protocol):
    """What `write` takes as pixels: Native, Frames, Video or Nothing."""

    def put_tables(self, dataset: Dataset) -> None:
        """Add what belongs before Pixel Data."""
        ...

    def pour(self, sink: Sink, syntax: Syntax, dataset: Dataset) -> None:
        """Write the Pixel Data element."""
        ...


@dataclass(frozen=True)
class Native:
    """Uncompressed frames one after the other: little-endian pieces of any size, `total` bytes in all."""

    pieces: Iterable[bytes]
    total: int

    def put_tables(self, dataset: Dataset) -> None:
        """Nothing belongs before native pixels."""

    def pour(self, sink: Sink, syntax: Syntax, dataset: Dataset) -> None:
        """OW where samples have 16 bits and in implicit VR, else OB (PS3.5 A.1, A.2); padded to an even length."""
        if self.total > LARGEST_FRAGMENT:
            raise InputError(
                f"{self.total} bytes of uncompressed pixels do not fit into one object (PS3.5 7.1.2: 4 GiB).",
                "The original was left as it is. Choose a compressed syntax, or cut the clip into parts.",
            )
        if syntax is SYNTAXES["implicit"]:
            head = struct.pack("<HHI", 0x7FE0, 0x0010, self.total + self.total % 2)
        else:
            vr = b"OB" if int(dataset.get("BitsAllocated") or 16) <= 8 else b"OW"
            head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, self.total + self.total % 2)
        sink.write(head)
        written = 0
        for piece in self.pieces:
            written += memoryview(piece).nbytes
            sink.write(piece)
        if written != self.total:
            raise InputError(f"The pixels have {written} bytes instead of {self.total}.")
        if written % 2:
            sink.write(b"\0")


@dataclass(frozen=True)
class Frames:
    """Compressed frames: a list of streams, or a file where they lie one after the other with these lengths.

    A table of offsets is written for several frames: the basic one, or the extended one where an offset would pass
    `extended_above` (PS3.3 C.7.6.3.1.8; readers that do not know it must look at each frame).
    """

    spill: Path | Sequence[bytes]
    lengths: Sequence[int] = ()
    extended_above: int = _UNDEFINED

    def sizes(self) -> list[int]:
        """The length of each stream in bytes."""
        return list(self.lengths) if isinstance(self.spill, Path) else [len(stream) for stream in self.spill]

    @property
    def total(self) -> int:
        """The bytes of all streams together, without padding: what the compression ratio is counted with."""
        return sum(self.sizes())

    def _offsets(self) -> tuple[list[int], bool]:
        steps = [8 + size + size % 2 for size in self.sizes()]
        offsets = list(accumulate(steps[:-1], initial=0))
        return offsets, len(offsets) > 1 and offsets[-1] > min(self.extended_above, _UNDEFINED)

    def put_tables(self, dataset: Dataset) -> None:
        """The Extended Offset Table (7FE0,0001) and its lengths (7FE0,0002), where it is the one to use."""
        offsets, extended = self._offsets()
        if extended:
            even = [size + size % 2 for size in self.sizes()]
            dataset.ExtendedOffsetTable = struct.pack(f"<{len(offsets)}Q", *offsets)
            dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(even)}Q", *even)

    def pour(self, sink: Sink, syntax: Syntax, dataset: Dataset) -> None:
        """One item per frame, padded to an even length (PS3.5 A.4), after the Basic Offset Table."""
        sizes = self.sizes()
        if not sizes or max(sizes) > LARGEST_FRAGMENT:
            raise InputError("There are no frames, or one is larger than 4 GiB.")
        offsets, extended = self._offsets()
        basic = b"" if extended or len(offsets) == 1 else struct.pack(f"<{len(offsets)}I", *offsets)
        _begin(sink, basic)
        for size, pieces in self._streams():
            sink.write(struct.pack("<HHI", 0xFFFE, 0xE000, size + size % 2))
            for piece in pieces:
                sink.write(piece)
            if size % 2:
                sink.write(b"\0")
        _end(sink)

    def _streams(self) -> Iterator[tuple[int, Iterable[bytes]]]:
        if not isinstance(self.spill, Path):
            yield from ((len(stream), [stream]) for stream in self.spill)
            return
        with self.spill.open("rb") as file:
            for size in self.lengths:
                yield size, _read(file, size)


@dataclass(frozen=True)
class Video:
    """A video file as it is, without an offset table (PS3.5 8.2.5 ff.).

    One fragment, or several of at most `piece` bytes under the fragmentable twin of its syntax; HEVC is cut by itself.
    """

    path: Path
    fragmentable: bool = False
    piece: int = 1 << 31

    def put_tables(self, dataset: Dataset) -> None:
        """A video stream brings its own navigation."""

    def pour(self, sink: Sink, syntax: Syntax, dataset: Dataset) -> None:
        """The file's bytes in fragments of an even length."""
        left = self.path.stat().st_size
        if not left:
            raise InputError(f"{self.path.name} is empty.")
        cut = self.fragmentable or syntax.fragmentable_uid == syntax.uid
        largest = self.piece - self.piece % 2 if cut else LARGEST_FRAGMENT
        if left > LARGEST_FRAGMENT and not cut:
            raise InputError(
                f"A video of {left} bytes does not fit into one object (PS3.5 8.2.5: 4 GiB).",
                "The original was left as it is. Let it be cut into parts, or ask for a fragmentable syntax.",
            )
        _begin(sink, b"")
        with self.path.open("rb") as file:
            while left:
                size = min(left, largest)
                sink.write(struct.pack("<HHI", 0xFFFE, 0xE000, size + size % 2))
                for piece in _read(file, size):
                    sink.write(piece)
                if size % 2:
                    sink.write(b"\0")
                left -= size
        _end(sink)


@dataclass(frozen=True)
class Nothing:
    """No pixel data: a document or a report."""

    def put_tables(self, dataset: Dataset) -> None:
        """Nothing."""

    def pour(self, sink: Sink, syntax: Syntax, dataset: Dataset) -> None:
        """Nothing."""


def _begin(sink: Sink, offsets: bytes) -> None:
    sink.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED))
    sink.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(offsets)) + offsets)


def _end(sink: Sink) -> None:
    sink.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(_PIECE, size))
        if not piece:
            raise InputError("A file became shorter while it was read.")
        size -= len(piece)
        yield piece


@contextmanager
def spilled(streams: Iterable[bytes], folder: Path) -> Iterator[Frames]:
    """Compressed frames as Frames whose bytes lie in a temporary file in `folder`, which goes away afterwards."""
    handle, name = tempfile.mkstemp(dir=folder, prefix="frames-")
    lengths = []
    try:
        with os.fdopen(handle, "wb") as file:
            for stream in streams:
                lengths.append(len(stream))
                file.write(stream)
        yield Frames(Path(name), lengths)
    finally:
        Path(name).unlink(missing_ok=True)
