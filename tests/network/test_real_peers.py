"""Against programs that others wrote: dcmtk's storescp and wlmscpfs, and Orthanc."""

import queue
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hospital import (
    CALLER,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    SECONDARY_CAPTURE,
    fake_picture,
    orthanc,
    picture,
    storescp,
    wlmscpfs,
)

from appliance.clinic.order import Code, Reference
from appliance.dicom.procedure import Wanted
from appliance.errors import NeedsTranscoding
from appliance.network import pacs, ris
from appliance.network.listener import Listener
from appliance.network.pacs import Commitment, Item


def bodies(folder: Path) -> dict[str, bytes]:
    """The data sets that storescp kept bit by bit, by SOP Instance UID in the file's name."""
    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        found[path.name.partition(".")[2]] = data[144 + int.from_bytes(data[140:144], "little") :]
    return found


@pytest.mark.parametrize("nodelay", [False, True])
def test_storescp_keeps_what_lay_on_our_disk(tmp_path: Path, free_port: Callable[[], int], nodelay: bool) -> None:
    items = [picture(tmp_path, number, side) for number, side in enumerate((8, 187, 700, 2000), 1)]
    items.append(picture(tmp_path, 9, 100, IMPLICIT))
    kept = tmp_path / "kept"
    with storescp(kept, free_port(), "+B", nodelay=nodelay) as address:
        results = list(pacs.store(CALLER, address, items))
    assert [result.error for result in results] == [None] * 5
    stored = bodies(kept)
    for item in items:
        assert item.path.read_bytes().endswith(stored[item.sop_instance_uid])
    assert len(stored) == 5


def test_storescp_that_takes_only_uncompressed_asks_for_transcoding(tmp_path: Path, free_port: Callable[[], int]) -> None:
    item = fake_picture(tmp_path, 1, JPEG_LS)
    item = Item(item.path, item.sop_class_uid, item.sop_instance_uid, JPEG_LS, (EXPLICIT, IMPLICIT))
    with storescp(tmp_path / "kept", free_port()) as address:
        (result,) = pacs.store(CALLER, address, [item])
    assert isinstance(result.error, NeedsTranscoding)
    assert set(result.error.accepted) == {EXPLICIT, IMPLICIT}


BIG = """
import resource, sys
from pathlib import Path
from appliance.errors import NeedsTranscoding
from appliance.network import pacs
from appliance.network.association import Caller
from appliance.settings import Address
address = Address.parse(sys.argv[1])
def store(path, uid):
    (result,) = pacs.store(Caller("DICAP", 60.0, 5.0), address, [pacs.Item(Path(path), sys.argv[4], uid, sys.argv[5])])
    assert result.error is None, result.words
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small = store(sys.argv[2], "2.25.10001")
print(store(sys.argv[3], "2.25.10002") - small)
"""


def test_300_mb_leave_the_memory_flat(tmp_path: Path, free_port: Callable[[], int]) -> None:
    small, big = picture(tmp_path, 1), picture(tmp_path, 2)
    head = big.path.read_bytes()
    at = head.index(b"\xe0\x7f\x10\x00OB\0\0") + 8
    length = 300_000_000
    with big.path.open("wb") as file:  # sparse: the pixels are a hole
        file.write(head[:at] + length.to_bytes(4, "little"))
        file.truncate(at + 4 + length)
    with storescp(tmp_path / "kept", free_port(), "--ignore", "-pdu", "131072") as address:
        command = [sys.executable, "-c", BIG, str(address), str(small.path), str(big.path), SECONDARY_CAPTURE, EXPLICIT]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 * 1024  # KiB; one piece is 1 MiB


def test_orthanc_stores_and_reports_on_a_new_association(tmp_path: Path, free_port: Callable[[], int]) -> None:
    reports: queue.Queue[Commitment] = queue.Queue()
    listener = Listener("DICAP", "127.0.0.1", 0, on_commitment=reports.put)
    items = [picture(tmp_path, number, 300) for number in range(1, 4)]
    try:
        with orthanc(tmp_path, free_port(), listener.start()) as address:
            assert [result.error for result in pacs.store(CALLER, address, items)] == [None] * 3
            again = next(iter(pacs.store(CALLER, address, items)))
            assert again.error is None
            references = [Reference(item.sop_class_uid, item.sop_instance_uid) for item in items]
            references.append(Reference(SECONDARY_CAPTURE, "2.25.4711"))
            now = pacs.ask_commitment(CALLER, address, "2.25.999", references, wait=0.1)
            heard = now or reports.get(timeout=20)
    finally:
        listener.stop()
    assert heard.transaction_uid == "2.25.999"
    assert set(heard.committed) == {item.sop_instance_uid for item in items}
    assert heard.failed == (("2.25.4711", 0x0112, "the archive does not have it"),)


ENTRY = """
{charset}
(0008,0050) SH [{accession}]
(0010,0010) PN [{name}]
(0010,0020) LO [{number}]
(0010,0030) DA [{birth}]
(0010,0040) CS [F]
(0010,2000) LO [PACEMAKER]
(0010,2110) LO [LATEX]
(0020,000d) UI [1.2.276.0.7230010.3.2.{study}]
(0032,1032) PN [SMITH^JOHN]
(0032,1060) LO [Gastroscopy]
(0032,1064) SQ
(fffe,e000) -
(0008,0100) SH [RPC]
(0008,0102) SH [99TEST]
(0008,0104) LO [Gastroscopy]
(fffe,e00d) -
(fffe,e0dd) -
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [{modality}]
(0040,0001) AE [DICAP]
(0040,0002) DA [{date}]
(0040,0003) TM [093000]
(0040,0006) PN [HOUSE^GREGORY]
(0040,0007) LO [Gastroscopy step]
(0040,0008) SQ
(fffe,e000) -
(0008,0100) SH [PROT]
(0008,0102) SH [99TEST]
(0008,0104) LO [Upper GI]
(fffe,e00d) -
(fffe,e0dd) -
(0040,0009) SH [SPS{study}]
(0040,0010) SH [STN1]
(0040,0011) SH [ROOM 4]
(fffe,e00d) -
(fffe,e0dd) -
(0040,1001) SH [RP{study}]
(0040,1003) SH [LOW]
"""


def entry(folder: Path, study: int, **facts: str) -> None:
    """A worklist file, made by dcmtk's own dump2dcm."""
    values = {"accession": f"A{study}", "name": f"DOE^JANE{study}", "number": f"P{study}", "birth": "19700102",
              "modality": "ES", "date": "20261120", "charset": "", **facts}  # fmt: skip
    dump = folder / f"{study}.dump"
    dump.write_bytes(ENTRY.format(study=study, **values).encode(facts.get("codec", "ascii")))
    subprocess.run(["dump2dcm", "-g", str(dump), str(folder / "WORKLIST" / f"{study}.wl")], check=True, timeout=20)


@pytest.fixture
def worklist(tmp_path: Path) -> Path:
    """A folder of worklist files: three for today's endoscopy in three scripts, others for other days and devices."""
    (tmp_path / "WORKLIST").mkdir()
    entry(tmp_path, 1)
    entry(tmp_path, 2, name="MÜLLER^JÖRG", charset="(0008,0005) CS [ISO_IR 100]", codec="latin-1")
    entry(tmp_path, 3, name="Иванова^Анна", charset="(0008,0005) CS [ISO_IR 144]", codec="iso8859-5", accession="SHARED")
    entry(tmp_path, 4, modality="US", accession="SHARED")
    entry(tmp_path, 5, date="20261121")
    return tmp_path


def test_wlmscpfs_is_asked_and_understood(worklist: Path, free_port: Callable[[], int]) -> None:
    with wlmscpfs(worklist, free_port(), "-csk") as address:

        def names(**wanted: str) -> list[str]:
            return sorted(order.patient.name for order in ris.find_orders(CALLER, address, Wanted(**wanted)).orders)

        found = ris.find_orders(CALLER, address, Wanted(date_from="20261120", date_to="20261120", modality="ES"))
        assert names(date_from="20261121") == ["DOE^JANE5"]
        assert names(date_to="20261120", modality="US") == ["DOE^JANE4"]
        assert names(accession="SHARED") == ["DOE^JANE4", "Иванова^Анна"]
        assert names(patient="doe") == ["DOE^JANE1", "DOE^JANE4", "DOE^JANE5"]
        assert names(patient="P4") == ["DOE^JANE4"]
        assert names(patient="jane") == []
        assert names(station_ae="NOBODY") == []
    assert sorted(order.patient.name for order in found.orders) == ["DOE^JANE1", "MÜLLER^JÖRG", "Иванова^Анна"]
    assert found.complaints == ()
    order = next(order for order in found.orders if order.accession == "A1")
    assert (order.patient.id, order.patient.birth_date, order.patient.sex) == ("P1", "19700102", "F")
    assert (order.patient.alerts, order.patient.allergies) == ("PACEMAKER", "LATEX")
    assert (order.study_uid, order.step_id, order.procedure_id) == ("1.2.276.0.7230010.3.2.1", "SPS1", "RP1")
    assert (order.date, order.time, order.modality, order.location) == ("20261120", "093000", "ES", "ROOM 4")
    assert order.performing_physician == "HOUSE^GREGORY"
    assert order.procedure_codes == (Code("RPC", "99TEST", "Gastroscopy"),)
    assert order.protocol_codes == (Code("PROT", "99TEST", "Upper GI"),)


def test_the_shared_worklists_are_read_through_wlmscpfs(
    tmp_path: Path, free_port: Callable[[], int], shared: Path | None
) -> None:
    """dcmtk's own sample worklist where it lies beside us, else one of ours."""
    folder = tmp_path / "WORKLIST"
    folder.mkdir()
    dumps = sorted((shared / "6_worklist_mpps_hl7_charset").glob("wklist*.dump")) if shared else []
    for dump in dumps:
        subprocess.run(["dump2dcm", "-g", str(dump), str(folder / f"{dump.stem}.wl")], check=True, timeout=20)
    if not dumps:
        entry(tmp_path, 1, name="VIVALDI^ANTONIO")
    with wlmscpfs(tmp_path, free_port(), "-csk") as address:
        found = ris.find_orders(CALLER, address, Wanted(patient="vivaldi"))
    assert {order.patient.name for order in found.orders} == {"VIVALDI^ANTONIO"}
    assert all(order.study_uid for order in found.orders)
