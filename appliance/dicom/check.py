"""Is this object what it says it is: run before anything leaves, and by `dicap check`."""

from collections.abc import Iterator
from pathlib import Path

from pydicom.tag import Tag

from appliance.dicom import finding, tables
from appliance.dicom.check_modules import modules
from appliance.dicom.check_pixels import pixels
from appliance.dicom.check_values import values
from appliance.dicom.elements import Level, Opened, opened
from appliance.dicom.finding import Finding, Findings
from appliance.errors import CheckError, InputError

__all__ = ["Finding", "check", "demand"]

_CLASS, _INSTANCE = int(Tag("SOPClassUID")), int(Tag("SOPInstanceUID"))
_META = {
    0x00020001: "FileMetaInformationVersion",
    0x00020002: "MediaStorageSOPClassUID",
    0x00020003: "MediaStorageSOPInstanceUID",
    0x00020012: "ImplementationClassUID",
}
_MOST = 200  # findings; more of the same help nobody


def check(path: Path) -> list[Finding]:
    """Everything that is wrong with a Part 10 file, errors first; empty for a good one.

    What is looked at: the file meta information (PS3.10 7.1), every value (PS3.5 6.2), the modules of the IOD (PS3.3, by
    the generated tables), the picture's description, its pixel data (walked, never read whole), a document's beginning.
    An error keeps an object of ours out of the spool; a warning is for people. Never raises: a file that cannot be opened
    or read is one error, at `file`.
    """
    try:
        with opened(path) as file:
            found = list(dict.fromkeys(_all(file)))
    except InputError as error:
        return [finding.error("file", str(error))]
    return sorted(found, key=lambda one: one.severity != "error")[:_MOST]


def demand(path: Path) -> None:
    """Raise CheckError naming all errors of a file, one per line with its place; warnings are let pass.

    Received originals, and objects that a simulation makes wrong on purpose, are not for this.
    """
    errors = [found for found in check(path) if found.severity == "error"]
    if errors:
        lines = "\n".join(f"  {one.where}: {one.words}" for one in errors)
        raise CheckError(f"{path.name} is not a sound object:\n{lines}")


def _all(file: Opened) -> Iterator[Finding]:
    """The faults of the meta information, of every value, of identity, modules and pixels, in this order."""
    yield from _meta(file)
    yield from values(file.meta)
    yield from values(file.dataset)
    yield from _identity(file.dataset)
    iod = tables.iod(file.dataset.text(_CLASS))
    if iod is None:
        yield finding.warning("SOPClassUID", f"{file.dataset.text(_CLASS) or 'none'}: there are no tables for this class")
    else:
        yield from modules(iod, file.dataset)
    yield from pixels(file)


def _meta(file: Opened) -> Findings:
    """File Meta Information (PS3.10 7.1) and its agreement with the dataset."""
    for tag, keyword in _META.items():
        if not file.meta.filled(tag):
            yield finding.error(keyword, "is missing from the file meta information")
    for tag, twin in ((0x00020002, _CLASS), (0x00020003, _INSTANCE)):
        said, true = file.meta.text(tag), file.dataset.text(twin)
        if said and true and said != true:
            yield finding.error(finding.name(tag), f"is {said}, the dataset says {true}")
    for tag in file.dataset.order:
        if tag >> 16 in (0, 1, 2, 3, 5, 6, 7, 0xFFFF):
            yield finding.error(finding.name(tag), "does not belong into a dataset")


def _identity(dataset: Level) -> Findings:
    """What an archive files an object by: never blank (PS3.3 C.7.1.1 allows it for the patient, a hospital does not)."""
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if not dataset.text(int(Tag(keyword))):
            yield finding.error(keyword, "is missing or blank")
    uids = [dataset.text(int(Tag(word))) for word in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    if len({uid for uid in uids if uid}) < len([uid for uid in uids if uid]):
        yield finding.error("SOPInstanceUID", "study, series and instance share a UID")
