"""Who."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Patient:
    """One person, as the hospital writes them (PS3.3 C.7.1.1, C.2.2, C.2.3).

    `name` is a DICOM person name (`Family^Given^Middle^Prefix^Suffix`, groups joined by `=`), `birth_date`
    is YYYYMMDD or empty, `sex` is M, F, O or empty, `pregnancy` is the standard's 1 to 4 or empty.
    """

    id: str
    name: str
    birth_date: str = ""
    sex: str = ""
    issuer: str = ""
    other_ids: tuple[str, ...] = ()
    size: str = ""
    weight: str = ""
    comments: str = ""
    allergies: str = ""
    alerts: str = ""
    pregnancy: str = ""
    special_needs: str = ""
    state: str = ""
    confidentiality: str = ""

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError("Patient ID is never blank: give one, or let temporary_id() make one")

    def mistakes(self) -> list[str]:
        """What a person typed that no object could carry as it is (PS3.5 6.2: LO, PN, DA, CS); empty where all is well."""
        wrong = [
            f"the {what} {value!r} holds a character that DICOM has no place for (backslash or control)"
            for what, value in (("patient ID", self.id), ("patient name", self.name))
            if re.search(r"[\\\x00-\x1f\x7f]", value)
        ]
        if len(self.id) > 64:
            wrong.append("the patient ID is longer than 64 characters")
        if any(len(group) > 64 for group in self.name.split("=")):
            wrong.append("the patient name is longer than 64 characters")
        if self.birth_date and not _is_date(self.birth_date):
            wrong.append(f"the birth date {self.birth_date!r} is no date: write YYYYMMDD")
        if self.sex not in ("", "M", "F", "O"):
            wrong.append(f"the sex {self.sex!r} is none of M, F, O")
        return wrong

    @property
    def spoken_name(self) -> str:
        """The name as people read it: `Family, Given Middle`; the ideographic group follows in brackets."""
        groups = [group for group in self.name.split("=") if group.strip("^ ")]
        words = []
        for group in groups:
            parts = [part.strip() for part in group.split("^")] + [""] * 5
            given = " ".join(part for part in (parts[3], parts[1], parts[2], parts[4]) if part)
            words.append(", ".join(part for part in (parts[0], given) if part))
        if not words:
            return "(no name)"
        return words[0] + "".join(f" ({word})" for word in words[1:])


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{8}", text):
        return False
    try:
        return datetime.strptime(text, "%Y%m%d").year > 1800
    except ValueError:
        return False


def temporary_id(now: datetime) -> str:
    """A Patient ID for somebody who has none yet: never blank, never the same twice, plainly temporary."""
    return f"TEMP-{now:%Y%m%d%H%M%S}-{secrets.token_hex(3).upper()}"
