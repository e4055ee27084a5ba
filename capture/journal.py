"""What a recording writes down beside its frames, so that a crash or a power cut takes no more than a moment of it."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from capture.coding import Coding
from capture.frame import Format, Loss

SUFFIX = ".journal"
_EVERY = 15  # frames between two writes to disk


@dataclass
class Record:
    """What is known of a recording: its coding, and for each frame the source's number and the time.

    `format` is what is in the file, `source` what came from the device; they differ where the size was made even.
    16 bytes of memory for each frame: 3.5 MB for two hours.
    """

    word: str
    codec: str
    container: str
    format: Format
    captured: datetime
    losses: tuple[Loss, ...] = ()
    profile: str = ""
    level: int = 0
    source: Format | None = None
    numbers: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    ended: bool = False
    notes: list[str] = field(default_factory=list)

    def gaps(self, frames: int) -> list[tuple[int, int]]:
        """(frames before the gap, frames missing in it), among the first `frames`."""
        numbers = self.numbers[:frames]
        return [(at, later - sooner - 1) for at, (sooner, later) in enumerate(pairwise(numbers), 1) if later - sooner > 1]

    def uneven_times(self, frames: int) -> tuple[float, ...]:
        """Seconds since the first frame; empty where the rate was constant and no frame is missing."""
        times = self.times[:frames]
        usual = float(1 / self.format.rate)
        if all(abs(later - sooner - usual) <= usual / 2 for sooner, later in pairwise(times)):
            return ()
        return tuple(round(one - times[0], 6) for one in times)


class Journal:
    """The file beside a recording: JSON lines.

    First the facts (coding, formats, when it began), then `[number, time]` for each frame, `{"note": words}` for what
    a person should know, and `{"end": frames}` when the recording is whole. Handed to the system every 15 frames.
    """

    def __init__(self, path: Path, coding: Coding, source: Format, captured: datetime, losses: Sequence[Loss]) -> None:
        self.record = Record(
            coding.word,
            coding.codec,
            coding.container,
            coding.format,
            captured,
            tuple(losses),
            coding.profile,
            coding.level,
            source,
        )
        self._file = path.open("w", encoding="utf-8")
        self._line(_facts(self.record))
        self._file.flush()

    def frame(self, number: int, moment: float) -> None:
        """A frame was given to the encoder: the source's number for it, and its time in seconds since 1970."""
        self.record.numbers.append(number)
        self.record.times.append(moment)
        self._line([number, round(moment, 6)])
        if len(self.record.numbers) % _EVERY == 0:
            self._file.flush()

    def note(self, words: str) -> None:
        """Something that a person should know about this recording."""
        self.record.notes.append(words)
        self._line({"note": words})
        self._file.flush()

    def end(self) -> None:
        """The recording is whole."""
        self.record.ended = True
        self._line({"end": len(self.record.numbers)})
        self.close()

    def close(self) -> None:
        """Close the file, safely on disk."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def _line(self, words: Any) -> None:
        self._file.write(json.dumps(words) + "\n")


def settle(path: Path, record: Record, frames: int) -> None:
    """Write the journal anew for a recording that was mended: its first `frames` frames, and that it is whole now."""
    fresh = path.with_suffix(".fresh")
    lines: list[Any] = [_facts(record)]
    lines += [[record.numbers[at], round(record.times[at], 6)] for at in range(frames)]
    lines += [{"note": words} for words in record.notes]
    lines.append({"end": frames})
    with fresh.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(path: Path) -> Record | None:
    """What a journal says, up to where it was torn; None where not even its first line is whole.

    A journal may be some frames behind its recording, and one that was not ended says so by `ended`.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        record = _record(json.loads(lines[0]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for line in lines[1:]:
        try:
            words = json.loads(line)
        except ValueError:
            continue  # the last line, torn
        if isinstance(words, list) and len(words) == 2:
            record.numbers.append(int(words[0]))
            record.times.append(float(words[1]))
        elif isinstance(words, dict):
            record.ended |= "end" in words
            if "note" in words:
                record.notes.append(str(words["note"]))
    return record


def _facts(record: Record) -> dict[str, Any]:
    return {
        "word": record.word,
        "codec": record.codec,
        "container": record.container,
        "format": _shape(record.format),
        "source": _shape(record.source or record.format),
        "captured": record.captured.isoformat(),
        "losses": [[loss.codec, loss.ratio] for loss in record.losses],
        "profile": record.profile,
        "level": record.level,
    }


def _record(facts: dict[str, Any]) -> Record:
    return Record(
        facts["word"],
        facts["codec"],
        facts["container"],
        _format(facts["format"]),
        datetime.fromisoformat(facts["captured"]),
        tuple(Loss(codec, ratio) for codec, ratio in facts["losses"]),
        facts["profile"],
        facts["level"],
        _format(facts["source"]),
    )


def _shape(shape: Format) -> list[Any]:
    return [shape.width, shape.height, str(shape.rate), shape.pixels, str(shape.aspect), shape.field_order]


def _format(words: list[Any]) -> Format:
    width, height, rate, pixels, aspect, order = words
    return Format(width, height, Fraction(rate), pixels, Fraction(aspect), order)
