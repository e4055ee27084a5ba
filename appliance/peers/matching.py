"""C-FIND matching, for the worklist and the archive alike: does an entity match, and what is answered (PS3.4 C.2.2.2)."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

# never keys: what says how to read the identifier, and at which level it asks
_NOT_KEYS = frozenset({Tag("SpecificCharacterSet"), Tag("QueryRetrieveLevel"), Tag("TimezoneOffsetFromUTC")})
_WILD = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})


def keys(identifier: Dataset) -> list[DataElement]:
    """The elements of an identifier that are keys."""
    return [element for element in identifier if element.tag not in _NOT_KEYS and element.tag.element != 0]


def matches(entity: Dataset, identifier: Dataset) -> bool:
    """Whether every key matches: single value, list, wildcard, range, sequence; an empty key matches all.

    A key that `entity` does not have at all is one that the peer does not support: it matches, as the standard says.
    """
    return all(_matches(entity[key.tag], key) for key in keys(identifier) if key.tag in entity)


def unsupported(entity: Dataset, identifier: Dataset) -> list[str]:
    """Keywords of the keys that `entity` does not have: they are not answered, and status FF01 says so."""
    missing = []
    for key in keys(identifier):
        if key.tag not in entity:
            missing.append(key.keyword or str(key.tag))
        elif key.VR == "SQ" and key.value and entity[key.tag].value:
            missing += unsupported(entity[key.tag].value[0], key.value[0])
    return missing


def answer(entity: Dataset, identifier: Dataset) -> Dataset:
    """What was asked for, and nothing else: absent keys are not invented, an empty sequence key asks for all of it."""
    result = Dataset()
    for key in keys(identifier):
        if key.tag not in entity:
            continue
        element = entity[key.tag]
        if key.VR == "SQ" and element.VR == "SQ" and key.value and len(keys(key.value[0])):
            result.add_new(key.tag, "SQ", [answer(item, key.value[0]) for item in element.value])
        else:
            result.add(element)
    return result


def _matches(element: DataElement, key: DataElement) -> bool:
    """One key against one element; a sequence key against any item (PS3.4 C.2.2.2.6)."""
    if element.VR == "SQ":
        if not key.value or not keys(key.value[0]):
            return True
        return any(matches(item, key.value[0]) for item in element.value)
    wanted = [text for text in _texts(key) if text and text.strip("*")]
    if not wanted:
        return True
    held = _texts(element)
    return any(_one(element.VR, have, want) for want in wanted for have in held)


def _texts(element: DataElement) -> list[str]:
    """The values of an element as trimmed text."""
    value: Any = element.value
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    return ["" if one is None else str(one).strip(" \0") for one in values]


def _one(vr: str, have: str, want: str) -> bool:
    """One value against one wanted value, by VR: range, name, wildcard, or equal (PS3.4 C.2.2.2.1 to C.2.2.2.5)."""
    if vr in ("DA", "TM", "DT"):
        return _within(vr, have, want)
    if vr == "PN":
        return any(_pattern(_plain(want)).fullmatch(_plain(group)) for group in have.split("=") if group)
    if vr in _WILD:
        return bool(_pattern(want).fullmatch(have))
    return have == want


def _plain(name: str) -> str:
    """A name without accents, case and trailing carets: PS3.4 C.2.2.2.1 allows such matching of names."""
    spread = unicodedata.normalize("NFKD", name.split("=")[0])
    return "".join(one for one in spread if not unicodedata.combining(one)).casefold().rstrip("^ ")


@lru_cache(maxsize=256)
def _pattern(want: str) -> re.Pattern[str]:
    """A wildcard as a regular expression."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(one, re.escape(one)) for one in want), re.DOTALL)


def _within(vr: str, have: str, want: str) -> bool:
    """A date or time against a value or a range, open at either end (PS3.4 C.2.2.2.5)."""
    if not have:
        return False
    first, dash, last = want.partition("-")
    if not dash:
        first = last = want
    if vr == "DA":  # YYYY.MM.DD is how old equipment writes it
        first, last, have = (text.strip().replace(".", "") for text in (first, last, have))
        return (not first or have >= first) and (not last or have <= last)
    if not dash:
        return _padded(have, "0") == _padded(want, "0")
    late_enough = not first or _padded(have, "0") >= _padded(first, "0")
    return late_enough and (not last or _padded(have, "0") <= _padded(last, "9"))


def _padded(moment: str, filler: str) -> str:
    """A TM or DT of any precision, made comparable (colons are those of old equipment)."""
    return moment.strip().replace(":", "").replace(".", "").ljust(20, filler)
