"""The data set of a Part 10 file, streamed from disk: found behind preamble and file meta, never whole in memory."""

from collections.abc import Iterator
from pathlib import Path
from struct import error, unpack_from

from appliance.errors import InputError

_PREAMBLE = 132
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_HEAD = 4096  # bytes read at first; the file meta information is rarely longer than 400
_LONGEST_HEAD = 4 << 20


class FilePayload:
    """An open Part 10 file (PS3.10 7.1) as a Payload; close it.

    `size` is how many bytes its data set has, `syntax_uid` in which transfer syntax they are. They go out exactly as
    they lie on disk: what was checked and hashed is what arrives.
    """

    def __init__(self, path: Path) -> None:
        """Open and read the file meta information; raises InputError."""
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as wrong:
            raise InputError(f"{path}: {wrong.strerror}", "Look at the disk; nothing was sent.") from wrong
        self._path = path
        try:
            self.syntax_uid, start = self._meta()
            self.size = self._file.seek(0, 2) - start
            if self.size < 8:
                raise InputError(f"{path} ends after its header: there is no data set in it")
            self._file.seek(start)
        except BaseException:
            self._file.close()
            raise

    def pieces(self, limit: int) -> Iterator[memoryview]:
        """The data set, `limit` bytes at a time, in one buffer that is used again; InputError when the file ends early."""
        buffer = memoryview(bytearray(min(limit, self.size)))
        left = self.size
        while left:
            wanted = buffer[: min(left, len(buffer))]
            filled = 0
            while filled < len(wanted):
                count = self._file.readinto(wanted[filled:])
                if not count:
                    raise InputError(f"{self._path} became shorter while it was sent")
                filled += count
            left -= filled
            yield wanted

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _meta(self) -> tuple[str, int]:
        length = _HEAD
        while True:
            self._file.seek(0)
            head = self._file.read(length) or b""
            if head[128:132] != b"DICM":
                raise InputError(f"{self._path} is not a DICOM file")
            try:
                return _walk(head)
            except (error, IndexError):
                if len(head) < length or length >= _LONGEST_HEAD:
                    raise InputError(f"{self._path} is broken off in its header") from None
                length *= 32


def _walk(head: bytes) -> tuple[str, int]:
    """Transfer Syntax UID among the elements of group 0002 (explicit little endian), and where the data set begins."""
    syntax = ""
    at = _PREAMBLE
    while at < len(head) and unpack_from("<H", head, at)[0] == 0x0002:
        element, kind = unpack_from("<H2s", head, at + 2)
        long = kind in _LONG
        (size,) = unpack_from("<I" if long else "<H", head, at + (8 if long else 6))
        at += 12 if long else 8
        if at + size > len(head):
            raise IndexError
        if element == 0x0010:
            syntax = head[at : at + size].decode("latin-1").strip(" \0")
        at += size
    return syntax, at
