"""The menu made real: stills, clips and documents written as whole objects, in pieces, ready for check and shelf."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from fractions import Fraction
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from appliance.clinic.exam import Exam, Series
from appliance.clinic.order import Code
from appliance.dicom import codecs, document, encapsulate, imagemodules, modules, pixels
from appliance.dicom.imagemodules import Motion, Seen
from appliance.dicom.menu import (
    KINDS,
    MULTI_FRAME_SC,
    SC,
    US,
    US_MULTI,
    VIDEO_VL,
    VL,
    Kind,
    Subject,
    demand_pair,
    find_kind,
    is_coded,
    kind_for,
    legal_syntaxes,
    modality_for,
    sop_class,
    syntax_of,
)
from appliance.dicom.modules import Device
from appliance.dicom.pixels import PixelFacts
from appliance.dicom.syntaxes import SYNTAXES, Syntax, by_name
from appliance.errors import IllegalPair, InputError, SettingsError
from capture.frame import Clip, Loss, Pixels, Still
from capture.picture import read_frames

__all__ = [
    "KINDS", "Device", "Kind", "Making", "Subject", "Written", "auto_syntax", "demand_pair", "kind_for", "legal_syntaxes",
    "modality_for", "sop_class", "write_clip", "write_document", "write_still",
]  # fmt: skip


@dataclass(frozen=True)
class Making:
    """What an object is made of besides its picture.

    `number` is the Instance Number, `kind` a word of KINDS. `region` is the anatomic region, which clips of a `vl-*` kind
    must have; `laterality` is R, L, U, B or empty; `burned_in` is YES, NO or None where nobody has looked. `conversion`
    says how the picture came in (PS3.3 C.8.6.1: DV video, DI digital interface, DF film, SD document, SI scanned image,
    WSD workstation, SYN synthetic). `created` is when the object is made, by default now.
    """

    exam: Exam
    series: Series
    number: int
    kind: str
    sop_instance_uid: str
    device: Device = field(default_factory=Device)
    region: Code | None = None
    laterality: str = ""
    burned_in: str | None = None
    comments: str = ""
    conversion: str = "DV"
    created: datetime | None = None

    @property
    def zone(self) -> tzinfo | None:
        """The one time zone of all dates and times in the object: the exam's."""
        return self.exam.started.tzinfo


@dataclass(frozen=True)
class Written:
    """What was written: UIDs, and the picture's size (0 for a document)."""

    sop_class_uid: str
    sop_instance_uid: str
    syntax_uid: str
    rows: int = 0
    columns: int = 0
    frames: int = 0


def auto_syntax(subject: Subject, setting: str) -> Syntax:
    """The syntax that a `--syntax` word means for this subject.

    `auto`: a stream goes in as it is, other stills and clips of single frames become JPEG-LS, a document explicit. The
    word of any syntax of a coded clip's own codec means the one under which the stream is legal (`mpeg2` may become
    `mpeg2-hd`).
    Raises SettingsError for an unknown word, InputError where the coded clip is legal in no syntax.
    """
    if setting != "auto":
        syntax = by_name(setting)
        if isinstance(subject, Clip) and syntax.kind == "video" and syntax.codec == subject.codec:
            return syntax_of(subject, syntax)
        return syntax
    if subject == "document":
        return SYNTAXES["explicit"]
    if isinstance(subject, Clip):
        return syntax_of(subject) if is_coded(subject) else SYNTAXES["jls"]
    if subject.pixels is None and subject.stream is not None:
        return _of_still_stream(subject)
    return SYNTAXES["jls"]


def _of_still_stream(still: Still) -> Syntax:
    """The syntax in which a still's coded stream is legal as it is."""
    stream = still.stream
    if stream is not None and stream.codec == "jpeg":
        return SYNTAXES["jpeg"]
    return SYNTAXES["j2k-lossy" if stream is not None and stream.lossy else "j2k"]


def write_still(out: Path, making: Making, still: Still, syntax: Syntax, quality: int = 90) -> Written:
    """Write one picture as an object in Part 10 form at `out`.

    A stream of that very syntax goes in byte for byte, any other is decoded first; so is one of RGB samples that is to
    become a `vl-*` object (C.8.12.1.1.1 wants the codec's colour transform). `quality` (1 to 100) is for lossy syntaxes.
    Raises IllegalPair, SettingsError (something the IOD demands is missing), InputError.
    """
    uid = sop_class(making.kind, still, syntax)
    _demand_modality(making)
    losses, stream = still.losses, still.stream if still.pixels is None else None
    if stream is not None and stream.lossy:
        losses = _with(losses, stream.codec, _native_bytes(still) / max(1, len(stream.data)))
    if stream is None or syntax is not _of_still_stream(still) or (uid in VL and stream.color == "rgb"):
        still = _as_pixels(still)
    facts = pixels.pixel_facts(still, syntax)
    seen = _seen(making, still)
    if still.pixels is None and stream is not None:
        coded = stream.data
    elif still.pixels is not None:
        coded = pixels.encode(still.pixels, still.bits, syntax, quality)
        if syntax.lossy:
            losses = (*losses, Loss(syntax.codec, pixels.ratio(facts, len(coded))))
    seen = replace(seen, losses=losses, aspect=still.aspect, millimetres=still.millimetres)
    dataset = _image(making, uid, seen, facts)
    body = encapsulate.Frames([coded]) if syntax.is_compressed else encapsulate.Native([coded], len(coded))
    encapsulate.write(out, dataset, syntax, body)
    return Written(uid, making.sop_instance_uid, syntax.uid, facts.rows, facts.columns, 1)


def _as_pixels(still: Still) -> Still:
    """The same still decoded, by the codec that is at home in dicom.codecs."""
    stream = still.stream
    if still.pixels is not None or stream is None:
        return still
    own = _of_still_stream(still)
    facts = pixels.pixel_facts(still, own)
    shape = (facts.rows, facts.columns) if facts.samples == 1 else (facts.rows, facts.columns, 3)
    decoded = codecs.decode(stream.data, own, shape, np.dtype(f"u{facts.bits_allocated // 8}"), facts.photometric)
    return replace(still, pixels=decoded, stream=None, bits=stream.bits)


def _native_bytes(still: Still) -> int:
    """The size of the picture without compression, for the ratio of a stream that came compressed."""
    bits = still.stream.bits if still.stream else still.bits
    return still.width * still.height * (1 if still.is_gray else 3) * (1 if bits <= 8 else 2)


def write_clip(
    out: Path, making: Making, clip: Clip, syntax: Syntax, quality: int = 90, fragmentable: bool = False
) -> Written:
    """Write a clip as an object in Part 10 form at `out`, in pieces.

    A coded clip with its own video syntax goes in byte for byte (`fragmentable`: in several fragments, under the twin
    UID); otherwise its frames are decoded and written one by one, by way of a file beside `out`. Raises IllegalPair,
    SettingsError (an anatomic region, or a modality, is asked for), InputError.
    """
    uid = sop_class(making.kind, clip, syntax)
    _demand_modality(making)
    if uid in VIDEO_VL and making.region is None:
        raise SettingsError(
            f"{making.kind} clips must say which part of the body they show, and neither order nor settings do.",
            "Choose the region on the screen, give it with --region, or set sources.<name>.anatomic_region.",
        )
    if syntax.kind == "video":
        return _write_video(out, making, uid, clip, syntax, fragmentable)
    if fragmentable:
        raise IllegalPair(f"{syntax.name} has no fragmentable twin.", "Only video syntaxes have: mpeg2, h264, hevc.")
    return _write_frames(out, making, uid, clip, syntax, quality)


def _write_video(out: Path, making: Making, uid: str, clip: Clip, syntax: Syntax, fragmentable: bool) -> Written:
    """The file of the clip as one fragment, or several (PS3.5 8.2.5 to 8.2.11)."""
    facts = pixels.pixel_facts(clip, syntax)
    seen = replace(_seen(making, clip), aspect=clip.format.aspect)
    losses = _with(clip.losses, clip.codec, pixels.ratio(facts, clip.path.stat().st_size))
    # PS3.5 8.2.5 and 8.2.6 know MPEG-2 at a few constant frame times only
    times = clip.times if syntax.codec != "mpeg2video" else ()
    motion = Motion(clip.frames, clip.format.rate, times, clip.has_sound, clip.markers)
    dataset = _image(making, uid, replace(seen, losses=losses), facts, motion)
    body = encapsulate.Video(clip.path, fragmentable)
    encapsulate.write(out, dataset, syntax, body)
    twin = syntax.fragmentable_uid if fragmentable else syntax.uid
    return Written(uid, making.sop_instance_uid, twin, facts.rows, facts.columns, clip.frames)


def _write_frames(out: Path, making: Making, uid: str, clip: Clip, syntax: Syntax, quality: int) -> Written:
    """Frame by frame: decoded, encoded, spilled beside `out`, and from there into the object."""
    facts = pixels.pixel_facts(clip, syntax)
    losses = clip.losses
    # an imported clip may be of any codec; for most there is no word of (0028,2114), and some lose nothing
    if is_coded(clip):
        video = pixels.facts_of_shape((facts.rows, facts.columns, 3), 8, SYNTAXES["explicit"], clip.frames)
        losses = _with(losses, clip.codec, pixels.ratio(video, clip.path.stat().st_size))
    frames = _frames(clip, facts)
    coded: Iterable[bytes] = (
        pixels.encode_many(frames, facts.bits_stored, syntax, quality)
        if syntax.is_compressed
        else (pixels.encode(frame, facts.bits_stored, syntax) for frame in frames)
    )
    # a coded clip tells how many frames it really holds only when all are decoded, so native frames are spilled too
    with encapsulate.spilled(coded, out.parent) as spill:
        count = len(spill.lengths)
        if not count:
            raise InputError("The clip holds no frame.")
        facts = replace(facts, frames=count)
        if syntax.lossy:
            losses = (*losses, Loss(syntax.codec, pixels.ratio(facts, spill.total)))
        seen = replace(_seen(making, clip), losses=losses, aspect=clip.format.aspect)
        times = clip.times if len(clip.times) == count else ()
        motion = Motion(count, clip.format.rate, times, False, clip.markers)
        dataset = _image(making, uid, seen, facts, motion)
        body = spill if syntax.is_compressed else encapsulate.Native(_pieces(spill.spill), facts.total_bytes)
        encapsulate.write(out, dataset, syntax, body)
    return Written(uid, making.sop_instance_uid, syntax.uid, facts.rows, facts.columns, count)


def _frames(clip: Clip, facts: PixelFacts) -> Iterator[Pixels]:
    """The frames in display order, all of the promised shape."""
    shape = (facts.rows, facts.columns) if facts.samples == 1 else (facts.rows, facts.columns, 3)
    for frame in read_frames(clip):
        if frame.shape != shape:
            raise InputError(f"A frame of the clip is {frame.shape}, the others are {shape}.")
        yield frame


def _pieces(spill: object) -> Iterator[bytes]:
    """A spilled file, a megabyte at a time."""
    assert isinstance(spill, Path)
    with spill.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def write_document(out: Path, making: Making, pdf: Path, title: str, syntax: Syntax = SYNTAXES["explicit"]) -> Written:
    """Write a PDF as an Encapsulated PDF object (PS3.3 A.45.1) at `out`, in pieces; InputError where it is no PDF."""
    uid = sop_class(making.kind, "document", syntax)
    document.demand_pdf(pdf)
    dataset = Dataset()
    created = making.created or datetime.now(making.zone)
    _common(dataset, making)
    modules.sc_equipment(dataset, making.device, making.conversion if making.conversion in ("SD", "WSD", "DI") else "WSD")
    seen = Seen(created, making.number, making.laterality, burned_in=making.burned_in)
    imagemodules.encapsulated_document(dataset, seen, title, making.zone)
    modules.sop_common(dataset, (uid, making.sop_instance_uid), created, making.zone)
    encapsulate.write(out, dataset, syntax, document.Attached(pdf))
    return Written(uid, making.sop_instance_uid, syntax.uid)


def _demand_modality(making: Making) -> None:
    """SettingsError unless the series bears a modality that the kind's IOD allows."""
    legal = find_kind(making.kind).modalities
    if legal and making.series.modality not in legal:
        raise SettingsError(
            f"{making.kind} objects are of modality {' or '.join(legal)}, this series is {making.series.modality}.",
            "Give the series that modality (objects.modality_for does), or choose --object sc.",
        )


def _with(losses: tuple[Loss, ...], codec: str, ratio: float) -> tuple[Loss, ...]:
    """The history with the stream's own loss at its end; who made the stream may have counted it already."""
    return losses if losses and losses[-1].codec == codec else (*losses, Loss(codec, ratio))


def _seen(making: Making, subject: Still | Clip) -> Seen:
    """What the facts of the making and of the subject say for the image modules."""
    comments = "; ".join(word for word in (making.comments, *subject.flaws) if word)
    return Seen(
        captured=subject.captured,
        number=making.number,
        laterality=making.laterality,
        region=making.region,
        burned_in=making.burned_in,
        derivation=subject.derivation,
        comments=comments,
        aspect=Fraction(1),
    )


def _common(dataset: Dataset, making: Making) -> None:
    """Patient, study, equipment, and the series of an image or of a document."""
    modules.patient(dataset, making.exam)
    modules.general_study(dataset, making.exam, making.zone)
    modules.patient_study(dataset, making.exam, making.zone)
    series = modules.document_series if making.kind == "document" else modules.general_series
    series(dataset, making.exam, making.series, making.zone)
    modules.general_equipment(dataset, making.device)


def _image(making: Making, uid: str, seen: Seen, facts: PixelFacts, motion: Motion | None = None) -> Dataset:
    """The whole dataset of an image but Pixel Data: the modules of PS3.3 A.6, A.7, A.8 and A.32."""
    dataset, zone = Dataset(), making.zone
    created = making.created or datetime.now(zone)
    _common(dataset, making)
    imagemodules.general_image(dataset, seen, zone)
    secondary = uid == SC or uid in MULTI_FRAME_SC
    imagemodules.pixel_shape(dataset, seen, making.conversion if secondary else "", calibrated=uid not in (US, US_MULTI))
    pixels.put(dataset, facts)
    if motion is not None:
        imagemodules.cine(dataset, motion)
    if secondary:
        modules.sc_equipment(dataset, making.device, making.conversion)
        if motion is None:
            imagemodules.sc_image(dataset, created, zone)
        else:
            imagemodules.sc_multi_frame(dataset, seen, facts.samples == 1)
    if uid in VL:
        imagemodules.acquisition_context(dataset)
    if uid in VL or uid in (US, US_MULTI):
        imagemodules.anatomy(dataset, seen)
    if motion is not None and (secondary or uid == US_MULTI):
        imagemodules.frame_pointers(dataset, motion)
    modules.sop_common(dataset, (uid, making.sop_instance_uid), created, zone)
    return dataset
