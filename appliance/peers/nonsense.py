"""What a RIS out of its mind answers to a worklist query: encoded identifiers that no RIS should send."""

import random
import struct
from collections.abc import Iterator, Sequence

_ABSURD = (
    (0x0008, 0x0005, b"CS", b"ISO_IR 192"),
    (0x0010, 0x0010, b"PN", b"\xff\xfe^\xc3\x28 "),  # not UTF-8
    (0x0010, 0x0020, b"LO", b" " * 64),
    (0x0010, 0x0030, b"DA", b"yesterday!"),
    (0x0020, 0x000D, b"UI", b"not.a.uid "),
)
_BROKEN = (0x0040, 0x0100, b"SQ", b"one step")  # a sequence without items


def identifiers(kinds: Sequence[str], dice: random.Random, is_implicit: bool) -> Iterator[bytes]:
    """Encoded identifiers of each kind: `bytes` is random, `fields` is nobody at all, then somebody absurd, then torn."""
    if "bytes" in kinds:
        yield dice.randbytes(200)
    if "fields" in kinds:
        yield _element(0x0010, 0x0010, b"PN", b"", is_implicit)
        absurd = b"".join(_element(*one, is_implicit) for one in _ABSURD)
        yield absurd
        yield absurd + _element(*_BROKEN, is_implicit)


def _element(group: int, element: int, vr: bytes, value: bytes, is_implicit: bool) -> bytes:
    """One data element, encoded (PS3.5 7.1)."""
    tag = struct.pack("<HH", group, element)
    if is_implicit:
        return tag + struct.pack("<L", len(value)) + value
    if vr == b"SQ":
        return tag + vr + b"\0\0" + struct.pack("<L", len(value)) + value
    return tag + vr + struct.pack("<H", len(value)) + value
