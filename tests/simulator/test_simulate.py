"""`dicap simulate` against a small hospital: from the worklist to the promise; the exit code tells the truth."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from appliance.peers.hospital import Hospital, HospitalPlan
from appliance.settings import Address

ROOT = Path(__file__).parents[2]
SMALL = '[[exam]]\nmodality = "US"\npictures = 2\n'


class Site:
    """A fresh hospital in this process, and the settings that fit it."""

    def __init__(self, folder, port, *faults, seed=5):
        folder.mkdir(parents=True)
        self.folder, self.port = folder, port
        called_back = Address(ae_title="DICAP", host="127.0.0.1", port=port)
        self.hospital = Hospital(
            HospitalPlan(folder / "store", 0, 0, modalities=(called_back,), seed=seed, faults=faults)
        )
        self.hospital.start()
        self.write()

    def write(self, pacs_roles=("store", "commit")):
        (self.folder / "dicap.toml").write_text(f"""
[station]
reserve_mb = 0
[courier]
listen = "127.0.0.1:{self.port}"
first_pause = 0.2
longest_pause = 1.0
same_association = 0.1
commit_patience = 2.0
timeout = 10.0
[peers.ris]
address = "RIS@127.0.0.1:{self.hospital.ris.port}"
roles = ["worklist", "mpps"]
[peers.pacs]
address = "PACS@127.0.0.1:{self.hospital.pacs.port}"
roles = {json.dumps(list(pacs_roles))}
""")

    def simulate(self, scenario, *words, code=0):
        """Run the command in a process of its own; returns its document."""
        command = [sys.executable, "-m", "appliance.cli", "simulate", "--json", "--config", str(self.folder / "dicap.toml")]
        done = subprocess.run(
            [*command, "--data", str(self.folder / "data"), str(scenario), *map(str, words)],
            capture_output=True, text=True, cwd=ROOT, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def stored(self):
        return sorted((self.folder / "store").rglob("*.dcm"))


@pytest.fixture
def sites(tmp_path, free_port):
    """Makes hospitals, each fresh; `sites(*faults, seed=5)`."""
    made = []

    def one(*faults, seed=5):
        made.append(Site(tmp_path / f"site{len(made)}", free_port(), *faults, seed=seed))
        return made[-1]

    yield one
    for site in made:
        site.hospital.stop()


def impatient(folder, patience=4, text=SMALL):
    (folder / "small.toml").write_text(f"patience = {patience}\n{text}")
    return folder / "small.toml"


def test_smoke_ends_with_everything_committed_and_told(sites, tmp_path):
    site = sites()
    done = site.simulate("smoke", "--seed", 3, "--report", tmp_path / "report")
    assert done["good"] and [one["modality"] for one in done["exams"]] == ["CT", "US", "ES"]
    assert all(one["made"] == one["stored"] == one["committed"] > 0 for one in done["exams"])
    assert all(one["told"] == one["reports"] == 2 and not one["trouble"] for one in done["exams"])
    assert len(site.stored()) == sum(one["made"] for one in done["exams"])
    assert site.hospital.complaints() == []
    steps = site.hospital.ris.steps()
    assert [step.state for step in steps] == ["COMPLETED"] * 3
    arrived = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in site.stored()}
    assert {uid for step in steps for uid in step.instances} == arrived
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert done["digest"] in page and "✓ All 10 objects committed" in page and page.count("<img") == 10
    assert not (site.folder / "data").exists(), "the clinic's spool is not touched"


def test_the_same_seed_makes_the_same_bytes_at_a_fresh_hospital_and_another_seed_others(sites):
    first, second, third = sites(), sites(), sites()
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(site.simulate, "smoke", "--seed", seed) for site, seed in ((first, 3), (second, 3), (third, 4))]
        digests = [run.result()["digest"] for run in runs]
    assert digests[0] == digests[1] != digests[2]
    kept = [[path.read_bytes() for path in site.stored()] for site in (first, second, third)]
    assert kept[0] == kept[1] and not set(kept[0]) & set(kept[2])


def test_a_promise_that_never_comes_ends_with_1(sites, tmp_path):
    site = sites("commit-never")
    told = site.simulate(impatient(tmp_path, 6), code=1)
    (exam,) = told["exams"]
    assert (exam["made"], exam["stored"], exam["committed"]) == (2, 2, 0) and not told["good"]
    assert "the promise to keep them never came" in told["error"]


def test_an_object_that_is_refused_ends_with_1_without_waiting(sites, tmp_path):
    site = sites("pacs-refuse-every=2:A900")
    told = site.simulate(impatient(tmp_path, 60), "--report", tmp_path / "report", code=1)
    (exam,) = told["exams"]
    assert exam["committed"] == 1 and exam["made"] == 2 and told["seconds"] < 50
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Only 1 of 2 objects committed" in page and "✗ not done" in page


def test_a_ris_that_refuses_the_step_ends_with_1(sites, tmp_path):
    told = sites("mpps-refuse").simulate(impatient(tmp_path), code=1)
    (exam,) = told["exams"]
    assert exam["told"] < exam["reports"] and exam["trouble"]


def test_what_goes_wrong_for_a_while_ends_well(sites, tmp_path):
    site = sites("pacs-busy=1", "pacs-lose-answer", "commit-partial", "mpps-lose-answer")
    told = site.simulate(impatient(tmp_path, 60))
    assert told["good"] and len(site.stored()) == 2


def test_nobody_there_ends_with_3_and_wrong_words_with_2(sites, tmp_path):
    site = sites()
    assert "did you mean modality?" in site.simulate(impatient(tmp_path, 4, "[[exam]]\nmodalty = 1\n"), code=2)["error"]
    site.write(pacs_roles=["store"])
    assert "nobody has: commit" in site.simulate("smoke", code=2)["error"]
    site.write()
    site.hospital.stop()
    assert site.simulate("smoke", code=3)["error"]


def test_a_taken_port_is_told_with_what_to_do(sites, tmp_path):
    site = sites()
    told = site.simulate(impatient(tmp_path), "--listen", f"127.0.0.1:{site.hospital.pacs.port}", code=2)
    assert "--listen" in told["advice"] and str(site.hospital.pacs.port) in told["error"]
    assert site.simulate(impatient(tmp_path), "--listen", "nowhere", code=2)["error"]
    assert site.hospital.ris.steps() == []


def test_a_worklist_without_such_an_order_ends_with_1_and_nothing_begun(sites, tmp_path):
    site = sites()
    told = site.simulate(impatient(tmp_path, 4, '[[exam]]\nmodality = "CT"\n' * 9), code=1)
    assert "no open order for CT" in told["error"] and site.hospital.ris.steps() == []
