"""Reading what others wrote, with tolerance: wrong dates, wrong character sets, missing values; each told in words."""

import re
from collections.abc import Iterator
from datetime import date

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import TEXT_VR_DELIMS

from appliance.clinic.order import Code, Reference

_LATIN = frozenset({"", "ISO_IR 6", "ISO_IR 100", "ISO 2022 IR 6", "ISO 2022 IR 100"})
_UNREADABLE = "\ufffd"
_EARLIEST = date(1850, 1, 1)
_ESCAPES = re.compile(r"\x1b[$(),\-./]{1,2}[0-~]")  # ISO 2022; pydicom leaves those of GB 2312 in the text
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def _unescaped(raw: bytes) -> str:
    """Text with escapes of ISO 2022 that nobody declared, read by these escapes; empty where they lead nowhere."""
    terms = ["", *(f"ISO 2022 IR {number}" for number in (13, 87, 159, 149, 58, 144, 126, 101, 127, 138, 148))]
    try:
        return decode_bytes(raw, convert_encodings(terms), TEXT_VR_DELIMS | {ord("^"), ord("=")})
    except (UnicodeError, LookupError):
        return ""


class Reading:
    """One data set under its declared character set (PS3.3 C.12.1.1.2), of which nothing is trusted.

    No method raises: a value that cannot be had is empty, and `complaints` say what was wrong and what was made of it.
    `charset` is what was declared, several terms joined by a backslash.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.complaints: list[str] = []
        self.charset = ""
        self.charset = self.text(dataset, "SpecificCharacterSet")

    def text(self, dataset: Dataset, keyword: str, between: str = "\\") -> str:
        """A value as Unicode text without padding and control characters; several values are joined by `between`.

        UTF-8 under a declaration of Latin-1, or of nothing, is recognised; letters that do not fit are told.
        """
        raw = dataset.get_item(tag_for_keyword(keyword) or 0)
        bare = raw.value if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) else b""
        try:
            value = dataset.get(keyword)
        except Exception as error:  # noqa: BLE001  pydicom lets many classes through for garbage
            self._complain(f"{keyword} cannot be read ({error}); left empty")
            return ""
        parts = value if isinstance(value, MultiValue | list) else [value]
        words = [self._mended(str(part), bare, keyword) for part in parts if part is not None]
        clean = [_CONTROL.sub(" ", _ESCAPES.sub("", word)).strip() for word in words]
        return between.join(word for word in clean if word)

    def date(self, dataset: Dataset, keyword: str) -> str:
        """A date as YYYYMMDD; the old and the wrong ways of writing it are understood (1961.02.02, 1961-02-02)."""
        text = self._bare(dataset, keyword)
        digits = re.sub(r"^(\d{4})[.\-/](\d{2})[.\-/](\d{2})$", r"\1\2\3", text)
        try:
            if not re.fullmatch(r"\d{8}", digits):
                raise ValueError
            if date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) < _EARLIEST:
                raise ValueError
        except ValueError:
            if text:
                self._complain(f"{keyword} {text!r} is not a date; left empty")
            return ""
        return digits

    def time(self, dataset: Dataset, keyword: str) -> str:
        """A time as HHMM[SS[.FFFFFF]]; colons of old are understood."""
        text = self._bare(dataset, keyword)
        digits = text.replace(":", "")
        if re.fullmatch(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?", digits):
            return digits.ljust(4, "0")
        if text:
            self._complain(f"{keyword} {text!r} is not a time; left empty")
        return ""

    def decimal(self, dataset: Dataset, keyword: str) -> str:
        """A decimal number as it is written; empty where it is none."""
        text = self._bare(dataset, keyword).replace(",", ".")
        if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text):
            return text
        if text:
            self._complain(f"{keyword} {text!r} is not a number; left empty")
        return ""

    def items(self, dataset: Dataset, keyword: str) -> Iterator[Dataset]:
        """The items of a sequence; none where it is not a sequence."""
        try:
            value = dataset.get(keyword)
            found = [item for item in value if isinstance(item, Dataset)] if value and not isinstance(value, str) else []
        except Exception as error:  # noqa: BLE001  pydicom lets many classes through for garbage
            self._complain(f"{keyword} cannot be read ({error}); left out")
            found = []
        yield from found

    def codes(self, dataset: Dataset, keyword: str) -> tuple[Code, ...]:
        """The coded terms of a sequence (PS3.3 8.8); items without value are left out."""
        found = []
        for item in self.items(dataset, keyword):
            value = self.text(item, "CodeValue") or self.text(item, "LongCodeValue") or self.text(item, "URNCodeValue")
            scheme, version = self.text(item, "CodingSchemeDesignator"), self.text(item, "CodingSchemeVersion")
            if value:
                found.append(Code(value, scheme, self.text(item, "CodeMeaning"), version))
        return tuple(found)

    def references(self, dataset: Dataset, keyword: str) -> tuple[Reference, ...]:
        """The references of a sequence (PS3.3 10.8); incomplete ones are left out."""
        found = []
        for item in self.items(dataset, keyword):
            reference = Reference(self.text(item, "ReferencedSOPClassUID"), self.text(item, "ReferencedSOPInstanceUID"))
            if reference.sop_class_uid and reference.sop_instance_uid:
                found.append(reference)
        return tuple(found)

    def _bare(self, dataset: Dataset, keyword: str) -> str:
        """The text as it came, not through the conversions that stumble over wrong dates and numbers."""
        element = dataset.get_item(tag_for_keyword(keyword) or 0)
        value = element.value if element is not None else None
        if isinstance(value, bytes):
            return value.decode("latin-1").strip(" \0")
        return self.text(dataset, keyword)

    def _mended(self, text: str, raw: bytes, keyword: str) -> str:
        """The text as its writer must have meant it where it contradicts the declared character set."""
        if _ESCAPES.search(text) and "2022" not in self.charset:
            # pydicom has taken some of the escapes out of the text already
            better = _unescaped(raw if raw and b"\\" not in raw else text.encode("latin-1", "replace"))
            if better:
                said = self.charset or "no character set"
                self._complain(f"{keyword} {better!r} switches alphabets by ISO 2022 under {said}; read as ISO 2022")
                return better
        if text.isascii() or dictionary_VR(keyword) in ("CS", "UI", "DA", "TM"):
            return text
        if all(part in _LATIN for part in self.charset.split("\\")):
            said = self.charset or "no character set"
            try:
                better = text.encode("latin-1").decode("utf-8")
            except UnicodeError:
                if not self.charset:
                    self._complain(f"{keyword} {text!r} has letters beyond ASCII under no character set; read as Latin-1")
                return text
            self._complain(f"{keyword} {better!r} is written in UTF-8, though {said} is declared; read as UTF-8")
            return better
        if _UNREADABLE in text:
            self._complain(f"{keyword} does not fit its character set {self.charset}")
            if self.charset == "ISO_IR 192" and raw:
                return raw.decode("latin-1")
        return text

    def _complain(self, words: str) -> None:
        if words not in self.complaints:
            self.complaints.append(words)
