"""One function per information module of the image and the document: general image, cine, SC, US, VL and their kin."""

import re
from collections.abc import Sequence as Several
from dataclasses import dataclass
from datetime import datetime, tzinfo
from fractions import Fraction

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from appliance.clinic.order import Code
from appliance.dicom.anatomy import is_unpaired
from appliance.dicom.modules import code_item, put, put_empty, put_moment, stamp
from appliance.dicom.syntaxes import METHODS
from capture.frame import Loss

FRAME_TIME = Tag("FrameTime")
FRAME_TIME_VECTOR = Tag("FrameTimeVector")
_FILM_OR_PAPER = frozenset({"DF", "SD", "SI"})
_LONGEST_VECTOR = 65_534  # bytes: an explicit VR DS has a 16-bit length (PS3.5 7.1.2)


@dataclass(frozen=True)
class Seen:
    """What the image modules must know of one picture or clip, besides its pixels.

    `losses` are all lossy compressions, the object's own last; `aspect` is a pixel's width over its height;
    `millimetres` is (between rows, between columns); `derived` says that the pixels are not as the device gave them.
    """

    captured: datetime
    number: int
    laterality: str = ""
    region: Code | None = None
    burned_in: str | None = None
    losses: tuple[Loss, ...] = ()
    derivation: str = ""
    comments: str = ""
    aspect: Fraction = Fraction(1)
    millimetres: tuple[float, float] | None = None


@dataclass(frozen=True)
class Motion:
    """How a clip moves: frames, their rate per second, their moments in seconds where irregular, sound, marked moments."""

    frames: int
    rate: Fraction
    times: tuple[float, ...] = ()
    has_sound: bool = False
    markers: tuple[float, ...] = ()


def decimal(value: float) -> str:
    """A number as DS: at most 16 characters, as precise as they allow (PS3.5 6.2)."""
    for digits in range(12, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.8e}"


def general_image(dataset: Dataset, seen: Seen, zone: tzinfo | None) -> None:
    """General Image (PS3.3 C.7.6.1) with General Acquisition: number, moment, loss history, derivation, comments."""
    dataset.ImageType = ["DERIVED" if seen.derivation else "ORIGINAL", "PRIMARY"]
    dataset.InstanceNumber = seen.number
    dataset.PatientOrientation = ""  # type 2C; nobody knows it for a camera
    put_moment(dataset, "Content", seen.captured, zone)
    put_moment(dataset, "Acquisition", seen.captured, zone)
    dataset.AcquisitionDateTime = stamp(seen.captured, zone)
    if seen.laterality:
        dataset.ImageLaterality = seen.laterality
        dataset.pop("Laterality", None)  # the series' is for images that do not say (C.7.3.1)
    put(dataset, "BurnedInAnnotation", seen.burned_in)
    put(dataset, "ImageComments", seen.comments)
    lossy(dataset, seen.losses)
    words = [seen.derivation, *(_loss_in_words(loss) for loss in seen.losses)]
    put(dataset, "DerivationDescription", "; ".join(word for word in words if word))


def lossy(dataset: Dataset, losses: Several[Loss]) -> None:
    """Lossy Image Compression, its ratios and methods, one value per compression, the oldest first (C.7.6.1.1.5)."""
    dataset.LossyImageCompression = "01" if losses else "00"
    if losses:
        dataset.LossyImageCompressionRatio = [decimal(round(loss.ratio, 3)) for loss in losses]
        dataset.LossyImageCompressionMethod = [_method(loss) for loss in losses]


def _method(loss: Loss) -> str:
    """The standard's term, or, where it has none (the terms may be extended), the codec's own name as CS."""
    return METHODS.get(loss.codec) or re.sub("[^A-Z0-9_ ]", "_", loss.codec.upper())[:16]


def _loss_in_words(loss: Loss) -> str:
    """As Derivation Description tells it."""
    return f"lossy compression {_method(loss)}, {loss.ratio:.3g}:1"


def pixel_shape(dataset: Dataset, seen: Seen, conversion: str, calibrated: bool) -> None:
    """Pixel Aspect Ratio (C.7.6.3.1.7) of pixels that are not square, and spacing where the source knows millimetres.

    A scanner's spacing lies on paper or film, not in the patient: it becomes Nominal Scanned Pixel Spacing (C.8.6.2).
    `calibrated` says that the IOD has Pixel Spacing at all; ultrasound has not. The ratio is not written beside a spacing.
    """
    if seen.millimetres and calibrated:
        spacing = [decimal(one) for one in seen.millimetres]
        if conversion in _FILM_OR_PAPER:
            dataset.NominalScannedPixelSpacing = spacing
        else:
            dataset.PixelSpacing = spacing
    elif seen.aspect != 1:
        dataset.PixelAspectRatio = [seen.aspect.denominator, seen.aspect.numerator]  # vertical, horizontal


def cine(dataset: Dataset, motion: Motion) -> None:
    """Cine and Multi-frame (PS3.3 C.7.6.5, C.7.6.6): Frame Time in milliseconds, or Frame Time Vector where irregular."""
    dataset.NumberOfFrames = motion.frames
    vector = _frame_time_vector(motion)
    if vector:
        dataset.FrameTimeVector = vector
        dataset.FrameIncrementPointer = FRAME_TIME_VECTOR
    else:
        dataset.FrameTime = decimal(float(round(1000 / motion.rate, 6)))
        dataset.FrameIncrementPointer = FRAME_TIME
    dataset.CineRate = dataset.RecommendedDisplayFrameRate = max(1, round(motion.rate))
    seconds = motion.times[-1] if vector else float(motion.frames / motion.rate)
    dataset.EffectiveDuration = decimal(round(seconds, 6))
    if motion.has_sound:
        dataset.MultiplexedAudioChannelsDescriptionCodeSequence = Sequence()  # type 2C: present, its source unknown


def _frame_time_vector(motion: Motion) -> list[str]:
    """Increments in milliseconds, the first 0; empty where the frames are regular or the vector would be too long."""
    if len(motion.times) != motion.frames or motion.frames < 2:
        return []
    steps = zip(motion.times, motion.times[1:], strict=False)
    vector = ["0", *(decimal(round((after - before) * 1000, 3)) for before, after in steps)]
    return vector if sum(len(step) + 1 for step in vector) <= _LONGEST_VECTOR else []


def frame_pointers(dataset: Dataset, motion: Motion) -> None:
    """Frame Pointers (PS3.3 C.7.6.9): the moments somebody marked, as frames of interest, counted from 1."""
    frames = [min(motion.frames, int(moment * motion.rate) + 1) for moment in motion.markers]
    if frames and max(frames) <= 65_535:
        dataset.FrameNumbersOfInterest = frames
        dataset.FrameOfInterestDescription = ["marked while recording"] * len(frames)


def sc_image(dataset: Dataset, created: datetime, zone: tzinfo | None) -> None:
    """SC Image (PS3.3 C.8.6.2): when it was captured by us."""
    local = created.astimezone(zone)
    dataset.DateOfSecondaryCapture = f"{local:%Y%m%d}"
    dataset.TimeOfSecondaryCapture = f"{local:%H%M%S}"


def sc_multi_frame(dataset: Dataset, seen: Seen, gray: bool) -> None:
    """SC Multi-frame Image (PS3.3 C.8.6.3): burned-in annotation is mandatory, `YES` where nobody has looked."""
    dataset.BurnedInAnnotation = seen.burned_in or "YES"
    if gray:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleIntercept = "0"
        dataset.RescaleSlope = "1"
        dataset.RescaleType = "US"


def anatomy(dataset: Dataset, seen: Seen) -> None:
    """General Anatomy macro (PS3.3 10.5), as the VL and US image modules include it.

    Of a region that is no paired structure, the series' Laterality is not even asked (2C, C.7.3.1).
    """
    if seen.region is not None:
        dataset.AnatomicRegionSequence = Sequence([code_item(seen.region)])
        if is_unpaired(seen.region):
            dataset.pop("Laterality", None)


def acquisition_context(dataset: Dataset) -> None:
    """Acquisition Context (PS3.3 C.7.6.14), type 2: present and empty, nothing is known."""
    dataset.AcquisitionContextSequence = Sequence()


def encapsulated_document(dataset: Dataset, seen: Seen, title: str, zone: tzinfo | None) -> None:
    """Encapsulated Document (PS3.3 C.24.2) up to the document itself, which the writer streams in."""
    dataset.InstanceNumber = seen.number
    put_moment(dataset, "Content", seen.captured, zone)
    dataset.AcquisitionDateTime = stamp(seen.captured, zone)
    put(dataset, "ImageLaterality", seen.laterality)
    dataset.BurnedInAnnotation = seen.burned_in or "YES"
    put_empty(dataset, "DocumentTitle", title)
    dataset.ConceptNameCodeSequence = Sequence()
