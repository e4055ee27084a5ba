"""Whole Part 10 files written in pieces (PS3.10 7), and rewritten in another transfer syntax; never whole in memory."""

import io
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_file_meta_info
from pydicom.uid import UID

from appliance.dicom import pixels as pixel_module
from appliance.dicom.fragments import Frames, Native, Nothing, PixelWriter, Video, spilled
from appliance.dicom.pixels import PixelFacts
from appliance.dicom.stored import Stored
from appliance.dicom.syntaxes import SYNTAXES, Syntax
from appliance.errors import InputError

__all__ = ["Frames", "Native", "Nothing", "PixelWriter", "Video", "spilled", "transcode", "write"]

IMPLEMENTATION_UID = "2.25.337943708371150820395352932361302589940"
IMPLEMENTATION_NAME = "DICAP_0_1"


class _Deflated:
    """A sink that deflates (PS3.5 A.5) into another and counts nothing."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        self._size = 0

    def write(self, piece: bytes, /) -> None:
        """Deflate one piece."""
        self._pass(self._deflater.compress(piece))

    def finish(self) -> None:
        """Flush, and pad to an even length."""
        self._pass(self._deflater.flush())
        self._sink.write(b"\0" * (self._size % 2))

    def _pass(self, deflated: bytes) -> None:
        self._size += len(deflated)
        self._sink.write(deflated)


def write(out: Path | BinaryIO, dataset: Dataset, syntax: Syntax, pixels: PixelWriter) -> int:
    """A whole Part 10 file, in pieces; its size in bytes.

    `dataset` is all but Pixel Data, and is left as it is; its SOP UIDs go into the meta information. The pixels must be
    encoded as the syntax says: Native for a native one, Frames or Video else, Nothing for either. InputError where they
    do not fit; a path that could not be written to the end is removed.
    """
    if isinstance(out, Path):
        try:
            with out.open("wb") as file:
                return write(file, dataset, syntax, pixels)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
    _demand(dataset, syntax, pixels)
    begin = out.tell()
    out.write(b"\0" * 128 + b"DICM")
    out.write(_meta(dataset, syntax, pixels))
    whole = _shallow(dataset)
    pixels.put_tables(whole)
    sink = _Deflated(out) if syntax is SYNTAXES["deflated"] else out
    sink.write(_encoded(whole, syntax is SYNTAXES["implicit"]))
    pixels.pour(sink, syntax, whole)
    if isinstance(sink, _Deflated):
        sink.finish()
    return out.tell() - begin


def _demand(dataset: Dataset, syntax: Syntax, pixels: PixelWriter) -> None:
    """InputError unless the pixels are of the syntax's kind and the object has its identity."""
    fitting: dict[str, type] = {"native": Native, "frame": Frames, "video": Video}
    if not isinstance(pixels, (fitting[syntax.kind], Nothing)):
        raise InputError(f"{type(pixels).__name__} pixels cannot be written as {syntax.name}.")
    if isinstance(pixels, Video) and pixels.fragmentable and not syntax.fragmentable_uid:
        raise InputError(f"{syntax.name} has no fragmentable twin.")
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not dataset.get(keyword):
            raise InputError(f"An object without {keyword} cannot be written.")


def _meta(dataset: Dataset, syntax: Syntax, pixels: PixelWriter) -> bytes:
    """The File Meta Information group with its length (PS3.10 7.1)."""
    twin = isinstance(pixels, Video) and pixels.fragmentable
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax.fragmentable_uid if twin else syntax.uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()


def _encoded(dataset: Dataset, implicit: bool) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=True, force_encoding=True)
    return buffer.getvalue()


def _shallow(dataset: Dataset) -> Dataset:
    """The same elements in a data set of its own, which remembers how they were read."""
    copy = Dataset()
    copy.update(dataset)
    implicit, little = dataset.original_encoding
    copy.set_original_encoding(implicit, little, dataset.original_character_set)
    return copy


def transcode(src: Path, dst: Path, syntax: Syntax) -> None:
    """Rewrite an object in a native or lossless frame syntax, frame by frame (PS3.5 section 8.2).

    The SOP Instance UID and the lossy history (0028,2110/2112/2114) stay: no further loss happens. From one native
    syntax to another the pixels are copied as they are; a video is refused. InputError where the object cannot be
    carried; then `dst` does not exist.
    """
    if syntax.lossy:
        raise InputError(f"{syntax.name} loses detail: an object is never transcoded to it under its own UID.")
    with Stored(src) as stored:
        changed = _shallow(stored.dataset)
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            changed.pop(keyword, None)
        if not stored.has_pixels:
            write(dst, changed, syntax if syntax.kind == "native" else SYNTAXES["explicit"], Nothing())
        elif stored.syntax.kind == "video":
            raise InputError(
                f"{src.name} is a {stored.syntax.name} video, which has no uncompressed twin of its own.",
                "The object stays as it is. The peer must accept the video syntax.",
            )
        elif stored.syntax.kind == syntax.kind == "native":
            write(dst, changed, syntax, Native(stored.pieces(), stored.native_length))
        else:
            _recode(stored, changed, dst, syntax)


def _recode(stored: Stored, changed: Dataset, dst: Path, syntax: Syntax) -> None:
    """Decode frame by frame; write native samples at once, compressed ones by way of a spill file beside `dst`."""
    before = pixel_module.facts_in(stored.dataset)
    facts = _facts_after(before, stored, syntax)
    pixel_module.put(changed, facts)
    frames = pixel_module.samples(stored)
    if syntax.kind == "native":
        pieces = (frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes() for frame in frames)
        write(dst, changed, syntax, Native(pieces, facts.total_bytes))
        return
    with spilled(pixel_module.encode_many(frames, facts.bits_stored, syntax), dst.parent) as streams:
        write(dst, changed, syntax, streams)


def _facts_after(before: PixelFacts, stored: Stored, syntax: Syntax) -> PixelFacts:
    """What the Image Pixel module says after the change (PS3.5 8.2.1 note 6, 8.2.4 note 5): RGB, or as it was."""
    signed = bool(stored.dataset.get("PixelRepresentation", 0))
    if syntax.kind == "frame" and (signed or int(stored.dataset.HighBit) != before.bits_stored - 1):
        raise InputError(f"{stored.path.name} has signed or shifted samples, which dicap does not compress.")
    photometric = before.photometric
    if before.samples == 3:
        # codecs that transform colour hand out RGB; YBR_FULL without a transform stays what it is
        kept = photometric == "YBR_FULL" and not (stored.syntax.name.startswith("jpeg") and stored.syntax.lossy)
        photometric = "YBR_FULL" if kept else "RGB"
        if photometric == "YBR_FULL" and syntax.colours == "YBR_RCT":
            raise InputError(f"{stored.path.name} holds {photometric} colour, which dicap does not write as {syntax.name}.")
        if stored.syntax.kind == "native" and before.photometric not in ("RGB", "YBR_FULL"):
            raise InputError(f"{stored.path.name} holds {before.photometric} colour, which dicap does not compress.")
        if syntax.kind == "frame" and photometric == "RGB":
            photometric = syntax.colours
    planar = 0 if before.samples == 3 else None
    return replace(before, photometric=photometric, planar=planar)
