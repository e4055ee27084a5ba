"""RIS and PACS together, and the words of the command line that open them."""

import argparse
import subprocess
import sys
from datetime import date

import pytest
from callers import Modality, make_object, step_begun, step_ended, storescu

from appliance.errors import SettingsError, StateError
from appliance.peers.hospital import Hospital, HospitalPlan, add_arguments, configure, plan_from
from appliance.peers.plan import PACS_PORT


def plan(*words, **more):
    """The plan of a command line."""
    parser = argparse.ArgumentParser("dicap hospital")
    add_arguments(parser)
    return plan_from(argparse.Namespace(**vars(parser.parse_args(words)), **more))


def test_without_a_word_it_fits_the_built_in_settings(tmp_path):
    """Ports, store and the courier that is called back."""
    default = plan(data=str(tmp_path))
    assert (default.ris_port, default.pacs_port, default.host) == (11112, 11114, "127.0.0.1")
    assert [str(address) for address in default.modalities] == ["DICAP@127.0.0.1:11113"]
    assert default.store == tmp_path / "hospital" and default.orders is None and default.commit_manner == "new"


def test_every_option_reaches_the_plan(tmp_path):
    """As in COMMANDS.md."""
    made = plan("--ris", "0", "--pacs", "none", "--orders", "o.toml", "--store", str(tmp_path), "--seed", "7",
                "--modality", "A@127.0.0.1:1", "--modality", "B@[::1]:2", "--fault", "ris-slow=1", "--fault", "pacs-warn",
                "--commit", "next")  # fmt: skip
    assert (made.ris_port, made.pacs_port, made.seed, made.commit_manner) == (0, None, 7, "next")
    assert [str(address) for address in made.modalities] == ["A@127.0.0.1:1", "B@[::1]:2"]
    assert made.faults == ("ris-slow=1", "pacs-warn") and str(made.orders) == "o.toml" and made.store == tmp_path


def test_a_bare_namespace_is_enough(tmp_path):
    """Options that a parser does not have are at their defaults; ports may be numbers already."""
    made = plan_from(argparse.Namespace(ris=0, seed=3, store=str(tmp_path)))
    assert (made.ris_port, made.pacs_port, made.seed) == (0, PACS_PORT, 3)


def test_all_mistakes_are_named_at_once():
    """And what is not there yet is said in words, not simulated badly."""
    with pytest.raises(SettingsError) as raised:
        plan("--ris", "99999", "--pacs", "x", "--printer", "5000", "--hl7", "2575", "--modality", "nobody", "--seed", "x",
             "--fault", "pacs-wran", "--commit", "never")  # fmt: skip
    for words in ("--ris: '99999'", "--pacs: 'x'", "--printer: The simulated printer comes with issue 4",
                  "--hl7: The HL7 interface comes with issue 5", "--modality: 'nobody'", "--seed: 'x'",
                  "did you mean pacs-warn", "--commit: 'never'"):  # fmt: skip
        assert words in str(raised.value)
    with pytest.raises(SettingsError, match="cannot share a port"):
        plan("--ris", "5000", "--pacs", "5000")


def test_the_faults_can_be_listed():
    """`--fault list`: nothing is started."""
    with pytest.raises(SettingsError, match=r"commit-late=SECONDS +the report comes SECONDS after"):
        plan("--fault", "list")


def test_help_lists_the_faults_and_is_light():
    """The options are there without pynetdicom and pydicom, so that --help is quick."""
    code = (
        "import argparse, sys; from appliance.peers.plan import add_arguments; parser = argparse.ArgumentParser();"
        "add_arguments(parser); print(parser.format_help());"
        "sys.exit(bool({'pynetdicom', 'pydicom', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pacs-abort-at=BYTES[xTIMES]" in done.stdout and "--modality AET@HOST:PORT" in done.stdout


def test_wrong_orders_are_a_settings_error(tmp_path):
    """Before any port is opened."""
    with pytest.raises(SettingsError, match="cannot read the orders"):
        Hospital(HospitalPlan(store=tmp_path, ris_port=0, pacs_port=0, orders=tmp_path / "none.toml"))


@pytest.fixture
def hospital(tmp_path):
    """The demo hospital on free ports."""
    one = Hospital(HospitalPlan(store=tmp_path / "store", ris_port=0, pacs_port=0, seed=1, faults=("ris-slow=0.01",)))
    one.start()
    yield one
    one.stop()


def test_its_words_say_what_is_there_and_what_goes_wrong(hospital, tmp_path):
    """Addresses, orders, the store, who is called back, and each fault."""
    words = hospital.words()
    assert f"RIS@127.0.0.1:{hospital.ris.port}" in words and f"PACS@127.0.0.1:{hospital.pacs.port}" in words
    assert "13 scheduled steps" in words and str(tmp_path / "store") in words and "DICAP@127.0.0.1:11113" in words
    assert "FAULT    ris-slow: the RIS thinks" in words


def test_today_is_on_the_worklist(hospital):
    """The demo orders are of today."""
    assert {order.date for order in hospital.ris.orders()} == {f"{date.today():%Y%m%d}"}


def test_a_completed_step_must_name_what_the_archive_has(hospital, tmp_path):
    """The hospital compares what the RIS was told with what the PACS holds."""
    storescu(hospital.pacs.port, make_object(tmp_path, 1))
    with Modality(hospital.ris.port, "RIS") as modality:
        modality.begin("2.25.1", step_begun(hospital.ris.orders()[0]))
        modality.change("2.25.1", step_ended("2.25.77.1", "2.25.77.2"))
    assert hospital.complaints() == ["PACS: 2.25.77.2 of the completed step 2.25.1 is not here"]


def test_it_opens_whole_or_not_at_all(hospital, tmp_path):
    """If the second port is taken, the first is closed again."""
    taken = hospital.pacs.port
    half = Hospital(HospitalPlan(store=tmp_path / "other", ris_port=0, pacs_port=taken))
    with pytest.raises(StateError, match=str(taken)):
        half.start()
    assert half.ris._server is None


def test_a_hospital_without_an_archive(tmp_path):
    """`--pacs none`: for those who bring their own."""
    alone = Hospital(HospitalPlan(store=tmp_path, ris_port=0, pacs_port=None))
    alone.start()
    assert alone.pacs is None and "PACS" not in alone.words() and alone.complaints() == []
    alone.stop()


def test_configure_makes_pynetdicom_quiet():
    """Only where a root asks for it (shown in a process of its own: it is a setting of the whole process)."""
    code = (
        "from pynetdicom import _config; import appliance.peers.hospital as h; a = _config.LOG_HANDLER_LEVEL;"
        "h.configure(); print(a, _config.LOG_HANDLER_LEVEL, _config.LOG_REQUEST_IDENTIFIERS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["standard", "none", "False"], done.stderr
    assert callable(configure)
