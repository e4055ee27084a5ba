"""ISO images: what others read in them is what was written; what is no image, or a bad one, is said in words."""

import os
import shutil
import subprocess

import pycdlib
import pytest
from making import YAMADA, Maker, coded, colours

from appliance.errors import DiskFull, InputError
from appliance.media import disc, fileset
from appliance.media.profiles import MEDIA
from appliance.media.verify import verify
from appliance.media.whole import whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file-set of two people."""
    place = tmp_path_factory.mktemp("discs")
    jane, yamada = Maker(place / "jane"), Maker(place / "yamada", YAMADA, "yamada")
    paths = [jane.still(colours()), jane.video(coded(place, "mpeg2"), "mpeg2"), jane.document(), yamada.still(colours(2))]
    with whole(place / "disc") as work:
        fileset.make(work, paths, MEDIA["dvd-jpeg"])
    return place / "disc"


@pytest.fixture(scope="module")
def image(folder):
    """The same as an image."""
    disc.write_iso(folder, folder.with_suffix(".iso"))
    return folder.with_suffix(".iso")


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_xorriso_extracts_every_byte_under_the_same_names(folder, image, tmp_path):
    done = subprocess.run(
        ["xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(tmp_path / "out")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(folder)
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        path.chmod(0o755)  # as on a disc, they are read-only
    assert verify(tmp_path / "out").faults == ()


def test_the_image_is_iso_9660_of_level_1(image):
    """Names of 8 and 3 upper-case characters with version 1, none deeper than 8, no Joliet, no Rock Ridge."""
    iso = pycdlib.PyCdlib()
    iso.open(str(image))
    names = [f"{parent.rstrip('/')}/{name}" for parent, _, files in iso.walk(iso_path="/") for name in files]
    assert not iso.has_joliet() and not iso.has_rock_ridge() and not iso.has_udf()
    iso.close()
    assert "/DICOMDIR.;1" in names and "/README.TXT;1" in names and "/INDEX.HTM;1" in names
    for name in names:
        *parents, last = name.strip("/").split("/")
        stem, _, rest = last.partition(".")
        assert len(parents) < 8 and len(stem) <= 8 and len(rest.partition(";")[0]) <= 3 and last.endswith(";1")


def test_unpacked_and_digested_the_image_is_the_folder(folder, image, tmp_path):
    import hashlib

    disc.read_iso(image, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)
    assert disc.digests(image) == {name: hashlib.sha256(data).hexdigest() for name, data in contents(folder).items()}


def test_a_blu_ray_image_has_udf_beside_iso_9660(folder, tmp_path):
    disc.write_iso(folder, tmp_path / "bd.iso", udf=True)
    iso = pycdlib.PyCdlib()
    iso.open(str(tmp_path / "bd.iso"))
    assert iso.has_udf()
    files = {
        f"{parent.rstrip('/')}/{name}".strip("/") for parent, _, names in iso.walk(udf_path="/") for name in names
    }
    iso.close()
    assert files == set(contents(folder)) == set(disc.digests(tmp_path / "bd.iso"))


def test_one_changed_byte_changes_a_digest(image, folder, tmp_path):
    data = bytearray(image.read_bytes())
    at = data.index((folder / "PT000000/ST000000/SE000000/IM000000").read_bytes()[-4000:])
    data[at + 100] ^= 1
    (tmp_path / "worn.iso").write_bytes(data)
    before, after = disc.digests(image), disc.digests(tmp_path / "worn.iso")
    assert [name for name in before if before[name] != after[name]] == ["PT000000/ST000000/SE000000/IM000000"]


def test_an_image_that_ends_too_early_is_found(image, tmp_path):
    data = image.read_bytes()
    (tmp_path / "short.iso").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match=r"short\.iso"):
        disc.digests(tmp_path / "short.iso")


@pytest.mark.parametrize("data", [b"", b"hello\n" * 5000, os.urandom(100_000)])
def test_what_is_no_image_is_said_to_be_none(tmp_path, data):
    (tmp_path / "no.iso").write_bytes(data)
    with pytest.raises(InputError, match="is not an ISO 9660 image"):
        disc.read_iso(tmp_path / "no.iso", tmp_path / "back")


def test_a_name_that_leads_out_of_the_folder_is_never_unpacked(tmp_path):
    """An image with a file called `../EVIL`, as somebody could forge it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "AAAEVIL").write_bytes(b"evil")
    disc.write_iso(tmp_path / "in", tmp_path / "evil.iso")
    data = (tmp_path / "evil.iso").read_bytes()
    assert data.count(b"AAAEVIL.;1") >= 1
    (tmp_path / "evil.iso").write_bytes(data.replace(b"AAAEVIL.;1", b"../EVIL.;1"))
    with pytest.raises(InputError, match="not unpacked"):
        disc.read_iso(tmp_path / "evil.iso", tmp_path / "deep" / "back")
    assert not list((tmp_path / "deep").rglob("EVIL"))


def test_an_image_that_cannot_be_written_leaves_nothing(folder, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disc.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        disc.write_iso(folder, tmp_path / "out.iso")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_larger_than_level_1_can_hold(tmp_path):
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "LARGE").open("wb") as file:
        file.truncate((1 << 32) + 5)  # sparse
    with pytest.raises(InputError, match="larger than 4 GB"):
        disc.write_iso(tmp_path / "in", tmp_path / "out.iso")
    assert not (tmp_path / "out.iso").exists()


def test_an_image_is_not_unpacked_where_there_is_no_room(image, tmp_path, monkeypatch):
    full = shutil._ntuple_diskusage(100_000, 90_000, 10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(DiskFull):
        disc.read_iso(image, tmp_path / "back")
    assert not (tmp_path / "back").exists()
