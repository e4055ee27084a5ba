"""Who comes and what is done, as data; every mistake in a file is named at once with the nearest right key."""

import difflib
import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from appliance.errors import SettingsError

SHIPPED = ("smoke",)
MODALITIES = ("CT", "US", "ES")


@dataclass(frozen=True)
class ExamPlan:
    """One exam: of the worklist's first order of that modality not taken yet; so many pictures, so many cine frames."""

    modality: str
    pictures: int = 1
    cine: int = 0


@dataclass(frozen=True)
class Scenario:
    """A scenario: its exams in order, and the seconds until everything must be committed."""

    name: str
    exams: tuple[ExamPlan, ...]
    patience: float = 120.0


def load(word: str) -> Scenario:
    """A scenario from a file, or a shipped one by its name; raises SettingsError with every mistake."""
    if word in SHIPPED:
        text = (files("appliance.simulator") / f"{word}.toml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(word).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"no scenario {word!r}: {error.strerror}; shipped are {', '.join(SHIPPED)}") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the scenario {word} is not TOML: {error}") from error
    mistakes = [*_strangers(tree, Scenario, "", {"exam"}, {"exams"})]
    exams = []
    for number, entry in enumerate(tree.get("exam", []), 1):
        place = f"exam {number}"
        mistakes += _strangers(entry, ExamPlan, place, set(), set())
        plan = ExamPlan(**{key: value for key, value in entry.items() if key in {one.name for one in fields(ExamPlan)}})
        mistakes += _of_plan(plan, place)
        exams.append(plan)
    if not exams:
        mistakes.append("there is no [[exam]]")
    if mistakes:
        raise SettingsError(f"the scenario {word}:\n" + "\n".join(f"  {one}" for one in mistakes))
    return Scenario(str(tree.get("name", word)), tuple(exams), float(tree.get("patience", 120.0)))


def _of_plan(plan: ExamPlan, place: str) -> list[str]:
    mistakes = []
    if plan.modality not in MODALITIES:
        near = difflib.get_close_matches(str(plan.modality), MODALITIES, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(MODALITIES)}"
        mistakes.append(f"{place}: no phantom for modality {plan.modality!r}{hint}")
    for key in ("pictures", "cine"):
        value = getattr(plan, key)
        if not isinstance(value, int) or value < 0:
            mistakes.append(f"{place}: {key} is a whole number, not {value!r}")
    if plan.cine and plan.modality == "CT":
        mistakes.append(f"{place}: a CT exam has no cine")
    return mistakes


def _strangers(tree: dict[str, Any], fact: type, place: str, more: set[str], less: set[str]) -> list[str]:
    known = ({one.name for one in fields(fact)} | more) - less
    mistakes = []
    for key in tree:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            mistakes.append(f"{place or 'top'}: no such key {key}" + (f"; did you mean {near[0]}?" if near else ""))
    if place and "modality" not in tree:
        mistakes.append(f"{place}: modality is missing")
    return mistakes
