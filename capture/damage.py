"""Whether a video file ends before its time: by its own lengths, and by a decoder that forgives nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def last_is_damaged(pictures: Sequence[bytes], codec: str, extradata: bytes | None) -> bool:
    """Whether the last of these packets, which begin at an entry of the stream, cannot be decoded.

    A stream in which a strict decoder stumbles everywhere says nothing about its end.
    """
    if not pictures:
        return False
    coder = av.CodecContext.create(codec, "r")
    assert isinstance(coder, VideoCodecContext)
    coder.extradata = extradata
    coder.options = {"err_detect": "explode"}
    coder.thread_count = 1
    stumbles = []
    for data in pictures:
        try:
            coder.decode(Packet(data))
            stumbles.append(False)
        except av.error.FFmpegError:
            stumbles.append(True)
    return stumbles[-1] and not any(stumbles[-4:-1])


def missing_bytes(path: Path) -> int:
    """How many bytes a file's own outermost lengths (MP4 boxes, RIFF, EBML Segment) reach beyond its end.

    0 for containers that have none, such as MPEG program and transport streams.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            return max(int.from_bytes(head[4:8], "little") + 8 - size, 0)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _missing_ebml(head, size)
        if head[4:8] not in _BOXES:
            return 0
        at = 0
        while at + 8 <= size:
            file.seek(at)
            box = file.read(16)
            length = int.from_bytes(box[:4], "big")
            length = int.from_bytes(box[8:16], "big") if length == 1 else length or size - at
            if length < 8:
                return 0
            at += length
        return max(at - size, 0)


def _missing_ebml(head: bytes, size: int) -> int:
    """The same for Matroska: the Segment follows the EBML header and says its size, or that it is unknown."""
    at = 4
    length, at = _ebml_size(head, at)
    at += length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = _ebml_size(head, at + 4)
    return max(at + length - size, 0) if length >= 0 else 0


def _ebml_size(head: bytes, at: int) -> tuple[int, int]:
    """A variable-length size and where it ends; -1 for "unknown"."""
    width = 9 - head[at].bit_length() if head[at : at + 1] else 1
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (-1 if value == (1 << 7 * width) - 1 else value), at + width
