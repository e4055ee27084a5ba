"""What a simulation did, as one page that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = (
    "body{font:16px/1.45 system-ui,sans-serif;margin:2.5em auto;max-width:60em;color:#16202a;padding:0 1em}"
    "table{border-collapse:collapse;width:100%;margin:1em 0}"
    "th,td{text-align:left;padding:.45em .6em;border-bottom:1px solid #d5dbe1}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:#0b6b3a}.bad{color:#a3162a;font-weight:600}"
    "h1 small{font-weight:400;color:#5b6875;font-size:.55em;display:block}"
)


@dataclass(frozen=True)
class ExamLine:
    """How one exam fared: objects made, stored, committed; reports owed and told; seconds until all was done."""

    modality: str
    accession: str
    patient: str
    made: int
    stored: int
    committed: int
    reports: int
    told: int
    trouble: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a whole scenario fared; `seconds` from the first look at the worklist until nothing was owed."""

    scenario: str
    seed: int
    seconds: float
    digest: str
    exams: tuple[ExamLine, ...]

    @property
    def good(self) -> bool:
        """Whether every object is committed and every step reported."""
        return bool(self.exams) and all(one.made == one.committed and one.reports == one.told for one in self.exams)


def page(outcome: Outcome) -> str:
    """The report in HTML."""
    verdict = "every object committed, every step reported" if outcome.good else "NOT everything arrived"
    rows = "".join(_row(line) for line in outcome.exams)
    head = _cells("th", ["Modality", "Accession", "Patient", "Made", "Stored", "Committed", "Steps told", ""])
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>dicap: {escape(outcome.scenario)}</title>'
        f"<style>{STYLE}</style></head><body><h1>Scenario {escape(outcome.scenario)}"
        f"<small>seed {outcome.seed}, {outcome.seconds:.1f} s, simulated patients only</small></h1>"
        f'<p class="{"good" if outcome.good else "bad"}">{"✓" if outcome.good else "✗"} {verdict}</p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p>SHA-256 over all objects made, in order: <code>{outcome.digest}</code></p></body></html>"
    )


def _row(line: ExamLine) -> str:
    done = line.made == line.committed and line.reports == line.told
    words = [line.modality, line.accession, line.patient]
    numbers = [str(line.made), str(line.stored), str(line.committed), f"{line.told} of {line.reports}"]
    last = "✓" if done else f"✗ {line.trouble}"
    mark = f'<td class="{"good" if done else "bad"}">{escape(last)}</td>'
    return f"<tr>{_cells('td', words)}{_cells('td class=n', numbers)}{mark}</tr>"


def _cells(tag: str, words: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(word)}</{tag.split()[0]}>" for word in words)
