"""Real peers from Debian's packages, each on a free loopback port, ended with the test."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from appliance.errors import PeerError
from appliance.network import pacs
from appliance.network.association import Caller
from appliance.settings import Address

CALLER = Caller("DICAP", timeout=10.0, connect_timeout=2.0)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT, IMPLICIT, JPEG_LS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.80"


@contextmanager
def running(command: Sequence[str], address: Address, cwd: Path, nodelay: bool = False) -> Iterator[Address]:
    """A peer's process, up when it answers C-ECHO."""
    environment = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    if nodelay:
        environment["TCP_NODELAY"] = "1"
    with (cwd / "peer.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                pacs.echo(CALLER, address)
                break
            except PeerError:
                assert process.poll() is None and time.monotonic() < end, (cwd / "peer.log").read_text()
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def storescp(folder: Path, port: int, *options: str, nodelay: bool = False) -> Iterator[Address]:
    """Debian's storescp, writing into `folder`."""
    folder.mkdir(exist_ok=True)
    command = ["storescp", "-od", str(folder), *options, str(port)]
    with running(command, Address(ae_title="STORESCP", host="127.0.0.1", port=port), folder.parent, nodelay) as address:
        yield address


@contextmanager
def wlmscpfs(folder: Path, port: int, *options: str) -> Iterator[Address]:
    """Debian's wlmscpfs, called WORKLIST, over a folder of its .wl files."""
    home = folder / "WORKLIST"
    home.mkdir(parents=True, exist_ok=True)
    (home / "lockfile").touch()
    command = ["wlmscpfs", "-dfp", str(folder), *options, str(port)]
    with running(command, Address(ae_title="WORKLIST", host="127.0.0.1", port=port), folder) as address:
        yield address


@contextmanager
def orthanc(folder: Path, port: int, listener_port: int) -> Iterator[Address]:
    """Orthanc that stores, and reports commitments to DICAP at `listener_port`."""
    settings = {
        "Name": "test", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
        "HttpServerEnabled": False, "DicomAet": "ORTHANC", "DicomPort": port, "DicomServerEnabled": True,
        "DicomModalities": {"dicap": ["DICAP", "127.0.0.1", listener_port]}, "ConcurrentJobs": 2, "Plugins": [],
    }  # fmt: skip
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with running(["Orthanc", str(path)], Address(ae_title="ORTHANC", host="127.0.0.1", port=port), folder) as address:
        yield address


def picture(
    folder: Path, number: int = 1, side: int = 64, syntax: str = EXPLICIT, sop_class: str = SECONDARY_CAPTURE
) -> pacs.Item:
    """A Secondary Capture written with pydicom, as an Item; `number` makes its UIDs."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"2.25.1000{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.77", "2.25.78"
    dataset.PatientID, dataset.PatientName = "P1", "Doe^Jane"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyID = dataset.StudyDate = dataset.StudyTime = ""
    dataset.Modality, dataset.ConversionType = "OT", "DI"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.Rows = dataset.Columns = side
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = np.random.default_rng(number).integers(0, 255, side * side, dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    path = folder / f"{number}.dcm"
    dataset.save_as(path, enforce_file_format=True, implicit_vr=syntax == IMPLICIT, little_endian=True)
    return pacs.Item(path, sop_class, dataset.SOPInstanceUID, syntax)


def fake_picture(folder: Path, number: int, syntax: str, sop_class: str = SECONDARY_CAPTURE) -> pacs.Item:
    """A file that claims a compressed syntax; only its header is real."""
    item = picture(folder, number, 8, EXPLICIT, sop_class)
    data = bytearray(item.path.read_bytes())
    at = data.index(b"UI\x14\x001.2.840.10008.1.2.1\x00")
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    data[at : at + 24] = b"UI" + len(uid).to_bytes(2, "little") + uid
    length = int.from_bytes(data[140:144], "little") + len(uid) - 20
    data[140:144] = length.to_bytes(4, "little")
    item.path.write_bytes(data)
    return pacs.Item(item.path, sop_class, item.sop_instance_uid, syntax)
