"""The words of `dicap hospital`: its options, and the plan that they make. Light, so that `--help` is quick."""

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from appliance.errors import SettingsError
from appliance.peers.faults import Faults, table
from appliance.settings import Address, Settings, data_folder

Manner = Literal["new", "same", "next"]
RIS_PORT, PACS_PORT = 11112, 11114
_LATER = {"printer": "The simulated printer comes with issue 4", "hl7": "The HL7 interface comes with issue 5"}


def _built_in_courier() -> tuple[Address, ...]:
    """Where the courier listens if no settings say otherwise."""
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
    add("--fault", metavar="NAME[=VALUE]", action="append", default=[], help="misbehave; several times; `list` names all")


def plan_from(arguments: argparse.Namespace) -> HospitalPlan:
    """The plan of a command line; an option that the namespace does not have is at its default.

    Raises SettingsError with every mistake at once; `--fault list` is answered with the table of faults.
    """
    if "list" in (getattr(arguments, "fault", None) or ()):
        raise SettingsError("the faults that --fault knows:\n" + table(), "Give one or more of them; nothing was started.")
    mistakes = [f"--{name}: {words}" for name, words in _LATER.items() if getattr(arguments, name, None) is not None]
    ports = {name: _port(arguments, name, default, mistakes) for name, default in (("ris", RIS_PORT), ("pacs", PACS_PORT))}
    if ports["ris"] and ports["ris"] == ports["pacs"]:
        mistakes.append("--ris and --pacs cannot share a port")
    modalities = []
    for text in getattr(arguments, "modality", None) or ():
        try:
            modalities.append(Address.parse(text))
        except SettingsError as error:
            mistakes.append(f"--modality: {error}")
    manner: Any = getattr(arguments, "commit", None) or "new"
    if manner not in ("new", "same", "next"):
        mistakes.append(f"--commit: {manner!r} is none of new, same, next")
    seed = 0
    try:
        seed = int(getattr(arguments, "seed", None) or 0)
    except ValueError:
        mistakes.append(f"--seed: {arguments.seed!r} is not a whole number")
    faults = tuple(getattr(arguments, "fault", None) or ())
    try:
        Faults.parse(faults)
    except SettingsError as error:
        mistakes.append(f"--fault: {error}")
    if mistakes:
        raise SettingsError("the hospital cannot open:\n" + "\n".join(mistakes))
    store, orders = getattr(arguments, "store", None), getattr(arguments, "orders", None)
    return HospitalPlan(
        store=Path(store) if store else data_folder(getattr(arguments, "data", None)) / "hospital",
        ris_port=ports["ris"],
        pacs_port=ports["pacs"],
        orders=Path(orders) if orders else None,
        modalities=tuple(modalities) or _built_in_courier(),
        seed=seed,
        faults=faults,
        host=getattr(arguments, "host", None) or "127.0.0.1",
        commit_manner=manner,
    )


def _port(arguments: argparse.Namespace, name: str, default: int, mistakes: list[str]) -> int | None:
    """A port, None for `none`; adds to the mistakes."""
    given = getattr(arguments, name, None)
    if given is None:
        return default
    text = str(given)
    if text == "none":
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        mistakes.append(f"--{name}: {text!r} is not a port; a number up to 65535, 0 for any free one, or none")
        return None
    return int(text)
