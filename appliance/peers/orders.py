"""Orders from a TOML or JSON file, checked as a RIS would before it hands them out; all mistakes are named at once.

A file holds a list called `order`; its keys are the fields of clinic.Order, and `[order.patient]` those of Patient.
"""

import dataclasses
import difflib
import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydicom.charset import python_encoding

from appliance.clinic.order import Code, Order, Reference
from appliance.clinic.patient import Patient
from appliance.errors import SettingsError
from appliance.peers.worklist import charset_for

_NAMESPACE = uuid.UUID("6f9bd9a0-4d0f-5c1e-9a53-8a3f7d6f2c11")
_LENGTHS = {
    "accession": 16, "procedure_id": 16, "step_id": 16, "station_ae": 16, "station_name": 16, "location": 16,
    "procedure_description": 64, "step_description": 64, "requesting_service": 64, "reason": 64, "admission_id": 64,
    "pre_medication": 64, "contrast": 64, "patient_location": 64, "institution": 64, "placer_number": 64,
    "filler_number": 64, "modality": 16, "id": 64, "issuer": 64, "state": 64, "special_needs": 64, "confidentiality": 64,
}  # fmt: skip
_NAMES = ("name", "performing_physician", "referring_physician", "requesting_physician")
_FORMS = {
    "birth_date": (r"|\d{8}", "a date, YYYYMMDD"),
    "time": (r"([01]\d|2[0-3])[0-5]\d([0-5]\d(\.\d{1,6})?)?", "a time, HHMM or HHMMSS"),
    "sex": (r"|[MFO]", "M, F, O or empty"),
    "pregnancy": (r"|[1-4]", "1 (no), 2 (possibly), 3 (yes), 4 (unknown) or empty"),
    "modality": (r"[A-Z0-9_ ]+", "a modality in capitals, as in ES"),
    "study_uid": (r"|[0-2](\.(0|[1-9]\d*))+", "a UID"),
    "size": (r"|\d+(\.\d+)?", "a number of metres"),
    "weight": (r"|\d+(\.\d+)?", "a number of kilograms"),
    "priority": (r"|STAT|HIGH|ROUTINE|MEDIUM|LOW", "STAT, HIGH, ROUTINE, MEDIUM, LOW or empty"),
}
_MANY = ("other_ids", "allergies", "alerts")
_NEEDED = ("accession", "step_id", "modality")
_SET_BY_US = ("patient", "status", "unscheduled")


def load(path: Path, day: date) -> list[Order]:
    r"""Read an order file; raises SettingsError with every mistake. In TOML:

        [[order]]
        accession = "A1"                      # needed, as are step_id, modality, patient.id and patient.name
        step_id = "S1"
        modality = "ES"
        date = "today"                        # or YYYYMMDD, +1, -1; missing: `day`
        time = "0930"                         # missing: 0800
        station_ae = "DICAP"                  # missing: DICAP
        charset = "ISO_IR 100"                # several with a backslash, as in '\ISO 2022 IR 87'; missing: UTF-8 if needed
        step_description = "Gastroscopy"
        protocol_codes = [{ value = "69695003", scheme = "SCT", meaning = "Stomach" }]
        [order.patient]
        id = "SIM1"
        name = "Muster^Erika"
        birth_date = "19640812"
        allergies = ["Latex", "Nuts"]

    A JSON file holds the same under `order`, or is the list itself. A missing `study_uid` is made from date and accession
    number, so that the steps of one accession share a study; a missing `procedure_id` is the accession number. The other
    keys are the fields of clinic.Order and clinic.Patient, all of them texts; every one is checked for its length, its
    form, and that the character set can write it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"cannot read the orders {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is neither TOML nor JSON: {error}") from error
    return read(tree, day, str(path))


def read(tree: Any, day: date, origin: str) -> list[Order]:
    """Orders from a parsed file (a table with the list `order`, or the list itself); raises SettingsError."""
    entries = tree.get("order") if isinstance(tree, dict) else tree
    strangers = [str(key) for key in tree if key != "order"] if isinstance(tree, dict) else []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f"{origin}: a list of tables called order is missing")
    mistakes = [f"{key}: no such list; orders are called order" for key in strangers]
    orders: list[Order] = []
    for number, entry in enumerate(entries, 1):
        where = f"order {number} ({entry.get('accession', 'no accession')})"
        order, wrong = _order(entry, day)
        mistakes += [f"{where}: {words}" for words in wrong]
        if order is not None:
            orders.append(order)
    seen: dict[str, int] = {}
    for number, order in enumerate(orders, 1):
        if order.key in seen:
            mistakes.append(f"order {number} ({order.accession}): the step {order.key} is there already")
        seen[order.key] = number
    if mistakes:
        raise SettingsError(f"{origin}:\n  " + "\n  ".join(mistakes))
    return orders


def study_uid(*words: object) -> str:
    """A Study Instance UID under 2.25 that is always the same for the same words."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, words))).int}"


def _order(entry: dict[str, Any], day: date) -> tuple[Order | None, list[str]]:
    """One entry of the file as an order, or what is wrong with it."""
    person = entry.get("patient")
    if not isinstance(person, dict):
        return None, ["the table patient is missing"]
    fields = {key: value for key, value in entry.items() if key != "patient"}
    mistakes = [*_wrong(fields, Order, _NEEDED), *(f"patient.{words}" for words in _wrong(person, Patient, ("id", "name")))]
    if mistakes:
        return None, mistakes
    try:
        fields["date"] = _date(str(fields.get("date", "today")), day)
    except ValueError as error:
        return None, [str(error)]
    fields.setdefault("time", "080000")
    fields["study_uid"] = fields.get("study_uid") or study_uid(fields["date"], fields["accession"])
    fields.setdefault("procedure_id", fields["accession"])
    fields.setdefault("station_ae", "DICAP")
    fields["status"] = "SCHEDULED"
    for name, maker in (("codes", Code), ("referenced", Reference)):
        for key in [key for key in fields if name in key]:
            fields[key] = tuple(maker(**item) for item in fields[key])
    known: dict[str, Any] = {key: "\\".join(value) if isinstance(value, list) else value for key, value in person.items()}
    if "other_ids" in known:
        known["other_ids"] = tuple(known["other_ids"].split("\\"))
    order = Order(Patient(**known), **fields)
    return order, list(_unwritable(order))


def _wrong(entry: dict[str, Any], fact: type[Order] | type[Patient], needed: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the fields of an order or of a patient, one by one."""
    names = [field.name for field in dataclasses.fields(fact) if field.name not in _SET_BY_US or fact is Patient]
    for name in needed:
        if not str(entry.get(name, "")).strip():
            yield f"{name} is missing"
    for key, value in entry.items():
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            yield f"{key}: no such field" + (f"; did you mean {near[0]}?" if near else "")
        elif "codes" in key or "referenced" in key:
            yield from _wrong_items(key, value, Code if "codes" in key else Reference)
        elif key in _MANY:
            several = value if isinstance(value, list) else [value]
            if not all(isinstance(one, str) and len(one) <= 64 and "\\" not in one for one in several):
                yield f"{key}: expected texts of at most 64 characters"
        elif not isinstance(value, str):
            yield f"{key}: expected a text in quotation marks"
        else:
            yield from _wrong_text(key, value)


def _wrong_text(key: str, value: str) -> Iterator[str]:
    """What is wrong with one text: its characters, its length, its form."""
    if key != "charset" and ("\\" in value or re.search(r"[\x00-\x1f\x7f]", value)):
        yield f"{key}: a backslash or a control character is not possible in DICOM"
    if len(value) > _LENGTHS.get(key, 10240):
        yield f"{key}: {len(value)} characters, at most {_LENGTHS[key]} fit"
    if key in _NAMES and any(len(group) > 64 for group in value.split("=")):
        yield f"{key}: more than 64 characters in one group of the name"
    if key in _FORMS and not re.fullmatch(_FORMS[key][0], value):
        yield f"{key}: {value!r} is not {_FORMS[key][1]}"


def _wrong_items(key: str, value: Any, fact: type[Code] | type[Reference]) -> Iterator[str]:
    """What is wrong with a list of codes or references."""
    fields = dataclasses.fields(fact)
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        yield f"{key}: expected a list of tables with {', '.join(sorted(needed))}"
        return
    possible = {field.name for field in fields}
    for item in value:
        if not needed <= set(item) <= possible or not all(isinstance(one, str) for one in item.values()):
            yield f"{key}: each needs {', '.join(sorted(needed))}, as texts, and nothing else"
        elif fact is Code and (len(item["value"]) > 16 or len(item["scheme"]) > 16 or len(item["meaning"]) > 64):
            yield f"{key}: value and scheme hold 16 characters, meaning 64"


def _date(text: str, day: date) -> str:
    """YYYYMMDD from a date or from a word about `day`; ValueError in words."""
    if text == "today":
        return f"{day:%Y%m%d}"
    if re.fullmatch(r"[+-]\d{1,3}", text):
        return f"{day + timedelta(days=int(text)):%Y%m%d}"
    try:
        return f"{date(int(text[:4]), int(text[4:6]), int(text[6:])):%Y%m%d}"
    except ValueError as error:
        raise ValueError(f"date: {text!r} is not a date; write YYYYMMDD, today, +1 or -1") from error


def _unwritable(order: Order) -> Iterator[str]:
    """Whether the text can be written in the Specific Character Set that the order names."""
    terms = charset_for(order).split("\\")
    strangers = [term for term in terms if term not in python_encoding]
    if strangers:
        yield f"charset: {', '.join(strangers)}: no such Specific Character Set"
        return
    encodings = ["ascii" if term in ("", "ISO_IR 6", "ISO 2022 IR 6") else python_encoding[term] for term in terms]
    for fact in (order, order.patient):
        for field in dataclasses.fields(fact):
            value = getattr(fact, field.name)
            if isinstance(value, str) and not all(_writable(one, encodings) for one in set(value)):
                yield f"{field.name}: {value!r} cannot be written in {charset_for(order) or 'ISO_IR 6'}"


def _writable(character: str, encodings: list[str]) -> bool:
    """Whether one of the encodings has the character."""
    for encoding in encodings:
        try:
            character.encode(encoding)
            return True
        except UnicodeError:
            continue
    return False
