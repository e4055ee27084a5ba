"""The contract every picture source keeps; opening them by name; CaptureError and its tree.

CaptureError
├── SourceMissing     nothing of that name here
├── NotOnThisSystem   this kind of source does not exist on this operating system
├── SourceLost        the device went away while it was in use
├── BadPicture        a file that is not the picture or video it says it is
└── EncoderMissing    no encoder for that format here
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from capture.frame import Format, Frame


class CaptureError(Exception):
    """Root of capture's errors: `str(error)` says what happened, `advice` what is safe and what to do."""

    advice = "What was captured before is kept."

    def __init__(self, what: str, advice: str | None = None) -> None:
        super().__init__(what)
        if advice is not None:
            self.advice = advice


class SourceMissing(CaptureError):
    """Nothing of that name here."""

    advice = "Run `dicap sources` to see what is connected; check the cable."


class NotOnThisSystem(CaptureError):
    """This kind of source does not exist on this operating system."""

    advice = "Choose another source: testcard and file: work everywhere."


class SourceLost(CaptureError):
    """The device went away while it was in use."""

    advice = "What was captured so far is kept. Check the cable; the source is opened again when it is back."


class BadPicture(CaptureError):
    """A file that is not the picture or video it says it is."""

    advice = "The original was left as it is."


class EncoderMissing(CaptureError):
    """No encoder for that format here."""

    advice = "Choose another syntax."


@dataclass(frozen=True)
class Listing:
    """One source that was found: the name that opens it, what it is, its inputs, and the formats it offers."""

    spec: str
    description: str
    inputs: tuple[str, ...] = ()
    formats: tuple[str, ...] = field(default_factory=tuple)


class Source(Protocol):
    """A thing that delivers frames, one reader at a time.

    `read` waits for the next frame and returns None at the end (a file that does not repeat); it raises SourceLost
    when the device goes away. `live` sources keep their own pace; `close` may be called twice, from any thread.
    """

    name: str
    format: Format
    live: bool

    def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        ...

    def close(self) -> None:
        """Let the device go."""
        ...
