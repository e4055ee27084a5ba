"""One object on the page of a disc: its picture, what it is, where it leads."""

from html import escape

from appliance.media.preview import Preview

FOLDER = "IHE_PDI"  # beside the page: pictures and documents for people without a viewer
_KINDS = {
    "CT": "Computed tomography", "MR": "Magnetic resonance", "US": "Ultrasound", "ES": "Endoscopy", "GM": "Microscopy",
    "XC": "Photograph", "DOC": "Document", "CR": "X-ray", "DX": "X-ray", "XA": "Angiography", "RF": "Fluoroscopy",
    "OT": "Picture", "SM": "Slide", "OP": "Eye photograph", "SC": "Picture",
}  # fmt: skip


def card(preview: Preview) -> str:
    """One object as an item of the list, leading to its picture or its document."""
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
    """The picture in its card; samples that are not square are shown in their true proportions (PS3.3 C.7.6.3.1.7)."""
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
    """How many frames there are, for a cine or a video; nothing for a still."""
    if frames < 2 and not preview.is_video:
        return ""
    return f"<i>▶ {count(frames, 'frame')}{', video' if preview.is_video else ''}</i>"


def _clock(time: str) -> str:
    """Hours and minutes of a DICOM time; empty for none."""
    return f"{time[:2]}:{time[2:4]}" if time[:4].isdigit() and len(time) >= 4 else ""


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
