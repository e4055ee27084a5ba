"""A UID for each role: fresh ones for the clinic, repeatable ones for a simulation."""

import hashlib
import re
import uuid
from typing import Protocol

from appliance.errors import SettingsError

LONGEST = 64  # PS3.5 9.1
_LEGAL = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_FEWEST_DIGITS = 20  # fewer random digits than this below a root and two devices may collide


class Uids(Protocol):
    """Where new UIDs come from."""

    def new(self) -> str:
        """A UID that this source has not given before."""
        ...


def is_legal(uid: str) -> bool:
    """Whether the text is a UID: at most 64 characters, components without leading zeros (PS3.5 9.1)."""
    return len(uid) <= LONGEST and _LEGAL.fullmatch(uid) is not None


def new(root: str = "") -> str:
    """A new UID: a random UUID under 2.25 (PS3.5 B.2), or random digits under `root`; raises SettingsError."""
    return _below(root, uuid.uuid4().int)


class Fresh:
    """UIDs that nobody has had before, under a root of our own or under 2.25."""

    def __init__(self, root: str = "") -> None:
        _below(root, 1)  # a root that is too long is told at once, not in mid-exam
        self._root = root

    def new(self) -> str:
        """A UID that nobody has had before."""
        return new(self._root)


class Seeded:
    """The same UIDs in the same order for the same seed: for simulations only."""

    def __init__(self, seed: int | str, root: str = "") -> None:
        self._seed = str(seed)
        self._root = root
        self._count = 0

    def new(self) -> str:
        """The next UID of the sequence."""
        self._count += 1
        return self._from(f"#{self._count}")

    def named(self, *role: object) -> str:
        """The UID of one role (`named("study", 3)`), whatever was asked for before."""
        return self._from("/".join(str(word) for word in role))

    def _from(self, words: str) -> str:
        """The UID that belongs to these words under this seed."""
        digest = hashlib.sha256(f"{self._seed}\0{words}".encode()).digest()
        return _below(self._root, uuid.UUID(bytes=digest[:16], version=4).int)


def _below(root: str, number: int) -> str:
    """The number as a UID below the root, cut to what fits into 64 characters."""
    if not root:
        return f"2.25.{number}"
    room = LONGEST - len(root) - 1
    if room < _FEWEST_DIGITS or not is_legal(root):
        longest = LONGEST - 1 - _FEWEST_DIGITS
        raise SettingsError(f"dicom.uid_root: {root!r} is not a UID root of at most {longest} characters")
    return f"{root}.{number % 10**room}"
