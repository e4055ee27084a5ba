"""Who is at work here: a lock that ends with its process, however that ends."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import SettingsError, SpoolError


class Latch:
    """A lock on a file of the spool. The system lets it go when the process dies, so that none is ever stale."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """Hold it from now on; False where another process (or another Latch of this one) does. Raises SpoolError."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SpoolError(f"cannot lock {self._path}: {error.strerror}") from error
        if not _lock(handle):
            os.close(handle)
            return False
        self._handle = handle
        return True

    def demand(self, who: str, root: Path) -> None:
        """Hold it, or raise SettingsError: `who` must be alone on this spool."""
        if not self.take():
            raise SettingsError(
                f"a {who} runs on the spool {root} already",
                "Stop that one, or give this one a spool of its own with --data. Nothing was changed.",
            )

    def free(self) -> None:
        """Let it go; may be called twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.free()


def _lock(handle: int) -> bool:
    """Without waiting: the BSD lock of the open file on POSIX, its first byte on Windows."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
