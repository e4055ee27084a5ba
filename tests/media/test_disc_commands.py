"""The commands `disc make` and `disc verify`, each in a process of its own, with their exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.media import disc

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dicap(tmp_path_factory):
    """A function that runs a command over one spool with --json; it checks the exit code and returns the document."""
    home = tmp_path_factory.mktemp("commands")
    (home / "dicap.toml").write_text("[station]\nreserve_mb = 0\n")

    def run(*words, code=0):
        command = [sys.executable, "-m", "appliance.cli", words[0], "--config", str(home / "dicap.toml")]
        command += ["--data", str(home / "data"), "--json", *map(str, words[1:])]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def exam(dicap):
    """A finished exam of two stills."""
    words = ("--unscheduled", "--patient-id", "P-9", "--patient-name", "Doe^Jane", "--count", "2")
    return dicap("still", "--source", "testcard:320x240@25", *words)["exam"]


def test_an_image_is_made_and_verified(dicap, exam, tmp_path):
    made = dicap("disc", "make", exam, "-o", tmp_path / "out.iso")
    assert made["verified"] and made["objects"] == 2 and made["profiles"] == ["STD-GEN-CD"] and made["notes"] == []
    (verdict,) = dicap("disc", "verify", tmp_path / "out.iso")["discs"]
    assert verdict["objects"] == 2 and verdict["faults"] == []


def test_a_folder_is_made_and_a_fault_in_it_ends_with_1(dicap, exam, tmp_path):
    made = dicap("disc", "make", exam, "-o", tmp_path / "stick", "--profile", "usb-jpeg")
    assert made["profiles"] == ["STD-GEN-USB-JPEG"] and made["output"] == str(tmp_path / "stick")
    (tmp_path / "stick/PT000000/ST000000/SE000000/IM000001").unlink()
    (verdict,) = dicap("disc", "verify", tmp_path / "stick", code=1)["discs"]
    assert verdict["faults"] == ["PT000000/ST000000/SE000000/IM000001 is listed but not there"]


def test_wrong_words_end_with_2_and_change_nothing(dicap, exam, tmp_path):
    assert "known: auto, cd" in dicap("disc", "make", exam, "-o", tmp_path / "out", "--profile", "floppy", code=2)["error"]
    assert "-o" in dicap("disc", "make", exam, code=2)["error"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_exam_and_no_disc_ends_with_1(dicap, tmp_path):
    dicap("disc", "make", "E-NONE", "-o", tmp_path / "out.iso", code=1)
    (tmp_path / "text.iso").write_text("hello")
    assert "not an ISO 9660 image" in dicap("disc", "verify", tmp_path / "text.iso", code=1)["error"]
    assert not (tmp_path / "out.iso").exists()


def test_an_image_of_somebody_else_is_verified_too(dicap, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "HELLO.TXT").write_text("no objects here")
    disc.write_iso(tmp_path / "in", tmp_path / "other.iso")
    (verdict,) = dicap("disc", "verify", tmp_path / "other.iso", code=1)["discs"]
    assert verdict["faults"] == ["there is no DICOMDIR at the top"]
