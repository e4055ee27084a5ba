"""What a simulation did, as one page that needs nothing else."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root{color-scheme:light dark;--ink:#16202a;--soft:#566575;--line:#d5dbe1;--page:#f3f5f7;--card:#fff;
  --good:#0b6b3a;--bad:#a3162a}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--soft:#a3b1be;--line:#33404c;--page:#12181e;--card:#1b242d;
  --good:#5fd197;--bad:#ff8a97}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;margin:0;background:var(--page);color:var(--ink)}
main{max-width:66rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;margin:0}
h2{font-size:1.1rem;margin:0}
p{margin:.3rem 0}
.soft{color:var(--soft)}
.good{color:var(--good);font-weight:600}
.bad{color:var(--bad);font-weight:600}
.verdict{font-size:1.2rem;margin:1rem 0 1.4rem}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem 1.2rem;margin:0 0 1rem}
section header{display:flex;justify-content:space-between;gap:1rem;flex-wrap:wrap}
.steps{display:flex;flex-wrap:wrap;gap:.5rem;list-style:none;margin:.8rem 0;padding:0}
.steps li{border:1px solid var(--line);border-radius:999px;padding:.1rem .8rem;font-variant-numeric:tabular-nums}
.strip{display:flex;flex-wrap:wrap;gap:.5rem}
.strip figure{margin:0;background:#0b0f13;border-radius:6px;overflow:hidden;position:relative;height:7.5rem}
.strip img{height:100%;display:block}
.strip figcaption{position:absolute;right:.3rem;bottom:.3rem;background:#000b;color:#fff;border-radius:4px;padding:0 .4rem;
  font-size:.8rem}
code{font-size:.85rem;overflow-wrap:anywhere}
"""


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
    """The report in HTML."""
    made, committed = sum(one.made for one in outcome.exams), sum(one.committed for one in outcome.exams)
    if outcome.good:
        verdict = f'<p class="verdict good">✓ All {made} objects committed, every step reported</p>'
    else:
        verdict = f'<p class="verdict bad">✗ Only {committed} of {made} objects committed, or a step not reported</p>'
    peers = "".join(f"<li>{escape(one)}</li>" for one in outcome.peers)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>dicap: {escape(outcome.scenario)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head><body><main>'
        f"<h1>Scenario {escape(outcome.scenario)}</h1>"
        f'<p class="soft">seed {outcome.seed} · {outcome.seconds:.1f} s · simulated patients only</p>{verdict}'
        f'{"".join(_exam(line) for line in outcome.exams)}<p class="soft">Peers</p><ul class="soft">{peers}</ul>'
        f'<p class="soft">SHA-256 over all objects made, in their order; the same seed and worklist give the same:<br>'
        f"<code>{outcome.digest}</code></p></main></body></html>\n"
    )


def _exam(line: ExamLine) -> str:
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
    return "".join(f"<li>{escape(word)}</li>" for word in words)


def _figure(shown: Shown) -> str:
    if not shown.jpeg:
        return ""
    data = base64.b64encode(shown.jpeg).decode("ascii")
    caption = f"<figcaption>▶ {shown.frames}</figcaption>" if shown.frames > 1 else ""
    words = escape(shown.what, quote=True)
    return f'<figure title="{words}"><img alt="{words}" src="data:image/jpeg;base64,{data}">{caption}</figure>'
