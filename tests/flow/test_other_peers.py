"""The same job with peers that others wrote: dcmtk's wlmscpfs and storescp, and Orthanc."""

import json
import os
import subprocess
import urllib.request

import pydicom
import pytest
from rig import environment, free_ports, until

WORKLIST = """\
(0008,0005) CS [ISO_IR 192]
(0008,0050) SH [{accession}]
(0008,0090) PN [Referrer^Rita]
(0010,0010) PN [{name}]
(0010,0020) LO [{patient}]
(0010,0030) DA [19610203]
(0010,0040) CS [F]
(0010,21c0) US 4
(0020,000d) UI [{study}]
(0032,1060) LO [Gastroscopy]
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [ES]
(0040,0001) AE [DICAP]
(0040,0002) DA [{date}]
(0040,0003) TM [101500]
(0040,0007) LO [Gastroscopy with biopsy]
(0040,0009) SH [SPS1]
(fffe,e00d) -
(fffe,e0dd) -
(0040,1001) SH [RP1]
"""


def listening(port):
    import socket

    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def processes():
    started = []
    yield started
    for process in reversed(started):
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def wlmscpfs(tmp_path, processes):
    """A worklist server with one order."""
    from datetime import datetime

    (port,) = free_ports(1)
    folder = tmp_path / "worklists" / "WLM"
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    dump = folder / "one.dump"
    words = {"accession": "WL-1", "name": "Müller^Ännchen", "patient": "W1", "study": "1.2.826.0.1.3680043.9.1"}
    dump.write_text(WORKLIST.format(date=f"{datetime.now():%Y%m%d}", **words), encoding="utf-8")
    subprocess.run(["dump2dcm", "-q", str(dump), str(folder / "one.wl")], check=True)
    processes.append(subprocess.Popen(["wlmscpfs", "-q", "-dfp", str(folder.parent), str(port)]))
    until(lambda: listening(port))
    return f"WLM@127.0.0.1:{port}"


@pytest.fixture
def orthanc(tmp_path, processes):
    """Orthanc as Debian ships it; answers storage commitment on a new association to the courier."""

    def start(ear_port):
        dicom, http = free_ports(2)
        config = tmp_path / "orthanc.json"
        config.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(tmp_path / "orthanc"),
                    "IndexDirectory": str(tmp_path / "orthanc"),
                    "DicomAet": "ORTHANC",
                    "DicomPort": dicom,
                    "HttpPort": http,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "Plugins": [],
                    "DicomModalities": {"dicap": ["DICAP", "127.0.0.1", ear_port]},
                }
            )
        )
        log = (tmp_path / "orthanc.log").open("wb")
        processes.append(subprocess.Popen(["Orthanc", str(config)], stdout=log, stderr=log, env=environment()))
        log.close()
        until(lambda: listening(http) and listening(dicom), 60)
        return f"ORTHANC@127.0.0.1:{dicom}", f"http://127.0.0.1:{http}"

    return start


def test_a_dcmtk_worklist_and_orthanc_as_archive_with_commitment(rig, wlmscpfs, orthanc):
    address, http = orthanc(rig.ear_port)
    rig.configure(ris=wlmscpfs, pacs=address, ris_roles=("worklist",))
    rig.start("courier")
    rig.dicap("clip", "--source", "testcard:320x240@25", "--order", "WL-1", "--seconds", "2", "--syntax", "mpeg2")
    rig.dicap("still", "--source", "testcard:320x240@25", "--order", "WL-1")
    rig.wait()
    assert {one["state"] for one in rig.dicap("ledger")["objects"]} == {"committed"}
    with urllib.request.urlopen(f"{http}/instances?expand") as answer:
        instances = json.load(answer)
    assert len(instances) == 2
    with urllib.request.urlopen(f"{http}/studies?expand") as answer:
        (study,) = json.load(answer)
    assert study["MainDicomTags"]["AccessionNumber"] == "WL-1"
    assert study["PatientMainDicomTags"]["PatientName"] == "Müller^Ännchen"
    assert study["MainDicomTags"]["StudyInstanceUID"] == "1.2.826.0.1.3680043.9.1"


def test_dcmtk_storescp_without_commitment_ends_at_sent_and_says_so(rig, tmp_path, processes):
    (port,) = free_ports(1)
    folder = tmp_path / "received"
    folder.mkdir()
    processes.append(subprocess.Popen(["storescp", "-q", "+xa", "-od", str(folder), str(port)], env=dict(os.environ)))
    until(lambda: listening(port))
    rig.configure(pacs=f"STORESCP@127.0.0.1:{port}", pacs_roles=("store",), release="stored", ris_roles=())
    rig.start("courier")
    for syntax in ("jls", "explicit"):
        rig.dicap("still", "--source", "testcard:320x240@25", "--unscheduled", "--patient-name", "Doe^J", "--syntax", syntax)
    rig.wait()
    states = [(one["state"], one["released"]) for one in rig.dicap("ledger")["objects"]]
    assert states == [("sent", True), ("sent", True)]
    received = [pydicom.dcmread(path) for path in folder.iterdir()]
    assert {dataset.file_meta.TransferSyntaxUID.name for dataset in received} == {
        "JPEG-LS Lossless Image Compression", "Explicit VR Little Endian",
    }  # fmt: skip


def test_a_peer_that_takes_only_uncompressed_gets_that(rig, tmp_path, processes):
    (port,) = free_ports(1)
    folder = tmp_path / "received"
    folder.mkdir()
    processes.append(subprocess.Popen(["storescp", "-q", "+xi", "-od", str(folder), str(port)], env=dict(os.environ)))
    until(lambda: listening(port))
    rig.configure(pacs=f"STORESCP@127.0.0.1:{port}", pacs_roles=("store",), release="stored", ris_roles=())
    rig.start("courier")
    done = rig.dicap("still", "--source", "testcard:320x240@25", "--unscheduled", "--patient-name", "Doe^J")
    rig.wait()
    (dataset,) = [pydicom.dcmread(path) for path in folder.iterdir()]
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert dataset.SOPInstanceUID == done["objects"][0]["sop_instance_uid"]
    assert dataset.PhotometricInterpretation == "RGB" and dataset.pixel_array.shape == (240, 320, 3)
    assert "does not take its own syntax" in rig.dicap("ledger")["objects"][0]["words"]
