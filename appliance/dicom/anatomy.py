"""Where in the body: a coded region found in what was ordered or set. Never guessed."""

from collections.abc import Iterable
from functools import lru_cache

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as Term

from appliance.clinic.order import Code, Order
from appliance.dicom import tables

# CID 4 Anatomic Region, 4029 Dermatology, 4030 CT, MR and PET, 4031 Common, 4040 Endoscopy
_GROUPS = ("cid4", "cid4029", "cid4030", "cid4031", "cid4040")
# where a term that a screen offers is looked up: CID 4 last, which says "Endo-cardiac" where others say "Heart"
_PLAIN = ("cid4031", "cid4040", "cid4029", "cid4")
# what screens offer by modality, in the order of the body as each trade looks at it; names of PS3.16 as pydicom spells them
_OUTSIDE = "Skin Head Scalp Face Eye Ear Mouth Neck Chest Breast Abdomen Back Buttock UpperLimb Hand LowerLimb Foot"
_TISSUE = "Skin Breast Lung Esophagus Stomach Colon Liver Pancreas Kidney Bladder Prostate Cervix Uterus Ovary Thyroid Brain"
_OFFERED = {
    "ES": "Esophagus Stomach Duodenum EsophagusStomachAndDuodenum SmallIntestine Colon SigmoidColon Rectum BileDuct"
    " PancreaticDuctAndBileDuctSystems TracheaAndBronchus Larynx Nasopharynx ParanasalSinus Bladder Ureter Uterus Knee"
    " IntraAbdominopelvic IntraThoracic",
    "US": "Abdomen Liver Gallbladder Pancreas Spleen Kidney Bladder Prostate Pelvis Uterus Ovary Scrotum Breast Thyroid Neck"
    " Heart CarotidArtery AbdominalAorta FemoralVein Shoulder",
    "XC": _OUTSIDE,
    "DMS": _OUTSIDE,
    "OP": "Eye EyeRegion Eyelid Cornea Sclera Iris Retina OrbitalStructure",
    "GM": _TISSUE,
    "SM": _TISSUE,
}
_ANYWHERE = "Head Neck Chest Breast Heart Abdomen Pelvis Spine Shoulder UpperLimb Hand Hip LowerLimb Knee Foot EntireBody"


@lru_cache(maxsize=1)
def _regions() -> frozenset[Term]:
    """Every term of the groups above, once."""
    return frozenset(term for group in _GROUPS for term in getattr(codes, group).concepts.values())


@lru_cache(maxsize=1)
def _unpaired() -> frozenset[Term]:
    """Those of them that are no paired structure."""
    return frozenset(Term(value, "SCT", meaning) for value, meaning in tables.unpaired_regions().items())


def is_region(code: Code) -> bool:
    """Whether PS3.16 lists the term as an anatomic region; retired SNOMED-RT codes count as their SCT twins."""
    return _is_among(code, _regions())


def is_unpaired(code: Code) -> bool:
    """Whether the region is no paired structure, so that laterality is not asked for; false where that is not sure."""
    return _is_among(code, _unpaired())


def _is_among(code: Code, terms: frozenset[Term]) -> bool:
    """Membership by meaning: the value in its scheme, or its twin in the other SNOMED scheme."""
    term = Term(code.value, code.scheme, code.meaning)
    # terms that are equal across SNOMED's two schemes do not hash alike
    return term in terms or (code.scheme == "SRT" and any(term == one for one in terms))


def find_region(orders: Iterable[Order], setting: Code | None = None) -> Code | None:
    """The region that orders are about: named among their protocol or procedure codes, else the source's setting, else none.

    The first that PS3.16 lists counts; a code for a procedure is not a region, even where everybody knows which.
    """
    for order in orders:
        for code in (*order.protocol_codes, *order.procedure_codes):
            if is_region(code):
                return code
    return setting


def choices(modality: str) -> list[Code]:
    """The common regions for a screen to offer, SNOMED CT with meanings of PS3.16; a general list for other modalities."""
    return list(_choices(_OFFERED.get(modality, _ANYWHERE)))


@lru_cache(maxsize=8)
def _choices(names: str) -> tuple[Code, ...]:
    """The terms of these names."""
    groups = [getattr(codes, group).concepts for group in _PLAIN]
    terms = [next(group[name] for group in groups if name in group) for name in names.split()]
    return tuple(Code(term.value, term.scheme_designator, term.meaning) for term in terms)
