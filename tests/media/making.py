"""Objects for discs: exams of invented people with stills, a clip, a video and a document, all made here."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from appliance.clinic.exam import Exam, Series
from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.dicom import objects
from appliance.dicom.syntaxes import by_name
from appliance.dicom.uids import Seeded
from capture.frame import Clip, Format, Still

WHEN = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
STOMACH = Code("69695003", "SCT", "Stomach")
JANE = Patient("P-1", "Doe^Jane^Q", birth_date="19620330", sex="F", issuer="HOSPITAL")
YAMADA = Patient("P-2", "Yamada^Tarou=山田^太郎=やまだ^たろう", birth_date="19710102", sex="M", issuer="HOSPITAL")
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


class Maker:
    """Makes objects of one exam into a folder, the same ones for the same seed."""

    def __init__(self, folder: Path, patient: Patient = JANE, seed: str = "jane", modality: str = "ES") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._uids = Seeded(seed)
        order = Order(
            patient, self._uids.named("study"), accession=f"A-{seed}"[:16], procedure_id=f"R-{seed}"[:16],
            procedure_description="Gastroscopy", step_id="S1", step_description="Gastroscopy", modality=modality,
        )  # fmt: skip
        self.exam = Exam("E1", (order,), order.study_uid, self._uids.named("step"), "E1", modality, WHEN)
        self._numbers = 0
        self._device = objects.Device(institution="St. Elsewhere", station_name="ENDO1")

    def _making(self, kind: str) -> objects.Making:
        self._numbers += 1
        modality = "DOC" if kind == "document" else objects.modality_for(kind, self.exam.modality)
        series = Series(self._uids.named("series", modality), 2 if modality == "DOC" else 1, modality, "Gastroscopy")
        return objects.Making(
            self.exam, series, self._numbers, kind, self._uids.new(), device=self._device, region=STOMACH, created=WHEN
        )

    def still(self, picture: np.ndarray, syntax: str = "jls", kind: str = "sc", bits: int = 8) -> Path:
        """A still as an object."""
        making = self._making(kind)
        out = self._folder / f"{making.sop_instance_uid}.dcm"
        objects.write_still(out, making, Still(WHEN, pixels=picture, bits=bits), by_name(syntax))
        return out

    def cine(self, frames: list[np.ndarray], syntax: str = "rle", kind: str = "sc") -> Path:
        """Frames of one clip as a multi-frame object."""
        making = self._making(kind)
        raw = self._folder / f"{making.number}.raw"
        raw.write_bytes(b"".join(frame.tobytes() for frame in frames))
        high, wide = frames[0].shape[:2]
        layout = Format(wide, high, Fraction(10), "gray" if frames[0].ndim == 2 else "rgb24")
        out = self._folder / f"{making.sop_instance_uid}.dcm"
        objects.write_clip(out, making, Clip(raw, "raw", "raw", layout, len(frames), WHEN), by_name(syntax))
        raw.unlink()
        return out

    def video(self, clip: Clip, syntax: str, kind: str = "vl-endoscopic") -> Path:
        """A coded video as an object."""
        making = self._making(kind)
        out = self._folder / f"{making.sop_instance_uid}.dcm"
        objects.write_clip(out, making, clip, by_name(syntax))
        return out

    def document(self, title: str = "Report", pdf: bytes = PDF) -> Path:
        """A PDF as an object."""
        making = self._making("document")
        source = self._folder / "report.pdf"
        source.write_bytes(pdf)
        out = self._folder / f"{making.sop_instance_uid}.dcm"
        objects.write_document(out, making, source, title)
        source.unlink()
        return out


def colours(number: int = 0, high: int = 96, wide: int = 128) -> np.ndarray:
    """A colour picture; another one for each number."""
    rows, columns = np.mgrid[0:high, 0:wide]
    return np.stack([(rows * 2 + 20 * number) % 256, (columns * 2) % 256, (rows + columns) % 256], -1).astype(np.uint8)


def deep(high: int = 80, wide: int = 100) -> np.ndarray:
    """A gray picture of 12 bits."""
    rows, columns = np.mgrid[0:high, 0:wide]
    return ((rows * 37 + columns * 19) % 4096).astype(np.uint16)


def coded(folder: Path, codec: str, frames: int = 25) -> Clip:
    """A short video of legal form: `mpeg2` 720×576 in a program stream, or `h264`/`hevc` 640×480 in MPEG-TS."""
    wide, high = (720, 576) if codec == "mpeg2" else (640, 480)
    encoder, container, profile = {
        "mpeg2": ("mpeg2video", "mpeg", "Main"),
        "h264": ("libx264", "mpegts", "High"),
        "hevc": ("libx265", "mpegts", "Main"),
    }[codec]
    path = folder / f"{codec}.bin"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = wide, high, "yuv420p", Fraction(1, 25)
        stream.bit_rate = 4_000_000
        if codec == "h264":
            stream.options = {"preset": "ultrafast", "profile": "high", "level": "4.1", "x264-params": "8x8dct=1"}
        if codec == "hevc":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
        for number in range(frames):
            for packet in stream.encode(av.VideoFrame.from_ndarray(colours(number, high, wide), format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    name = {"mpeg2": "mpeg2video"}.get(codec, codec)
    level = {"mpeg2": 8, "h264": 41, "hevc": 90}[codec]
    layout = Format(wide, high, Fraction(25), "yuv420p")
    return Clip(path, name, container, layout, frames, WHEN, profile=profile, level=level)
