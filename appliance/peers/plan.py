"""The words of `dicap hospital`: its options, and the plan that they make. Light, so that `--help` is quick."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appliance.errors import SettingsError
from appliance.peers.faults import Faults, table
from appliance.settings import Address, Settings, data_folder

Manner = Literal["new", "same", "next"]
RIS_PORT, PACS_PORT = 11112, 11114
_LATER = {"printer": "The simulated printer comes with issue 4", "hl7": "The HL7 interface comes with issue 5"}


def _built_in_courier() -> tuple[Address, ...]:
    settings = Settings()
    return (Address.parse(f"{settings.station.ae_title}@{settings.courier.listen}"),)


@dataclass(frozen=True)
class HospitalPlan:
    """What is to be there. Port 0 is any free one; None: that peer is not there.

    `orders` is an order file, or None for the demo patients of the day; `modalities` are called back for commitment.
    """

    store: Path
    ris_port: int | None = RIS_PORT
    pacs_port: int | None = PACS_PORT
    orders: Path | None = None
    modalities: tuple[Address, ...] = field(default_factory=_built_in_courier)
    seed: int = 0
    faults: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    commit_manner: Manner = "new"
    ris_ae: str = "RIS"
    pacs_ae: str = "PACS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dicap hospital`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "faults, for --fault:\n" + table()
    add = parser.add_argument
    add("--ris", metavar="PORT", help=f"where the RIS listens; `none`: no RIS (default {RIS_PORT})")
    add("--pacs", metavar="PORT", help=f"where the PACS listens; `none`: no PACS (default {PACS_PORT})")
    add("--printer", metavar="PORT", help="comes with a later version")
    add("--hl7", metavar="PORT", help="comes with a later version")
    add("--orders", metavar="FILE", help="scheduled steps, TOML or JSON (default: invented patients of today)")
    add("--store", metavar="DIR", help="where the PACS keeps objects (default: hospital, in the data folder)")
    add("--modality", metavar="AET@HOST:PORT", action="append", default=[], help="who is called back for commitment")
    add("--commit", metavar="MANNER", default="new", help="how commitment is reported: new, same or next association")
    add("--host", default="127.0.0.1", help="the address to listen on (default: only this machine)")
    add("--seed", metavar="N", default="0", help="of the invented patients and the faults")
    add("--fault", metavar="NAME[=VALUE]", action="append", default=[], help="misbehave; may be given several times")


def plan_from(arguments: argparse.Namespace) -> HospitalPlan:
    """The plan of a command line; raises SettingsError with every mistake at once."""
    mistakes = [f"--{name}: {words}" for name, words in _LATER.items() if getattr(arguments, name)]
    ports = {"ris": RIS_PORT, "pacs": PACS_PORT}
    chosen: dict[str, int | None] = {}
    for name, default in ports.items():
        text = getattr(arguments, name)
        if text is not None and text != "none" and not (text.isascii() and text.isdigit() and int(text) < 65536):
            mistakes.append(f"--{name}: {text!r} is not a port; a number up to 65535, 0 for any free one, or none")
            continue
        chosen[name] = default if text is None else None if text == "none" else int(text)
    if chosen.get("ris") and chosen.get("ris") == chosen.get("pacs"):
        mistakes.append("--ris and --pacs cannot share a port")
    modalities = []
    for text in arguments.modality:
        try:
            modalities.append(Address.parse(text))
        except SettingsError as error:
            mistakes.append(f"--modality: {error}")
    if arguments.commit not in ("new", "same", "next"):
        mistakes.append(f"--commit: {arguments.commit!r} is none of new, same, next")
    seed = 0
    try:
        seed = int(arguments.seed)
    except ValueError:
        mistakes.append(f"--seed: {arguments.seed!r} is not a whole number")
    try:
        Faults.parse(arguments.fault)
    except SettingsError as error:
        mistakes.append(f"--fault: {error}")
    if mistakes:
        raise SettingsError("the hospital cannot open:\n" + "\n".join(mistakes))
    store = Path(arguments.store) if arguments.store else data_folder(getattr(arguments, "data", None)) / "hospital"
    return HospitalPlan(
        store=store,
        ris_port=chosen["ris"],
        pacs_port=chosen["pacs"],
        orders=Path(arguments.orders) if arguments.orders else None,
        modalities=tuple(modalities) or _built_in_courier(),
        seed=seed,
        faults=tuple(arguments.fault),
        host=arguments.host,
        commit_manner=arguments.commit,
    )
