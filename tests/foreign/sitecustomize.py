"""A machine that is not Linux, as far as our own modules can see: Python runs this at its start when PYTHONPATH leads here.

$DICAP_TEST_SYSTEM is darwin or win32. Only what `appliance` and `capture` import changes; the libraries and the standard
library stay what they are, because their builds for another system are not on this machine.
"""

import builtins
import importlib
import os
from collections.abc import Mapping, Sequence
from types import ModuleType

LINUX_MODULES = "linuxpy v4l2 lgpio RPi pigpio gpiod sane _sane pyudev evdev picamera2"
UNIX_MODULES = "fcntl termios pty tty resource grp pwd syslog readline curses"
LINUX_WORDS = {
    "socket": "TCP_QUICKACK TCP_USER_TIMEOUT TCP_DEFER_ACCEPT AF_PACKET AF_NETLINK SO_MARK SO_BINDTODEVICE",
    "os": "posix_fadvise posix_fallocate copy_file_range memfd_create eventfd pidfd_open splice sched_getaffinity "
    "sched_setaffinity sched_setscheduler O_TMPFILE O_DIRECT fdatasync",
    "select": "epoll EPOLLIN",
    "signal": "SIGRTMIN signalfd",
}
UNIX_WORDS = {
    "socket": "AF_UNIX MSG_DONTWAIT MSG_NOSIGNAL SO_REUSEPORT sendmsg recvmsg",
    "os": "fork mkfifo getuid geteuid setsid getpgid killpg statvfs chown fchmod preadv pwritev writev nice getloadavg "
    "uname sendfile O_NONBLOCK O_CLOEXEC O_DIRECTORY register_at_fork",
    "select": "poll",
    "signal": "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGCHLD SIGALRM alarm setitimer pthread_sigmask sigwait",
}


class Foreign(ModuleType):
    """A module of the standard library as another system has it: some names are absent, some are different."""

    def __init__(self, real: ModuleType, absent: set[str], different: Mapping[str, object]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _absent=absent, _different=different)

    def __getattr__(self, name: str) -> object:
        if name in self.__dict__["_different"]:
            return self.__dict__["_different"][name]
        if name in self.__dict__["_absent"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on this system")
        return getattr(self.__dict__["_real"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_real"], name, value)


def _open_as_windows_does(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if os.path.isdir(path):  # noqa: PTH112
        raise PermissionError(13, "Permission denied (a folder cannot be opened on Windows)", str(path))
    return os.open(path, flags, mode, dir_fd=dir_fd)


def _windows_locks() -> ModuleType:
    """The one part of Windows' msvcrt that we use, played with what is here."""
    fcntl = importlib.import_module("fcntl")
    played = ModuleType("msvcrt")
    played.__dict__.update(LK_NBLCK=2, locking=lambda handle, mode, size: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB))
    return played


def become(system: str) -> None:
    """From here on our modules see another system."""
    windows = system == "win32"
    gone = set((LINUX_MODULES + " " + (UNIX_MODULES if windows else "")).split())
    different: dict[str, dict[str, object]] = {
        "sys": {"platform": system},
        "os": {"name": "nt", "open": _open_as_windows_does} if windows else {},
        "platform": {"system": lambda: "Windows" if windows else "Darwin"},
    }
    faces: dict[str, Foreign] = {}
    for name in ("sys", "os", "socket", "select", "signal", "platform"):
        absent = LINUX_WORDS.get(name, "") + " " + (UNIX_WORDS.get(name, "") if windows else "")
        faces[name] = Foreign(importlib.import_module(name), set(absent.split()), different.get(name, {}))
    locks = _windows_locks() if windows else None
    real_import = builtins.__import__

    # the names are those of the built-in: some call it by keyword
    def import_as_there(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        asker = str((globals or {}).get("__name__", "")).partition(".")[0]
        if asker == "__main__":
            asker = str((globals or {}).get("__package__") or "").partition(".")[0]
        top = name.partition(".")[0]
        if level == 0 and asker in ("appliance", "capture"):
            if top in gone:
                raise ModuleNotFoundError(f"No module named {name!r} on this system", name=name)
            if locks is not None and name == "msvcrt":
                return locks
            if name in faces or (top in faces and not fromlist):
                return faces[top]
        return real_import(name, globals, locals, fromlist, level)

    builtins.__import__ = import_as_there


if os.environ.get("DICAP_TEST_SYSTEM"):
    become(os.environ["DICAP_TEST_SYSTEM"])
