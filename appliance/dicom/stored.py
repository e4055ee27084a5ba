"""A Part 10 file read in pieces: its header at once, its pixel data frame by frame (PS3.10 7, PS3.5 A.4)."""

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag

from appliance.dicom.syntaxes import SYNTAXES, Syntax, by_uid
from appliance.errors import InputError

_PIXELS = 0x7FE00010
_PIECE = 1 << 20
_UNDEFINED = 0xFFFFFFFF


class Stored:
    """An object in a file, open for reading: a context manager.

    `dataset` is all before Pixel Data, `syntax` and `uid` its transfer syntax, `vr` that of Pixel Data (empty in implicit
    VR) and `native_length` its bytes. InputError if the file is not Part 10, or is damaged. Nothing but the header is held
    in memory; a deflated file is first unfolded into a temporary one.
    """

    path: Path
    meta: Dataset
    dataset: Dataset
    syntax: Syntax
    uid: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        try:
            self._open()
        except InvalidDicomError as error:
            self._file.close()
            raise InputError(f"{path.name} is not a DICOM file: it does not begin with 128 bytes and DICM") from error
        except (EOFError, ValueError, KeyError, NotImplementedError, zlib.error) as error:
            self._file.close()
            raise InputError(f"{path.name} is not a DICOM file that can be read: {error}") from error
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        """Read the meta information and the data set; stay at the first byte of the value of Pixel Data."""
        read_preamble(self._file, force=False)
        self.meta = read_dataset(self._file, False, True, stop_when=_after_meta)
        self.uid = str(self.meta.get("TransferSyntaxUID", ""))
        if not self.uid:
            raise ValueError("its meta information does not name a transfer syntax")
        self.syntax = by_uid(self.uid)
        if self.syntax is SYNTAXES["deflated"]:
            self._file = _unfolded(self._file)
        implicit = self.syntax is SYNTAXES["implicit"]
        self.dataset = read_dataset(self._file, implicit, True, stop_when=_at_pixels)
        self.dataset.set_original_encoding(implicit, True, self.dataset._character_set)
        head = self._file.read(8 if implicit else 12)
        self.has_pixels = head[:4] == b"\xe0\x7f\x10\x00"
        self.vr = "" if implicit else head[4:6].decode("ascii", "replace")
        self.native_length = int.from_bytes(head[-4:], "little") if self.has_pixels else 0
        self._start = self._file.tell()
        if self.has_pixels and (self.native_length == _UNDEFINED) != self.syntax.is_compressed:
            raise InputError(f"The pixel data of {self.path.name} do not match its transfer syntax.")

    def pieces(self, size: int = _PIECE, number: int | None = None) -> Iterator[bytes]:
        """The bytes of native pixel data, `size` at a time; only the last may be shorter. InputError if they end early."""
        self._file.seek(self._start)
        left = self.native_length if number is None else size * number
        while left > 0:
            piece = self._file.read(min(size, left))
            if len(piece) < min(size, left):
                raise InputError(f"{self.path.name} ends in the middle of its pixel data.")
            left -= len(piece)
            yield piece

    def streams(self, frames: int) -> Iterator[bytes]:
        """The compressed stream of each frame, in order; InputError if there are not that many."""
        self._file.seek(self._start)
        extended = None
        if "ExtendedOffsetTable" in self.dataset and "ExtendedOffsetTableLengths" in self.dataset:
            extended = (self.dataset.ExtendedOffsetTable, self.dataset.ExtendedOffsetTableLengths)
        found = 0
        try:
            for stream in generate_frames(self._file, number_of_frames=frames, extended_offsets=extended):
                found += 1
                yield stream
                if found == frames:
                    return
        except (ValueError, EOFError) as error:
            raise InputError(f"{self.path.name}: the frames cannot be told apart: {error}") from error
        raise InputError(f"{self.path.name} has {found} frames, but its header promises {frames}.")

    def fragments(self) -> Iterator[bytes]:
        """The bytes of all fragments, a megabyte at a time, without the Basic Offset Table: a video stream as it was."""
        self._file.seek(self._start)
        parse_basic_offsets(self._file)
        while (head := self._file.read(8))[:4] == b"\xfe\xff\x00\xe0" and len(head) == 8:
            left = int.from_bytes(head[4:], "little")
            while left:
                piece = self._file.read(min(_PIECE, left))
                if not piece:
                    raise InputError(f"{self.path.name} ends in the middle of its pixel data.")
                left -= len(piece)
                yield piece
        if head[:4] != b"\xfe\xff\xdd\xe0":
            raise InputError(f"{self.path.name} ends in the middle of its pixel data.")

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def __enter__(self) -> "Stored":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return int(tag) == _PIXELS


def _after_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return int(tag) >> 16 != 2


def _unfolded(deflated: BinaryIO) -> BinaryIO:
    """The data set of a deflated file (PS3.5 A.5), in a temporary file that vanishes when closed."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    # it lives as long as the Stored that owns it
    unfolded = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
    with deflated:
        while not inflater.eof and (piece := inflater.unconsumed_tail or deflated.read(_PIECE)):
            unfolded.write(inflater.decompress(piece, _PIECE))
        unfolded.write(inflater.flush())
    if not inflater.eof:
        unfolded.close()
        raise EOFError("the deflated stream ends too early")
    unfolded.seek(0)
    return unfolded
