"""The demo hospital's orders of one day: a dozen invented patients, the same for the same seed and day."""

import random
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from appliance.clinic.order import Order
from appliance.peers.orders import read, study_uid

_STORY = Path(__file__).with_name("demo.toml")


def orders(seed: int, day: date) -> list[Order]:
    """About a dozen believable, plainly synthetic scheduled steps (Patient ID begins with SIM), for station DICAP."""
    tree = tomllib.loads(_STORY.read_text(encoding="utf-8"))
    dice = random.Random(f"dicap demo {seed}")
    first_id = dice.randrange(100_000, 900_000)
    series = dice.randrange(10, 99)
    groups: list[str] = []
    steps: dict[str, int] = {}
    for entry in tree["order"]:
        group = entry.pop("group")
        if group not in groups:
            groups.append(group)
        steps[group] = steps.get(group, 0) + 1
        accession = f"S{day:%y%m%d}{series}{groups.index(group) + 1:02d}"
        _stamp(entry, accession, steps[group])
        entry["study_uid"] = study_uid("demo", seed, day, group)
        entry["date"] = f"{day:%Y%m%d}"
        entry["time"] = _about(entry.pop("at"), dice)
        entry["patient"]["id"] = f"SIM{first_id + int(entry['patient']['id'])}"
        entry["patient"]["issuer"] = "SIMULATED"
    return read(tree, day, "the demo orders")


def _stamp(entry: dict[str, Any], accession: str, step: int) -> None:
    """The identifiers of one step, all made from the accession number."""
    entry["accession"] = accession
    entry["procedure_id"] = f"P{accession[1:]}"
    entry["step_id"] = f"{accession[1:]}-{step}"
    entry["admission_id"] = f"V{accession[1:]}"
    entry["placer_number"] = f"PL{accession[1:]}"
    entry["filler_number"] = f"FI{accession[1:]}"


def _about(at: str, dice: random.Random) -> str:
    """HHMMSS, a few minutes after `at`."""
    minutes = int(at[:2]) * 60 + int(at[2:]) + dice.randrange(5)
    return f"{minutes // 60:02d}{minutes % 60:02d}00"
