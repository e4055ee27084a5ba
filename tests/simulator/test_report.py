"""The report of a simulation: one page, true, and safe to open."""

import re

from appliance.simulator.report import ExamLine, Outcome, Shown, page

GOOD = ExamLine("US", "A1", "Doe, Jane", 2, 2, 2, 2, 2, ended=0.4, settled=2.5, pictures=(Shown(b"\xff\xd8", "1", 16),))
BAD = ExamLine("CT", "A2", "O'Brien <b>&", 4, 4, 3, 2, 1, trouble="<refused> & so on", pictures=(Shown(b"", "1"),))


def outcome(*lines):
    return Outcome("day <1>", 7, 12.34, "abc123", lines, ("pacs: PACS@127.0.0.1:104, store",))


def test_all_good_and_not_all_good():
    assert outcome(GOOD).good and not outcome(GOOD, BAD).good and not outcome().good
    assert not ExamLine("US", "A", "D", 0, 0, 0, 2, 2).good, "an exam without objects proves nothing"
    assert "✓ All 2 objects committed" in page(outcome(GOOD)) and "12.3 s" in page(outcome(GOOD))
    assert "✗ Only 5 of 6 objects committed" in page(outcome(GOOD, BAD))
    assert "1 of 2 step reports told" in page(outcome(GOOD, BAD))


def test_words_of_others_are_words():
    html = page(outcome(GOOD, BAD))
    assert "O&#x27;Brien &lt;b&gt;&amp;" in html and "&lt;refused&gt; &amp; so on" in html and "day &lt;1&gt;" in html


def test_the_page_needs_nothing_else_and_runs_nothing():
    html = page(outcome(GOOD, BAD))
    assert not re.search(r"https?:|<script|<link|\bsrc=\"(?!data:image/jpeg;base64,)", html)
    assert html.count("<figure") == 1 and "▶ 16" in html


def test_no_step_reports_where_nobody_wants_them():
    assert "no step reports owed" in page(outcome(ExamLine("US", "A", "D", 1, 1, 1, 0, 0)))
