"""What can go wrong, who can mend it, and whether to try again.

ApplianceError
├── SettingsError      the settings or the words of a command are wrong        exit 2
│   └── IllegalPair    this object cannot carry that syntax                    exit 2
├── InputError         a file, a picture or an answer that cannot be used      exit 1
├── CheckError         an object is not what it says it is                     exit 1
├── SpoolError         the shelf or the ledger cannot keep its promise         exit 1
│   └── DiskFull       less free space than the reserve                        exit 1
├── StateError         that cannot be done now                                 exit 1
├── PeerError          a peer could not be reached or refused                  exit 3
│   ├── Unreachable    nobody answers there                                    retry
│   ├── Rejected       the association was refused                             retry when transient
│   ├── Broken         the conversation ended in the middle                    retry
│   ├── NeedsTranscoding   the peer takes the object, but not in its syntax    sent in another one
│   └── Refused        the peer answered no                                    a person must look
│       └── Busy       the peer answered not now                               retry
└── PartlyFailed       some of several objects failed                          exit 4
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self


class ApplianceError(Exception):
    """Root of all our errors: `str(error)` says what happened, `advice` what is safe and what to do."""

    advice = "Nothing that was kept is lost. Look at the log for the details."
    retry = False
    exit_code = 1
    report: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, what: str, advice: str | None = None) -> None:
        super().__init__(what)
        if advice is not None:
            self.advice = advice

    def with_report(self, report: Mapping[str, Any]) -> Self:
        """The same error with what was done nevertheless, as plain values for --json."""
        self.report = report
        return self


class SettingsError(ApplianceError):
    """The settings or the words of a command are wrong; all mistakes are named at once."""

    advice = "Correct the settings or the command and try again; nothing was changed."
    exit_code = 2


class IllegalPair(SettingsError):
    """The object cannot carry that transfer syntax; the advice names the legal ones."""


class InputError(ApplianceError):
    """A file, a picture or an answer that cannot be used."""

    advice = "The original was left as it is."


class CheckError(ApplianceError):
    """An object is not what it says it is (dicom.check found errors)."""

    advice = "The object was not put into the spool. This is a fault in dicap or in the settings: please report it."


class SpoolError(ApplianceError):
    """The shelf or the ledger cannot keep its promise."""

    advice = "What was kept before is whole. Check the disk the spool lies on."


class DiskFull(SpoolError):
    """Less free space than the reserve: a capture does not begin."""

    advice = "What was kept is whole. Let the courier send, or free space on the spool's disk, then try again."


class StateError(ApplianceError):
    """That cannot be done now: the exam has ended, the object has been sent, the source is busy."""

    advice = "Nothing was changed."


class PeerError(ApplianceError):
    """A peer could not be reached or refused."""

    advice = "Everything stays in the spool."
    exit_code = 3
    retry = True


class Unreachable(PeerError):
    """Nobody answers at that address."""

    advice = "Everything stays in the spool and is tried again. Check cable, address and port."


class Rejected(PeerError):
    """The association was refused (PS3.8 9.3.4)."""

    advice = "Everything stays in the spool. Ask the peer's administrator to enter our AE title, address and port."


class Broken(PeerError):
    """The conversation ended in the middle: aborted, timed out, or an answer was lost."""

    advice = "Everything stays in the spool and is tried again on a new association."


class Refused(PeerError):
    """The peer answered with a failure status: a person must look."""

    advice = "The object stays in the spool. Read the peer's words, mend the cause, then retry it by hand."
    retry = False

    def __init__(self, what: str, advice: str | None = None, status: int = 0) -> None:
        super().__init__(what, advice)
        self.status = status


class Busy(Refused):
    """The peer answered no for now: no room, or a fault of its own.

    It is a Refused, since the peer is there and has answered, but it is tried again without a person.
    """

    advice = "Everything stays in the spool and is tried again. If it lasts, ask the peer's administrator."
    retry = True


class NeedsTranscoding(PeerError):
    """The peer takes the SOP class, but not in the object's own transfer syntax.

    `accepted` are those of the object's other syntaxes that it does take: transcode to one of them and store again.
    """

    advice = "Nothing is lost. The object goes out in a syntax that the peer takes."
    retry = False

    def __init__(self, what: str, advice: str | None = None, accepted: Sequence[str] = ()) -> None:
        super().__init__(what, advice)
        self.accepted = tuple(accepted)


class PartlyFailed(ApplianceError):
    """Some of several objects failed; the report says which."""

    exit_code = 4
