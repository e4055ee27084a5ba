"""The door: every flow as a command."""

import argparse
import importlib
import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.errors import ApplianceError

from appliance import __version__

SYNTAXES = (
    *("auto", "implicit", "explicit", "deflated", "rle", "jpeg", "jpeg-lossless", "jls", "jls-near", "j2k", "j2k-lossy"),
    *("htj2k", "htj2k-lossy", "mpeg2", "mpeg2-hd", "h264", "hevc"),
)
OBJECTS = ("auto", "sc", "us", "vl-endoscopic", "vl-microscopic", "vl-photographic", "document")

NOISY = ("pynetdicom", "pydicom", "httpx", "libav", "py.warnings")

# command → module and function; imported only when the command runs
HANDLERS = {
    "run": ("run", "run"),
    "station": ("run", "station"),
    "courier": ("run", "courier"),
    "hospital": ("run", "hospital"),
    "sources": ("oneshot.looks", "sources"),
    "check": ("oneshot.looks", "check"),
    "worklist": ("oneshot.talk", "worklist"),
    "echo": ("oneshot.talk", "echo"),
    "send": ("oneshot.talk", "send"),
    "still": ("oneshot.pictures", "still"),
    "clip": ("oneshot.pictures", "clip"),
    "import": ("oneshot.pictures", "import_files"),
    "exam": ("oneshot.pictures", "exam"),
    "ledger": ("oneshot.books", "ledger"),
    "wait": ("oneshot.books", "wait"),
    "retry": ("oneshot.books", "retry"),
    "release": ("oneshot.books", "release"),
    "simulate": ("run", "simulate"),
    "disc": ("oneshot.discs", "disc"),
}


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    words = "DICOM capture appliance and modality simulator."
    top = argparse.ArgumentParser(prog="dicap", description=words, parents=[_common()])
    top.set_defaults(config=None, data=None, json=False, verbose=False)
    top.add_argument("--version", action="version", version=f"dicap {__version__}")
    common = _common()
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words, parents=[common])

    _processes(command)
    _pictures(command)
    _talk(command)
    _books(command)
    _others(command)
    return top


def _common() -> argparse.ArgumentParser:
    """What every command takes, before its name or after; each parser needs its own, for defaults are kept in them."""
    one = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where = "$DICAP_CONFIG, ./dicap.toml, /etc/dicap/dicap.toml"
    one.add_argument("--config", metavar="FILE", help=f"settings (default: {where})")
    one.add_argument("--data", metavar="DIR", help="where the spool lies (default: $DICAP_DATA, ~/.local/share/dicap)")
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on standard output")
    one.add_argument("--verbose", "-v", action="store_true", default=argparse.SUPPRESS, help="more in the log")
    return one


Command = Callable[[str, str], argparse.ArgumentParser]


def _processes(command: Command) -> None:
    """run, station, courier, hospital: they end when they are told to (SIGTERM, Ctrl-C), with exit code 0."""
    run = command("run", "station and courier; with --demo the simulated hospital too")
    run.add_argument("--demo", action="store_true", help="with a simulated hospital and the test card")
    run.add_argument("--http", metavar="HOST:PORT", help="where the screen is served")
    station = command("station", "process 1: the camera and the touch screen")
    station.add_argument("--http", metavar="HOST:PORT", help="where the screen is served")
    station.add_argument("--demo", action="store_true", help="say on the screen that this is a demonstration")
    command("courier", "process 2: the network")
    hospital = command("hospital", "a small hospital: RIS and PACS on loopback")
    hospital.add_argument("--ris", metavar="PORT", help="port of the RIS (worklist, MPPS); `none`: no RIS")
    hospital.add_argument("--pacs", metavar="PORT", help="port of the PACS (store, commitment); `none`: no PACS")
    hospital.add_argument("--printer", metavar="PORT", help="comes with a later version")
    hospital.add_argument("--hl7", metavar="PORT", help="comes with a later version")
    hospital.add_argument("--orders", metavar="FILE", help="orders, TOML or JSON (default: invented patients of today)")
    hospital.add_argument("--store", metavar="DIR", help="where the PACS keeps its objects")
    hospital.add_argument("--modality", action="append", default=[], metavar="AET@HOST:PORT", help="whom it calls back")
    hospital.add_argument("--commit", metavar="MANNER", default="new", help="commitment on a new, same or next association")
    hospital.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    hospital.add_argument("--seed", default="0", metavar="N", help="the same seed, the same patients")
    hospital.add_argument("--fault", action="append", default=[], metavar="NAME[=VALUE]", help="misbehave; `list` names all")


def _pictures(command: Command) -> None:
    """still, clip, import, exam: pictures into the spool, or, for import --to, into a folder."""

    def picture_options(one: argparse.ArgumentParser, source: bool) -> None:
        if source:
            one.add_argument("--source", required=True, help="testcard[:WxH@R], file:PATH, /dev/videoN, rtsp://…, or a name")
        one.add_argument("--object", default="auto", choices=OBJECTS, help="kind of object")
        one.add_argument("--syntax", default="auto", choices=SYNTAXES, help="transfer syntax")
        one.add_argument("--region", metavar="VALUE:SCHEME:MEANING", help="anatomic region, as in 69695003:SCT:Stomach")
        one.add_argument("--laterality", choices=["L", "R", "U", "B"], help="image laterality")
        _whom(one)

    still = command("still", "stills from a source into the spool")
    picture_options(still, True)
    still.add_argument("--count", type=_positive(int), default=1, help="how many")
    still.add_argument("--every", type=_not_negative(float), default=0.0, metavar="SECONDS", help="time between two")
    clip = command("clip", "a clip from a source into the spool")
    picture_options(clip, True)
    clip.add_argument("--seconds", type=_positive(float), required=True, help="how long")
    bring = command("import", "pictures, videos, PDFs and folders of them")
    bring.add_argument("files", nargs="+", metavar="FILE")
    picture_options(bring, False)
    bring.add_argument("--to", metavar="DIR", help="write files there instead of into the spool")
    bring.add_argument("--quality", type=int, default=90, choices=range(1, 101), metavar="1-100", help="of lossy stills")
    bring.add_argument("--fragmentable", action="store_true", help="a long video stays one object (fragmentable syntax)")
    exam = command("exam", "the borders of an exam whose pictures are taken one by one")
    exam.add_argument("action", choices=["begin", "finish", "abandon"])
    exam.add_argument("--reason", default="110513", metavar="TEXT", help="why abandoned: a code of CID 9300 or its meaning")
    _whom(exam)


def _whom(one: argparse.ArgumentParser) -> None:
    """For whom: orders of the worklist, an open exam, or somebody who was not ordered."""
    one.add_argument("--order", action="append", default=[], metavar="ACCESSION[/STEP-ID]", help="for this order")
    one.add_argument("--exam", metavar="ID", help="into an exam that is open")
    one.add_argument("--unscheduled", action="store_true", help="nobody ordered it")
    one.add_argument("--patient-id", metavar="ID", help="unscheduled: Patient ID (else a temporary one)")
    one.add_argument("--patient-name", metavar="NAME", help="unscheduled: Family^Given")
    one.add_argument("--birth-date", metavar="YYYYMMDD", help="unscheduled: birth date")
    one.add_argument("--sex", choices=["M", "F", "O", "m", "f", "o"], help="unscheduled: sex")


def _talk(command: Command) -> None:
    """worklist, echo, send: one conversation with a peer; exit code 3 where it is away or refuses."""
    worklist = command("worklist", "ask the RIS for its worklist")
    worklist.add_argument("--date", metavar="D|FROM-TO", help="YYYYMMDD; default today")
    worklist.add_argument("--modality", metavar="M")
    worklist.add_argument("--station", metavar="AET")
    worklist.add_argument("--patient", metavar="TEXT", help="name or ID")
    worklist.add_argument("--accession", metavar="A")
    echo = command("echo", "is the peer there (C-ECHO)")
    echo.add_argument("peer", help="a name of the settings, or AET@host:port")
    send = command("send", "send files that are not in the spool")
    send.add_argument("files", nargs="+", metavar="FILE")
    send.add_argument("--to", required=True, metavar="PEER")
    send.add_argument("--associations", type=_positive(int), default=1, metavar="N")


def _books(command: Command) -> None:
    """ledger, wait, retry, release: what is owed to whom."""
    command("ledger", "what is owed to whom, and how far it got")
    wait = command("wait", "return when nothing is owed any more")
    wait.add_argument("--timeout", type=_positive(float), metavar="S", help="give up after this many seconds")
    for name, words in (("retry", "try again what was refused or waits"), ("release", "let objects go by hand")):
        command(name, words).add_argument("ids", nargs="*", metavar="ID", help="of an object or an exam; default all")


def _others(command: Command) -> None:
    """sources, check, simulate, disc."""
    command("sources", "every picture source found")
    check = command("check", "is this object what it says it is")
    check.add_argument("files", nargs="+", metavar="FILE")
    simulate = command("simulate", "modality traffic")
    simulate.add_argument("scenario", metavar="SCENARIO", help="a file or a shipped name")
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument("--speed", type=_positive(float), default=1.0, metavar="X")
    simulate.add_argument("--listen", metavar="HOST:PORT", help="where commitment reports are heard")
    simulate.add_argument("--report", metavar="DIR", help="where the report goes")
    disc = command("disc", "file-sets, ISO images")
    disc.add_argument("action", choices=["make", "verify"])
    disc.add_argument("what", nargs="+", metavar="EXAM|DISC", help="exams to hand over, or the image or folder to verify")
    disc.add_argument("-o", "--output", metavar="OUT.iso|DIR", help="make: an ISO image or a folder")
    disc.add_argument("--profile", default="auto", help="make: media profile")


def _positive(kind: type) -> Callable[[str], Any]:
    """A reader of numbers above zero, for argparse."""

    def read(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    return read


def _not_negative(kind: type) -> Callable[[str], Any]:
    """A reader of numbers from zero on, for argparse."""

    def read(text: str) -> Any:
        value = kind(text)
        if value < 0:
            raise argparse.ArgumentTypeError(f"{text} is below zero")
        return value

    return read


def main(words: list[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0: done. 1: the thing asked for failed. 2: usage or settings wrong. 3: a peer could not be reached or refused.
    4: some of several objects failed. The result goes to standard output, everything else to standard error.
    """
    args = parser().parse_args(words)
    level = logging.INFO if args.verbose or args.command in ("station", "courier", "hospital") else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if not args.verbose:
        logging.getLogger("dicap.network").setLevel(logging.WARNING)  # an association every few seconds is no news
        logging.captureWarnings(True)
        for handler in logging.getLogger().handlers:
            handler.addFilter(_is_for_people)
    return _guarded(args)


def _is_for_people(record: logging.LogRecord) -> bool:
    """What libraries murmur is for --verbose: what it means is said in our own words."""
    return record.levelno >= logging.ERROR or not record.name.startswith(NOISY)


def _guarded(args: argparse.Namespace) -> int:
    """Settings, handler, result: every error becomes words and an exit code; a fault of dicap shows its trace as well."""
    from appliance.errors import ApplianceError
    from appliance.oneshot.words import show, show_error
    from appliance.settings import data_folder, load, settings_file
    from capture.source import CaptureError

    try:
        settings = load(settings_file(args.config))
        module, function = HANDLERS[args.command]
        handler = getattr(importlib.import_module(f"appliance.{module}"), function)
        result = handler(settings, data_folder(args.data), args)
    except Exception as caught:  # noqa: BLE001  whatever it is, there is a document for --json and an exit code
        error = caught if isinstance(caught, ApplianceError | CaptureError) else _fault(caught)
        report = {**getattr(error, "report", {}), "error": str(error), "advice": error.advice}
        if args.json:
            sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        elif error_report := getattr(error, "report", None):
            show(args.command, dict(error_report))
        show_error(args.command, error)
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        return 130
    if result is not None:
        if args.json:
            sys.stdout.write(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
        else:
            show(args.command, result)
    return 0


def _fault(error: Exception) -> "ApplianceError":
    """Something that dicap did not foresee: the trace into the log, words for the person."""
    from appliance.errors import ApplianceError

    logging.getLogger("dicap").error("a fault in dicap", exc_info=error)
    advice = "Nothing that was kept is lost. Please report it, with what stands above."
    return ApplianceError(f"a fault in dicap: {type(error).__name__}: {error}", advice)


if __name__ == "__main__":
    sys.exit(main())
