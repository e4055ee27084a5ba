"""Who comes and what is done, as data; every mistake in a file is named at once with the nearest right key."""

import difflib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from appliance.errors import SettingsError

SHIPPED = ("smoke",)
MODALITIES = ("CT", "US", "ES")
_MOST = 1000  # pictures or frames of one exam: more is a slip of the finger
_TOP = ("name", "patience", "exam")
_EXAM = ("modality", "pictures", "cine")


@dataclass(frozen=True)
class ExamPlan:
    """One exam: of the worklist's first order of that modality not taken yet; so many pictures, so many cine frames."""

    modality: str
    pictures: int = 1
    cine: int = 0


@dataclass(frozen=True)
class Scenario:
    """A scenario: its exams in order, and the seconds until everything must be committed and told."""

    name: str
    exams: tuple[ExamPlan, ...]
    patience: float = 120.0


def load(word: str) -> Scenario:
    """A scenario from a TOML file, or a shipped one by its name.

    Raises SettingsError with every mistake in the file at once, each with its place and the nearest right word.
    """
    try:
        if word in SHIPPED:
            text = (files("appliance.simulator") / f"{word}.toml").read_text(encoding="utf-8")
        else:
            text = Path(word).read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"no scenario {word!r}: {error.strerror}; shipped: {', '.join(SHIPPED)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the scenario {word} is not TOML: {error}") from error
    mistakes = list(_mistakes(tree))
    if mistakes:
        raise SettingsError(f"the scenario {word}:\n" + "\n".join(f"  {one}" for one in mistakes))
    exams = tuple(ExamPlan(**entry) for entry in tree["exam"])
    return Scenario(tree.get("name", word), exams, float(tree.get("patience", 120.0)))


def _mistakes(tree: dict[str, Any]) -> Iterator[str]:
    """Everything that is wrong with a file, from its top down."""
    yield from _strangers(tree, _TOP, "top")
    if not isinstance(tree.get("name", ""), str):
        yield f"top: name is text, not {tree['name']!r}"
    patience = tree.get("patience", 1)
    if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience > 0:
        yield f"top: patience is seconds above zero, not {patience!r}"
    exams = tree.get("exam", [])
    if not isinstance(exams, list) or not all(isinstance(entry, dict) for entry in exams):
        yield "top: write each exam as a table of its own, [[exam]]"
        return
    if not exams:
        yield "there is no [[exam]]"
    for number, entry in enumerate(exams, 1):
        yield from _of_exam(entry, f"exam {number}")


def _of_exam(entry: dict[str, Any], place: str) -> Iterator[str]:
    """Everything that is wrong with one [[exam]]; `place` says which."""
    yield from _strangers(entry, _EXAM, place)
    if "modality" not in entry:
        yield f"{place}: modality is missing; there are {', '.join(MODALITIES)}"
    elif entry["modality"] not in MODALITIES:
        near = difflib.get_close_matches(str(entry["modality"]).upper(), MODALITIES, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(MODALITIES)}"
        yield f"{place}: no phantom for modality {entry['modality']!r}{hint}"
    wrong = False
    for key in ("pictures", "cine"):
        value = entry.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            wrong = True
            yield f"{place}: {key} is a whole number from 0 to {_MOST}, not {value!r}"
    if not wrong and not entry.get("pictures", 1) and not entry.get("cine", 0):
        yield f"{place}: neither a picture nor a cine: what is done?"
    if not wrong and entry.get("cine") and entry.get("modality") == "CT":
        yield f"{place}: a CT exam has no cine"


def _strangers(tree: dict[str, Any], known: Iterable[str], place: str) -> Iterator[str]:
    """The keys that nobody knows, each with the nearest that is known."""
    for key in tree:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), 1)
            yield f"{place}: no such key {key}" + (f"; did you mean {near[0]}?" if near else "")
