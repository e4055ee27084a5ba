"""Is every value what its VR allows: length, characters, number of values, character set, UIDs (PS3.5 6.1, 6.2, 6.4, 9)."""

import re
from functools import lru_cache

from pydicom.config import RAISE
from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.valuerep import validate_value

from appliance.dicom import finding, uids
from appliance.dicom.elements import Element, Level
from appliance.dicom.finding import Finding, Findings

_TEXT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"})
_ONE_VALUE = frozenset({"LT", "ST", "UR", "UT"})
_EXTENDED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # Specific Character Set applies
_NUMBERS = {"US": 2, "SS": 2, "AT": 4, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "SV": 8, "UV": 8}
_COPIED = frozenset({"SH", "LO", "PN"})  # the hospital's own words may be too long; they are copied as they came
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")  # ESC is for ISO 2022
_LINES = re.compile(r"[\x0a\x0d]")
_CHARACTER_SET = 0x00080005
_TERMS = re.compile(
    r"|ISO_IR (6|13|100|101|109|110|126|127|138|144|148|166|192|203)|GB18030|GBK|ISO 2022 (IR \d+|GBK)"
)  # PS3.3 C.12.1.1.2


def values(level: Level, where: str = "") -> Findings:
    """Faults of every element of a dataset or item, and of its items; `where` is what their places begin with.

    Private elements and group lengths are nobody's business. Text of SH, LO and PN that is too long is a warning: these
    hold the hospital's own words, which are copied as they came. In character sets with code extensions (ISO 2022) text
    is not judged, for a backslash may be half a character (PS3.5 6.1.2.5).
    """
    yield from _order(level, where)
    strict = _strict_encoding(level)
    for element in level.elements.values():
        place = where + finding.name(element.tag)
        if element.tag >> 16 & 1 or element.tag & 0xFFFF == 0:
            continue  # private, or a group length
        yield from _vr(element, place)
        if element.vr in _TEXT and element.value:
            yield from _text(element, place, strict)
        elif element.vr in _NUMBERS and element.value:
            yield from _number(element, place)
        for number, item in enumerate(element.items, 1):
            yield from values(item, f"{place}[{number}].")


def _order(level: Level, where: str) -> Findings:
    """Elements rise and occur once (PS3.5 7.1); the character set is a defined term."""
    for tag in level.repeated:
        yield finding.error(where + finding.name(tag), "occurs more than once")
    for before, after in zip(level.order, level.order[1:], strict=False):
        if after < before:
            yield finding.error(where + finding.name(after), f"comes after {finding.name(before)}: elements must rise")
    charset = level.elements.get(_CHARACTER_SET)
    if charset is not None and charset.value:
        for word in level.text(_CHARACTER_SET).split("\\"):
            if not _TERMS.fullmatch(word.strip()):
                yield finding.error(f"{where}SpecificCharacterSet", f"{word!r} is not a defined term")


def _strict_encoding(level: Level) -> str:
    """The encoding whose bytes can be judged one by one; empty for code extensions."""
    name = level.encodings[0] if len(level.encodings) == 1 else ""
    return "ascii" if name == "iso8859" else name


@lru_cache(maxsize=4096)
def _entry(tag: int) -> tuple[frozenset[str], str]:
    """The VRs and the VM that PS3.6 gives the attribute; none where it is not in the dictionary."""
    if not dictionary_has_tag(tag):
        return frozenset(), ""
    return frozenset(dictionary_VR(tag).split(" or ")), dictionary_VM(tag)


def _vr(element: Element, place: str) -> Findings:
    """The VR is that of the dictionary, and the length even (PS3.5 7.1.1)."""
    legal, _ = _entry(element.tag)
    if not legal:
        yield finding.warning(place, "is not in the dictionary of PS3.6")
    elif element.vr not in legal:
        yield finding.error(place, f"has VR {element.vr}, PS3.6 says {' or '.join(sorted(legal))}")
    if element.length % 2 and element.length != 0xFFFFFFFF:
        yield finding.error(place, f"has an odd length of {element.length} bytes")


def _text(element: Element, place: str, encoding: str) -> Findings:
    """Bytes, padding, number and content of a value of text, in the character set that is promised."""
    raw = element.value or b""
    if element.vr in _EXTENDED and not encoding:
        return  # code extensions: a backslash may be half a character
    if element.vr in _EXTENDED and encoding != "ascii":
        try:
            text = raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            yield finding.error(place, f"holds bytes that are not {encoding}, which Specific Character Set promises")
            return
    else:
        text = raw.decode("latin-1")
        if not text.isascii():
            why = "Specific Character Set is missing" if element.vr in _EXTENDED else f"{element.vr} is ASCII only"
            yield finding.error(place, f"holds characters beyond ASCII: {why}")
            return
    if element.vr == "UI" and text.endswith(" "):
        yield finding.error(place, "a UID is padded with a zero byte, not with a space")
    elif element.vr != "UI" and text.endswith("\0"):
        yield finding.warning(place, "is padded with a zero byte instead of a space")
    text = text.rstrip("\0") if element.vr == "UI" else text.rstrip(" \0")
    parts = [text] if element.vr in _ONE_VALUE else text.split("\\")
    yield from _multiplicity(element.tag, len(parts), place)
    for part in parts:
        yield from _value(element.vr, part if element.vr in _ONE_VALUE else part.strip(" "), place)


def _value(vr: str, text: str, place: str) -> Findings:
    """One value of text against its VR (PS3.5 table 6.2-1)."""
    if not text:
        return
    if _CONTROL.search(text) or (vr not in _ONE_VALUE and _LINES.search(text)):
        yield finding.error(place, "holds control characters")
    if vr == "UI":
        if not uids.is_legal(text):
            yield finding.error(place, f"{text!r} is not a legal UID")
        return
    if vr == "PN":
        yield from _name(text, place)
        return
    words = _objection(vr, text)
    if words:
        copied = vr in _COPIED and not _CONTROL.search(text)
        yield Finding("warning" if copied else "error", place, words)


@lru_cache(maxsize=1024)
def _objection(vr: str, text: str) -> str:
    """What pydicom's validator of that VR says against a value; empty where nothing."""
    try:
        validate_value(vr, text, RAISE)
    except ValueError as error:
        return str(error).split(" Please see")[0]
    return ""


def _name(text: str, place: str) -> Findings:
    """Groups and components of a person name (PS3.5 6.2.1)."""
    groups = text.split("=")
    if len(groups) > 3:
        yield finding.error(place, f"a person name has at most 3 groups, this has {len(groups)}")
    for group in groups:
        if group.count("^") > 4:
            yield finding.error(place, "a person name has at most 5 components in a group")
        if len(group) > 64:
            yield finding.warning(place, "a group of a person name has at most 64 characters")


def _number(element: Element, place: str) -> Findings:
    """Size and number of binary values."""
    size, raw = _NUMBERS[element.vr], element.value or b""
    if len(raw) % size:
        yield finding.error(place, f"{len(raw)} bytes are not a multiple of {size}, as {element.vr} needs")
    else:
        yield from _multiplicity(element.tag, len(raw) // size, place)


def _multiplicity(tag: int, count: int, place: str) -> Findings:
    """The number of values against the VM of PS3.6: `1`, `1-3`, `2-2n`, `1-n`."""
    _, rule = _entry(tag)
    low, _, high = rule.partition("-")
    if not rule or not low.isdigit():
        return
    step = 1 if not high or not high.endswith("n") or high == "n" else int(high[:-1])
    most = int(low) if not high else (None if high.endswith("n") else int(high))
    if count < int(low) or (most is not None and count > most) or (count - int(low)) % step:
        yield finding.error(place, f"has {count} value{'s' * (count != 1)}, PS3.6 says {rule}")
