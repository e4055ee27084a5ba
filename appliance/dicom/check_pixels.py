"""Do the pixel data agree with their description and their syntax: walked from item to item, never read whole."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.dicom import codestream, finding
from appliance.dicom.check_conditions import tag
from appliance.dicom.check_picture import described, frames_told, lossy_told
from appliance.dicom.elements import UNDEFINED, Level, Opened
from appliance.dicom.finding import Finding, Findings
from appliance.dicom.syntaxes import Syntax, by_uid
from appliance.errors import InputError

_ROWS, _COLUMNS, _FRAMES = tag("Rows"), tag("Columns"), tag("NumberOfFrames")
_SAMPLES, _ALLOCATED, _STORED = tag("SamplesPerPixel"), tag("BitsAllocated"), tag("BitsStored")
_PHOTOMETRIC = tag("PhotometricInterpretation")
_EXTENDED, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_DOCUMENT, _DOCUMENT_LENGTH = tag("EncapsulatedDocument"), tag("EncapsulatedDocumentLength")
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_HEAD = 1 << 18  # bytes of a frame within which its header ends


@dataclass
class Walk:
    """The items of encapsulated pixel data (PS3.5 A.4): the offset table, and each fragment's place and length."""

    table: bytes = b""
    fragments: list[tuple[int, int]] = field(default_factory=list)
    begin: int = 0  # where the first fragment's item begins


def pixels(file: Opened) -> Findings:
    """Faults of the picture's description, of its pixel data, or of the document that is there instead.

    Native pixel data have exactly the length their description needs (PS3.5 8.1.1). Encapsulated ones consist of whole
    items of even length up to the delimiter (A.4), tables land on them, and the first frame's stream says the same size,
    samples and bits. Only headers are read, so that an object of gigabytes takes milliseconds.
    """
    try:
        syntax = by_uid(file.syntax_uid)
    except InputError as error:
        yield finding.error("TransferSyntaxUID", str(error))
        return
    dataset = file.dataset
    if not dataset.has(_ROWS):
        if file.pixels_at >= 0:
            yield finding.error("PixelData", "is there, but no description of it")
        if dataset.has(_DOCUMENT):
            yield from _document(file)
        return
    yield from described(dataset, syntax)
    yield from lossy_told(dataset, syntax)
    yield from frames_told(dataset)
    if file.pixels_at < 0:
        yield finding.error("PixelData", "is missing")
        return
    file.stream.seek(file.pixels_at)
    head = file.stream.read(8 if file.implicit else 12)
    if len(head) < (8 if file.implicit else 12):
        yield finding.error("PixelData", "the file ends within its first bytes")
        return
    length = int.from_bytes(head[-4:], "little")
    vr = "" if file.implicit else head[4:6].decode("latin-1")
    if syntax.kind == "native":
        yield from _native(file, length, vr)
    elif length != UNDEFINED or vr != "OB":
        yield finding.error("PixelData", f"must be OB of undefined length in {syntax.name}")
    else:
        yield from _encapsulated(file, syntax)


def _count(dataset: Level) -> int:
    """Number of Frames, one where it is not told."""
    return max(1, dataset.number(_FRAMES, 1))


def _native(file: Opened, length: int, vr: str) -> Findings:
    """Length, VR and end of uncompressed pixel data (PS3.5 8.1.1, A.2); YBR_FULL_422 has two samples per pixel."""
    dataset, begin = file.dataset, file.stream.tell()
    bits = dataset.number(_ROWS) * dataset.number(_COLUMNS) * dataset.number(_SAMPLES) * dataset.number(_ALLOCATED)
    expected = bits * _count(dataset) // 8
    if dataset.text(_PHOTOMETRIC) == "YBR_FULL_422":
        expected = expected * 2 // 3
    expected += expected % 2
    if length != expected:
        yield finding.error("PixelData", f"has {length} bytes, its description needs {expected}")
    if vr and vr != "OW" and not (vr == "OB" and dataset.number(_ALLOCATED) <= 8):
        yield finding.error("PixelData", f"has VR {vr}, {dataset.number(_ALLOCATED)} bits need OW (PS3.5 A.2)")
    if length == UNDEFINED or begin + length > file.size:
        yield finding.error("PixelData", "the file ends in the middle of it")
    else:
        yield from _end(file, begin + length)


def _end(file: Opened, at: int) -> Findings:
    """Nothing may follow but elements of higher tags: private ones, signatures, padding (PS3.10 7.2)."""
    file.stream.seek(at)
    tag_after = file.stream.read(8)
    if tag_after and (len(tag_after) < 8 or struct.unpack_from("<2H", tag_after) <= (0x7FE0, 0x0010)):
        yield finding.error("PixelData", f"{file.size - at} bytes follow it that belong to nothing")


def _encapsulated(file: Opened, syntax: Syntax) -> Findings:
    """Fragments and offset table against the number of frames, and the first stream against the description."""
    walk = Walk()
    faults = list(_walk(file, walk))
    yield from faults
    if faults:
        return
    frames, number = _count(file.dataset), len(walk.fragments)
    if not number:
        yield finding.error("PixelData", "holds no fragment")
    elif syntax.kind == "video":
        if number > 1 and file.syntax_uid == syntax.uid and syntax.fragmentable_uid != syntax.uid:
            yield finding.error("PixelData", f"has {number} fragments, a {syntax.name} video has one (PS3.5 A.4)")
        if walk.table not in (b"", b"\0\0\0\0"):
            yield finding.error("PixelData", "a video has no offset table")
        yield from _container(file, walk)
    else:
        yield from _tables(file, walk, frames)
        yield from _first_frame(file, walk, syntax)


def _walk(file: Opened, walk: Walk) -> Findings:
    """Step from item to item without reading them, noting where fragments lie; the first item is the offset table."""
    stream, at, first = file.stream, file.stream.tell(), True
    while True:
        stream.seek(at)
        head = stream.read(8)
        length = int.from_bytes(head[4:], "little")
        if len(head) < 8:
            yield finding.error("PixelData", "the file ends without a sequence delimiter")
            return
        if head[:4] == _DELIMITER:
            if length:
                yield finding.error("PixelData", "the sequence delimiter has a length")
            yield from _end(file, at + 8)
            return
        if head[:4] != _ITEM or at + 8 + length > file.size:
            yield finding.error("PixelData", f"no whole item lies at byte {at - file.pixels_at} of it")
            return
        if length % 2:
            yield finding.error("PixelData", f"a fragment has an odd length of {length}")
        if first:
            walk.table, walk.begin = stream.read(length), at + 8 + length
        else:
            walk.fragments.append((at, length))
        first, at = False, at + 8 + length


def _tables(file: Opened, walk: Walk, frames: int) -> Findings:
    """The Basic or the Extended Offset Table, or none and one fragment per frame (PS3.5 A.4, PS3.3 C.7.6.3.1.8).

    An offset counts from the first fragment's item to that of the frame's first; they rise, and begin with 0. The
    extended table stands alone and has one fragment per frame; its lengths may leave the padding out.
    """
    starts = {at - walk.begin: length for at, length in walk.fragments}
    if file.dataset.has(_EXTENDED):
        offsets = _numbers(file.dataset, _EXTENDED)
        lengths = _numbers(file.dataset, _EXTENDED_LENGTHS)
        if walk.table:
            yield finding.error("ExtendedOffsetTable", "stands beside a Basic Offset Table")
        if len(offsets) != frames or len(lengths) != frames:
            words = f"has {len(offsets)} offsets and {len(lengths)} lengths for {frames} frames"
            yield finding.error("ExtendedOffsetTable", words)
        for number, (offset, length) in enumerate(zip(offsets, lengths, strict=False), 1):
            if starts.get(offset) not in (length, length + length % 2):
                yield finding.error("ExtendedOffsetTable", f"frame {number} does not lie at offset {offset}")
                return
    elif walk.table:
        offsets = [entry[0] for entry in struct.iter_unpack("<I", walk.table[: len(walk.table) // 4 * 4])]
        if len(offsets) != frames:
            yield finding.error("PixelData", f"the offset table has {len(offsets)} entries for {frames} frames")
        if any(offset not in starts for offset in offsets) or offsets != sorted(set(offsets)) or offsets[:1] != [0]:
            yield finding.error("PixelData", "the offset table points beside the fragments")
    elif len(walk.fragments) != frames and frames > 1:
        yield finding.error("PixelData", f"has {len(walk.fragments)} fragments for {frames} frames and no offset table")


def _numbers(dataset: Level, which: int) -> list[int]:
    """An offset table of 64-bit numbers."""
    element = dataset.elements.get(which)
    raw = (element.value or b"") if element else b""
    return [entry[0] for entry in struct.iter_unpack("<Q", raw[: len(raw) // 8 * 8])]


def _head(file: Opened, walk: Walk) -> bytes:
    """The first bytes of the first fragment."""
    at, length = walk.fragments[0]
    file.stream.seek(at + 8)
    return file.stream.read(min(length, _HEAD))


def _first_frame(file: Opened, walk: Walk, syntax: Syntax) -> Iterator[Finding]:
    """What the first stream says of itself against what the Image Pixel module says."""
    told, dataset = codestream.read(_head(file, walk), syntax), file.dataset
    if told.fault:
        yield finding.error("PixelData", f"the first frame is not {syntax.name}: {told.fault}")
        return
    samples = dataset.number(_SAMPLES)
    if syntax.name == "rle":
        samples *= dataset.number(_ALLOCATED) // 8  # segments
    for what, said, true in (
        ("Rows", dataset.number(_ROWS), told.rows),
        ("Columns", dataset.number(_COLUMNS), told.columns),
        ("SamplesPerPixel", samples, told.samples),
        ("BitsStored", dataset.number(_STORED), told.bits),
    ):
        if true and said != true:
            yield finding.error(what, f"says {said}, the first frame's stream {true}")
    photometric = dataset.text(_PHOTOMETRIC)
    if told.transformed is not None and told.samples == 3 and told.transformed != photometric.startswith("YBR_"):
        yield finding.error("PhotometricInterpretation", f"{photometric} does not fit the stream's colour transform")


def _container(file: Opened, walk: Walk) -> Findings:
    """Whether the video begins as one of the legal containers does (PS3.5 8.2.5 to 8.2.11)."""
    head = _head(file, walk)
    legal = head[:4] == b"\0\0\1\xba" or (head[:1] == b"G" and head[188:189] in (b"G", b"")) or head[4:8] == b"ftyp"
    if not legal:
        yield finding.error("PixelData", "the video is in none of the containers DICOM allows: MPEG PS, MPEG TS, MP4")


def _document(file: Opened) -> Findings:
    """Whether the document is a PDF where it says so, whole, and as long as it is told (C.24.2)."""
    element = file.dataset.elements[_DOCUMENT]
    begin = (element.value or b"")[:1024]
    if element.value is None:
        file.stream.seek(element.position)
        begin = file.stream.read(1024)
        if element.position + element.length > file.size:
            yield finding.error("EncapsulatedDocument", "the file ends in the middle of it")
    if b"%PDF-" not in begin and file.dataset.text(tag("MIMETypeOfEncapsulatedDocument")) == "application/pdf":
        yield finding.error("EncapsulatedDocument", "does not begin as a PDF file does")
    told = file.dataset.elements.get(_DOCUMENT_LENGTH)
    size = int.from_bytes(told.value or b"", "little") if told else element.length
    if size + size % 2 != element.length:
        yield finding.error("EncapsulatedDocumentLength", f"says {size}, the document has {element.length} bytes")
