"""ISO images: written, and read back after writing (ISO 9660 level 1, PS3.12 F)."""

import io
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from appliance.errors import InputError

BLOCK = 1 << 20


def write_iso(folder: Path, image: Path) -> int:
    """Make an ISO image of a file-set's folder; returns its bytes. The image appears whole or not at all."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=1, vol_ident="DICAP", sys_ident="", app_ident_str="DICAP")
    work = image.with_name(image.name + ".work")
    try:
        for path in sorted(folder.rglob("*")):
            name = "/" + path.relative_to(folder).as_posix().upper()
            if path.is_dir():
                iso.add_directory(name)
            else:
                iso.add_file(str(path), name + (";1" if "." in path.name else ".;1"))
        iso.write(str(work), blocksize=BLOCK)
        work.replace(image)
    except (PyCdlibException, OSError) as error:
        raise InputError(f"the image {image} could not be written: {error}", "Nothing else was changed.") from error
    finally:
        iso.close()
        work.unlink(missing_ok=True)
    return image.stat().st_size


def read_iso(image: Path, folder: Path) -> None:
    """Unpack an ISO image into a folder, names without version numbers; raises InputError where it is not one."""
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(image))
    except (PyCdlibException, OSError) as error:
        raise InputError(f"{image} is not an ISO 9660 image: {error}", "Nothing was changed.") from error
    try:
        for parent, _, files in iso.walk(iso_path="/"):
            target = folder / parent.strip("/")
            target.mkdir(parents=True, exist_ok=True)
            for name in files:
                plain = name.split(";")[0].rstrip(".")
                with (target / plain).open("wb") as stream:
                    iso.get_file_from_iso_fp(stream, iso_path=f"{parent.rstrip('/')}/{name}", blocksize=BLOCK)
    except (PyCdlibException, OSError, io.UnsupportedOperation) as error:
        raise InputError(f"{image} cannot be read to its end: {error}", "Make the disc again.") from error
    finally:
        iso.close()
