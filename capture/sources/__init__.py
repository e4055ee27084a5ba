"""One file per kind of picture source; which one a --source word means, and what is connected here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from capture.source import CaptureError, Listing, NotOnThisSystem, Source, SourceMissing

_KINDS: tuple[tuple[str, str], ...] = (
    (r"testcard(:|$)", "testcard"),
    (r"file:", "files"),
    (r"(v4l2:)?/dev/(video|v4l/)", "grabber"),
    (r"(rtsps?|udp|tcp|https?)://", "stream"),
)
_LATER = {
    "sane": "the scanner source (SANE) is not part of this version",
    "picamera": "the Raspberry Pi's own camera is not part of this version; it appears as /dev/video0 "
    "where libcamera's V4L2 layer is loaded",
}


def open_source(spec: str) -> Source:
    """Open a picture source by its --source word (COMMANDS.md).

    `testcard[:WIDTHxHEIGHT@RATE]`, `file:PATH[?loop][&rate=N]`, `/dev/videoN[:INPUT[:STANDARD]]`, `rtsp://…`. Raises
    SourceMissing, NotOnThisSystem or BadPicture, each with words for people.
    """
    for pattern, room in _KINDS:
        if re.match(pattern, spec):
            opener: Callable[[str], Source] = _room(room, spec).open_spec
            return opener(spec)
    kind = spec.partition(":")[0]
    if kind in _LATER:
        raise NotOnThisSystem(f"{spec!r} cannot be opened: {_LATER[kind]}.")
    raise SourceMissing(
        f"{spec!r} is not a picture source.",
        "Write testcard, file:PATH, /dev/video0 or rtsp://…; `dicap sources` shows what is connected.",
    )


def find_sources() -> list[Listing]:
    """Every source that can be opened now: the test card, and each capture device with its inputs and formats."""
    card = Listing(
        "testcard:1280x720@30",
        "test card: a moving picture that needs no hardware",
        (),
        ("any size and rate, as WIDTHxHEIGHT@RATE",),
    )
    try:
        devices: list[Listing] = _room("grabber", "/dev/video*").find()
    except NotOnThisSystem:
        devices = []
    return [card, *devices]


def _room(room: str, spec: str) -> Any:
    """The module of one kind of source; what it needs is imported here and not before."""
    try:
        return importlib.import_module(f"capture.sources.{room}")
    except ImportError as error:
        raise NotOnThisSystem(f"{spec} is not on this system: {error.name or error} is missing here.") from error


__all__ = ["CaptureError", "find_sources", "open_source"]
