"""How the small hospital misbehaves on request: a table of named faults, each with a sentence.

`ris-…` and `mpps-…` concern the RIS, `pacs-…` the archive, `commit-…` its storage commitment.
"""

import difflib
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.dicom.syntaxes import by_name
from appliance.errors import SettingsError

OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True)
class Value:
    """What was said behind the equals sign; only the field that the fault's form speaks of is set."""

    seconds: float = 0.0
    times: int | None = None
    number: int = 0
    status: int = 0
    words: tuple[str, ...] = ()


def _seconds(text: str) -> Value:
    """SECONDS"""
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError("a number of seconds, as in 2.5")
    return Value(seconds=float(text))


def _times(text: str) -> Value:
    """TIMES"""
    if not re.fullmatch(r"[1-9]\d*", text):
        raise ValueError("how many times, as in 3")
    return Value(times=int(text))


def _bytes(text: str) -> Value:
    """BYTES or BYTESxTIMES; once per object where nothing is said."""
    match = re.fullmatch(r"(\d+)(?:x([1-9]\d*))?", text)
    if not match:
        raise ValueError("a number of bytes, and how often per object, as in 5000 or 5000x3")
    return Value(number=int(match[1]), times=int(match[2] or 1))


def _split_status(text: str) -> tuple[str, int]:
    """What comes before the colon, and the status behind it."""
    before, _, status = text.partition(":")
    if status and not re.fullmatch(r"(0x)?[0-9A-Fa-f]{4}", status):
        raise ValueError("a status of four hexadecimal digits behind the colon, as in :A900")
    return before, int(status, 16) if status else CANNOT_UNDERSTAND


def _every(text: str) -> Value:
    """N or N:STATUS"""
    number, status = _split_status(text)
    if not re.fullmatch(r"[1-9]\d*", number):
        raise ValueError("a number, and a status if you like, as in 5 or 5:A900")
    return Value(number=int(number), status=status)


def _uids(text: str) -> Value:
    """UID,UID or UID,UID:STATUS"""
    before, status = _split_status(text)
    uids = tuple(before.split(","))
    if not all(re.fullmatch(r"[0-9.]{1,64}", uid) for uid in uids):
        raise ValueError("SOP Instance UIDs with commas between them, and a status if you like, as in 1.2.3,1.2.4:A900")
    return Value(words=uids, status=status)


def _syntaxes(text: str) -> Value:
    """Names of COMMANDS.md, as UIDs; a fragmentable twin goes with its syntax (PS3.5 A.4)."""
    uids: list[str] = []
    for name in text.split(","):
        try:
            syntax = by_name(name.strip())
        except SettingsError as error:
            raise ValueError(f"names of transfer syntaxes with commas between them ({error})") from error
        uids += [uid for uid in (syntax.uid, syntax.fragmentable_uid) if uid]
    return Value(words=tuple(uids))


def _nonsense(text: str) -> Value:
    """A kind of nonsense."""
    if text not in ("bytes", "fields", "status"):
        raise ValueError("bytes, fields or status")
    return Value(words=(text,))


@dataclass(frozen=True)
class Fault:
    """One way to misbehave: `form` shows its value, `default` is the value when none is given (None: one must be).

    `default.times` of None means: always.
    """

    name: str
    form: str
    words: str
    read: Callable[[str], Value]
    default: Value | None = None


_ALWAYS = Value()
_ONCE = Value(times=1)
_NONSENSE = Value(words=("bytes", "fields"))

_ROWS: tuple[tuple[str, str, Callable[[str], Value], Value | None, str], ...] = (
    ("ris-down", "[=SECONDS]", _seconds, _ALWAYS, "nobody answers at the RIS's port, for ever or for the first SECONDS"),
    ("ris-reject", "[=TIMES]", _times, _ALWAYS, "the RIS refuses associations: calling AE title not recognised"),
    ("ris-busy", "[=TIMES]", _times, _ALWAYS, "the RIS refuses associations for the moment: local limit exceeded"),
    ("ris-slow", "=SECONDS", _seconds, None, "the RIS thinks for SECONDS before each answer"),
    ("ris-nonsense", "[=KIND]", _nonsense, _NONSENSE, "the worklist answers nonsense: KIND is bytes, fields or status"),
    ("ris-abort", "[=TIMES]", _times, _ALWAYS, "the RIS aborts after the first line of a worklist answer"),
    ("mpps-refuse", "[=TIMES]", _times, _ALWAYS, "N-CREATE and N-SET are answered with processing failure (0110)"),
    ("mpps-lose-answer", "[=TIMES]", _times, _ONCE, "N-CREATE and N-SET are done, the answer never leaves (once each)"),
    ("pacs-down", "[=SECONDS]", _seconds, _ALWAYS, "nobody answers at the PACS's port, for ever or for the first SECONDS"),
    ("pacs-reject", "[=TIMES]", _times, _ALWAYS, "the PACS refuses associations: calling AE title not recognised"),
    ("pacs-busy", "[=TIMES]", _times, _ALWAYS, "the PACS refuses associations for the moment: local limit exceeded"),
    ("pacs-slow", "=SECONDS", _seconds, None, "the PACS thinks for SECONDS over each object"),
    ("pacs-abort-at", "=BYTES[xTIMES]", _bytes, None, "the PACS aborts after BYTES of an object, once per object or TIMES"),
    ("pacs-lose-answer", "[=TIMES]", _times, _ONCE, "an object is stored, the answer never leaves (once each)"),
    ("pacs-refuse-uid", "=UID[,UID...][:STATUS]", _uids, None, "these objects are refused, with C000 or STATUS"),
    ("pacs-refuse-every", "=N[:STATUS]", _every, None, "every Nth object that comes in is refused, with C000 or STATUS"),
    ("pacs-out-of-resources", "[=TIMES]", _times, _ALWAYS, "objects are refused with A700, out of resources"),
    ("pacs-warn", "[=TIMES]", _times, _ALWAYS, "objects are stored with the warning B000, coercion of data elements"),
    ("pacs-only", "=SYNTAX,...", _syntaxes, None, "the PACS accepts these transfer syntaxes and no others"),
    ("pacs-forget", "[=TIMES]", _times, _ONCE, "an object is acknowledged, then lost: commitment misses it (once each)"),
    ("commit-none", "", _times, _ALWAYS, "the PACS does not offer storage commitment"),
    ("commit-refuse", "[=TIMES]", _times, _ALWAYS, "a request for commitment is answered with processing failure (0110)"),
    ("commit-never", "[=TIMES]", _times, _ALWAYS, "a request is accepted, and the report never comes"),
    ("commit-late", "=SECONDS", _seconds, None, "the report comes SECONDS after the request"),
    ("commit-partial", "[=TIMES]", _times, _ONCE, "one object of a request is reported missing (0112) though stored"),
    ("commit-fail", "[=TIMES]", _times, _ALWAYS, "every object of a request is reported failed (0110)"),
)
FAULTS: dict[str, Fault] = {name: Fault(name, form, words, read, default) for name, form, read, default, words in _ROWS}


def table() -> str:
    """The faults as lines of text, for `--help`."""
    return "\n".join(f"  {fault.name + fault.form:38}{fault.words}" for fault in FAULTS.values())


class Faults:
    """The faults that were asked for. The same seed and the same traffic give the same misbehaviour.

    An empty one (`Faults()`) is a peer that behaves. A peer looks at its faults at every step, so that another value
    may be put in its place while it runs (but for those that concern the opening of its port).
    """

    def __init__(self, chosen: dict[str, Value] | None = None, seed: int = 0) -> None:
        self._chosen = dict(chosen or {})
        self._seed = seed
        self._lock = threading.Lock()
        self._used: Counter[tuple[str, str]] = Counter()

    @classmethod
    def parse(cls, words: Sequence[str], seed: int = 0) -> "Faults":
        """Read `NAME[=VALUE]` words; raises SettingsError naming every mistake, with the nearest right name."""
        chosen: dict[str, Value] = {}
        mistakes = []
        for word in words:
            name, equals, text = word.partition("=")
            try:
                value = _read(name, text if equals else None)
            except ValueError as error:
                mistakes.append(f"{word}: {error}")
                continue
            if name in chosen:
                mistakes.append(f"{word}: given twice")
            chosen[name] = value
        if mistakes:
            raise SettingsError("these faults cannot be had:\n  " + "\n  ".join(mistakes))
        return cls(chosen, seed)

    def __contains__(self, name: str) -> bool:
        return name in self._chosen

    def __bool__(self) -> bool:
        return bool(self._chosen)

    def value(self, name: str) -> Value:
        """What was said behind the equals sign, or the fault's default; an empty Value if the fault was not asked for."""
        return self._chosen.get(name, Value())

    def strikes(self, name: str, key: str = "") -> bool:
        """Whether the fault strikes now; counts, so that a fault with TIMES stops striking the same `key`."""
        value = self._chosen.get(name)
        if value is None:
            return False
        with self._lock:
            self._used[name, key] += 1
            return value.times is None or self._used[name, key] <= value.times

    def every(self, name: str) -> bool:
        """Whether this is the Nth of something that goes wrong every Nth time; counts."""
        value = self._chosen.get(name)
        if value is None:
            return False
        with self._lock:
            self._used[name, ""] += 1
            return self._used[name, ""] % value.number == 0

    def dice(self, name: str) -> random.Random:
        """A fresh repeatable source of randomness for one fault."""
        return random.Random(f"{self._seed}/{name}")

    def words(self) -> list[str]:
        """What goes wrong, a sentence each."""
        return [f"{name}: {FAULTS[name].words}" for name in self._chosen]


def _read(name: str, text: str | None) -> Value:
    """The value of one fault; ValueError in words for what cannot be."""
    fault = FAULTS.get(name)
    if fault is None:
        near = difflib.get_close_matches(name, FAULTS, 1)
        raise ValueError("no such fault" + (f"; did you mean {near[0]}{FAULTS[near[0]].form}?" if near else ""))
    if text is None:
        if fault.default is None:
            raise ValueError(f"a value is missing: {name}{fault.form}")
        return fault.default
    if not fault.form:
        raise ValueError("takes no value")
    try:
        value = fault.read(text)
    except ValueError as error:
        raise ValueError(f"expected {error}") from error
    return value
