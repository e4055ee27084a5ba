"""A file-set with its DICOMDIR, to a named profile (PS3.10 8, PS3.11)."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from capture.encode import jpeg
from pydicom import dcmread
from pydicom.fileset import FileSet

from appliance.dicom import encapsulate, pixels, syntaxes
from appliance.dicom.stored import Stored
from appliance.errors import InputError
from appliance.media.profiles import PROFILES, Profile, by_name, for_video

PREVIEW_WIDTH = 1024
README = """\
This disc holds medical pictures in the DICOM format.

For a hospital or practice: import the file DICOMDIR at the top of this disc.
For everybody: open INDEX.HTM in a web browser. The pictures shown there are
for orientation only; a diagnosis needs the DICOM files.

Profiles of DICOM PS3.11: {profiles}
Objects: {objects}
Written by dicap; the DICOMDIR was written last and the whole was read back.
"""


@dataclass(frozen=True)
class Handout:
    """What was made: the folder, the profiles it keeps, how many objects, how many bytes."""

    folder: Path
    profiles: tuple[str, ...]
    objects: int
    size: int


def make(folder: Path, objects: Sequence[Path], word: str = "auto") -> Handout:
    """Write a file-set into an empty folder: objects, previews, README.TXT, INDEX.HTM, and last the DICOMDIR.

    `word` is a name of STILL_PROFILES, or `auto`: the CD profile where all fits on a CD, else the JPEG one for DVD.
    A still in a syntax that the profile does not have is transcoded without loss. Raises InputError where the folder
    is not empty, SettingsError for an unknown profile.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty", "Name a new folder; nothing was written.")
    if not objects:
        raise InputError("there is no object to hand over", "Nothing was written.")
    folder.mkdir(parents=True, exist_ok=True)
    work = folder.with_name(folder.name + ".work")
    work.mkdir()
    try:
        profile = _choose(objects) if word == "auto" else by_name(word)
        names = {profile.name}
        ready = []
        for number, path in enumerate(objects):
            ready.append(_suited(path, work / f"{number}.dcm", profile, names))
        file_set = FileSet()
        for path in ready:
            file_set.add(path)
        file_set.ID = "DICAP"
        _pages(folder, ready, sorted(names))
        file_set.write(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Handout(folder, tuple(sorted(names)), len(objects), size)


def _choose(objects: Sequence[Path]) -> Profile:
    megabytes = 0.0
    for path in objects:
        with Stored(path) as stored:
            if stored.syntax.kind == "video" or not stored.has_pixels:
                megabytes += path.stat().st_size / 1e6
            else:
                facts = pixels.facts_in(stored.dataset)
                megabytes += facts.rows * facts.columns * facts.samples * facts.bits_allocated / 8 * facts.frames / 1e6
    return PROFILES["cd"] if megabytes < PROFILES["cd"].megabytes else PROFILES["dvd-jpeg"]


def _suited(path: Path, work: Path, profile: Profile, names: set[str]) -> Path:
    """The object itself where the profile has its syntax, else a lossless copy in one that it has."""
    with Stored(path) as stored:
        own = stored.syntax
    if own.kind == "video":
        other = for_video(own.name)
        if other is None:
            raise InputError(
                f"no media profile of the standard allows a video in {own.name}",
                "Export it in another syntax (h264, mpeg2), or hand it over through the network.",
            )
        names.add(other.name)
        return path
    if own.name in profile.syntaxes:
        return path
    encapsulate.transcode(path, work, syntaxes.by_name(profile.fallback))
    return work


def _pages(folder: Path, objects: Sequence[Path], names: Sequence[str]) -> None:
    """README.TXT and INDEX.HTM with a small picture of every object (IHE PDI): no program runs from the disc."""
    preview = folder / "IHE_PDI"
    preview.mkdir()
    rows = []
    person = ""
    for number, path in enumerate(objects, 1):
        header = dcmread(path, stop_before_pixels=True, specific_tags=["PatientName", "PatientID", "StudyDescription",
                         "StudyDate", "Modality", "NumberOfFrames", "InstanceNumber"])  # fmt: skip
        name, number_of = str(header.get("PatientName", "")), str(header.get("PatientID", ""))
        person = person or f"{escape(name)} [{escape(number_of)}]"
        words = f"{header.get('Modality', '')} {header.get('StudyDate', '')} {escape(str(header.get('StudyDescription', '')))}"
        picture = _preview(path, preview / f"P{number:07}.JPG")
        shown = f'<img src="IHE_PDI/{picture}" alt="picture {number}">' if picture else "<p>A video or a document.</p>"
        rows.append(f"<figure>{shown}<figcaption>{number}. {words}</figcaption></figure>")
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Medical pictures</title><style>'
        "body{font:16px sans-serif;margin:2em;background:#f4f5f7;color:#16202a}"
        "figure{display:inline-block;margin:0 1em 1em 0;background:#fff;padding:.6em;border-radius:8px;vertical-align:top}img{max-width:22em;display:block}"
        "figcaption{padding-top:.5em;max-width:22em}</style></head><body>"
        f"<h1>{person}</h1><p>For orientation only: a diagnosis needs the DICOM files, which a viewer opens through "
        f"DICOMDIR. See <a href=\"README.TXT\">README.TXT</a>.</p>{''.join(rows)}</body></html>"
    )
    (folder / "INDEX.HTM").write_text(page, encoding="utf-8")
    readme = README.format(profiles=", ".join(names), objects=len(objects))
    (folder / "README.TXT").write_text(readme.replace("\n", "\r\n"), encoding="ascii", newline="")


def _preview(path: Path, to: Path) -> str:
    with Stored(path) as stored:
        if stored.syntax.kind == "video" or not stored.has_pixels:
            return ""
    first = next(pixels.decode(path))
    if first.dtype.itemsize > 1:
        low, high = int(first.min()), int(first.max())
        first = ((first.astype("float32") - low) * (255.0 / max(1, high - low))).astype("uint8")
    to.write_bytes(jpeg(first, 85, PREVIEW_WIDTH))
    return to.name
