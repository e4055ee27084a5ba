"""Pictures and minimal Secondary Capture data sets that the tests of pixels, encapsulation and decoders share."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from appliance.dicom import pixels
from appliance.dicom.encapsulate import Frames, Native, write
from appliance.dicom.syntaxes import SYNTAXES, Syntax

LOSSLESS = ("explicit", "implicit", "deflated", "rle", "jpeg-lossless", "jls", "j2k", "htj2k")
LOSSY = ("jpeg", "jls-near", "j2k-lossy", "htj2k-lossy")
KINDS = {"gray8": (8, False), "gray12": (12, False), "gray16": (16, False), "rgb8": (8, True)}


def picture(rows: int, columns: int, bits: int = 8, colour: bool = False, seed: int = 1) -> np.ndarray:
    """A shaded, slightly noisy picture that uses the whole range of its bits."""
    top = (1 << bits) - 1
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    base = (x / max(1, columns - 1) + y / max(1, rows - 1)) / 2 * top
    planes = [base, top - base, base * 0.6 + 0.1 * top] if colour else [base]
    noisy = np.stack(planes, axis=-1) + rng.normal(0, top / 400, (rows, columns, len(planes)))
    whole = np.clip(np.rint(noisy), 0, top).astype(np.uint8 if bits <= 8 else np.uint16)
    whole[0, 0], whole[-1, -1] = 0, top
    return whole if colour else whole[..., 0]


def a_picture(kind: str, rows: int = 33, columns: int = 47, seed: int = 1) -> tuple[np.ndarray, int]:
    """A picture of one of KINDS, and its bits."""
    bits, colour = KINDS[kind]
    return picture(rows, columns, bits, colour, seed), bits


def header(facts: pixels.PixelFacts) -> Dataset:
    """The least that decoders want of a Secondary Capture object, without its pixels."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "2.25.1234567890123456789012345678901234567"
    dataset.StudyInstanceUID = "2.25.2"
    dataset.SeriesInstanceUID = "2.25.3"
    dataset.Modality = "OT"
    dataset.PatientName = "Test^Pixels"
    dataset.PatientID = "PIX1"
    pixels.put(dataset, facts)
    if facts.frames > 1:
        dataset.NumberOfFrames = facts.frames
    return dataset


def write_frames(out: Path, frames: list[np.ndarray], bits: int, syntax: Syntax, quality: int = 90) -> Dataset:
    """A Part 10 file of these frames; returns the header that was written."""
    facts = pixels.facts_of_shape(frames[0].shape, bits, syntax, len(frames))
    dataset = header(facts)
    streams = list(pixels.encode_many(frames, bits, syntax, quality))
    body = Native(streams, facts.total_bytes) if syntax.kind == "native" else Frames(streams)
    write(out, dataset, syntax, body)
    return dataset


def psnr(one: np.ndarray, other: np.ndarray, bits: int) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return 200.0 if error == 0 else 10 * np.log10(((1 << bits) - 1) ** 2 / error)


def pairs() -> list[tuple[str, str]]:
    """Every syntax for single frames with every kind of picture that it carries."""
    return [
        (name, kind) for name in (*LOSSLESS, *LOSSY) for kind, (bits, _) in KINDS.items() if bits <= SYNTAXES[name].max_bits
    ]
