"""What a file really is: told by its content, never by its name; and how large it would be before any of it is unpacked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pypdf
import pypdf.errors

from capture import jpeg, jpeg2000
from capture.footage import Facts, look
from capture.source import BadPicture

MOST_PIXELS = 178_000_000  # more is refused before it is unpacked; a film of 14 × 17 inches at 600 dpi has 86 million
_HEAD = 4096
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
PICTURES = frozenset(("jpeg", "jpeg2000", "png", "tiff", "bmp"))


@dataclass(frozen=True)
class Probed:
    """What a file is.

    `kind` is `jpeg`, `jpeg2000`, `png`, `tiff`, `bmp`, `heif`, `pdf`, `video`, `part10` (an object of the hospital's own
    standard), `text`, `unknown` or `empty`. Sizes are in pixels, 0 where the header does not say. `pages` is 0 where that
    is not known: those of a TIFF are counted when it is read. `words` is for people.
    """

    path: Path
    kind: str
    words: str
    width: int = 0
    height: int = 0
    pages: int = 1
    bits: int = 8
    video: Facts | None = None
    jpeg: jpeg.Header | None = None


def probe(path: Path) -> Probed:
    """Look at a file: its first bytes, then as much as its kind needs (a video's first picture is decoded).

    BadPicture, in words, for a file of a known kind that cannot be used: a picture of more than MOST_PIXELS, a PDF that
    needs a password, a header that is cut off or damaged, a video without its index.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise BadPicture(f"{path.name} cannot be read: {error.strerror}.") from error
    if not head:
        return Probed(path, "empty", "an empty file (0 bytes)")
    if head[128:132] == b"DICM":
        return Probed(path, "part10", "an object of the hospital's standard already")
    try:
        found = _picture(path, head) or _document(path, head) or _moving(path, head)
    except BadPicture as error:
        words = str(error)
        raise BadPicture(words if path.name in words else f"{path.name}: {words}") from error
    if found.width * found.height > MOST_PIXELS:
        millions = found.width * found.height // 1_000_000
        raise BadPicture(
            f"{path.name} says that it is {found.width} × {found.height} pixels large ({millions} million);"
            f" {MOST_PIXELS // 1_000_000} million are the most that is unpacked."
        )
    return found


def _picture(path: Path, head: bytes) -> Probed | None:
    """A still picture, by its first bytes."""
    if head.startswith(b"\xff\xd8\xff"):
        header = jpeg.read_header(path.read_bytes())
        words = f"a {header.process} JPEG, {header.width} × {header.height}, {header.colour}"
        return Probed(path, "jpeg", words, header.width, header.height, bits=header.bits, jpeg=header)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        if len(head) < 33 or head[12:16] != b"IHDR":
            raise BadPicture(f"{path.name} is a PNG that is cut off in its header.")
        width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        return Probed(path, "png", f"a PNG, {width} × {height}, {head[24]} bits", width, height, bits=head[24])
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Probed(path, "tiff", "a TIFF", pages=0)
    if head.startswith(b"BM") and len(head) >= 30 and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return _bitmap(path, head)
    if jpeg2000.is_jpeg2000(head):
        stream = jpeg2000.read(path.read_bytes())
        words = f"a JPEG 2000 picture, {stream.width} × {stream.height}, {stream.bits} bits"
        return Probed(path, "jpeg2000", words, stream.width, stream.height, bits=stream.bits)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return Probed(path, "heif", "a HEIC or AVIF picture")
    return None


def _bitmap(path: Path, head: bytes) -> Probed:
    """A BMP; a height below zero only means that its first row is the top one."""
    if int.from_bytes(head[14:18], "little") == 12:
        width, height = int.from_bytes(head[18:20], "little"), int.from_bytes(head[20:22], "little")
    else:
        width = abs(int.from_bytes(head[18:22], "little", signed=True))
        height = abs(int.from_bytes(head[22:26], "little", signed=True))
    return Probed(path, "bmp", f"a BMP, {width} × {height}", width, height)


def _document(path: Path, head: bytes) -> Probed | None:
    """A PDF; its signature may stand anywhere in the first kilobyte."""
    if b"%PDF-" not in head[:1024]:
        return None
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not _opens_without_password(reader):
            raise BadPicture(f"{path.name} needs a password: whoever gets it could not open it. Save it without one first.")
        pages = _count_pages(reader)
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadPicture(f"{path.name} is a PDF that is damaged: {error}.") from error
    if pages == 0:
        raise BadPicture(f"{path.name} is a PDF without a page.")
    words = f"a PDF of {pages} page{'s' if pages > 1 else ''}" if pages > 0 else "a PDF"
    return Probed(path, "pdf", words, pages=max(pages, 0))


def _count_pages(reader: pypdf.PdfReader) -> int:
    """How many pages, or -1 where only a library that is not here could tell: it opens without a password all the same."""
    try:
        return len(reader.pages)
    except pypdf.errors.DependencyError:
        return -1


def _opens_without_password(reader: pypdf.PdfReader) -> bool:
    """Some PDFs are locked against printing only: they open for everybody."""
    try:
        return bool(reader.decrypt(""))
    except pypdf.errors.DependencyError:  # AES, and no library for it here: nothing is known, so nothing is promised
        return False


def _moving(path: Path, head: bytes) -> Probed:
    """A video, or what it is instead: FFmpeg takes text for subtitles."""
    text = _is_text(head)
    try:
        facts = look(path)
    except BadPicture:
        if text:
            return Probed(path, "text", "a text file")
        if not _looks_like_video(head):
            return Probed(path, "unknown", "no picture, video or PDF that can be recognised")
        raise
    if text:
        return Probed(path, "text", "a text file")
    return Probed(path, "video", str(facts), facts.format.width, facts.format.height, facts.frames, video=facts)


def _is_text(head: bytes) -> bool:
    """Whether the beginning is UTF-8 without a zero byte; a letter cut at the end of what was read does not count."""
    sample = head[:1024]
    try:
        sample[: sample.rfind(b" ") if len(head) == _HEAD else None].decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in sample


def _looks_like_video(head: bytes) -> bool:
    """Whether the first bytes promise a video, so that "damaged" is truer than "unknown"."""
    boxes = (b"ftyp", b"moov", b"mdat", b"wide")
    starts = (b"RIFF", b"\x1a\x45\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"\x30\x26\xb2\x75", b"FLV")
    return head[4:8] in boxes or head.startswith(starts) or (head[:1] == b"G" and head[188:189] == b"G")
