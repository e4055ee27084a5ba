"""What is asked wrongly is refused before anything happens, with exit 2 and the right words."""

import json
import signal
import stat
import subprocess

import pytest
from PIL import Image
from rig import DICAP, Rig, free_ports

UNSCHEDULED = ("--unscheduled", "--object", "sc")
SOURCE = ("--source", "testcard:320x240@25")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (64, 48), (10, 200, 90)).save(path)
    return path


def spoken(rig, *words):
    """A command as a person gives it: exit code and both streams."""
    return subprocess.run(rig.command(*words), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("still", *SOURCE, *UNSCHEDULED, "--birth-date", "31.12.1999"), "birth date"),
        (("still", *SOURCE, *UNSCHEDULED, "--birth-date", "19990231"), "birth date"),
        (("still", *SOURCE, *UNSCHEDULED, "--patient-id", "A\\B"), "backslash"),
        (("still", *SOURCE, *UNSCHEDULED, "--order", "A1"), "exclude"),
        (("still", *SOURCE, "--order", "A1", "--patient-id", "7"), "--unscheduled"),
        (("clip", *SOURCE, "--seconds", "1", "--unscheduled", "--object", "document"), "Legal"),
        (("exam", "finish"), "which exam"),
        (("worklist", "--date", "tomorrow"), "--date"),
    ],
)
def test_a_wrong_word_is_exit_2_and_nothing_is_begun(rig, words, said):
    answer = rig.dicap(*words, code=2)
    assert said in answer["error"] + answer["advice"]
    assert rig.dicap("ledger")["exams"] == []


def test_an_import_that_could_not_become_legal_is_exit_2_and_begins_no_exam(rig, photo):
    answer = rig.dicap("import", str(photo), *UNSCHEDULED, "--syntax", "mpeg2", code=2)
    assert "jls" in answer["advice"]
    assert rig.dicap("ledger")["exams"] == []


def test_what_an_import_passes_over_is_said(rig, photo):
    (photo.parent / "folder").mkdir()
    (photo.parent / "folder" / "notes.docx").write_text("hello")
    photo.rename(photo.parent / "folder" / photo.name)
    answer = rig.dicap("import", str(photo.parent / "folder"), *UNSCHEDULED)
    assert len(answer["objects"]) == 1 and "notes.docx" in answer["passed_over"][0]
    (photo.parent / "folder" / photo.name).unlink()
    assert "no picture" in rig.dicap("import", str(photo.parent / "folder"), *UNSCHEDULED, code=1)["error"]


def test_a_reason_to_abandon_is_a_code_or_its_words(rig):
    rig.dicap("exam", "begin", "--unscheduled")
    exam = rig.dicap("ledger")["exams"][0]["id"]
    answer = rig.dicap("exam", "abandon", "--exam", exam, "--reason", "bad weather", code=2)
    assert "110513" in answer["advice"]
    assert rig.dicap("exam", "abandon", "--exam", exam, "--reason", "patient refused")["state"] == "DISCONTINUED"


def test_a_clip_that_cannot_be_what_its_order_is_for_says_so(rig):
    rig.config.write_text(rig.config.read_text().replace("anatomic_region", "# anatomic_region"))
    answer = rig.dicap("clip", *SOURCE, "--unscheduled", "--seconds", "0.4")
    assert "Secondary Capture" in answer["objects"][0]["flaws"][0]
    named = rig.dicap("clip", *SOURCE, "--unscheduled", "--seconds", "0.4", "--region", "69695003:SCT:Stomach")
    assert named["objects"][0]["flaws"] == []


def test_check_says_its_findings_to_a_person(rig, photo):
    done = spoken(rig, "check", str(photo))
    assert done.returncode == 1 and "not a DICOM file" in done.stdout and "Traceback" not in done.stderr


def test_a_peer_that_is_away_makes_no_promises_about_the_spool(rig, photo):
    for words in (("echo", "pacs"), ("worklist",)):
        done = spoken(rig, *words)
        assert done.returncode == 3 and "spool" not in done.stderr and "no orders" not in done.stdout
    made = rig.dicap("import", str(photo), *UNSCHEDULED, "--to", str(photo.parent / "out"))
    answer = rig.dicap("send", made["objects"][0]["file"], "--to", "pacs", code=3)
    assert answer["objects"][0]["status"] == "" and "spool" not in answer["objects"][0]["advice"]


def test_an_order_that_the_ris_no_longer_lists_takes_more_pictures(rig):
    rig.hospital()
    rig.start("courier")
    order = next(one for one in rig.dicap("worklist")["orders"] if one["modality"] == "ES")
    first = rig.dicap("still", *SOURCE, "--order", order["accession"])
    rig.wait()
    assert order["key"] not in [one["key"] for one in rig.dicap("worklist")["orders"]]
    second = rig.dicap("still", *SOURCE, "--order", order["accession"])
    rig.wait()
    assert first["exam"] != second["exam"] and len(rig.stored()) == 2
    studies = {one["study_instance_uid"] for one in rig.dicap("ledger")["exams"]}
    assert studies == {order["study_instance_uid"]}


def test_what_every_command_takes_may_stand_before_its_name(rig):
    words = [*DICAP, "--json", "--data", str(rig.data), "--config", str(rig.config), "ledger"]
    assert json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["exams"] == []


def test_nobody_else_on_the_machine_reads_the_spool(rig):
    rig.dicap("ledger")
    assert stat.S_IMODE(rig.data.stat().st_mode) == 0o700


def test_run_ends_where_a_part_cannot_start(tmp_path):
    site = Rig(tmp_path)
    first = site.start("station")
    try:
        done = subprocess.run(site.command("run"), capture_output=True, text=True, timeout=90)
    finally:
        site.stop()
    assert "http" in first and done.returncode == 2
    assert "the station did not start" in done.stderr and "started again" not in done.stderr


def test_a_demonstration_keeps_away_from_real_work_and_finds_a_port(tmp_path):
    site = Rig(tmp_path)
    site.dicap("still", *SOURCE, *UNSCHEDULED)
    done = subprocess.run(site.command("run", "--demo"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--data" in done.stderr
    site.data = tmp_path / "demo"
    port = free_ports(1)[0]
    words = site.command("run", "--demo", "--http", f"127.0.0.1:{port}")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert any(f":{port}/" in line for line in process.stdout)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
