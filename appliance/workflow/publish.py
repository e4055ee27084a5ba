"""Hand an exam over on disc or stick: make, read back, say what was found."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from appliance.clinic.exam import WRONG_WORKLIST_ENTRY, ExamState
from appliance.errors import InputError, SpoolError, StateError
from appliance.media import disc, fileset
from appliance.media.fileset import Handout
from appliance.media.verify import Verdict
from appliance.media.verify import verify as verify_folder
from appliance.media.whole import whole
from appliance.workflow.place import Place


def hand_over(place: Place, exam_ids: Sequence[str], output: Path, profile: str) -> Handout:
    """Write exams as an ISO image (`.iso`) or a folder, and read all of it back before saying that it is done.

    `profile` is `auto` or a word of media.profiles.MEDIA. Whatever goes wrong, nothing of the output is left. Raises
    InputError where a file has been let go already (the archive has it), StateError for an exam that is open or was taken
    under the wrong entry, SettingsError for an unknown profile, SpoolError where reading back fails.
    """
    is_image = output.suffix.lower() == ".iso"
    if output.exists() and (is_image or not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists already", "Name another; nothing was written.")
    paths = [path for exam_id in dict.fromkeys(exam_ids) for path in _pictures(place, exam_id)]
    medium = fileset.medium_for(profile, paths, is_image)
    if not is_image:
        with whole(output) as folder:
            handout = fileset.make(folder, paths, medium)
            _demand(verify_folder(folder))
        return replace(handout, folder=output)
    with tempfile.TemporaryDirectory(prefix=".dicap-disc-", dir=_parent(output)) as work:
        folder = Path(work) / "disc"
        folder.mkdir()
        handout = fileset.make(folder, paths, medium)
        _demand(verify_folder(folder))
        image = Path(work) / "image.iso"
        disc.write_iso(folder, image, medium.udf)
        if disc.digests(image) != _digests(folder):
            raise SpoolError("the image does not read back as it was written", "Nothing of it is left; make it again.")
        size = image.stat().st_size
        image.replace(output)
    return replace(handout, folder=output, size=size)


def verify(what: Path) -> Verdict:
    """Verify an ISO image or a folder, ours or anybody's; InputError where it is neither, DiskFull.

    An image is unpacked into the system's temporary folder for as long as that takes.
    """
    if what.is_dir():
        return verify_folder(what)
    if not what.is_file():
        raise InputError(f"there is nothing at {what}", "Name an ISO image or a folder.")
    with tempfile.TemporaryDirectory(prefix="dicap-disc-") as work:
        folder = Path(work) / "disc"
        disc.read_iso(what, folder)
        return verify_folder(folder)


def _pictures(place: Place, exam_id: str) -> list[Path]:
    """The files of an exam, in the order they were kept, each still what it was when it was kept.

    Raises StateError where the exam must not be handed out, InputError where there is nothing (any more) to hand out,
    SpoolError where a file's digest is not the ledger's.
    """
    exam = place.ledger.exam(exam_id)
    if exam.state == ExamState.OPEN:
        raise StateError(f"the exam {exam_id} is still open", "Finish it first; nothing was written.")
    if exam.reason == WRONG_WORKLIST_ENTRY:
        what = f"the exam {exam_id} was taken under the wrong worklist entry: it may show another patient"
        raise StateError(what, "Nothing was written. Assign its pictures to the right patient first.")
    pictures = place.ledger.pictures(exam.id)
    if not pictures:
        raise InputError(f"the exam {exam_id} has no pictures", "Nothing was written.")
    paths = []
    for picture in pictures:
        path = place.shelf.path(picture.file)
        if not path.is_file():
            advice = "Fetch them from the archive; courier.keep_hours says how long they stay here."
            raise InputError(f"the pictures of {exam_id} have been let go", advice)
        if _digest(path) != picture.sha256:
            what = f"the file of picture {picture.id} is not what was kept: the spool's disk has damaged it"
            raise SpoolError(what, "Nothing was written. Fetch the exam from the archive, and check the disk.")
        paths.append(path)
    return paths


def _parent(output: Path) -> Path:
    """The folder in which the output will lie, made where it is not there; InputError where it cannot be."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output.parent} cannot be made: {error.strerror}", "Nothing was written.") from error
    return output.resolve().parent


def _demand(verdict: Verdict) -> None:
    """Raise SpoolError where what was written has faults."""
    if verdict.faults:
        raise SpoolError("what was written has faults: " + "; ".join(verdict.faults), "Nothing of it is left; try again.")


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its name."""
    return {path.relative_to(folder).as_posix(): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
