"""kill -9 at random moments: what was acknowledged arrives exactly once in content, nothing is half, nothing is lost."""

import collections
import contextlib
import hashlib
import json
import random
import subprocess
import threading
import time

import pydicom
import pytest
from rig import until

from capture.sources.testcard import read_strip

SOURCE = "testcard:320x240@25"


def acknowledged_clips(rig, kills, dice, victims):
    """Take 2-second clips while victims are killed; returns the UIDs that were acknowledged to the user."""
    told, current = [], []
    over = threading.Event()

    def killer():
        try:
            for _ in range(kills):
                time.sleep(dice.uniform(0.1, 2.5))
                victim = dice.choice(victims)
                if victim in rig.processes:
                    rig.kill(victim)
                    rig.start(victim)
                else:
                    with contextlib.suppress(IndexError):
                        current[0].kill()
        finally:
            over.set()

    thread = threading.Thread(target=killer)
    thread.start()
    while not over.is_set():
        words = ("clip", "--json", "--source", SOURCE, "--unscheduled", "--patient-name", "Doe^Jane", "--seconds", "2")
        process = subprocess.Popen(rig.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        current[:] = [process]
        output, errors = process.communicate()
        current.clear()
        if process.returncode == 0:
            told += [one["sop_instance_uid"] for one in json.loads(output)["objects"]]
        elif process.returncode != -9:
            # only where the station that was asked is gone, and then in words
            assert "station" in victims and json.loads(output)["error"], errors
    thread.join()
    return told


def settle(rig):
    """End what a killed command left open, then wait until nothing is owed."""
    for exam in rig.dicap("ledger")["exams"]:
        if exam["state"] == "IN PROGRESS":
            rig.dicap("exam", "finish", "--exam", exam["id"])
    rig.wait(timeout=120)


def check_arrivals(rig, told):
    arrived = collections.Counter()
    for path in rig.stored():
        dataset = pydicom.dcmread(path)
        arrived[str(dataset.SOPInstanceUID)] += 1
        assert dataset.NumberOfFrames >= 1 and len(dataset.PixelData) > 1000
    missing = [uid for uid in told if not arrived[uid]]
    assert not missing, f"acknowledged, but lost: {missing}"
    assert set(arrived.values()) <= {1}, "twice at the archive"
    ledger = rig.dicap("ledger")
    assert {one["state"] for one in ledger["objects"]} <= {"committed"}
    by_uid = {one["sop_instance_uid"]: one for one in ledger["objects"]}
    assert set(arrived) == set(by_uid), "the archive has what the ledger knows, no more and no less"


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victims", [("courier", "clip"), ("courier", "station")], ids=" ".join)
def test_random_kills_lose_nothing(rig, soaking, victims):
    """Twenty kills; a hundred in make soak. Beside the courier the command itself is killed, or the station it asks."""
    kills = 100 if soaking else 20
    rig.hospital()
    rig.start("courier")
    if "station" in victims:
        rig.start("station")
    told = acknowledged_clips(rig, kills, random.Random(kills), victims)
    settle(rig)
    assert told, "some clips were acknowledged between the kills"
    check_arrivals(rig, told)


def test_a_killed_station_takes_its_exam_up_again(rig):
    """Stills and a running recording before the kill; after the new start the exam is open, the recording is in it."""
    import httpx

    rig.hospital()
    rig.start("courier")
    rig.start("station")
    url = f"http://127.0.0.1:{rig.http_port}/api"
    key = until(lambda: httpx.get(f"{url}/state").json()["worklist"]["orders"])[0]["key"]
    httpx.post(f"{url}/exam/begin", json={"key": key}).raise_for_status()
    kept = [httpx.post(f"{url}/exam/still").raise_for_status().json()["id"] for _ in range(3)]
    httpx.post(f"{url}/exam/record").raise_for_status()
    time.sleep(3)
    rig.kill("station")
    rig.start("station")
    exam = until(lambda: httpx.get(f"{url}/state").json()["exam"])
    assert exam["key"] == key
    pictures = {one["id"]: one for one in exam["pictures"]}
    assert set(kept) < set(pictures)
    (rescued,) = [one for one in pictures.values() if one["kind"] == "clip"]
    assert rescued["frames"] >= 2 * 25 and rescued["flaws"]
    httpx.post(f"{url}/exam/finish").raise_for_status()
    rig.wait()
    assert len(rig.stored()) == 4


def test_the_hospital_may_restart_in_the_middle(rig):
    rig.hospital()
    rig.start("courier")
    exam = rig.dicap("exam", "begin", "--unscheduled", "--patient-name", "Doe^J")["exam"]
    rig.dicap("still", "--source", SOURCE, "--exam", exam, "--count", "5")
    rig.kill("hospital")
    rig.dicap("exam", "finish", "--exam", exam)
    time.sleep(1)
    rig.hospital()
    rig.wait()
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in rig.stored()]
    assert len(digests) == len(set(digests)) == 5
    assert None not in [read_strip(pydicom.pixels.pixel_array(path)) for path in rig.stored()]
