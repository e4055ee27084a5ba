"""A file-set with its DICOMDIR, to a named profile (PS3.10 8, PS3.11)."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.fileset import FileSet
from pydicom.uid import UID

from appliance.dicom import encapsulate, pixels, syntaxes, uids
from appliance.dicom.stored import Stored
from appliance.dicom.syntaxes import Syntax
from appliance.errors import DiskFull, InputError
from appliance.media import pages, preview, records
from appliance.media.cards import FOLDER
from appliance.media.profiles import MEDIA, Medium, choose

SLACK = 1.05  # a file-set may be this much larger than its objects: records, pages, small pictures


@dataclass(frozen=True)
class Handout:
    """What was made.

    `profiles` are the application profiles that the file-set keeps, `objects` their number, `size` the bytes of all files,
    `notes` what a person should know, in sentences.
    """

    folder: Path
    profiles: tuple[str, ...]
    objects: int
    size: int
    notes: tuple[str, ...] = ()


def medium_for(word: str, objects: Sequence[Path], is_image: bool) -> Medium:
    """The medium that a `--profile` word means for these objects; see profiles.choose."""
    found: set[str] = set()
    megabytes = 0.0
    for path in objects:
        with _stored(path) as stored:
            found.add(stored.syntax.name)
            megabytes += _unpacked(path, stored) / 1e6
    return choose(word, found, megabytes * SLACK, is_image)


def make(folder: Path, objects: Sequence[Path], medium: Medium) -> Handout:
    """Write a file-set into an empty folder: objects, previews, README.TXT, INDEX.HTM, and last the DICOMDIR.

    An object in a syntax that the profile does not have is transcoded without loss, frame by frame and under its own UID; a
    video stays byte for byte what it is. Nothing larger than a frame is held in memory. Raises InputError where an object
    cannot be handed over (every mistake named at once) or all does not fit, DiskFull. Fill it inside `whole.whole`.
    """
    if not objects:
        raise InputError("there is no object to hand over", "Nothing was written.")
    headers = [records.header_of(path) for path in objects]
    records.demand(headers)
    records.complete(headers)
    _demand_space(folder, objects)
    file_set = FileSet()
    file_set.UID = UID(uids.new())
    file_set.ID = "DICAP"
    found: list[Syntax] = []
    shown = []
    (folder / FOLDER).mkdir()
    for number, (path, header) in enumerate(zip(objects, headers, strict=True), 1):
        leaf, record = records.branch(header)
        target = folder / file_set.add_custom(header, leaf).FileID
        target.parent.mkdir(parents=True, exist_ok=True)
        syntax = _bring(path, target, medium)
        record.ReferencedTransferSyntaxUIDInFile = UID(syntax)
        found.append(syntaxes.by_uid(syntax))
        shown.append(preview.make(target, header, folder / FOLDER, number))
    profiles, notes = _claims(found, medium)
    pages.write(folder, "INDEX.HTM", pages.index(shown))
    pages.write(folder, "README.TXT", pages.readme(medium.name, profiles, len(objects), notes))
    with tempfile.TemporaryDirectory(prefix="dicap-dicomdir-") as work:
        file_set.write(work)  # of the headers alone: what the DICOMDIR says of them is all that is kept
        shutil.copyfile(Path(work) / "DICOMDIR", folder / "DICOMDIR")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if medium.megabytes and size > medium.megabytes * 1e6:
        raise InputError(f"{size / 1e6:.0f} MB do not fit on a {medium.name}, which holds {medium.megabytes} MB",
                         f"Hand over fewer exams, or choose another profile: {', '.join(MEDIA)}.")  # fmt: skip
    return Handout(folder, profiles, len(objects), size, notes)


def _bring(path: Path, target: Path, medium: Medium) -> str:
    """Copy an object to its place on the disc, or transcode it there; returns the UID of the syntax it then has.

    What the fallback codec does not carry (signed samples, odd colour models) goes uncompressed, as every profile allows.
    """
    with _stored(path) as stored:
        own, uid, has_pixels = stored.syntax, stored.uid, stored.has_pixels
    try:
        if own.name in medium.syntaxes or own.kind == "video":
            shutil.copyfile(path, target)
            return uid
        fallback = syntaxes.by_name(medium.fallback)
        if own.kind == "native" or not has_pixels or not fallback.is_compressed:
            return _transcoded(path, target, syntaxes.by_name("explicit"))
        try:
            return _transcoded(path, target, fallback)
        except InputError:
            # what that codec does not carry (signed samples, odd colour models) every profile takes uncompressed
            return _transcoded(path, target, syntaxes.by_name("explicit"))
    except OSError as error:
        raise InputError(f"{target.name} could not be written: {error.strerror}", "Nothing of the disc is left.") from error


def _transcoded(path: Path, target: Path, syntax: Syntax) -> str:
    """Transcode, and return the syntax's UID; InputError where it does not carry the object."""
    encapsulate.transcode(path, target, syntax)
    return syntax.uid


def _claims(found: Sequence[Syntax], medium: Medium) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The profiles that the file-set keeps; and in words which videos the standard has no profile for on this medium."""
    videos = [syntax.name for syntax in found if syntax.kind == "video"]
    strange = sorted({name for name in videos if name not in medium.videos})
    profiles = {medium.profile, *(medium.videos[name] for name in videos if name in medium.videos)}
    if not strange:
        return tuple(sorted(profiles)), ()
    note = f"the standard has no profile for video as {', '.join(strange)} on a {medium.name}: not every reader plays it"
    return tuple(sorted({*profiles, medium.private})), (note,)


def _demand_space(folder: Path, objects: Sequence[Path]) -> None:
    """Raise DiskFull unless the folder's disk has room for all objects at their largest."""
    needed = 0
    for path in objects:
        with _stored(path) as stored:
            needed += _unpacked(path, stored)
    free = shutil.disk_usage(folder).free
    if needed * SLACK > free:
        raise DiskFull(f"{folder} has {free / 1e6:.0f} MB free, {needed * SLACK / 1e6:.0f} MB are needed",
                       "Nothing was written. Free space, or write to another disk.")  # fmt: skip


def _unpacked(path: Path, stored: Stored) -> int:
    """The most bytes that an object may have on a disc."""
    size = path.stat().st_size
    if stored.syntax.kind == "video" or not stored.has_pixels:
        return size
    return max(size, pixels.facts_in(stored.dataset).total_bytes + (1 << 16))


def _stored(path: Path) -> Stored:
    """An object opened for reading; InputError where the file is gone, as the courier may let it go at any time."""
    try:
        return Stored(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "Nothing was written.") from error
