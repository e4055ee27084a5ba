"""A PDF streamed into its object: Encapsulated Document lies in mid-dataset and may be larger than memory likes."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from appliance.dicom.fragments import LARGEST_FRAGMENT, Nothing, Sink
from appliance.dicom.syntaxes import SYNTAXES, Syntax
from appliance.errors import InputError

_PIECE = 1 << 20


@dataclass(frozen=True)
class Attached(Nothing):
    """The elements from Encapsulated Document (0042,0011) on, for encapsulate.write (PS3.3 C.24.2).

    The dataset itself must end before them. The file's size is looked at when it is written; InputError where it is 0,
    above 4 GiB, or changes meanwhile.
    """

    path: Path

    def pour(self, sink: Sink, syntax: Syntax, dataset: Dataset) -> None:
        """The document padded to an even length, its MIME type, and its true length in bytes."""
        size = self.path.stat().st_size
        if not 0 < size <= LARGEST_FRAGMENT:
            raise InputError(f"{self.path.name} has {size} bytes, which an object cannot hold.")
        implicit = syntax is SYNTAXES["implicit"]
        even = size + size % 2
        sink.write(struct.pack("<HH", 0x0042, 0x0011) + (b"" if implicit else b"OB\0\0") + struct.pack("<I", even))
        written = 0
        with self.path.open("rb") as file:
            while piece := file.read(_PIECE):
                written += len(piece)
                sink.write(piece)
        if written != size:
            raise InputError(f"{self.path.name} changed while it was read.")
        sink.write(b"\0" * (size % 2))
        tail = Dataset()
        tail.MIMETypeOfEncapsulatedDocument = "application/pdf"
        tail.EncapsulatedDocumentLength = size
        buffer = io.BytesIO()
        dcmwrite(buffer, tail, implicit_vr=implicit, little_endian=True, force_encoding=True)
        sink.write(buffer.getvalue())


def demand_pdf(path: Path) -> None:
    """InputError unless the file begins as a PDF does."""
    try:
        with path.open("rb") as file:
            begin = file.read(1024)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
    if b"%PDF-" not in begin:
        raise InputError(f"{path.name} is not a PDF file.")
