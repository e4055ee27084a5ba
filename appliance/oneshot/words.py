"""What a command says to a person: results on standard output, errors and advice on standard error."""

import sys
from collections.abc import Callable
from typing import Any


def show(command: str, result: dict[str, Any]) -> None:
    """Say a result in words."""
    for line in WORDS.get(command, _plain)(result):
        sys.stdout.write(line + "\n")


def show_error(command: str, error: Exception) -> None:
    """Say what happened, then what is safe and what to do."""
    sys.stderr.write(f"dicap {command}: {error}\n")
    advice = getattr(error, "advice", "")
    if advice:
        sys.stderr.write(f"  {advice}\n")


def _plain(result: dict[str, Any]) -> list[str]:
    """Key and value, for commands with nothing better to say."""
    return [f"{key}: {value}" for key, value in result.items()]


def _worklist(result: dict[str, Any]) -> list[str]:
    """A line an order, in the order of the schedule."""
    lines = [
        f"{one['date']} {one['time'][:4]:4} {one['modality']:3} {one['key']:<24} {one['patient_name']} "
        f"[{one['patient_id']}] {one['birth_date']} {one['description']}"
        for one in result["orders"]
    ]
    if result.get("cached"):
        age = result["age_seconds"]
        if age is None:
            return ["the RIS was never reached, so no earlier list is kept here"]
        return [f"the list as it was {_ago(age)}:", *(lines or ["no orders"])]
    return [*(lines or ["no orders"]), *(f"NOT usable: {one}" for one in result.get("complaints", []))]


def _ago(seconds: int) -> str:
    return f"{seconds} seconds ago" if seconds < 120 else f"{seconds // 60} minutes ago"


def _kept(result: dict[str, Any]) -> list[str]:
    """The exam, then a line an object with its flaws, then what failed."""
    return [f"exam {result['exam']}"] * bool(result["exam"]) + [
        f"  {one['id']} {one['kind']} {one['columns']}x{one['rows']}, {one['frames']} frames, {one['size']} bytes, "
        f"{one['sop_instance_uid']}" + "".join(f"\n    {flaw}" for flaw in one["flaws"])
        for one in result["objects"]
    ] + [f"  NOT {one['file']}: {one['error']}" for one in result.get("failed", [])] + [
        f"  {words}" for words in result.get("passed_over", [])
    ]


def _ledger(result: dict[str, Any]) -> list[str]:
    """An exam, and under it its reports and its objects with their destinations."""
    lines = []
    for exam in result["exams"]:
        lines.append(f"{exam['id']} {exam['state']:<12} {exam['patient_name']} [{exam['patient_id']}] {exam['accession']}")
        for one in result["reports"]:
            if one["exam"] == exam["id"]:
                lines.append(f"  {one['kind']:<6} → {one['peer']}: {one['state']} {one['words']}".rstrip())
        for one in result["objects"]:
            if one["exam"] == exam["id"]:
                released = ", released" if one["released"] else ""
                lines.append(f"  {one['id']} → {one['destination']}: {one['state']}{released} {one['words']}".rstrip())
        held = sum(one["exam"] == exam["id"] for one in result["held"])
        if held:
            lines.append(f"  {held} held until the exam ends")
    return lines or ["the ledger is empty: nothing is owed"]


def _sources(result: dict[str, Any]) -> list[str]:
    """A line a source."""
    return [f"{one['spec']}: {one['description']} {', '.join(one['inputs'] + one['formats'])}" for one in result["sources"]]


def _sent(result: dict[str, Any]) -> list[str]:
    """A line an object: stored, or why not."""
    return [f"{one['file']}: {one['error'] or one['words'] or 'stored'}" for one in result["objects"]]


def _checked(result: dict[str, Any]) -> list[str]:
    """A line a file, and under it what was found."""
    lines = []
    for file in result["files"]:
        lines.append(f"{file['file']}: {'good' if not file['errors'] else str(file['errors']) + ' errors'}")
        lines += [f"  {one['severity']}: {one['where']}: {one['words']}" for one in file["findings"]]
    return lines


def _simulated(result: dict[str, Any]) -> list[str]:
    """A line an exam, then the whole."""
    lines = [
        f"{one['modality']} {one['accession']}: {one['committed']} of {one['made']} committed, "
        f"{one['told']} of {one['reports']} steps told {one['trouble']}".rstrip()
        for one in result["exams"]
    ]
    digest = result["digest"][:16]
    lines.append(f"scenario {result['scenario']}, seed {result['seed']}: {result['seconds']} s, digest {digest}")
    return [*lines, f"report: {result['report']}"] if "report" in result else lines


def _disc(result: dict[str, Any]) -> list[str]:
    """What was made, or what each disc is worth."""
    if "output" in result:
        made = f"{result['output']}: {result['objects']} objects, {', '.join(result['profiles'])}, read back and good"
        return [made, *(f"  {note}" for note in result["notes"])]
    lines = []
    for one in result["discs"]:
        lines.append(f"{one['disc']}: {one['objects']} objects, {'good' if not one['faults'] else '; '.join(one['faults'])}")
        lines += [f"  {note}" for note in one["notes"]]
    return lines


WORDS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "worklist": _worklist,
    "still": _kept,
    "clip": _kept,
    "import": _kept,
    "ledger": _ledger,
    "sources": _sources,
    "send": _sent,
    "check": _checked,
    "simulate": _simulated,
    "disc": _disc,
    "wait": lambda result: ["nothing is owed any more"],
    "echo": lambda result: [f"{result['peer']} answers in {result['seconds'] * 1000:.1f} ms"],
}
