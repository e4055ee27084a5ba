"""Bringing in what already exists: pictures, videos, PDFs, and folders of them. One bad file never stops the others."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.dicom.syntaxes import Syntax, by_name, by_stream
from appliance.errors import ApplianceError, InputError
from capture.footage import Facts
from capture.frame import Clip, Still
from capture.photo import load
from capture.probe import PICTURES, Probed, probe
from capture.source import CaptureError
from capture.video import Wish, load_video

# names that promise a picture: in a folder, a file of such a name that is none is an error and not passed over
_PROMISES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jp2", ".j2k", ".j2c", ".jpf", ".png", ".tif", ".tiff", ".bmp", ".pdf", ".heic", ".dcm",
    ".mp4", ".m4v", ".mov", ".avi", ".mpg", ".mpeg", ".vob", ".ts", ".m2ts", ".mts", ".mkv", ".webm", ".wmv",
))  # fmt: skip
_PIXELS = {8: ("yuv420p", "yuvj420p")}
_KINDS = "JPEG, JPEG 2000, PNG, TIFF, BMP, PDF, MP4, MOV, AVI, MPEG, MKV"


@dataclass(frozen=True)
class Document:
    """A PDF that goes in as it is, with the title it will have and how many pages it holds."""

    path: Path
    title: str
    pages: int


@dataclass(frozen=True)
class Found:
    """One thing that was found in a file, or why there is none.

    `kind` is `still`, `clip`, `document` or empty. With neither subject nor error the file was passed over, as `words` say.
    """

    path: Path
    subject: Still | Clip | Document | None
    kind: str
    error: CaptureError | ApplianceError | None
    words: str


def bring_in(paths: Sequence[Path], scratch: Path, limit_bytes: int, syntax: str = "auto") -> Iterator[Found]:
    """Everything in these files and folders, one thing at a time, in order of their names.

    A video becomes one or several clips of less than `limit_bytes`, in files under `scratch`; each is deleted when the
    next thing is asked for. `syntax` is a word of `--syntax`: a video syntax makes the clip that kind of video, a
    per-frame syntax leaves it alone, for its frames are taken one by one anyway. Raises SettingsError for a word that
    means no syntax; what is wrong with a file is said in its Found.
    """
    asked = None if syntax == "auto" else by_name(syntax)
    for path, from_folder in _walk(paths):
        why_not = _why_passed_over(path) if from_folder else ""
        if why_not:
            yield Found(path, None, "", None, f"{path.name} was passed over: {why_not}.")
            continue
        try:
            yield from _found_in(path, from_folder, scratch, limit_bytes, asked)
        except (CaptureError, ApplianceError) as error:
            yield Found(path, None, "", error, str(error))
        except (OSError, MemoryError) as error:
            why = getattr(error, "strerror", None) or "there is not enough memory"
            wrong = InputError(f"{path.name} could not be brought in: {why}.")
            yield Found(path, None, "", wrong, str(wrong))


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Every file, and whether it was found in a folder; links to folders are not followed."""
    for path in paths:
        if not path.is_dir():
            yield path, False
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_in_order)
            yield from ((Path(folder) / name, True) for name in sorted(names, key=_in_order))


def _in_order(name: str) -> list[tuple[int, str]]:
    """Page 2 comes before page 10."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def _why_passed_over(path: Path) -> str:
    """Why a file in a folder is not even looked at, or nothing."""
    if path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini"):
        return "it is hidden"
    return "" if path.is_file() else "it is no file"


def _found_in(path: Path, from_folder: bool, scratch: Path, limit: int, asked: Syntax | None) -> Iterator[Found]:
    """What one file holds; raises CaptureError or InputError where that is nothing we can take."""
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Check the name; nothing was changed.")
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder.")
    found = probe(path)
    if found.kind in PICTURES:
        stills = load(path, found)
        for number, still in enumerate(stills):
            page = f", page {number + 1} of {len(stills)}" if len(stills) > 1 else ""
            yield Found(path, still, "still", None, f"{path.name}: {found.words}{page}. {still.derivation}".rstrip())
    elif found.kind == "pdf":
        document = Document(path, path.stem[:64], found.pages)
        yield Found(path, document, "document", None, f"{path.name}: {found.words}")
    elif found.kind == "video":
        yield from _clips(found, scratch, limit, asked)
    elif from_folder and found.kind in ("text", "unknown", "empty") and path.suffix.lower() not in _PROMISES:
        yield Found(path, None, "", None, f"{path.name} was passed over: it is {found.words}.")
    else:
        raise _refused(found)


def _refused(found: Probed) -> InputError:
    """Why a file of a known kind is not taken, and what to do about it."""
    name = found.path.name
    if found.kind == "part10":
        return InputError(f"{name} is a DICOM object already.", "Send it as it is: dicap send FILE --to PEER.")
    if found.kind == "heif":
        return InputError(f"{name} is a HEIC or AVIF picture.", "Save it as JPEG, PNG or TIFF, then import that.")
    if found.kind == "empty":
        return InputError(f"{name} is empty: it has 0 bytes.", "Copy it again from where it came from.")
    claim = f", whatever its name says ({found.path.suffix})" if found.path.suffix.lower() in _PROMISES else ""
    return InputError(f"{name} is {found.words}{claim}.", f"What can be imported: {_KINDS}, and folders of them.")


def _clips(found: Probed, scratch: Path, limit: int, asked: Syntax | None) -> Iterator[Found]:
    """The clips of a video; the file of each goes when the next is asked for."""
    for clip in load_video(found.path, scratch, limit, _wish(asked)):
        try:
            count = f"{clip.frames} frames as {clip.codec}"
            words = " ".join((f"{found.path.name}: {found.words}, {count}.", clip.derivation, *clip.flaws)).strip()
            yield Found(found.path, clip, "clip", None, words)
        finally:
            clip.path.unlink(missing_ok=True)


def _wish(asked: Syntax | None) -> Wish:
    """What `--syntax` means for a video: which streams go as they are, and what the others become."""
    if asked is None:
        return Wish(lambda facts: _refusal(facts, None))
    if asked.kind != "video":
        return Wish(lambda facts: _refusal(facts, None), "frames")
    # every H.264 syntax wants the same of an encoder; MPEG-2 has one syntax for each level
    return Wish(lambda facts: _refusal(facts, asked), asked.name if asked.codec == "mpeg2video" else asked.codec)


def _refusal(facts: Facts, asked: Syntax | None) -> str:
    """Why this stream cannot go as it is, or nothing where it can (PS3.5 8.2.5 to 8.2.10).

    10 bits are legal in HEVC Main 10, but no object that we make holds more than 8 in a video.
    """
    shape = facts.format
    try:
        legal = by_stream(facts.codec, facts.profile, facts.level, shape.width, shape.height, shape.rate)
    except InputError as error:
        return str(error).rstrip(".")
    if shape.pixels not in _PIXELS.get(legal.max_bits, ()):
        return f"its pixels ({shape.pixels}) are not 8 bits in 4:2:0"
    if legal.square_pixels and shape.aspect != 1:
        return "its pixels are not square"
    if facts.high_tier:
        return "it is high-tier HEVC"
    # an H.264 stream of a higher level is written under its own syntax by dicom.objects; MPEG-2's levels differ in shape
    if asked is not None and (legal.codec != asked.codec or (asked.codec == "mpeg2video" and legal is not asked)):
        return f"{asked.name} was asked for"
    return ""
