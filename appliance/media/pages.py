"""README.TXT and INDEX.HTM: what a person finds who puts the disc into any computer (IHE PDI): no program, no script."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from pydicom.dataset import Dataset

from appliance.clinic.patient import Patient
from appliance.media.preview import Preview

FOLDER = "IHE_PDI"
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
STYLE = """
:root{color-scheme:light dark;--ink:#16202a;--soft:#566575;--line:#d5dbe1;--page:#f3f5f7;--card:#fff;--link:#0b5cad}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--soft:#a3b1be;--line:#33404c;--page:#12181e;--card:#1b242d;--link:#7db8f5}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;margin:0;background:var(--page);color:var(--ink)}
main{max-width:76rem;margin:0 auto;padding:1.5rem}
a{color:var(--link)}
.note{border-left:4px solid #d9822b;padding:.4rem .9rem;background:var(--card);border-radius:0 6px 6px 0;max-width:56rem}
header{margin:2.2rem 0 1rem;border-bottom:1px solid var(--line)}
h1{font-size:1.6rem;margin:0;line-height:1.25}
h2{font-size:1.15rem;margin:1.6rem 0 .6rem;font-weight:600}
p.who{color:var(--soft);margin:.1rem 0 .8rem}
ul{list-style:none;margin:0;padding:0;display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}
li{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
li a{display:block;text-decoration:none;color:inherit}
.frame{background:#0b0f13;aspect-ratio:4/3;display:flex;align-items:center;justify-content:center;position:relative}
.frame img{width:100%;height:100%;object-fit:contain}
.frame b{color:#c8d2dc;font-size:1.1rem;font-weight:600;letter-spacing:.08em;padding:1rem;text-align:center}
.frame i{position:absolute;right:.5rem;bottom:.5rem;background:#000b;color:#fff;border-radius:4px;
  padding:.05rem .45rem;font-style:normal;font-size:.85rem}
.words{padding:.55rem .8rem .7rem;font-size:.92rem}
.words span{display:block;color:var(--soft)}
footer{color:var(--soft);margin-top:3rem;font-size:.9rem}
@media print{body{background:#fff}li{break-inside:avoid}}
"""
_KINDS = {
    "CT": "Computed tomography", "MR": "Magnetic resonance", "US": "Ultrasound", "ES": "Endoscopy", "GM": "Microscopy",
    "XC": "Photograph", "DOC": "Document", "CR": "X-ray", "DX": "X-ray", "XA": "Angiography", "RF": "Fluoroscopy",
    "OT": "Picture", "SM": "Slide", "OP": "Eye photograph", "SC": "Picture",
}  # fmt: skip


def index(previews: Sequence[Preview]) -> str:
    """INDEX.HTM: each patient, each study, each picture; everything it shows lies in FOLDER beside it."""
    body = []
    for patient in _grouped(previews, "PatientID"):
        who = patient[0].header
        body.append(f"<header><h1>{escape(_name(who))}</h1><p class=who>{escape(_about(who))}</p></header>")
        for study in _grouped(patient, "StudyInstanceUID"):
            body.append(f"<h2>{escape(_title(study[0].header))}</h2><ul>{''.join(_card(one) for one in study)}</ul>")
    title = ", ".join(dict.fromkeys(_name(one.header) for one in previews))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Medical pictures: {escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head><body><main>'
        "<p class=note>These small pictures are <strong>for orientation only</strong>. For a diagnosis, import "
        '<code>DICOMDIR</code> into a DICOM viewer. <a href="README.TXT">Read me</a></p>'
        f"{''.join(body)}<footer>{_count(len(previews), 'object')} · written by dicap</footer></main></body></html>\n"
    )


def readme(medium: str, profiles: Iterable[str], objects: int, notes: Sequence[str]) -> str:
    """README.TXT, in ASCII with the line ends of every system."""
    lines = "".join(f"Note: {note}\n" for note in notes)
    text = README.format(medium=medium, profiles=", ".join(profiles), objects=objects, notes=lines)
    return text.encode("ascii", "replace").decode("ascii").replace("\n", "\r\n")


def write(folder: Path, name: str, text: str) -> None:
    """One page as it is, whatever this system thinks of line ends."""
    (folder / name).write_bytes(text.encode("utf-8"))


def _grouped(previews: Sequence[Preview], keyword: str) -> list[list[Preview]]:
    groups: dict[str, list[Preview]] = {}
    for preview in previews:
        groups.setdefault(str(preview.header.get(keyword, "")), []).append(preview)
    return list(groups.values())


def _name(header: Dataset) -> str:
    return Patient(str(header.get("PatientID") or "?"), str(header.get("PatientName") or "")).spoken_name


def _about(header: Dataset) -> str:
    born = day_in_words(str(header.get("PatientBirthDate") or ""))
    words = [f"born {born}" if born else "", f"ID {header.get('PatientID', '')}"]
    words.append({"M": "male", "F": "female", "O": "other"}.get(str(header.get("PatientSex", "")), ""))
    return " · ".join(word for word in words if word)


def _title(header: Dataset) -> str:
    day = day_in_words(str(header.get("StudyDate") or ""))
    accession = str(header.get("AccessionNumber") or "")
    words = [day, str(header.get("StudyDescription") or ""), f"no. {accession}" if accession else ""]
    return " · ".join(word for word in words if word) or "Examination"


def _card(preview: Preview) -> str:
    header = preview.header
    modality = str(header.get("Modality") or "")
    kind = "Document" if "EncapsulatedDocument" in header else _KINDS.get(modality, modality or "Picture")
    label = str(header.get("DocumentTitle") or header.get("SeriesDescription") or kind)
    frames = int(header.get("NumberOfFrames") or 1)
    size = f"{header.Columns} × {header.Rows}" if "Rows" in header else ""
    time = _clock(str(header.get("AcquisitionDateTime") or "")[8:] or str(header.get("ContentTime") or ""))
    words = " · ".join(word for word in (kind if kind != label else "", size, time) if word)
    number = header.get("InstanceNumber")
    body = (
        f"<div class=frame>{_frame(preview, kind)}{_badge(preview, frames)}</div>"
        f"<div class=words>{number}. {escape(label)}<span>{escape(words)}</span></div>"
    )
    target = preview.document or preview.picture
    return f'<li><a href="{FOLDER}/{target}">{body}</a></li>' if target else f"<li>{body}</li>"


def _frame(preview: Preview, kind: str) -> str:
    if preview.picture:
        ratio = preview.header.get("PixelAspectRatio")  # height : width of a pixel
        shape = ""
        if ratio is not None and len(ratio) == 2 and int(ratio[0]) and int(ratio[1]) and int(ratio[0]) != int(ratio[1]):
            wide, high = int(preview.header.Columns) * int(ratio[1]), int(preview.header.Rows) * int(ratio[0])
            shape = f' style="object-fit:fill;height:auto;aspect-ratio:{wide}/{high}"'
        number = preview.header.get("InstanceNumber")
        return f'<img loading="lazy" src="{FOLDER}/{preview.picture}" alt="{escape(kind)} {number}"{shape}>'
    return "<b>PDF</b>" if preview.document else f"<b>{escape(kind)}: open it in a DICOM viewer</b>"


def _badge(preview: Preview, frames: int) -> str:
    if frames < 2 and not preview.is_video:
        return ""
    return f"<i>▶ {_count(frames, 'frame')}{', video' if preview.is_video else ''}</i>"


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


def _clock(time: str) -> str:
    return f"{time[:2]}:{time[2:4]}" if time[:4].isdigit() and len(time) >= 4 else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
