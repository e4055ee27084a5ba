"""JPEG 2000 files (ISO 15444-1): the boxes around a codestream, what it says of itself, and how to free it from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capture.source import BadPicture

_SOC, _SIZ, _CAP, _COD, _QCD, _COM, _SOT = 0x4F, 0x51, 0x50, 0x52, 0x5C, 0x64, 0x90
_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_START = b"\xff\x4f\xff\x51"
# what encoders write about themselves says nothing about a patient
_ENCODERS = (b"Created by OpenJPEG", b"Kakadu", b"JasPer", b"Created by Grok")


@dataclass(frozen=True)
class Codestream:
    """A JPEG 2000 codestream without boxes and without foreign comments, and what it says of itself.

    `colour` is `gray`, `rct`, `ict`, `rgb`, or `other` where it must be decoded (palette, alpha, YCC, signed,
    subsampled, unequal parts); `reversible` is true for the 5-3 wavelet without quantisation.
    """

    data: bytes
    width: int
    height: int
    bits: int
    colour: str
    reversible: bool
    high_throughput: bool


def is_jpeg2000(head: bytes) -> bool:
    """Whether a file that begins so is a JP2 file or a bare codestream."""
    return head.startswith((_SIGNATURE, _START))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box (I.4)."""
    at = 0
    while at + 8 <= len(data):
        length, kind, begin = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = len(data) if length == 0 else at + length
        if end < begin or end > len(data):
            raise BadPicture("The JPEG 2000 file is cut off or damaged: a box is longer than the file.")
        yield kind, data[begin:end]
        at = end


def read(data: bytes) -> Codestream:
    """The codestream of a .jp2 or .j2k file; BadPicture if there is none or if it is damaged."""
    if data.startswith(_START):
        return _describe(data, "")
    stream, note = b"", ""
    for kind, body in _boxes(data):
        if kind == b"jp2c" and not stream:
            stream = body
        elif kind == b"jp2h":
            note = _colour_note(body)
    if not stream.startswith(_START):
        raise BadPicture("The JPEG 2000 file holds no picture.")
    return _describe(stream, note)


def _colour_note(header: bytes) -> str:
    """`other` where the boxes say that the samples are not simply gray or RGB."""
    for kind, body in _boxes(header):
        if kind in (b"pclr", b"cdef"):
            return "other"
        if kind == b"colr" and body[:1] == b"\1" and int.from_bytes(body[3:7], "big") not in (16, 17):
            return "other"
    return ""


def _describe(stream: bytes, note: str) -> Codestream:
    """Read the main header (A.4 to A.6); comments that no encoder wrote about itself are left out."""
    siz, cod, qcd, high_throughput = b"", b"", b"", False
    kept = [stream[:2]]
    at = 2
    while True:
        marker, length = stream[at + 1 : at + 2], int.from_bytes(stream[at + 2 : at + 4], "big")
        end = at + 2 + length
        if not marker or stream[at] != 0xFF or end > len(stream):
            raise BadPicture("The JPEG 2000 codestream is cut off or damaged.")
        if marker[0] == _SOT:
            break
        body = stream[at + 4 : end]
        siz = body if marker[0] == _SIZ else siz
        cod = body if marker[0] == _COD else cod
        qcd = body if marker[0] == _QCD else qcd
        high_throughput = high_throughput or marker[0] == _CAP
        if marker[0] != _COM or body[2:].startswith(_ENCODERS):
            kept.append(stream[at:end])
        at = end
    if len(siz) < 36 or len(cod) < 10 or not qcd:
        raise BadPicture("The JPEG 2000 codestream has no complete header.")
    width = int.from_bytes(siz[2:6], "big") - int.from_bytes(siz[10:14], "big")
    height = int.from_bytes(siz[6:10], "big") - int.from_bytes(siz[14:18], "big")
    count = int.from_bytes(siz[34:36], "big")
    parts = [siz[36 + 3 * index : 39 + 3 * index] for index in range(count)]
    kept.append(stream[at:])
    reversible = cod[9] == 1 and qcd[0] & 31 == 0
    return Codestream(
        b"".join(kept), width, height, (parts[0][0] & 0x7F) + 1,
        note or _colour(parts, transformed=cod[4] == 1, reversible=cod[9] == 1), reversible, high_throughput,
    )  # fmt: skip


def _colour(parts: list[bytes], transformed: bool, reversible: bool) -> str:
    """What the components are, where all are alike and none is subsampled or signed."""
    plain = all(part == parts[0] for part in parts) and parts[0][1:] == b"\1\1" and not parts[0][0] & 0x80
    if plain and len(parts) == 1:
        return "gray"
    if plain and len(parts) == 3:
        return ("rct" if reversible else "ict") if transformed else "rgb"
    return "other"
