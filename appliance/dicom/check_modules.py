"""Has the object what its IOD demands: mandatory modules, types 1 and 2, the conditions we know, nothing foreign (PS3.3)."""

from pydicom.tag import Tag

from appliance.dicom import finding
from appliance.dicom.check_conditions import CONDITIONS, demanded_modules
from appliance.dicom.elements import Element, Level
from appliance.dicom.finding import Findings
from appliance.dicom.tables import Iod, Module, Tree

_CODES = tuple(int(Tag(word)) for word in ("CodeValue", "LongCodeValue", "URNCodeValue"))
_SCHEME, _MEANING = int(Tag("CodingSchemeDesignator")), int(Tag("CodeMeaning"))
_OVERLAYS = range(0x6000, 0x6100, 2)


def modules(iod: Iod, dataset: Level) -> Findings:
    """Faults of a dataset against the modules of its IOD (PS3.3 A.1.3): all errors, but for foreign attributes.

    A mandatory module must be there, a conditional one where its condition can be seen to hold, an optional one is held
    to its own types as soon as an attribute is there that only it makes mandatory.
    """
    demanded = demanded_modules(iod, dataset)
    own = {tag for module in iod.modules if module.usage == "M" for tag in module.attributes}
    for module in iod.modules:
        if module.usage == "M" or module.name in demanded or _is_used(module, dataset, own):
            yield from _types(module.attributes, dataset, "", f"{module.name} module")
    for condition in CONDITIONS:
        if condition.applies(iod, dataset):
            yield from condition.faults(dataset)
    yield from _foreign(iod, iod.known, dataset, "")
    for element in dataset.elements.values():
        yield from _codes(element, finding.name(element.tag))


def _is_used(module: Module, dataset: Level, own: set[int]) -> bool:
    """An optional module counts as present when an attribute is there that only it makes mandatory."""
    return any(kind == "1" and dataset.has(tag) and tag not in own for tag, (kind, _) in module.attributes.items())


def _types(tree: Tree, level: Level, where: str, who: str) -> Findings:
    """Types 1 and 2 of one module, and type 1C where the attribute is there at all (PS3.5 7.4)."""
    for tag, (kind, children) in tree.items():
        place = where + finding.name(tag)
        if kind == "1" and not level.filled(tag):
            what = "is empty" if level.has(tag) else "is missing"
            yield finding.error(place, f"{what}, but is of type 1 ({who})")
        elif kind == "2" and not level.has(tag):
            yield finding.error(place, f"is missing, but is of type 2: it may be empty ({who})")
        elif kind == "1C" and level.has(tag) and not level.filled(tag):
            yield finding.error(place, f"is present and empty, but is of type 1C ({who})")
        if children and level.has(tag):
            for number, item in enumerate(level.elements[tag].items, 1):
                yield from _types(children, item, f"{place}[{number}].", who)


def _codes(element: Element, place: str) -> Findings:
    """Every item that bears a code says which, in which scheme, and what it means (PS3.3 8.8).

    A code value is short, long or a URN, one of them only; a URN needs no scheme. Items without any are no codes.
    """
    for number, item in enumerate(element.items, 1):
        values = [tag for tag in _CODES if item.filled(tag)]
        here = f"{place}[{number}]"
        if values or item.has(_MEANING):
            if len(values) != 1:
                yield finding.error(here, f"has {len(values)} code values instead of one")
            if values and values[0] != _CODES[2] and not item.filled(_SCHEME):
                yield finding.error(here, "has a code without Coding Scheme Designator")
        for inner in item.elements.values():
            yield from _codes(inner, f"{here}.{finding.name(inner.tag)}")


def _foreign(iod: Iod, tree: Tree, level: Level, where: str) -> Findings:
    """Attributes that no module of the IOD has: a Standard Extended SOP Class may have them (PS3.2 3.11.3), so warnings."""
    for tag, element in level.elements.items():
        if tag >> 16 & 1 or tag & 0xFFFF == 0 or tag >> 16 in _OVERLAYS or tag in _ANYWHERE:
            continue
        row = tree.get(tag)
        if row is None:
            yield finding.warning(where + finding.name(tag), f"is not an attribute of the {iod.name} IOD")
        elif row[1]:
            for number, item in enumerate(element.items, 1):
                yield from _foreign(iod, row[1], item, f"{where}{finding.name(tag)}[{number}].")


# PS3.3 C.12.1: these may stand in any dataset or item; FFFC,FFFC is padding (PS3.10 7.2)
_ANYWHERE = frozenset({int(Tag("SpecificCharacterSet")), 0xFFFCFFFC})
