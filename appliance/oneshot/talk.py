"""Commands that talk to peers: worklist, echo, send."""

import re
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.clinic.order import Order
from appliance.dicom.procedure import Wanted
from appliance.dicom.stored import Stored
from appliance.errors import ApplianceError, InputError, PartlyFailed, PeerError, SettingsError
from appliance.network import pacs
from appliance.oneshot.place import ask_worklist, caller, spool, words_of
from appliance.settings import Peer, Settings


def worklist(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Ask the RIS (PS3.4 K); while it is away, the cached list with its age, and exit 3.

    Without --date, --patient or --accession today is meant. Returns orders, cached, complaints (unusable answers, in
    words), and with the cached list age_seconds.
    """
    today = f"{datetime.now():%Y%m%d}"
    first, last = _dates(args.date or ("" if args.patient or args.accession else today))
    wanted = Wanted(
        date_from=first,
        date_to=last,
        modality=args.modality or "",
        station_ae=args.station or "",
        patient=args.patient or "",
        accession=args.accession or "",
    )
    try:
        with _asked_now():
            orders, complaints = ask_worklist(settings, wanted)
    except PeerError as error:
        with spool(settings, root) as place:
            good = [at for at, _ in place.ledger.fetched().values() if at]
            cached = [order_words(order) for order in place.ledger.orders()]
        age = max(0, round(time.time() - min(good))) if good else None
        error.with_report({"orders": cached, "cached": True, "age_seconds": age})
        raise
    return {"orders": [order_words(order) for order in orders], "cached": False, "complaints": complaints}


def _dates(text: str) -> tuple[str, str]:
    """First and last day of `D`, `FROM-TO`, `FROM-` or `-TO`; raises SettingsError."""
    first, dash, last = text.partition("-")
    for day in filter(None, (first, last)):
        try:
            real = len(day) == 8 and datetime.strptime(day, "%Y%m%d")
        except ValueError:
            real = False
        if not real:
            raise SettingsError(f"--date {text!r} is no date: {day!r}", "Write YYYYMMDD or YYYYMMDD-YYYYMMDD.")
    return first, last if dash else first


def order_words(order: Order) -> dict[str, Any]:
    """One order as plain values."""
    patient = order.patient
    return {
        "key": order.key,
        "accession": order.accession,
        "step_id": order.step_id,
        "patient_id": patient.id,
        "patient_name": patient.name,
        "birth_date": patient.birth_date,
        "sex": patient.sex,
        "modality": order.modality,
        "station_ae": order.station_ae,
        "date": order.date,
        "time": order.time,
        "description": order.step_description or order.procedure_description,
        "study_instance_uid": order.study_uid,
        "allergies": patient.allergies,
        "alerts": patient.alerts,
        "pregnancy": patient.pregnancy,
        "special_needs": patient.special_needs,
        "status": order.status,
    }


def echo(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """A true C-ECHO (PS3.4 A), not a ping. Returns peer, answers, seconds; PeerError says why there is no answer."""
    peer = settings.peer(args.peer)
    with _asked_now():
        seconds = pacs.echo(caller(settings, peer), peer.parsed())
    return {"peer": peer.address, "answers": True, "seconds": round(seconds, 4)}


def send(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Send files that are not in the spool (PS3.4 B); one line per object.

    Returns peer, failed and objects: file, sop_instance_uid, status (hex), words, error, advice. Raises PartlyFailed
    (exit 4) when some failed, PeerError (exit 3) when all did; files that are not DICOM stop it before anything is sent.
    """
    peer = settings.peer(args.to)
    items = list(_items([Path(one) for one in args.files]))
    if not items:
        raise InputError("no DICOM file among these", "Nothing was sent.")
    shares = [items[number :: args.associations] for number in range(args.associations)]
    with ThreadPoolExecutor(args.associations) as pool:
        lines = [line for share in pool.map(lambda part: _send_share(settings, peer, part), shares) for line in share]
    failed = [line for line in lines if line["error"]]
    result = {"peer": peer.address, "objects": lines, "failed": len(failed)}
    if failed:
        kind = PartlyFailed if len(failed) < len(lines) else PeerError
        words = f"{len(failed)} of {len(lines)} were not stored: {failed[0]['error']}"
        raise kind(words, str(failed[0]["advice"])).with_report(result)
    return result


def _send_share(settings: Settings, peer: Peer, items: list[pacs.Item]) -> list[dict[str, Any]]:
    """One association's part of the files."""
    lines = []
    for result in pacs.store(caller(settings, peer), peer.parsed(), items):
        trouble = words_of(result.error) if result.error else {"error": "", "advice": ""}
        trouble["advice"] = _without_spool(trouble["advice"])
        lines.append(
            {
                "file": str(result.item.path),
                "sop_instance_uid": result.item.sop_instance_uid,
                "status": f"{result.status:04X}" if result.status or not result.error else "",
                "words": result.words,
                **trouble,
            }
        )
    return lines


@contextmanager
def _asked_now() -> Iterator[None]:
    """What a peer's failure advises, without the courier's promises: nothing of this is in the spool."""
    try:
        yield
    except PeerError as error:
        error.advice = _without_spool(error.advice)
        raise


def _without_spool(advice: str) -> str:
    return re.sub(r"^[^.]*(stays in the spool|is lost)[^.]*\. ?", "", advice) or "Nothing was changed."


def _items(paths: list[Path]) -> Iterator[pacs.Item]:
    """What the files say they are; in folders, what is not DICOM is left out."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_file():
                continue
            try:
                with Stored(file) as stored:
                    meta = stored.meta
            except (ApplianceError, OSError) as error:
                if path.is_dir():
                    continue  # a folder holds other things too; a file that was named must be DICOM
                words = str(error) if isinstance(error, ApplianceError) else f"{file} cannot be read: {error.strerror}"
                raise InputError(words, "Nothing was sent.") from error
            yield pacs.Item(
                file, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
            )
