"""What a compressed frame says about itself in its first bytes: size, components, precision, process."""

import struct
from dataclasses import dataclass

from appliance.dicom.syntaxes import Syntax

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# Start of frame: baseline, extended, lossless, JPEG-LS
_PROCESSES = {
    "jpeg": (0xC0,),
    "jpeg-extended": (0xC0, 0xC1),
    "jpeg-lossless": (0xC3,),
    "jpeg-lossless-57": (0xC3,),
    "jls": (0xF7,),
    "jls-near": (0xF7,),
}


@dataclass(frozen=True)
class Told:
    """What the stream says; `fault` says in words why it does not belong under its syntax, empty where it does.

    `transformed` is whether JPEG 2000's multiple component transform was used, None for other codecs.
    """

    rows: int = 0
    columns: int = 0
    samples: int = 0
    bits: int = 0
    transformed: bool | None = None
    fault: str = ""


def read(head: bytes, syntax: Syntax) -> Told:
    """Read the first bytes of a frame's stream: as many as there are up to the image data, 256 KiB will do.

    Numbers that the codec does not tell are 0 (RLE knows neither rows nor bits). A stream that ends too early, or is of
    another process than its syntax says, has a `fault` and nothing is raised.
    """
    try:
        if syntax.name == "rle":
            return _rle(head)
        if syntax.name in _PROCESSES:
            return _jpeg(head, syntax)
        return _jpeg2000(head, syntax)
    except (struct.error, IndexError):
        return Told(fault="the stream ends within its header")


def _rle(head: bytes) -> Told:
    """PS3.5 G.5: the header tells the number of segments, here as `samples`."""
    count, first = struct.unpack_from("<2I", head)
    if not 1 <= count <= 15 or first != 64:
        return Told(fault="it does not begin with an RLE header (PS3.5 G.5)")
    return Told(samples=count)


def _jpeg(head: bytes, syntax: Syntax) -> Told:
    """JPEG and JPEG-LS: from marker to marker up to the start of scan (ISO/IEC 10918-1 B, 14495-1 C)."""
    if head[:2] != b"\xff\xd8":
        return Told(fault="it does not begin as a JPEG stream")
    at, told = 2, Told(fault="it has no frame header")
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return Told(fault="a marker is missing in its header")
        marker = head[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", head, at + 2)
        if marker in _SOF:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", head, at + 4)
            legal = marker in _PROCESSES[syntax.name]
            fault = "" if legal else f"it is coded by another process (marker FF{marker:02X})"
            told = Told(rows, columns, samples, bits, fault=fault)
        elif marker == 0xDA:
            return _scanned(head, at, syntax, told)
        at += 2 + length
    return told


def _scanned(head: bytes, at: int, syntax: Syntax, told: Told) -> Told:
    """The start of scan: which predictor, or which error JPEG-LS allows."""
    parameter = head[at + 5 + 2 * head[at + 4]]
    if syntax.name == "jpeg-lossless" and parameter != 1 and not told.fault:
        return Told(fault=f"its predictor is {parameter}, first-order prediction is 1")
    if syntax.name == "jls" and parameter and not told.fault:
        return Told(fault=f"it allows an error of {parameter}, lossless allows none")
    return told


def _jpeg2000(head: bytes, syntax: Syntax) -> Told:
    """The main header: SIZ, CAP and COD (ISO/IEC 15444-1 A.5, A.6.1)."""
    if head[4:8] == b"jP  ":
        return Told(fault="it is a JP2 file, DICOM takes the codestream alone (PS3.5 A.4.4)")
    if head[:4] != b"\xff\x4f\xff\x51":
        return Told(fault="it does not begin as a JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4I", head, 8)
    (samples,) = struct.unpack_from(">H", head, 40)
    bits = (head[42] & 0x7F) + 1
    (length,) = struct.unpack_from(">H", head, 4)
    at, high_throughput, transformed, reversible = 4 + length, False, False, None
    while at + 4 <= len(head) and reversible is None:
        marker, length = struct.unpack_from(">HH", head, at)
        if marker == 0xFF50:  # CAP: bit 14 of Pcap announces Part 15
            high_throughput = bool(struct.unpack_from(">I", head, at + 4)[0] & 0x00020000)
        elif marker == 0xFF52:  # COD
            transformed, reversible = head[at + 8] == 1, head[at + 13] == 1
        at += 2 + length
    fault = ""
    if high_throughput != syntax.name.startswith("htj2k"):
        fault = "it is " + ("" if high_throughput else "not ") + "coded for high throughput (JPEG 2000 Part 15)"
    elif not syntax.lossy and reversible is False:
        fault = "its wavelet is irreversible, lossless needs the reversible one"
    return Told(bottom - top, right - left, samples, bits, transformed, fault)
