"""The files: written whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import DiskFull, SpoolError

CHUNK = 1 << 20
ORPHAN_AGE = 120.0  # seconds; a younger file without a ledger row may belong to a process that is just keeping it


@dataclass(frozen=True)
class Kept:
    """A file that is safe: its name relative to the shelf, its size in bytes, its SHA-256 in hex."""

    file: str
    size: int
    sha256: str


class Shelf:
    """A folder of kept objects, with a workbench on the same disk for files still being written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = root / "shelf"
        self.workbench = root / "workbench"
        self.thumbnails = root / "thumbnails"
        self.recordings = root / "recordings"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # who runs the station, and nobody else, reads of its patients
        for folder in (self.objects, self.workbench, self.thumbnails, self.recordings):
            folder.mkdir(parents=True, exist_ok=True)

    def temporary(self, suffix: str = "") -> Path:
        """A new name on the workbench; the process id in it lets a later start see that its owner is gone."""
        return self.workbench / f"{os.getpid()}-{uuid.uuid4().hex}{suffix}"

    def keep(self, written: Path, folder: str, name: str) -> Kept:
        """Make a written file durable and give it its name: flush, hash, rename, flush the folder.

        Raises SpoolError; then the file is where it was, or nowhere, never half.
        """
        target = self.objects / folder / name
        if target.exists():
            raise SpoolError(f"{name} is on the shelf already")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            size = 0
            with written.open("rb+") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                os.utime(written)  # from now on it may be waiting for its row in the ledger: see sweep
                os.fsync(stream.fileno())
            written.replace(target)
            flush_folder(target.parent)
        except OSError as error:
            raise SpoolError(f"cannot keep {name} on the shelf: {error.strerror}") from error
        return Kept(f"{folder}/{name}", size, digest.hexdigest())

    def path(self, file: str) -> Path:
        """Where a kept file lies."""
        return self.objects / file

    def drop(self, file: str) -> None:
        """Let a file go; that it is gone already is fine. Raises SpoolError."""
        path = self.path(file)
        try:
            path.unlink(missing_ok=True)
            self.thumbnail(Path(file).stem).unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"cannot let {path} go: {error.strerror}") from error
        if path.parent != self.objects:
            with contextlib.suppress(OSError):  # others lie there, or another process has just put one there
                path.parent.rmdir()

    def set_aside(self, path: Path) -> Path:
        """Put a file that must not be sent, and must not be lost, into the attic; returns where it lies now."""
        attic = self.root / "attic"
        try:
            attic.mkdir(exist_ok=True)
            place = attic / path.name
            if place.exists():
                place = attic / f"{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}"
            return path.replace(place)
        except OSError as error:
            raise SpoolError(f"cannot put {path} aside: {error.strerror}") from error

    def thumbnail(self, picture_id: str) -> Path:
        """Where the small picture of an object lies."""
        return self.thumbnails / f"{picture_id}.jpg"

    def free_mb(self) -> int:
        """Free megabytes on the shelf's disk."""
        return shutil.disk_usage(self.root).free // 1_000_000

    def demand_space(self, reserve_mb: int) -> None:
        """Raise DiskFull where less than the reserve is free."""
        free = self.free_mb()
        if free < reserve_mb:
            raise DiskFull(f"only {free} MB are free on the spool's disk, the reserve is {reserve_mb} MB")

    def sweep(self, known: set[str]) -> list[Path]:
        """Clear what dead processes left: unfinished files go, whole files nobody knows move to the attic.

        `known` are the files that the ledger names. Returns the new places of the files moved to the attic.
        """
        for leftover in self.workbench.iterdir():
            if not _alive(leftover.name):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        moved = []
        for path in sorted(self.objects.rglob("*")):
            stray = path.is_file() and path.relative_to(self.objects).as_posix() not in known
            if stray and time.time() - path.stat().st_mtime > ORPHAN_AGE:
                moved.append(self.set_aside(path))
        return moved


def flush_folder(folder: Path) -> None:
    """Make a rename durable; a system that cannot open folders (Windows) does it by itself."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(name: str) -> bool:
    owner = name.split("-", 1)[0]
    if not owner.isdigit():
        return False
    if int(owner) == os.getpid():
        return True
    if os.name != "posix":
        return True  # nothing here tells; a leftover costs space, a wrong guess costs a picture
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
