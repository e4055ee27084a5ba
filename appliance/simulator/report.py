"""What a simulation did, as one page that needs nothing else."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files


@dataclass(frozen=True)
class Shown:
    """One object: how it looks when small (JPEG, empty where there is none), what it is, how many frames."""

    jpeg: bytes
    what: str
    frames: int = 1


@dataclass(frozen=True)
class ExamLine:
    """How one exam fared: objects made, stored and committed with every archive; reports owed and told.

    `seconds` from the beginning of the run until the exam ended, and until nothing of it was owed any more (0: never).
    """

    modality: str
    accession: str
    patient: str
    made: int
    stored: int
    committed: int
    reports: int
    told: int
    trouble: str = ""
    ended: float = 0.0
    settled: float = 0.0
    pictures: tuple[Shown, ...] = ()

    @property
    def good(self) -> bool:
        """Whether every object is committed and every step reported."""
        return 0 < self.made == self.committed and self.reports == self.told


@dataclass(frozen=True)
class Outcome:
    """How a whole scenario fared; `seconds` from the first look at the worklist until nothing was owed."""

    scenario: str
    seed: int
    seconds: float
    digest: str
    exams: tuple[ExamLine, ...]
    peers: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether all exams are good."""
        return bool(self.exams) and all(one.good for one in self.exams)


def page(outcome: Outcome) -> str:
    """The report in HTML: one page, no script, its pictures in itself, everything from outside escaped."""
    made, committed = sum(one.made for one in outcome.exams), sum(one.committed for one in outcome.exams)
    if outcome.good:
        verdict = f'<p class="verdict good">✓ All {made} objects committed, every step reported</p>'
    else:
        verdict = f'<p class="verdict bad">✗ Only {committed} of {made} objects committed, or a step not reported</p>'
    style = (files("appliance.simulator") / "report.css").read_text(encoding="utf-8")
    peers = "".join(f"<li>{escape(one)}</li>" for one in outcome.peers)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>dicap: {escape(outcome.scenario)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head><body><main>'
        f"<h1>Scenario {escape(outcome.scenario)}</h1>"
        f'<p class="soft">seed {outcome.seed} · {outcome.seconds:.1f} s · simulated patients only</p>{verdict}'
        f'{"".join(_exam(line) for line in outcome.exams)}<p class="soft">Peers</p><ul class="soft">{peers}</ul>'
        f'<p class="soft">SHA-256 over all objects made, in their order; the same seed and worklist give the same:<br>'
        f"<code>{outcome.digest}</code></p></main></body></html>\n"
    )


def _exam(line: ExamLine) -> str:
    """One exam as a section: who, how far it got, what it looks like, and in words what went wrong."""
    mark = '<span class="good">✓ done</span>' if line.good else '<span class="bad">✗ not done</span>'
    steps = [
        f"{line.made} made in {line.ended:.1f} s",
        f"{line.stored} stored",
        f"{line.committed} committed" + (f" after {line.settled:.1f} s" if line.good else ""),
        f"{line.told} of {line.reports} step reports told" if line.reports else "no step reports owed",
    ]
    trouble = f'<p class="bad">{escape(line.trouble)}</p>' if line.trouble and not line.good else ""
    pictures = "".join(map(_figure, line.pictures))
    return (
        f"<section><header><h2>{escape(line.modality)} · {escape(line.patient)}</h2>{mark}</header>"
        f'<p class="soft">accession {escape(line.accession) or "none"}</p>'
        f'<ul class="steps">{_items(steps)}</ul>{trouble}<div class="strip">{pictures}</div></section>'
    )


def _items(words: Sequence[str]) -> str:
    """Words as items of a list."""
    return "".join(f"<li>{escape(word)}</li>" for word in words)


def _figure(shown: Shown) -> str:
    """One object's small picture, with its number of frames where it moves."""
    if not shown.jpeg:
        return ""
    data = base64.b64encode(shown.jpeg).decode("ascii")
    caption = f"<figcaption>▶ {shown.frames}</figcaption>" if shown.frames > 1 else ""
    words = escape(shown.what, quote=True)
    return f'<figure title="{words}"><img alt="{words}" src="data:image/jpeg;base64,{data}">{caption}</figure>'
