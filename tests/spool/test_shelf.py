"""The shelf: whole or not at all, and nothing is deleted that nobody understands."""

import hashlib
import os
import subprocess
import sys
import time

import pytest

from appliance.errors import DiskFull, SpoolError
from appliance.spool.doorbell import Doorbell
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
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
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
