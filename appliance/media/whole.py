"""A folder that is there whole or not at all, and lies on its medium when we say so."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import InputError


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A place to fill that becomes `folder` when all went well; after any error nothing of it is left.

    An empty folder that is there already, as the mount point of a stick is, is filled itself and emptied after an error.
    InputError where it is not empty or no folder.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        try:
            yield folder
        except BaseException:
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            raise
        _sync(folder)
        return
    if folder.exists():
        raise InputError(f"{folder} exists and is not empty", "Name a new folder; nothing was written.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}", "Nothing was written.") from error
    try:
        work.chmod(0o755)
        yield work
        _sync(work)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _sync(folder: Path) -> None:
    """Wait until all of it lies on the medium: a stick is pulled out as soon as we say that it is done."""
    if os.name != "posix":
        return  # other systems flush what is closed, and cannot open a folder
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
