"""Is the picture described as its SOP class and its syntax demand: shape, bits, colours, loss, motion (PS3.3 C.7.6, C.8)."""

from fractions import Fraction

from appliance.dicom import finding
from appliance.dicom.check_conditions import SOP_CLASS, pointers, tag
from appliance.dicom.elements import Level
from appliance.dicom.finding import Findings
from appliance.dicom.menu import MULTI_FRAME_SC, SC, SC_BYTE, SC_COLOUR, SC_WORD, US, US_MULTI, VIDEO_VL, VL
from appliance.dicom.syntaxes import Syntax, by_stream
from appliance.errors import InputError

_SAMPLES = {
    "MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1,
    "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_PARTIAL_420": 3, "YBR_RCT": 3, "YBR_ICT": 3,
}  # fmt: skip
_PLAIN = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"}
# PS3.5 8.2: what a syntax may carry besides one sample per pixel
_COLOURS = {
    "implicit": _PLAIN | {"YBR_FULL_422"},
    "explicit": _PLAIN | {"YBR_FULL_422"},
    "deflated": _PLAIN | {"YBR_FULL_422"},
    "jpeg": {"MONOCHROME1", "MONOCHROME2", "YBR_FULL_422", "RGB"},
    "jpeg-extended": {"MONOCHROME1", "MONOCHROME2"},
    "jls-near": _PLAIN - {"PALETTE COLOR"},
    "j2k": _PLAIN | {"YBR_RCT"},
    "htj2k": _PLAIN | {"YBR_RCT"},
    "htj2k-rpcl": _PLAIN | {"YBR_RCT"},
    "j2k-lossy": _PLAIN - {"PALETTE COLOR"} | {"YBR_RCT", "YBR_ICT"},
    "htj2k-lossy": _PLAIN - {"PALETTE COLOR"} | {"YBR_RCT", "YBR_ICT"},
}
_MODALITIES = {"77.1.1": "ES", "77.1.2": "GM", "77.1.4": "XC"}
_NOMINAL = tag("NominalScannedPixelSpacing")
_SINGLE = frozenset({SC, US}) | (VL - VIDEO_VL)
_RATES = tuple(Fraction(*one) for one in ((25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)))


def described(dataset: Level, syntax: Syntax) -> Findings:
    """Faults of the Image Pixel module (C.7.6.3) in itself, under its syntax and in its SOP class.

    Whether the pixel data are as described is check_pixels's; here the description must agree with itself, with what
    PS3.5 8.2 lets the syntax carry, and with the bits and colours of the IOD. Palettes are known, but not looked into.
    """
    photometric = dataset.text(tag("PhotometricInterpretation"))
    samples, planar = dataset.number(tag("SamplesPerPixel")), dataset.number(tag("PlanarConfiguration"))
    allocated, stored = dataset.number(tag("BitsAllocated")), dataset.number(tag("BitsStored"))
    for keyword in ("Rows", "Columns"):
        if not dataset.number(tag(keyword)):
            yield finding.error(keyword, "is 0")
    if photometric not in _SAMPLES:
        yield finding.error("PhotometricInterpretation", f"{photometric or 'nothing'} is not one dicap knows")
    elif samples != _SAMPLES[photometric]:
        yield finding.error("SamplesPerPixel", f"{photometric} has {_SAMPLES[photometric]} samples, not {samples}")
    if allocated not in (1, 8, 16, 32) or not 0 < stored <= allocated:
        yield finding.error("BitsStored", f"{stored} bits stored in {allocated} bits allocated make no sense")
    if dataset.number(tag("HighBit")) != stored - 1:
        yield finding.error("HighBit", f"is {dataset.number(tag('HighBit'))}, must be {stored - 1}: Bits Stored less one")
    if planar not in (0, 1) or (planar == 1 and syntax.is_compressed and syntax.name != "rle"):
        yield finding.error("PlanarConfiguration", f"{planar} is not allowed in {syntax.name}")
    if dataset.has(tag("PlanarConfiguration")) and samples == 1:
        yield finding.error("PlanarConfiguration", "is there for one sample per pixel")
    if dataset.has(tag("PixelAspectRatio")) and (dataset.has(tag("PixelSpacing")) or dataset.has(_NOMINAL)):
        yield finding.error("PixelAspectRatio", "stands beside a spacing, which tells the ratio already")
    yield from _under_syntax(dataset, syntax, photometric, stored)
    yield from _in_class(dataset, photometric, stored)
    yield from _in_visible_light(dataset, syntax, photometric)


def _under_syntax(dataset: Level, syntax: Syntax, photometric: str, stored: int) -> Findings:
    """What the syntax allows: bits, colours, and in video signs and the shape of a pixel (PS3.5 8.2)."""
    if stored > syntax.max_bits:
        yield finding.error("BitsStored", f"{syntax.name} holds {syntax.max_bits} bits, not {stored}")
    legal = {"YBR_PARTIAL_420"} if syntax.kind == "video" else _COLOURS.get(syntax.name, _PLAIN)
    if photometric in _SAMPLES and photometric not in legal:
        yield finding.error("PhotometricInterpretation", f"{photometric} is not allowed in {syntax.name} (PS3.5 8.2)")
    if syntax.kind != "video":
        return
    if dataset.number(tag("PixelRepresentation")):
        yield finding.error("PixelRepresentation", "a video has unsigned samples")
    if syntax.square_pixels and dataset.has(tag("PixelAspectRatio")):
        yield finding.error("PixelAspectRatio", f"is not allowed in {syntax.name}, whose pixels are square")
    if syntax.codec == "mpeg2video":
        yield from _mpeg2(dataset, syntax)


def _mpeg2(dataset: Level, syntax: Syntax) -> Findings:
    """MPEG-2 allows few sizes and rates (PS3.5 8.2.5, 8.2.6).

    Frame Time is rounded by many; it is taken as the legal rate that lies within a twentieth of a percent.
    """
    words = dataset.words(tag("FrameTime"))
    try:
        rate = 1000 / Fraction(words[0])
        rate = next(one for one in _RATES if abs(rate / one - 1) < Fraction(1, 2000))
        fits = by_stream("mpeg2video", "Main", 0, dataset.number(tag("Columns")), dataset.number(tag("Rows")), rate)
    except (IndexError, ValueError, ZeroDivisionError, StopIteration):
        yield finding.error("FrameTime", f"{words[0] if words else 'none'} is not a frame time of {syntax.name}")
    except InputError as error:
        yield finding.error("Rows", str(error))
    else:
        if fits.name != syntax.name:
            yield finding.error("TransferSyntaxUID", f"a video of this size and rate is {fits.name}, not {syntax.name}")


def _in_class(dataset: Level, photometric: str, stored: int) -> Findings:
    """What the SOP class allows beyond that: bits, gray or colour (A.8, C.8.5.6.1, C.8.12.1.1)."""
    uid, gray = dataset.text(SOP_CLASS), photometric.startswith("MONOCHROME")
    allocated = dataset.number(tag("BitsAllocated"))
    if uid in VL | {SC_BYTE, SC_COLOUR} and (stored, allocated) != (8, 8):
        where = "BitsStored" if stored != 8 else "BitsAllocated"
        yield finding.error(where, f"this SOP class holds 8 bits in 8 per sample, not {stored} in {allocated}")
    if uid in (US, US_MULTI) and photometric != "PALETTE COLOR" and stored != 8:
        yield finding.error("BitsStored", f"ultrasound holds 8 bits per sample, not {stored} (C.8.5.6)")
    if uid == SC_WORD and not 9 <= stored <= 16:
        yield finding.error("BitsStored", f"grayscale word holds 9 to 16 bits, not {stored} (A.8.4)")
    if uid in (SC_BYTE, SC_WORD) and photometric != "MONOCHROME2":
        yield finding.error("PhotometricInterpretation", f"must be MONOCHROME2, not {photometric} (A.8)")
    if uid == SC_COLOUR and (gray or photometric == "PALETTE COLOR"):
        yield finding.error("PhotometricInterpretation", f"must be a true colour, not {photometric} (A.8.5)")
    if uid in VL | MULTI_FRAME_SC and dataset.number(tag("PixelRepresentation")):
        yield finding.error("PixelRepresentation", "this SOP class has unsigned samples")


def _in_visible_light(dataset: Level, syntax: Syntax, photometric: str) -> Findings:
    """A VL class has its own modality, and colours as the syntax transforms them (C.8.12.1.1.1)."""
    uid = dataset.text(SOP_CLASS)
    if uid not in VL:
        return
    due, modality = _MODALITIES[".".join(uid.split(".")[9:12])], dataset.text(tag("Modality"))
    if modality != due:
        yield finding.error("Modality", f"must be {due}, not {modality}")
    legal = {"MONOCHROME2", syntax.colours} | ({"YBR_RCT"} if syntax.colours == "YBR_ICT" else set())
    if photometric not in legal:
        words = f"{photometric} is not for visible light in {syntax.name}, {' or '.join(sorted(legal))} is (C.8.12.1)"
        yield finding.error("PhotometricInterpretation", words)


def lossy_told(dataset: Level, syntax: Syntax) -> Findings:
    """Faults of Lossy Image Compression, its ratios and methods (C.7.6.1.1.5).

    One ratio and one method per compression, in the order in which they happened: the last method is that of the
    syntax, if it loses anything. A lossless syntax may well carry pixels that lost something before.
    """
    flag = dataset.text(tag("LossyImageCompression"))
    ratios, methods = dataset.words(tag("LossyImageCompressionRatio")), dataset.words(tag("LossyImageCompressionMethod"))
    if flag not in ("", "00", "01"):
        yield finding.error("LossyImageCompression", f"is 00 or 01, not {flag!r}")
    if syntax.lossy and flag != "01":
        words = f"says {flag or 'nothing'}, but {syntax.name} loses detail"
        reversible = syntax.name in ("j2k-lossy", "htj2k-lossy")  # these syntaxes may carry a reversible stream
        yield (finding.warning if reversible else finding.error)("LossyImageCompression", words)
    elif syntax.lossy and methods[-1:] != [syntax.method]:
        yield finding.error("LossyImageCompressionMethod", f"must end with {syntax.method}, the method of {syntax.name}")
    if flag != "01" and (ratios or methods):
        yield finding.error("LossyImageCompression", "says that nothing was lost, beside a ratio or a method")
    if len(ratios) != len(methods):
        yield finding.error("LossyImageCompressionRatio", f"has {len(ratios)} values for {len(methods)} methods")
    for ratio in ratios:
        try:
            if float(ratio) <= 0:
                raise ValueError
        except ValueError:
            yield finding.error("LossyImageCompressionRatio", f"{ratio!r} is not a ratio")


def frames_told(dataset: Level) -> Findings:
    """Faults of Number of Frames, Frame Increment Pointer and what it points to (C.7.6.5, C.7.6.6).

    A vector has one value per frame, the first being 0 and of no meaning; a frame time is above 0 milliseconds.
    """
    number = dataset.number(tag("NumberOfFrames"), 1)
    if number < 1:
        yield finding.error("NumberOfFrames", f"is {number}")
    if number > 1 and dataset.text(SOP_CLASS) in _SINGLE:
        yield finding.error("NumberOfFrames", f"is {number} in a class of single frames")
    for target in pointers(dataset):
        if not dataset.filled(target):
            yield finding.error("FrameIncrementPointer", f"points to {finding.name(target)}, which is not there")
    vector = dataset.words(tag("FrameTimeVector"))
    if vector and len(vector) != number:
        yield finding.error("FrameTimeVector", f"has {len(vector)} values for {number} frames")
    for time in dataset.words(tag("FrameTime")):
        try:
            if float(time) <= 0:
                raise ValueError
        except ValueError:
            yield finding.error("FrameTime", f"{time!r} is not a time in milliseconds")
