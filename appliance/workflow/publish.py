"""Hand an exam over on disc or stick: make, read back, say what was found."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import InputError, SpoolError
from appliance.media import disc, fileset
from appliance.media.fileset import Handout
from appliance.media.verify import Verdict
from appliance.media.verify import verify as verify_folder
from appliance.workflow.acquire import Place


def hand_over(place: Place, exam_ids: Sequence[str], output: Path, profile: str) -> Handout:
    """Write exams as an ISO image (`.iso`) or a folder, and read all of it back before saying that it is done.

    Raises InputError where a file has been let go already (the archive has it), SpoolError where reading back fails.
    """
    if output.exists() and (output.suffix.lower() == ".iso" or any(output.iterdir())):
        raise InputError(f"{output} exists already", "Name another; nothing was written.")
    paths = []
    for exam_id in exam_ids:
        exam = place.ledger.exam(exam_id)
        pictures = place.ledger.pictures(exam.id)
        if not pictures:
            raise InputError(f"the exam {exam_id} has no pictures", "Nothing was written.")
        for picture in pictures:
            path = place.shelf.path(picture.file)
            if not path.is_file():
                advice = "Fetch them from the archive; courier.keep_hours says how long they stay here."
                raise InputError(f"the pictures of {exam_id} have been let go", advice)
            paths.append(path)
    if output.suffix.lower() != ".iso":
        handout = fileset.make(output, paths, profile)
        _demand(verify_folder(output))
        return handout
    with tempfile.TemporaryDirectory(prefix="dicap-disc-", dir=output.resolve().parent) as work:
        folder = Path(work) / "disc"
        handout = fileset.make(folder, paths, profile)
        size = disc.write_iso(folder, output)
        back = Path(work) / "back"
        disc.read_iso(output, back)
        _demand(verify_folder(back))
        if _digests(folder) != _digests(back):
            raise SpoolError("the image does not read back as it was written", "Do not hand it out; make it again.")
    return Handout(output, handout.profiles, handout.objects, size)


def verify(what: Path) -> Verdict:
    """Verify an ISO image or a folder; raises InputError where it is neither."""
    if what.is_dir():
        return verify_folder(what)
    if not what.is_file():
        raise InputError(f"there is nothing at {what}", "Name an ISO image or a folder.")
    with tempfile.TemporaryDirectory(prefix="dicap-disc-") as work:
        folder = Path(work) / "disc"
        disc.read_iso(what, folder)
        return verify_folder(folder)


def _demand(verdict: Verdict) -> None:
    if verdict.faults:
        raise SpoolError("what was written has faults: " + "; ".join(verdict.faults), "Do not hand it out; make it again.")


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256")
            found[path.relative_to(folder).as_posix().upper()] = digest.hexdigest()
    return found

