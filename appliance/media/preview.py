"""What is on a disc for people without a viewer: a small picture of each object, and each document as it is."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from pydicom.dataset import Dataset

from appliance.dicom import pixels
from appliance.dicom.elements import opened
from appliance.dicom.stored import Stored
from appliance.errors import InputError
from capture.encode import jpeg
from capture.frame import Clip, Format, Pixels
from capture.picture import read_frames
from capture.source import CaptureError

WIDTH = 1024
_ENOUGH = 16 << 20  # bytes of a stream within which its first picture ends
_PIECE = 1 << 20
_DOCUMENT, _LENGTH = 0x00420011, 0x00420015


@dataclass(frozen=True)
class Preview:
    """What a page shows of one object.

    `header` is what records.header_of read; `picture` and `document` are the names of the JPEG and of the PDF in the pages'
    folder, empty where there is none.
    """

    header: Dataset
    is_video: bool
    picture: str = ""
    document: str = ""


def make(path: Path, header: Dataset, folder: Path, number: int) -> Preview:
    """Write the JPEG, or the document, of an object into `folder`, and return what the page shows of it.

    `number` makes the names. An object that cannot be shown here (palette colour, 32 bits) gets no picture, and is no fault:
    a viewer shows it.
    """
    if "EncapsulatedDocument" in header:
        name = f"D{number:07}.PDF"
        is_pdf = header.get("MIMETypeOfEncapsulatedDocument") == "application/pdf"
        return Preview(header, False, document=name if is_pdf and _document(path, folder / name) else "")
    name = f"P{number:07}.JPG"
    with Stored(path) as stored:
        is_video = stored.syntax.kind == "video"
    try:
        first = _first_of_video(path, header) if is_video else _shown(next(pixels.decode(path)), header)
    except (InputError, CaptureError, StopIteration):
        return Preview(header, is_video)  # palette colour, 32 bits: a viewer shows it, this page does not
    (folder / name).write_bytes(jpeg(first, 85, WIDTH))
    return Preview(header, is_video, name)


def _first_of_video(path: Path, header: Dataset) -> Pixels:
    """The first picture of a video, decoded from a copy of its beginning; MP4 is copied whole, its index may be last.

    InputError or CaptureError where it cannot be decoded.
    """
    with Stored(path) as stored, tempfile.TemporaryDirectory(prefix="dicap-preview-") as work:
        copy = Path(work) / "video"
        with copy.open("wb") as file:
            pieces = stored.fragments()
            first = next(pieces, b"")
            file.write(first)
            is_mp4 = first[4:8] == b"ftyp"
            for piece in pieces:
                if not is_mp4 and file.tell() >= _ENOUGH:
                    break
                file.write(piece)
        layout = Format(int(header.Columns), int(header.Rows), Fraction(25), "yuv420p")
        clip = Clip(
            copy, stored.syntax.codec, "", layout, 1, datetime.now(UTC), flaws=("only its beginning is looked at",)
        )
        return next(read_frames(clip))


def _shown(picture: Pixels, header: Dataset) -> Pixels:
    """The picture with 8 bits as a screen shows it: through the object's window, else from darkest to brightest.

    (rows, columns) or (rows, columns, 3) uint8; the window is PS3.3 C.11.2.1.2's linear one.
    """
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    if picture.dtype.itemsize > 1 or (picture.ndim == 2 and header.get("WindowWidth") is not None):
        slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
        values = picture.astype("float32") * slope + intercept
        width = _first(header, "WindowWidth")
        if width >= 1:
            low = _first(header, "WindowCenter") - width / 2
        else:
            low = float(values.min())
            width = max(1.0, float(values.max()) - low)
        picture = ((values - low) * (255 / width)).clip(0, 255).astype("uint8")
    return 255 - picture if inverted else picture


def _first(header: Dataset, keyword: str) -> float:
    """The first value of a DS attribute that may have several, 0 where there is none."""
    value = header.get(keyword)
    several = value if isinstance(value, list) or hasattr(value, "__getitem__") else [value]
    return float(several[0] or 0) if len(several) else 0.0


def _document(path: Path, to: Path) -> bool:
    """Copy an encapsulated document out of its object, a megabyte at a time, without its padding (PS3.3 C.24.2)."""
    with opened(path) as file, to.open("wb") as out:
        element = file.dataset.elements[_DOCUMENT]
        if element.value is not None:
            out.write(element.value)
        else:
            file.stream.seek(element.position)
            for begin in range(0, element.length, _PIECE):
                out.write(file.stream.read(min(_PIECE, element.length - begin)))
        told = file.dataset.elements.get(_LENGTH)
        if told is not None and told.value:
            out.truncate(min(int.from_bytes(told.value, "little"), element.length))
    return True
