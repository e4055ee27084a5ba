"""The shelf: whole or not at all, and nothing is deleted that nobody understands."""

import hashlib
import os
import subprocess
import sys
import time

import pytest

from appliance.errors import DiskFull, SettingsError, SpoolError
from appliance.spool.doorbell import Doorbell
from appliance.spool.latch import Latch
from appliance.spool.shelf import Shelf


def test_a_kept_file_is_whole_and_hashed(tmp_path):
    shelf = Shelf(tmp_path)
    written = shelf.temporary(".dcm")
    written.write_bytes(b"x" * 3_000_000)
    kept = shelf.keep(written, "E1", "p1.dcm")
    assert kept.file == "E1/p1.dcm" and kept.size == 3_000_000
    assert kept.sha256 == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert not written.exists() and shelf.path(kept.file).stat().st_size == 3_000_000


def test_what_cannot_be_kept_is_said(tmp_path):
    with pytest.raises(SpoolError, match="cannot keep"):
        Shelf(tmp_path).keep(tmp_path / "absent", "E1", "p1.dcm")


def test_the_reserve_is_demanded(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.demand_space(0)
    with pytest.raises(DiskFull, match="reserve"):
        shelf.demand_space(10**9)


def test_a_start_clears_unfinished_files_of_the_dead_and_keeps_those_of_the_living(tmp_path):
    shelf = Shelf(tmp_path)
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    dead = shelf.workbench / f"{child.stdout.strip()}-aa.dcm"
    dead.write_bytes(b"half")
    own = shelf.temporary(".dcm")
    own.write_bytes(b"half")
    shelf.sweep(set())
    assert not dead.exists() and own.exists()


def test_an_old_file_nobody_knows_moves_to_the_attic_and_is_not_deleted(tmp_path):
    shelf = Shelf(tmp_path)
    for name in ("known", "stray", "young"):
        written = shelf.temporary()
        written.write_bytes(name.encode())
        shelf.keep(written, "E1", name)
    for name in ("known", "stray"):
        os.utime(shelf.path(f"E1/{name}"), (time.time() - 1000,) * 2)
    (moved,) = shelf.sweep({"E1/known"})
    assert moved.read_bytes() == b"stray" and moved.parent.name == "attic"
    assert shelf.path("E1/known").exists() and shelf.path("E1/young").exists()


def test_dropping_twice_is_fine_and_takes_the_thumbnail(tmp_path):
    shelf = Shelf(tmp_path)
    written = shelf.temporary()
    written.write_bytes(b"1")
    kept = shelf.keep(written, "E1", "p1.dcm")
    shelf.thumbnail("p1").write_bytes(b"small")
    shelf.drop(kept.file)
    shelf.drop(kept.file)
    assert not shelf.path("E1").exists() and not shelf.thumbnail("p1").exists()


def test_the_bell_wakes_a_waiter_and_ringing_at_nobody_is_fine(tmp_path):
    Doorbell(tmp_path, "courier").ring()
    bell = Doorbell(tmp_path, "courier").open()
    assert bell.wait(0) is False
    for _ in range(3):
        Doorbell(tmp_path, "courier").ring()
    assert bell.wait(1.0) is True
    assert bell.wait(0) is False
    bell.close()


def test_a_path_too_long_for_a_socket_falls_back_to_looking(tmp_path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    bell = Doorbell(deep, "courier").open()
    Doorbell(deep, "courier").ring()
    assert bell.wait(0.01) is False
    bell.close()


def test_a_file_that_was_written_long_ago_is_young_when_it_is_kept(tmp_path):
    """A large file takes minutes to hash; a station that starts meanwhile must not take it for a stray."""
    shelf = Shelf(tmp_path)
    written = shelf.temporary()
    written.write_bytes(b"long")
    os.utime(written, (time.time() - 1000,) * 2)
    shelf.keep(written, "E1", "p1.dcm")
    assert shelf.sweep(set()) == [] and shelf.path("E1/p1.dcm").exists()


def test_what_is_set_aside_replaces_nothing_in_the_attic(tmp_path):
    shelf = Shelf(tmp_path)
    places = []
    for words in (b"one", b"two"):
        path = shelf.temporary().with_name("same.dcm")
        path.write_bytes(words)
        places.append(shelf.set_aside(path))
    assert [place.read_bytes() for place in places] == [b"one", b"two"]


def test_what_cannot_be_let_go_or_set_aside_is_said_in_our_words(tmp_path):
    shelf = Shelf(tmp_path)
    (shelf.objects / "E1" / "p1.dcm").mkdir(parents=True)  # a folder where the file should be
    with pytest.raises(SpoolError, match="cannot let"):
        shelf.drop("E1/p1.dcm")
    with pytest.raises(SpoolError, match="cannot put"):
        shelf.set_aside(tmp_path / "absent")


def test_a_bell_that_cannot_hang_there_falls_back_to_looking(tmp_path):
    (tmp_path / "courier.bell").mkdir()
    bell = Doorbell(tmp_path, "courier").open()
    assert bell.wait(0.01) is False
    bell.close()


HOLDER = """
import sys
from pathlib import Path
from appliance.spool.latch import Latch
latch = Latch(Path(sys.argv[1]))
print(latch.take(), flush=True)
sys.stdin.read()
"""


def test_a_latch_is_held_by_one_and_ends_with_its_process(tmp_path):
    path = tmp_path / "station.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(SettingsError, match="a station runs on the spool"):
            Latch(path).demand("station", tmp_path)
        holder.kill()
        holder.wait()
    with Latch(path) as mine:
        assert mine.take() and not Latch(path).take()
    assert Latch(path).take(), "let go at the end"
