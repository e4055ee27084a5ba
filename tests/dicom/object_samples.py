"""One order, one exam, small pictures and clips, and Debian's dciodvfy: what the tests of objects and of check share."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from appliance.clinic.exam import Exam, Series
from appliance.clinic.order import Code, Order, Reference
from appliance.clinic.patient import Patient
from appliance.dicom import encapsulate, objects, uids
from appliance.dicom.syntaxes import SYNTAXES
from capture.frame import Clip, Format, Loss, Still, Stream

ZONE = timezone(timedelta(hours=-3, minutes=-30))
BEGUN = datetime(2026, 11, 20, 9, 30, tzinfo=ZONE)
SEEN = datetime(2026, 11, 20, 13, 10, 1, 250_000, tzinfo=UTC)
COLON = Code("71854001", "SCT", "Colon")
KINDS = ("sc", "us", "vl-endoscopic", "vl-microscopic", "vl-photographic")
DEVICE = objects.Device("Olympus", "CV-190", "7512345", "City Clinic", "Endoscopy", "ROOM1", "DICAP", "dicap 0.1.0")
UNREADABLE = ("deflated", "htj2k", "htj2k-lossy", "hevc")  # by Debian's dciodvfy of 2022
ROWS, COLUMNS = 48, 64

_SEEDED = uids.Seeded("objects")
PATIENT = Patient("P-4711", "Grün^Anna^^Dr", "19700203", "F", "CITY", other_ids=("OLD-1",), size="1.71", weight="64.5",
                  comments="talks a lot", allergies="latex", alerts="pacemaker", pregnancy="1", state="calm")  # fmt: skip
ORDER = Order(
    patient=PATIENT,
    study_uid=_SEEDED.named("study"),
    accession="ACC-1",
    procedure_id="RP-1",
    procedure_description="Colonoscopy",
    procedure_codes=(Code("73761001", "SCT", "Colonoscopy"),),
    step_id="SPS-1",
    step_description="Diagnostic colonoscopy",
    protocol_codes=(Code("COLO-1", "99CITY", "Standard colonoscopy", "2"),),
    modality="ES",
    referring_physician="Ernst^Paula",
    performing_physician="Weiß^Otto",
    requesting_service="Gastroenterology",
    reason="Bleeding",
    admission_id="ADM-9",
    referenced_studies=(Reference("1.2.840.10008.3.1.2.3.1", _SEEDED.named("referenced study")),),
    referenced_patients=(Reference("1.2.840.10008.3.1.2.1.1", _SEEDED.named("referenced patient")),),
)
EXAM = Exam(
    id="E0815",
    orders=(ORDER,),
    study_uid=ORDER.study_uid,
    step_uid=_SEEDED.named("step"),
    step_id="E0815",
    modality="ES",
    started=BEGUN,
    operator="Nurse^Nina",
)


def making(kind: str, exam: Exam = EXAM, **changed) -> objects.Making:
    """What an object of that kind is made of."""
    modality = objects.modality_for(kind, exam.modality)
    series = Series(_SEEDED.named("series", kind), 1, modality, "Pictures", "Colonoscopy protocol")
    plain = objects.Making(
        exam, series, 3, kind, _SEEDED.named("instance", kind), DEVICE, COLON, created=BEGUN + timedelta(minutes=12)
    )
    return replace(plain, **changed)


def picture(bits: int = 8, colour: bool = False, shift: int = 0) -> np.ndarray:
    """A smooth ramp over the whole range of its bits, moved down by `shift` rows."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    ramp = (y * COLUMNS + x) * ((1 << bits) - 1) // (ROWS * COLUMNS - 1)
    planes = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1) if colour else ramp
    return np.roll(planes, shift, axis=0).astype(np.uint8 if bits <= 8 else np.uint16)


def still(name: str) -> Still:
    """A still of one of STILLS."""
    bits, colour = STILLS[name]
    return Still(SEEN, picture(bits, colour), bits=bits)


STILLS = {"gray8": (8, False), "gray12": (12, False), "gray16": (16, False), "rgb": (8, True)}


def raw_clip(folder: Path, name: str, frames: int = 5) -> Clip:
    """A clip of single frames: `raw-gray8`, `raw-gray16` or `raw-rgb`."""
    pixels, bits, colour = {
        "raw-gray8": ("gray", 8, False),
        "raw-gray16": ("gray16le", 16, False),
        "raw-rgb": ("rgb24", 8, True),
    }[name]
    path = folder / f"{name}.raw"
    path.write_bytes(b"".join(picture(bits, colour, shift).tobytes() for shift in range(frames)))
    return Clip(path, "raw", "", Format(COLUMNS, ROWS, Fraction(25), pixels), frames, SEEN)


_VIDEOS = {
    "mpeg2": ("mpeg2video", "mpeg", "mpeg2video", (COLUMNS, ROWS), Fraction(25), {}, "Main", 8),
    "mpeg2-ntsc": ("mpeg2video", "mpeg", "mpeg2video", (COLUMNS, ROWS), Fraction(30_000, 1001), {}, "Main", 8),
    "mpeg2-hd": ("mpeg2video", "mpegts", "mpeg2video", (1280, 720), Fraction(50), {}, "Main", 4),
    "h264": ("libx264", "mpegts", "h264", (COLUMNS, ROWS), Fraction(25), {"profile": "high", "level": "4.1"}, "High", 41),
    "h264-mp4": ("libx264", "mp4", "h264", (COLUMNS, ROWS), Fraction(25), {"profile": "high", "level": "4.1"}, "High", 41),
    "h264-42": ("libx264", "mpegts", "h264", (COLUMNS, ROWS), Fraction(50), {"profile": "high", "level": "4.2"}, "High", 42),
    "hevc": ("libx265", "mpegts", "hevc", (COLUMNS, ROWS), Fraction(25), {"x265-params": "log-level=none"}, "Main", 30),
}
CLIPS = ("raw-gray8", "raw-gray16", "raw-rgb", *_VIDEOS)


def video_clip(folder: Path, name: str, frames: int = 6) -> Clip:
    """A small coded clip, made on the spot."""
    encoder, container, codec, size, rate, options, profile, level = _VIDEOS[name]
    path = folder / f"{name}.{container}"
    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            small = picture(8, True, number)
            repeats = (-(-size[1] // ROWS), -(-size[0] // COLUMNS), 1)
            whole = np.ascontiguousarray(np.tile(small, repeats)[: size[1], : size[0]])
            target.mux(stream.encode(av.VideoFrame.from_ndarray(whole, format="rgb24")))
        target.mux(stream.encode())
    return Clip(path, codec, container, Format(*size, rate, "yuv420p"), frames, SEEN, profile=profile, level=level)


def jpeg_still(colour: bool = True) -> Still:
    """A still whose picture is a baseline JPEG that goes in as it is."""
    from appliance.dicom import codecs

    data = codecs.encode(picture(8, colour), 8, SYNTAXES["jpeg"], 80)
    color, subsampling = ("ycc", "422") if colour else ("gray", "")
    return Still(SEEN, stream=Stream(data, "jpeg", COLUMNS, ROWS, 8, color, subsampling))


def j2k_still(lossy: bool = False, transformed: bool = True) -> Still:
    """A still whose picture is a JPEG 2000 codestream; `transformed` says whether in YBR."""
    import imagecodecs

    data = imagecodecs.jpeg2k_encode(
        picture(8, True), 40 if lossy else None, codecformat="j2k", reversible=not lossy, mct=transformed
    )
    color = ("ict" if lossy else "rct") if transformed else "rgb"
    return Still(SEEN, stream=Stream(bytes(data), "jpeg2000", COLUMNS, ROWS, 8, color, lossy=lossy))


def with_history(clip: Clip) -> Clip:
    """The same clip after a lossy compression before it came here."""
    return replace(clip, losses=(Loss("jpeg", 7.5),))


def dciodvfy(path: Path) -> list[str]:
    """The lines of dciodvfy that report an error."""
    ran = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", timeout=60)
    said = (ran.stdout + ran.stderr).splitlines()
    assert said, f"dciodvfy said nothing about {path.name}"
    return [line for line in said if "Error" in line]


def readable_twin(path: Path, name: str) -> Path:
    """The object in explicit VR, where dciodvfy cannot read its syntax."""
    if name not in UNREADABLE:
        return path
    twin = path.with_suffix(".twin.dcm")
    encapsulate.transcode(path, twin, SYNTAXES["explicit"])
    return twin
