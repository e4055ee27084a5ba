"""What a check found: one fault of one object, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydicom.datadict import keyword_for_tag

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One fault, in words for people.

    `where` names the attribute by its keyword, items counted from 1 (`RequestAttributesSequence[1].AccessionNumber`), or
    is `file` where it cannot be read at all. An `error` makes the object unsound, a `warning` does not.
    """

    severity: Severity
    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.words}"


Findings = Iterator[Finding]


def error(where: str, words: str) -> Finding:
    """A fault that keeps the object out of the spool."""
    return Finding("error", where, words)


def warning(where: str, words: str) -> Finding:
    """Something a person may want to know."""
    return Finding("warning", where, words)


def name(tag: int) -> str:
    """The attribute's keyword, or its number where it has none."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
