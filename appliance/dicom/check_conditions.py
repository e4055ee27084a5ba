"""The conditions of types 1C and 2C, and of conditional modules, that can be decided by looking at the object (PS3.3)."""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.tag import Tag

from appliance.dicom import finding
from appliance.dicom.elements import Level
from appliance.dicom.finding import Findings
from appliance.dicom.menu import MULTI_FRAME_SC, US, US_MULTI, VIDEO_VL, VL
from appliance.dicom.tables import Iod

Test = Callable[[Level], bool]
_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def tag(keyword: str) -> int:
    """The attribute's tag as a number."""
    return int(Tag(keyword))


SOP_CLASS = tag("SOPClassUID")
POINTER = tag("FrameIncrementPointer")
_PHOTOMETRIC, _SAMPLES = tag("PhotometricInterpretation"), tag("SamplesPerPixel")


def pointers(dataset: Level) -> list[int]:
    """The attributes that Frame Increment Pointer (0028,0009) points to, as numbers; empty where it is absent.

    AT is two numbers of 16 bits, the group first (PS3.5 6.2).
    """
    element = dataset.elements.get(POINTER)
    raw = (element.value or b"") if element else b""
    pairs = [(raw[at : at + 2], raw[at + 2 : at + 4]) for at in range(0, len(raw) - 3, 4)]
    return [int.from_bytes(group, "little") << 16 | int.from_bytes(number, "little") for group, number in pairs]


def is_multi_frame(dataset: Level) -> bool:
    """Whether Number of Frames is there."""
    return dataset.has(tag("NumberOfFrames"))


def _points_to(keyword: str) -> Test:
    """Frame Increment Pointer points to the attribute."""
    return lambda dataset: tag(keyword) in pointers(dataset)


def _says(keyword: str, *words: str) -> Test:
    """One of the attribute's values is one of the words."""
    return lambda dataset: bool(set(dataset.words(tag(keyword))) & set(words))


def _class_in(*classes: str) -> Test:
    """The object is of one of these SOP classes."""
    return lambda dataset: dataset.text(SOP_CLASS) in classes


def _both(*tests: Test) -> Test:
    """All of the tests hold."""
    return lambda dataset: all(test(dataset) for test in tests)


def _gray(dataset: Level) -> bool:
    """One sample per pixel, not a palette."""
    return dataset.text(_PHOTOMETRIC).startswith("MONOCHROME")


def _has_pixels_of_colour(dataset: Level) -> bool:
    """Several samples per pixel."""
    return dataset.number(_SAMPLES) > 1


def _several_frames(dataset: Level) -> bool:
    """Number of Frames is above one."""
    return dataset.number(tag("NumberOfFrames")) > 1


def _living(dataset: Level) -> bool:
    """What is seen is no specimen (C.7.6.22)."""
    return not dataset.has(tag("SpecimenDescriptionSequence"))


@dataclass(frozen=True)
class Condition:
    """When `test` says so, the attributes must be there (`empty` allowed for type 2C); `why` is the condition in words."""

    keywords: tuple[str, ...]
    why: str
    test: Test
    empty: bool = False

    def applies(self, iod: Iod, dataset: Level) -> bool:
        """Whether the IOD has the attributes and the condition holds."""
        return all(tag(keyword) in iod.known for keyword in self.keywords) and self.test(dataset)

    def faults(self, dataset: Level) -> Findings:
        """An error for each attribute that is missing or empty."""
        for keyword in self.keywords:
            there = dataset.has(tag(keyword)) if self.empty else dataset.filled(tag(keyword))
            if not there:
                yield finding.error(keyword, f"is {'missing' if self.empty else 'missing or empty'}: required {self.why}")


CONDITIONS: tuple[Condition, ...] = (
    Condition(("PlanarConfiguration",), "with several samples per pixel (C.7.6.3)", _has_pixels_of_colour),
    Condition(
        ("PatientOrientation",), "without image position and orientation (C.7.6.1)",
        lambda dataset: not dataset.has(tag("ImageOrientationPatient")) and dataset.has(_PHOTOMETRIC), True,
    ),
    Condition(("PatientPosition",), "for CT and MR (C.7.3.1)", _class_in(_CT, _MR), True),
    Condition(("FrameTime",), "where Frame Increment Pointer points to it (C.7.6.5)", _points_to("FrameTime")),
    Condition(("FrameTimeVector",), "where Frame Increment Pointer points to it (C.7.6.5)", _points_to("FrameTimeVector")),
    Condition(
        ("FrameIncrementPointer",), "with several frames (C.8.6.3)",
        _both(_class_in(*MULTI_FRAME_SC), _several_frames),
    ),
    Condition(("FrameIncrementPointer",), "with Number of Frames (C.8.5.6)", _both(_class_in(US_MULTI), is_multi_frame)),
    Condition(
        ("RescaleIntercept", "RescaleSlope", "RescaleType", "PresentationLUTShape"), "in gray multi-frame SC (C.8.6.3)",
        _both(_class_in(*MULTI_FRAME_SC), _gray),
    ),
    Condition(
        ("NominalScannedPixelSpacing",), "for digitized film (C.8.6.3)",
        _both(_class_in(*MULTI_FRAME_SC), _says("ConversionType", "DF")),
    ),
    Condition(
        ("AnatomicRegionSequence",), "in multi-frame VL without a specimen (C.8.12.1)",
        _both(_class_in(*VIDEO_VL), _living),
    ),
    Condition(("ReferencedImageSequence",), "for one half of a stereo pair (C.8.12.1)", _both(
        _class_in(*VL), _says("ImageType", "STEREO L", "STEREO R"))),
    Condition(("WindowWidth",), "with Window Center (C.11.2)", lambda dataset: dataset.has(tag("WindowCenter"))),
    Condition(
        ("LossyImageCompressionRatio", "LossyImageCompressionMethod"), "after lossy compression (C.7.6.1.1.5)",
        _says("LossyImageCompression", "01"),
    ),
    Condition(
        ("AcquisitionDateTime", "IVUSAcquisition"), "for modality IVUS (C.8.5.6)",
        _both(_class_in(US, US_MULTI), _says("Modality", "IVUS")),
    ),
    Condition(
        tuple(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
        "for palette colour (C.7.6.3)", _says("PhotometricInterpretation", "PALETTE COLOR"),
    ),
    Condition(("RepetitionTime",), "in MR but for segmented echo planar (C.8.3.1)", _both(
        _class_in(_MR), lambda dataset: not ("EP" in dataset.words(tag("ScanningSequence"))
        and "SK" not in dataset.words(tag("SequenceVariant")))), True),
    Condition(("InversionTime",), "for inversion recovery (C.8.3.1)", _both(
        _class_in(_MR), _says("ScanningSequence", "IR")), True),
    Condition(("PixelSpacingCalibrationDescription",), "with Pixel Spacing Calibration Type (10.7.1.3)",
        lambda dataset: dataset.has(tag("PixelSpacingCalibrationType"))),
)  # fmt: skip


def demanded_modules(iod: Iod, dataset: Level) -> frozenset[str]:
    """The conditional modules (usage C) that this object must have, by the names of the tables.

    Cine where frames are told by time (A.8), the vector module with several frames, synchronization for IVUS (A.7). What
    depends on the world (contrast, specimen, time synchronization) cannot be seen and is not asked for.
    """
    demanded = set()
    if {tag("FrameTime"), tag("FrameTimeVector")} & set(pointers(dataset)):
        demanded.add("cine")
    if _several_frames(dataset):
        demanded.add("sc-multi-frame-vector")
    if dataset.text(tag("Modality")) == "IVUS":
        demanded.add("synchronization")
    return frozenset(name for name in demanded if iod.module(name) is not None)
