"""Is a file all there: every byte of an object read, none kept."""

from pathlib import Path
from typing import BinaryIO

from appliance.dicom.elements import UNDEFINED, opened
from appliance.errors import InputError

_PIECE = 1 << 20
_DOCUMENT = 0x00420011


def read_to_end(path: Path) -> None:
    """Read every byte that belongs to an object, a megabyte at a time; InputError where it is cut off.

    That its frames can be decoded is not looked at: dicom.check was run before it came here.
    """
    with opened(path) as file:
        ends = [one.position + one.length for one in file.dataset.elements.values() if one.position >= 0]
        if max(ends, default=0) > file.size:
            raise InputError("it is cut off")
        if file.pixels_at < 0:
            last = file.dataset.elements[file.dataset.order[-1]] if file.dataset.order else None
            if last is not None and last.position >= 0 and last.position + last.length != file.size:
                raise InputError("it is cut off")
            if not file.dataset.has(_DOCUMENT):
                raise InputError("it has neither picture nor document: it is cut off")
            _pass(file.stream, 0, file.size)
            return
        head = _bytes(file.stream, file.pixels_at, 8 if file.implicit else 12)
        length = int.from_bytes(head[-4:], "little")
        if length != UNDEFINED:
            _pass(file.stream, file.stream.tell(), length)
            return
        # items of encapsulated pixel data up to their delimiter (PS3.5 A.4)
        while (item := _bytes(file.stream, file.stream.tell(), 8))[:4] == b"\xfe\xff\x00\xe0":
            _pass(file.stream, file.stream.tell(), int.from_bytes(item[4:], "little"))
        if item != b"\xfe\xff\xdd\xe0\0\0\0\0":
            raise InputError("its pixel data are damaged: an item begins where none can")


def _bytes(stream: BinaryIO, begin: int, length: int) -> bytes:
    """So many bytes from a place in a stream; InputError where there are fewer."""
    stream.seek(begin)
    found = stream.read(length)
    if len(found) < length:
        raise InputError("it is cut off")
    return found


def _pass(stream: BinaryIO, begin: int, length: int) -> None:
    """Read so many bytes and keep none: a disc may fail anywhere."""
    for at in range(0, length, _PIECE):
        _bytes(stream, begin + at, min(_PIECE, length - at))


def is_dicom(path: Path) -> bool:
    """Whether a file begins as Part 10 says (PS3.10 7.1)."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
