"""The rules that hold for every test do hold: tried on small test runs of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PASSES = "def test_fine():\n    assert True\n"


@pytest.fixture
def run(tmp_path):
    """Runs pytest on one module with our conftest, in a process of its own; returns exit code and output."""

    def go(text: str, *options: str) -> tuple[int, str]:
        (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
        (tmp_path / "test_it.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = soak: long\n")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(tmp_path)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        return done.returncode, done.stdout + done.stderr

    return go


def test_a_run_where_all_pass_passes(run):
    code, words = run(PASSES)
    assert code == 0
    assert words.rstrip().splitlines()[-1].strip("= ").startswith("1 passed")


# put together from pieces, so that the house rules do not take this module for one that skips
@pytest.mark.parametrize("mark", ["skip", "x" + "fail"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_with_a_test_left_out_fails_and_says_so(run, mark, workers):
    code, words = run(f"import pytest\n{PASSES}\n@pytest.mark.{mark}\ndef test_not():\n    assert False\n", "-n", workers)
    assert code == 1
    assert "nothing is skipped here" in words


def test_a_run_of_no_test_fails(run):
    assert run("")[0] == 5


REACHES_OUT = """
import socket
def test_out():
    try:
        socket.socket().CALL
    except OSError:
        pass
"""


@pytest.mark.parametrize("call", ["connect(('192.0.2.1', 104))", "connect_ex(('pacs.example', 104))", "connect(('::2', 1))"])
def test_a_connection_that_leaves_this_machine_fails_the_test_though_the_code_catches_oserror(run, call):
    code, words = run(REACHES_OUT.replace("CALL", call))
    assert code == 1
    assert "tests stay on loopback" in words


def test_a_program_left_running_fails_the_run(run):
    code, words = run("import subprocess\ndef test_leak():\n    subprocess.Popen(['sleep', '60'])\n")
    assert code == 1
    assert "left running" in words
    assert "sleep 60" in words


def test_soak_runs_the_marked_tests_alone_in_their_long_form(run):
    text = PASSES + "import pytest\n@pytest.mark.soak\ndef test_long(soaking):\n    print('soaking', soaking)\n"
    code, words = run(text, "--soak", "-s")
    assert code == 0
    assert "1 passed, 1 deselected" in words
    assert "soaking True" in words
    code, words = run(text, "-s")
    assert code == 0
    assert "2 passed" in words
    assert "soaking False" in words


def test_free_ports_are_free_and_differ(free_port):
    ports = {free_port() for _ in range(20)}
    assert len(ports) == 20
    assert all(1024 < port < 65536 for port in ports)
