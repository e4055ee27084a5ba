"""Every command keeps the promises of the command line: exit codes, JSON, words."""

import json
import subprocess
import sys
import time

import numpy as np
import pydicom
import pytest
from PIL import Image
from rig import DICAP, until


@pytest.fixture
def pictures(tmp_path):
    """Two small pictures of our own making."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    dice = np.random.default_rng(1)
    for number in range(2):
        Image.fromarray(dice.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def run(*words):
    return subprocess.run([*DICAP, *words], capture_output=True, text=True)


def test_help_is_quick_because_it_loads_nothing_heavy():
    code = (
        "import sys; from appliance.cli import parser; parser().format_help();"
        "print([m for m in ('pydicom','pynetdicom','numpy','cv2','av','fastapi','pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_usage_and_settings_mistakes_exit_2_and_are_named_at_once(tmp_path):
    assert run("still").returncode == 2
    assert run("clip", "--source", "testcard", "--seconds", "-1").returncode == 2
    wrong = tmp_path / "dicap.toml"
    wrong.write_text('[station]\nmodalty = "ES"\n[peers.pacs]\naddress = "nonsense"\nroles = ["stroe"]\n')
    done = run("sources", "--config", str(wrong))
    assert done.returncode == 2
    assert "did you mean modality" in done.stderr and "roles" in done.stderr
    wrong.write_text('[peers.a]\naddress = "x"\n[peers.b]\naddress = "AET@host:99999"\n')
    done = run("sources", "--config", str(wrong))
    assert done.returncode == 2 and "peers.a.address" in done.stderr and "peers.b.address" in done.stderr


def test_sources_lists_the_test_card():
    done = run("sources", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["sources"][0]["spec"].startswith("testcard")


def test_an_absent_peer_is_exit_3_and_the_cached_worklist_shows_its_age(rig):
    rig.hospital()
    rig.start("courier")
    until(lambda: "3" in rig.dicap("worklist") or rig.dicap("ledger") is not None)
    assert rig.dicap("echo", "pacs")["answers"] is True
    assert rig.dicap("echo", f"PACS@127.0.0.1:{rig.pacs_port}")["seconds"] < 5
    until(lambda: any((rig.data / "ledger.sqlite-wal").parent.iterdir()))
    time.sleep(3)  # the courier looks at the worklist every two seconds
    rig.kill("hospital")
    rig.dicap("echo", "pacs", code=3)
    rig.dicap("echo", "nobody", code=2)
    answer = rig.dicap("worklist", code=3)
    assert answer["cached"] is True and answer["orders"] and 0 <= answer["age_seconds"] < 120
    assert answer["error"] and answer["advice"]
    order = next(one for one in answer["orders"] if one["modality"] == "ES")
    done = rig.dicap("still", "--source", "testcard:320x240@25", "--order", order["accession"])
    assert done["objects"], "an exam begins and ends normally with every peer down"


def test_import_to_a_folder_leaves_the_spool_alone_and_check_and_send_know_the_files(rig, pictures, tmp_path):
    rig.hospital()
    out = tmp_path / "out"
    made = rig.dicap("import", str(pictures), "--to", str(out), "--unscheduled", "--patient-name", "Doe^J", "--object", "sc")
    files = [one["file"] for one in made["objects"]]
    assert len(files) == 2 and rig.dicap("ledger")["exams"] == []
    assert all(not one["errors"] for one in rig.dicap("check", *files)["files"])
    sent = rig.dicap("send", *files, "--to", "pacs", "--associations", "2")
    assert sent["failed"] == 0 and len(rig.stored()) == 2
    broken = tmp_path / "broken.dcm"
    dataset = pydicom.dcmread(files[0])
    dataset.PatientID = ""
    dataset.Rows = 7
    dataset.save_as(broken)
    answer = rig.dicap("check", str(broken), files[1], code=1)
    assert [bool(one["errors"]) for one in answer["files"]] == [True, False]
    rig.kill("hospital")
    rig.dicap("send", *files, "--to", "pacs", code=3)


def test_send_says_which_of_several_failed(rig, pictures, tmp_path):
    rig.hospital("--fault", "pacs-refuse-every=2")
    out = tmp_path / "out"
    made = rig.dicap("import", str(pictures), "--to", str(out), "--unscheduled", "--patient-name", "Doe^J", "--object", "sc")
    answer = rig.dicap("send", *[one["file"] for one in made["objects"]], "--to", "pacs", code=4)
    assert sorted(bool(one["error"]) for one in answer["objects"]) == [False, True]


def test_an_illegal_pair_is_exit_2_names_the_legal_ones_and_begins_no_exam(rig):
    words = ("--source", "testcard:320x240@25", "--unscheduled")
    assert subprocess.run(rig.command("still", *words, "--syntax", "nonsense"), capture_output=True).returncode == 2
    answer = rig.dicap("still", *words, "--syntax", "mpeg2", code=2)
    assert "jls" in answer["error"] + answer["advice"]
    rig.config.write_text(rig.config.read_text().replace("anatomic_region", "# anatomic_region"))
    answer = rig.dicap("clip", *words, "--seconds", "1", "--object", "vl-microscopic", code=2)
    assert "which part of the body" in answer["error"] and "--region" in answer["advice"]
    assert rig.dicap("ledger")["exams"] == []


def test_refused_waits_for_a_hand_and_release_lets_it_go(rig):
    rig.hospital("--fault", "pacs-refuse-every=1")
    rig.start("courier")
    kept = rig.dicap("still", "--source", "testcard:320x240@25", "--unscheduled")["objects"][0]["id"]
    answer = rig.wait(code=1)
    assert "refused" in answer["error"]
    assert rig.dicap("retry", kept)["retried"] == 1
    rig.wait(code=1)
    assert rig.dicap("release", kept)["released"] == [kept]
    rig.wait()
    rig.dicap("retry", "nonsense", code=1)


def test_without_json_a_person_reads_words(rig):
    rig.hospital()
    done = subprocess.run(rig.command("worklist"), capture_output=True, text=True, check=True)
    assert "Müßigbrodt" in done.stdout
    done = subprocess.run(rig.command("ledger"), capture_output=True, text=True, check=True)
    assert "nothing is owed" in done.stdout
