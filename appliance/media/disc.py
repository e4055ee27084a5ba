"""ISO images: written, unpacked, and their files' digests (ISO 9660 level 1, PS3.12 F and P; with UDF for Blu-ray, X)."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from appliance.errors import DiskFull, InputError

_PIECE = 1 << 20
_LARGEST = (1 << 32) - 2048  # bytes of one extent; level 1 allows one for each file
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,254}")


def write_iso(folder: Path, image: Path, udf: bool = False) -> int:
    """Make an ISO image of a file-set's folder; returns its bytes. The image appears whole or not at all.

    Raises InputError for a name or a size that ISO 9660 level 1 does not know, and where the image cannot be written.
    """
    iso = pycdlib.PyCdlib()
    work = image.with_name(f".{image.name}.part")
    try:
        iso.new(interchange_level=1, vol_ident="DICAP", app_ident_str="DICAP", udf="2.60" if udf else None)
        for path in sorted(folder.rglob("*")):
            name = "/" + path.relative_to(folder).as_posix()
            _add(iso, path, name, udf)
        with work.open("wb") as out:
            iso.write_fp(out, blocksize=_PIECE)
            out.flush()
            os.fsync(out.fileno())
        work.replace(image)
    except (PyCdlibException, OSError) as error:
        raise InputError(f"the image {image} could not be written: {error}", "Nothing of it is left.") from error
    finally:
        iso.close()
        work.unlink(missing_ok=True)
    return image.stat().st_size


def _add(iso: Any, path: Path, name: str, udf: bool) -> None:
    """Put one file or folder into an image under its own name, with version number 1 (PS3.12 F.2.2.2).

    InputError for a file that is larger than one extent of level 1.
    """
    more = {"udf_path": name} if udf else {}
    if path.is_dir():
        iso.add_directory(name, **more)
        return
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{name} is larger than 4 GB, which ISO 9660 cannot hold in one file", "Use a USB stick.")
    iso.add_file(str(path), name + (";1" if "." in path.name else ".;1"), **more)


def read_iso(image: Path, folder: Path) -> None:
    """Unpack an ISO image into a folder, names without version numbers.

    Raises InputError where it is not one or a name in it could lead out of the folder, DiskFull.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    size, free = image.stat().st_size, shutil.disk_usage(folder.parent).free
    if size > free:
        raise DiskFull(f"{folder.parent} has {free / 1e6:.0f} MB free, {size / 1e6:.0f} MB are needed to read {image.name}")

    def unpack(name: str, pour: Callable[[BinaryIO], None]) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            pour(stream)

    folder.mkdir(parents=True, exist_ok=True)
    _each(image, unpack)


def digests(image: Path) -> dict[str, str]:
    """The SHA-256 of every file in an image, by its name; nothing is unpacked. InputError as read_iso."""
    found: dict[str, str] = {}

    def add(name: str, pour: Callable[[BinaryIO], None]) -> None:
        sink: Any = _Hashing()
        pour(sink)
        found[name] = sink.digest.hexdigest()

    _each(image, add)
    return found


class _Hashing:
    """A stream that keeps nothing but the SHA-256 of what it was given."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        """Take a piece in."""
        self.digest.update(piece)
        return len(piece)


def _each(image: Path, take: Callable[[str, Callable[[BinaryIO], None]], None]) -> None:
    """Call `take` for every file of an image, with its plain name and a function that pours its bytes into a stream.

    InputError where it is no image, where it ends too early, and before a name that could lead out of a folder is used:
    whoever made the image chose the names.
    """
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(image))
    except Exception as error:  # pycdlib stumbles in many ways over what is no image
        raise InputError(f"{image} is not an ISO 9660 image that can be read: {error}", "Nothing was changed.") from error
    try:
        for parent, _, files in iso.walk(iso_path="/"):
            for name in files:
                place = f"{parent.rstrip('/')}/{name}"
                plain = place.strip("/").split(";")[0].rstrip(".")
                if not all(_NAME.fullmatch(part) for part in plain.split("/")):
                    raise InputError(f"{image} holds a file called {plain!r}, which is not unpacked", "Do not rely on it.")
                take(plain, partial(_pour, iso, place))
    except (PyCdlibException, OSError) as error:
        raise InputError(f"{image} cannot be read to its end: {error}", "Make the disc again.") from error
    finally:
        iso.close()


class _Counting:
    """A stream that counts what goes through it to another."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def write(self, piece: bytes) -> int:
        """Pass a piece on."""
        self.count += len(piece)
        return self._stream.write(piece)


def _pour(iso: Any, place: str, stream: BinaryIO) -> None:
    """Copy a file out of an image; an image that ends too early is pycdlib's to pass over, and ours to notice."""
    through = _Counting(stream)
    iso.get_file_from_iso_fp(through, iso_path=place, blocksize=_PIECE)
    expected = iso.get_record(iso_path=place).get_data_length()
    if through.count != expected:
        raise OSError(f"{place} has {expected} bytes, of which {through.count} are there")
