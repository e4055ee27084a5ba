"""README.TXT and INDEX.HTM: what a person finds who puts the disc into any computer (IHE PDI): no program, no script."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path

from pydicom.dataset import Dataset

from appliance.clinic.patient import Patient
from appliance.media.cards import card, count
from appliance.media.preview import Preview

README = """\
This {medium} holds medical pictures and documents in the DICOM format.

For a hospital or practice: import the file DICOMDIR at the top.
For everybody: open INDEX.HTM in a web browser. The pictures shown there are
for orientation only; a diagnosis needs the DICOM files and a viewer for them.

They are confidential: they belong to the patient and to those who treat them.

Profiles: {profiles}
Objects: {objects}
{notes}Written by dicap. The DICOMDIR was written last, and all was read back.
"""


def index(previews: Sequence[Preview]) -> str:
    """INDEX.HTM: each patient, each study, each picture; everything it shows lies in FOLDER beside it.

    The page is whole in itself: no script, no address of another machine, and everything that came from outside is escaped.
    Every picture leads to its larger self, every document to its PDF.
    """
    body = []
    for patient in _grouped(previews, "PatientID"):
        who = patient[0].header
        body.append(f"<header><h1>{escape(_name(who))}</h1><p class=who>{escape(_about(who))}</p></header>")
        for study in _grouped(patient, "StudyInstanceUID"):
            body.append(f"<h2>{escape(_title(study[0].header))}</h2><ul>{''.join(card(one) for one in study)}</ul>")
    style = (files("appliance.media") / "page.css").read_text(encoding="utf-8")
    title = ", ".join(dict.fromkeys(_name(one.header) for one in previews))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Medical pictures: {escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head><body><main>'
        "<p class=note>These small pictures are <strong>for orientation only</strong>. For a diagnosis, import "
        '<code>DICOMDIR</code> into a DICOM viewer. <a href="README.TXT">Read me</a></p>'
        f"{''.join(body)}<footer>{count(len(previews), 'object')} · written by dicap</footer></main></body></html>\n"
    )


def readme(medium: str, profiles: Iterable[str], objects: int, notes: Sequence[str]) -> str:
    """README.TXT, in ASCII with the line ends of every system (IHE RAD TF-3 4.47.4.1.2.3).

    `profiles` are the names of PS3.11, `notes` whole sentences.
    """
    lines = "".join(f"Note: {note}\n" for note in notes)
    text = README.format(medium=medium, profiles=", ".join(profiles), objects=objects, notes=lines)
    return text.encode("ascii", "replace").decode("ascii").replace("\n", "\r\n")


def write(folder: Path, name: str, text: str) -> None:
    """Write one page in UTF-8 as it is, whatever this system thinks of line ends."""
    (folder / name).write_bytes(text.encode("utf-8"))


def _grouped(previews: Sequence[Preview], keyword: str) -> list[list[Preview]]:
    """The previews in groups that agree on a key, in the order in which the groups were first met."""
    groups: dict[str, list[Preview]] = {}
    for preview in previews:
        groups.setdefault(str(preview.header.get(keyword, "")), []).append(preview)
    return list(groups.values())


def _name(header: Dataset) -> str:
    """The patient's name as people read it: all groups of a name that has several (PS3.5 6.2.1)."""
    return Patient(str(header.get("PatientID") or "?"), str(header.get("PatientName") or "")).spoken_name


def _about(header: Dataset) -> str:
    """Birth date, Patient ID and sex, as far as they are known."""
    born = day_in_words(str(header.get("PatientBirthDate") or ""))
    words = [f"born {born}" if born else "", f"ID {header.get('PatientID', '')}"]
    words.append({"M": "male", "F": "female", "O": "other"}.get(str(header.get("PatientSex", "")), ""))
    return " · ".join(word for word in words if word)


def _title(header: Dataset) -> str:
    """What was done in a study, when, and under which accession number."""
    day = day_in_words(str(header.get("StudyDate") or ""))
    accession = str(header.get("AccessionNumber") or "")
    words = [day, str(header.get("StudyDescription") or ""), f"no. {accession}" if accession else ""]
    return " · ".join(word for word in words if word) or "Examination"


def day_in_words(date: str) -> str:
    """A DICOM date as people read it, the month spelled out so that nobody mixes up day and month; empty for none."""
    try:
        day = datetime.strptime(date, "%Y%m%d")
    except ValueError:
        return ""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November"),
    "December",
)
