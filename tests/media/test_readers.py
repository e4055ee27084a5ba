"""What others read from a disc of ours: Orthanc shows the same pixels; dcmtk and dicom3tools walk its DICOMDIR."""

import hashlib
import json
import subprocess
import time
import urllib.request

import numpy as np
import pydicom
import pytest
from making import JANE, YAMADA, Maker, coded, colours, deep

from appliance.dicom import pixels
from appliance.media import disc, fileset
from appliance.media.profiles import MEDIA
from appliance.media.whole import whole


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Stills of several syntaxes, 12 bits, a cine, a video, a document; two people."""
    folder = tmp_path_factory.mktemp("objects")
    jane, yamada = Maker(folder / "jane"), Maker(folder / "yamada", YAMADA, "yamada")
    return [
        jane.still(colours(1)), jane.still(colours(2), "j2k"), jane.still(deep(), "jls", bits=12),
        jane.cine([colours(number) for number in range(3)]), jane.video(coded(folder, "h264"), "h264"), jane.document(),
        yamada.still(colours(3), "jpeg", "vl-endoscopic"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(objects, tmp_path_factory):
    """A file-set as it comes back out of its image: JPEG Lossless wherever it was compressed otherwise."""
    place = tmp_path_factory.mktemp("readers")
    with whole(place / "disc") as work:
        fileset.make(work, objects, MEDIA["bd-jpeg"])
    disc.write_iso(place / "disc", place / "disc.iso")
    disc.read_iso(place / "disc.iso", place / "back")
    return place / "back"


def listed(folder):
    """The files that the DICOMDIR names, in its order."""
    records = pydicom.dcmread(folder / "DICOMDIR").DirectoryRecordSequence
    return [folder.joinpath(*record.ReferencedFileID) for record in records if "ReferencedFileID" in record]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """The address of an Orthanc that keeps what it is given in a folder of the test."""
    import socket

    home = tmp_path_factory.mktemp("orthanc")
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    settings = {
        "StorageDirectory": str(home / "kept"), "IndexDirectory": str(home / "kept"), "HttpPort": ports[0],
        "DicomServerEnabled": False, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [],
    }  # fmt: skip
    (home / "orthanc.json").write_text(json.dumps(settings))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(home / "orthanc.json")], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports[0]}"
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/system").close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < end, (home / "log").read_text()
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(30)


def ask(url, data=None, accept="application/json"):
    request = urllib.request.Request(url, data, {"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def test_orthanc_imports_every_file_and_shows_the_same_pixels(orthanc, folder, objects):
    originals = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in objects}
    shown = 0
    for path in listed(folder):
        answer = json.loads(ask(f"{orthanc}/instances", path.read_bytes()))
        assert answer["Status"] == "Success"
        place = f"{orthanc}/instances/{answer['ID']}"
        assert hashlib.sha256(ask(f"{place}/file")).digest() == hashlib.sha256(path.read_bytes()).digest()
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if "Rows" not in header or header.file_meta.TransferSyntaxUID.endswith(".102"):
            continue  # Orthanc keeps documents and videos, it does not draw them
        for number, frame in enumerate(pixels.decode(originals[header.SOPInstanceUID])):
            deep_one = frame.dtype.itemsize > 1
            verb = "image-uint16" if deep_one else "preview"
            # PAM: magic and sizes in text, then the samples
            raw = ask(f"{place}/frames/{number}/{verb}", accept="image/x-portable-arbitrarymap")
            samples = raw[raw.index(b"ENDHDR\n") + 7 :]
            theirs = np.frombuffer(samples, ">u2" if deep_one else "u1").reshape(frame.shape)
            difference = np.abs(theirs.astype(int) - frame.astype(int)).max()
            lossy = header.get("LossyImageCompression") == "01"
            assert difference <= (3 if lossy else 0), f"{path.name} frame {number}"
            shown += 1
    assert shown == 7
    patients = json.loads(ask(f"{orthanc}/patients?expand"))
    assert {one["MainDicomTags"]["PatientID"] for one in patients} == {JANE.id, YAMADA.id}
    assert YAMADA.name in {one["MainDicomTags"]["PatientName"] for one in patients}
    assert len(json.loads(ask(f"{orthanc}/instances"))) == len(objects)


def test_dicom3tools_walks_the_dicomdir_to_every_file(folder, objects):
    done = subprocess.run(["dcdirdmp", "DICOMDIR"], cwd=folder, capture_output=True, text=True)
    words = done.stdout + done.stderr
    assert done.returncode == 0 and "Error" not in words, words
    named = [line.split("->")[1].strip().replace("\\", "/") for line in words.splitlines() if "->" in line]
    assert named == [path.relative_to(folder).as_posix() for path in listed(folder)] and len(named) == len(objects)
    assert words.count("PATIENT") == 2 and words.count("ENCAP DOC") == 1


def test_dcmtk_dumps_the_dicomdir_without_a_word_of_complaint(folder):
    done = subprocess.run(["dcmdump", "-v", "DICOMDIR"], cwd=folder, capture_output=True, text=True)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line[:2] in ("E:", "W:", "F:")]
    assert done.returncode == 0 and complaints == []


def test_the_objects_on_a_disc_are_as_sound_as_those_they_came_from(folder):
    for path in listed(folder):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], path.name
