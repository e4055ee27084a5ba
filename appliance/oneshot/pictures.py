"""Commands that bring pictures in: still, clip, import, exam."""

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import httpx

from appliance.clinic.exam import Picture
from appliance.clinic.order import Code, Order
from appliance.errors import ApplianceError, InputError, PartlyFailed, SettingsError
from appliance.oneshot.place import Meant, meant_exam, open_for, spool, words_of
from appliance.settings import Settings, Station
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import How, demand_legal, region_set
from appliance.workflow.ingest import Found, bring_in
from appliance.workflow.place import Place
from appliance.workflow.session import Session
from capture.probe import PICTURES, probe
from capture.source import CaptureError
from capture.sources import open_source
from capture.tap import Tap

STATION_PATIENCE = 5.0  # seconds a running station may take for an answer besides the capture itself


def still(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Stills from a source into the spool; returns the exam and its objects (`picture_words`).

    Where a running station holds the source, it takes them. Raises SettingsError (exit 2) for illegal pairs before an
    exam is begun, CaptureError where the source has no picture, SpoolError where they could not be kept.
    """
    options = {**_words(args), "count": args.count, "every": args.every}
    with _capture(settings, root, args, "still") as (place, meant, session):
        if session is None:
            ids = _ask_station(place, "still", {**options, "exam": meant.exam.id}, args.count * (args.every + 5))
        else:
            how = _how(session, args)
            ids = [one.id for one in session.stills(how, meant.exam.id, args.count, args.every)]
        return _result(place, meant, ids)


def clip(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """A clip from a source into the spool, of round(seconds × rate) frames where none was lost; returns as `still`."""
    options = {**_words(args), "seconds": args.seconds}
    with _capture(settings, root, args, "clip") as (place, meant, session):
        if session is None:
            ids = _ask_station(place, "clip", {**options, "exam": meant.exam.id}, args.seconds * 2 + 60)
        else:
            ids = [session.clip(_how(session, args), meant.exam.id, args.seconds).id]
        return _result(place, meant, ids)


def import_files(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Pictures, videos, PDFs, folders; into the spool, or as files into --to.

    Returns exam, objects and failed (file, error, advice). Raises PartlyFailed (exit 4) where some could not be brought
    in, InputError (exit 1) where none could; the originals stay as they are.
    """
    if not args.to:
        with spool(settings, root) as place:
            return _import(place, args)
    with tempfile.TemporaryDirectory(prefix="dicap-import-") as folder, spool(settings, Path(folder)) as place:
        try:
            return _copy_out(place, _import(place, args), Path(args.to))
        except PartlyFailed as error:
            raise error.with_report(_copy_out(place, dict(error.report), Path(args.to))) from None


def _copy_out(place: Place, result: dict[str, Any], target: Path) -> dict[str, Any]:
    """The objects as files of their own, named by their UIDs."""
    target.mkdir(parents=True, exist_ok=True)
    for one in result["objects"]:
        picture = place.ledger.picture(one["id"])
        one["file"] = str(target / f"{picture.sop_instance_uid}.dcm")
        shutil.copyfile(place.shelf.path(picture.file), one["file"])
    return result


def exam(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """The exam's borders: begin, finish, abandon; returns exam (its id) and state. An ended exam stays ended."""
    with spool(settings, root) as place:
        acquisition = Acquisition(place)
        if args.action == "begin":
            meant = meant_exam(place, acquisition, args, lambda orders: None)
            return {"exam": meant.exam.id, "state": str(meant.exam.state)}
        if not args.exam and not args.order:
            raise SettingsError(f"which exam? Name --order ACCESSION or --exam ID to {args.action} it")
        found = place.ledger.exam(args.exam) if args.exam else open_for(place, args.order)
        if found is None:
            raise InputError(f"no exam is open for {', '.join(args.order)}", "Look at `dicap ledger`.")
        ended = acquisition.finish(found.id) if args.action == "finish" else acquisition.abandon(found.id, args.reason)
        return {"exam": ended.id, "state": str(ended.state)}


@contextmanager
def _capture(
    settings: Settings, root: Path, args: Namespace, what: Literal["still", "clip"]
) -> Iterator[tuple[Place, Meant, Session | None]]:
    """The exam meant and a session on the source; no session where a running station holds that source.

    A lone exam is finished when all went well; when not, it is finished too if a picture was kept, else abandoned.
    """
    source = settings.source(args.source)
    with spool(settings, root) as place:
        acquisition = Acquisition(place)
        station = _station_with(place, source.spec)
        tap = Tap(lambda: open_source(source.spec))
        if not station:
            open_source(source.spec).close()  # a source that is missing is said before an exam is begun
        session = Session(place, acquisition, tap, source)
        how = _how(session, args)
        meant = meant_exam(place, acquisition, args, lambda orders: demand_legal(settings.station, orders, what, how))
        try:
            yield place, meant, None if station else session
        except BaseException:
            if meant.lone:
                _end_lone(place, acquisition, meant)
            raise
        finally:
            tap.stop()
        if meant.lone:
            acquisition.finish(meant.exam.id)


def _words(args: Namespace) -> dict[str, Any]:
    return {"object": args.object, "syntax": args.syntax, "region": args.region or "", "laterality": args.laterality or ""}


def _how(session: Session, args: Namespace) -> How:
    how = session.how(args.object, args.syntax)
    return replace(how, region=region_of(args), laterality=args.laterality or how.laterality)


def region_of(args: Namespace) -> Code | None:
    """The region of --region, `VALUE:SCHEME:MEANING`; raises SettingsError."""
    if not args.region:
        return None
    parts = args.region.split(":", 2)
    if len(parts) != 3 or not all(part.strip() for part in parts):
        advice = "Write it as 69695003:SCT:Stomach. Nothing was captured."
        raise SettingsError(f"{args.region!r} is not a coded region", advice)
    return Code(*(part.strip() for part in parts))


def _end_lone(place: Place, acquisition: Acquisition, meant: Meant) -> None:
    if (place.shelf.recordings / meant.exam.id).exists():
        return  # what could not be kept yet belongs to it: the station takes it up
    if place.ledger.pictures(meant.exam.id):
        acquisition.finish(meant.exam.id)
    else:
        acquisition.abandon(meant.exam.id, "110501")


def _station_with(place: Place, spec: str) -> str:
    """The address of a running station that holds this source, else nothing."""
    sign = place.ledger.signs("station").get("station")
    if sign is None or not sign[1]["http"] or sign[1]["source"] != spec:
        return ""
    url = str(sign[1]["http"])
    try:
        httpx.get(url + "api/state", timeout=STATION_PATIENCE).raise_for_status()
    except httpx.HTTPError:
        return ""
    return url


def _ask_station(place: Place, verb: str, options: dict[str, Any], patience: float) -> list[str]:
    url = str(place.ledger.signs("station")["station"][1]["http"])
    try:
        answer = httpx.post(f"{url}api/{verb}", json=options, timeout=STATION_PATIENCE + patience)
    except httpx.HTTPError as error:
        raise InputError(f"the running station at {url} did not answer: {error}", "Look at its log.") from error
    words = answer.json()
    if answer.is_error:
        raise InputError(str(words.get("what", words)), str(words.get("advice", "")))
    return [str(one) for one in words["pictures"]]


def _import(place: Place, args: Namespace) -> dict[str, Any]:
    """Bring every file in; one bad file never stops the others. No exam is begun before there is something for it."""
    acquisition = Acquisition(place)
    paths = [Path(one) for one in args.files]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise InputError(f"no such file: {', '.join(missing)}", "Nothing was imported.")
    source = place.settings.source(place.settings.station.source)
    how = How(
        args.object,
        args.syntax,
        args.quality,
        region=region_of(args),
        usual_region=region_set(source),
        usual_still=source.still_syntax,
        laterality=args.laterality or source.laterality,
        origin="imported",
        conversion="DI",
        fragmentable=args.fragmentable,
    )
    limit = (4_000_000 if args.fragmentable else place.settings.dicom.clip_limit_mb) * 1_000_000
    scratch = place.shelf.temporary()
    arriving = _Arriving(bring_in(paths, scratch, limit, args.syntax))

    def look(orders: Sequence[Order]) -> None:
        _demand_some_legal(place.settings.station, orders, paths, how)
        arriving.demand()

    ids: list[str] = []
    try:
        scratch.mkdir()
        meant = meant_exam(place, acquisition, args, look)
        try:
            for found in arriving:
                _keep_found(acquisition, meant, found, how, ids, arriving.troubles)
        finally:
            if meant.lone:
                _end_lone(place, acquisition, meant)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result = {**_result(place, meant, ids), **arriving.report()}
    if arriving.troubles:
        raise _failed(arriving.troubles, len(ids)).with_report(result)
    return result


class _Arriving:
    """What is found in files, one thing after the other, and what is not; `demand` looks ahead to the first."""

    def __init__(self, found: Iterator[Found]) -> None:
        self.troubles: list[dict[str, str]] = []
        self._passed_over: list[str] = []
        self._things = self._told(found)
        self._first: Found | None = None

    def demand(self) -> None:
        """Raise InputError where there is nothing at all; what was looked at comes again."""
        self._first = next(self._things, None)
        if self._first is None:
            nothing = InputError("there was no picture, video or PDF among these", "Nothing was imported.")
            error = _failed(self.troubles, 0) if self.troubles else nothing
            raise error.with_report({"exam": "", "objects": [], **self.report()})

    def report(self) -> dict[str, Any]:
        """What did not go in."""
        return {"failed": self.troubles, "passed_over": self._passed_over}

    def __iter__(self) -> Iterator[Found]:
        if self._first:
            yield self._first
        yield from self._things

    def _told(self, found: Iterator[Found]) -> Iterator[Found]:
        for one in found:
            if one.subject is not None:
                yield one
            elif one.error:
                self.troubles.append({"file": str(one.path), **words_of(one.error)})
            else:
                self._passed_over.append(one.words)


def _failed(troubles: list[dict[str, str]], kept: int) -> ApplianceError:
    first = troubles[0]
    words = f"{len(troubles)} of {len(troubles) + kept} failed; {first['file']}: {first['error']}"
    return (PartlyFailed if kept else InputError)(words, first["advice"])


def _demand_some_legal(station: Station, orders: Sequence[Order], paths: list[Path], how: How) -> None:
    """Say before an exam is begun that none of the files could become what was asked for; raises SettingsError.

    Folders, PDFs and files that are no pictures are looked at in their turn.
    """
    wrong: SettingsError | None = None
    for path in paths:
        try:
            kind = probe(path).kind if path.is_file() else ""
        except CaptureError:
            return
        if kind not in PICTURES and kind != "video":
            return
        try:
            demand_legal(station, orders, "clip" if kind == "video" else "still", how)
            return
        except SettingsError as error:
            wrong = wrong or error
    if wrong:
        raise wrong


def _keep_found(
    acquisition: Acquisition, meant: Meant, found: Found, how: How, ids: list[str], troubles: list[dict[str, str]]
) -> None:
    assert found.subject is not None
    try:
        ids.append(acquisition.keep(meant.exam.id, found.subject, how).id)
    except (ApplianceError, CaptureError) as failure:
        troubles.append({"file": str(found.path), **words_of(failure)})


def _result(place: Place, meant: Meant, ids: list[str]) -> dict[str, Any]:
    return {"exam": meant.exam.id, "objects": [picture_words(place.ledger.picture(one)) for one in ids]}


def picture_words(picture: Picture) -> dict[str, Any]:
    """One kept object as plain values."""
    return {
        "id": picture.id,
        "kind": picture.kind,
        "sop_class_uid": picture.sop_class_uid,
        "sop_instance_uid": picture.sop_instance_uid,
        "series_instance_uid": picture.series.uid,
        "syntax_uid": picture.syntax_uid,
        "rows": picture.rows,
        "columns": picture.columns,
        "frames": picture.frames,
        "size": picture.size,
        "captured": picture.captured.isoformat(),
        "file": picture.file,
        "flaws": list(picture.flaws),
    }
