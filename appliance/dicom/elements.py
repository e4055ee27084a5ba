"""A Part 10 file as it lies on disk: every element raw, pixel data left where it is. For checking, not for use."""

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.values import convert_SQ

from appliance.errors import InputError

PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
_SPARE = 8 << 20  # values longer than this stay on disk; an offset table of a million frames does not
_PIECE = 1 << 20
_LARGEST = (1 << 32) + (1 << 26)  # 4 GiB of pixels and a header: nothing larger can be one object
_CHARACTER_SET = 0x00080005


@dataclass(frozen=True)
class Element:
    """One element: `value` is None where it was left on disk, at `position` of the dataset's file; `vr` may be empty."""

    tag: int
    vr: str
    length: int
    value: bytes | None
    position: int
    items: tuple["Level", ...] = ()


@dataclass
class Level:
    """The elements of a dataset or of one item by tag.

    `order` holds the tags as they came, `repeated` those that came more than once, `encodings` Python's names of the
    character sets that apply (`iso8859` alone: the default repertoire, which is ASCII).
    """

    elements: dict[int, Element] = field(default_factory=dict)
    repeated: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    encodings: list[str] = field(default_factory=lambda: ["iso8859"])

    def add(self, element: Element) -> None:
        """Take an element in, in the order of the file."""
        if element.tag in self.elements:
            self.repeated.append(element.tag)
        self.order.append(element.tag)
        self.elements[element.tag] = element

    def text(self, tag: int) -> str:
        """The value as text, padding removed; empty where there is none."""
        element = self.elements.get(tag)
        return (element.value or b"").decode("latin-1").strip(" \0") if element else ""

    def words(self, tag: int) -> list[str]:
        """The values as texts, one by one; none where there is none."""
        text = self.text(tag)
        return [word.strip(" \0") for word in text.split("\\")] if text else []

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a US or IS element as a number; `default` where there is none or it is none."""
        element = self.elements.get(tag)
        if element is None or not element.value:
            return default
        if dictionary_VR(tag) in ("IS", "DS"):
            word = self.words(tag)[0] if self.words(tag) else ""
            return int(word) if word.lstrip("+-").isdigit() else default
        return int.from_bytes(element.value[:2], "little")

    def has(self, tag: int) -> bool:
        """Whether the element is there, empty or not."""
        return tag in self.elements

    def filled(self, tag: int) -> bool:
        """Whether the element is there and has a value or an item."""
        element = self.elements.get(tag)
        if element is None:
            return False
        if element.vr == "SQ" or element.items:
            return bool(element.items)
        return element.value is None or bool(element.value.strip(b" \0") or (element.vr not in _PADDED and element.value))


_PADDED = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"})


@dataclass
class Opened:
    """An open Part 10 file: `meta` and `dataset` in memory but for large values; `stream` holds the (inflated) dataset.

    `pixels_at` is where the Pixel Data element begins in `stream`, -1 where there is none; `size` is the stream's.
    """

    meta: Level
    dataset: Level
    stream: BinaryIO
    syntax_uid: str
    implicit: bool
    pixels_at: int
    size: int


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a Part 10 file (PS3.10 7.1) for checking; a context manager.

    Elements up to Pixel Data are in memory, those above 8 MiB and the pixels stay on disk; a deflated dataset is first
    inflated into a temporary file. InputError where the file is none, is big endian, or cannot be read to its pixels.
    """
    with ExitStack() as stack:
        try:
            stream: BinaryIO = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise InputError(f"{path.name} cannot be opened: {error.strerror}") from error
        if stream.read(132)[128:] != b"DICM":
            raise InputError(f"{path.name} is not a DICOM file: it does not begin with 128 bytes and DICM")
        meta, _ = _read(stream, False, lambda tag: tag >> 16 != 2)
        syntax = meta.text(0x00020010)
        if not syntax:
            raise InputError(f"{path.name} does not say its transfer syntax")
        if syntax == BIG_ENDIAN:
            raise InputError(f"{path.name} is big endian, which is retired and not for dicap")
        if syntax == DEFLATED:
            stream = _inflated(stream, cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile())))
        dataset, at = _read(stream, syntax == IMPLICIT, lambda tag: tag == PIXEL_DATA)
        size = stream.seek(0, 2)
        yield Opened(meta, dataset, stream, syntax, syntax == IMPLICIT, at, size)


def _inflated(stream: BinaryIO, target: BinaryIO) -> BinaryIO:
    """The dataset of a deflated file, in a temporary one (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while piece := stream.read(_PIECE):
            while piece:
                target.write(inflater.decompress(piece, _PIECE))
                piece = inflater.unconsumed_tail
            if target.tell() > _LARGEST:
                raise InputError("the deflated dataset is larger than any object can be")
        target.write(inflater.flush())
    except zlib.error as error:
        raise InputError(f"the deflated dataset is damaged: {error}") from error
    if not inflater.eof:
        raise InputError("the deflated dataset ends too early")
    target.seek(0)
    return target


def _read(stream: BinaryIO, implicit: bool, stop: Any) -> tuple[Level, int]:
    """The elements up to the one that `stop` names, and where that one begins (-1: the end came first)."""
    level = Level()
    stopped: list[int] = []

    def stop_when(tag: int, vr: str | None, length: int) -> bool:
        """pydicom asks this before it reads a value."""
        if stop(int(tag)):
            stopped.append(int(tag))
        return bool(stopped)

    try:
        for raw in data_element_generator(stream, implicit, True, stop_when, _SPARE):
            level.add(_element(raw, implicit, level))
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file makes it stumble over
        last = f" after ({level.order[-1] >> 16:04X},{level.order[-1] & 0xFFFF:04X})" if level.order else ""
        raise InputError(f"the dataset cannot be read{last}: {error}") from error
    return level, stream.tell() if stopped else -1


def _element(raw: Any, implicit: bool, level: Level) -> Element:
    """One element of pydicom's as ours: a sequence with its items, others as bytes."""
    tag = int(raw.tag)
    if isinstance(raw, RawDataElement):
        vr, value, length, position = raw.VR or _known_vr(tag), raw.value, raw.length, raw.value_tell
        if value is not None and length not in (len(value), UNDEFINED):
            raise InputError(f"the file ends in the middle of ({tag >> 16:04X},{tag & 0xFFFF:04X})")
        if tag == _CHARACTER_SET and value:
            level.encodings = convert_encodings([word.strip() for word in value.decode("latin-1").split("\\")])
        if vr == "SQ" and value is not None:
            items = convert_SQ(value, implicit, True, level.encodings, position)
            return Element(tag, "SQ", length, value, position, tuple(_level(item, implicit, level) for item in items))
        return Element(tag, vr, length, value if value is not None or length else b"", position)
    several = raw.value if raw.VR == "SQ" else []
    return Element(tag, str(raw.VR), UNDEFINED, b"", -1, tuple(_level(item, implicit, level) for item in several))


def _level(item: Dataset, implicit: bool, above: Level) -> Level:
    """An item, with the character set of what is above it unless it has its own (PS3.3 C.12.1.1.2)."""
    level = Level(encodings=above.encodings)
    for raw in item.values():
        level.add(_element(raw, implicit, level))
    return level


def _known_vr(tag: int) -> str:
    """What the dictionary says of an element in implicit VR, the first where it leaves a choice."""
    if tag >> 16 & 1:
        return "UN"
    try:
        return dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        return "UN"
