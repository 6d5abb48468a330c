from __future__ import annotations

import hashlib
import re
import subprocess
import sys

import msgspec
import pytest

from monitoring.report.document import opened, packed, sha256_of
from monitoring.report.mail import html as mail_html
from monitoring.report.mail import subject, text
from monitoring.report.regulations import SECTIONS
from monitoring.report.render import html, pages, pdf
from monitoring.report.words import direction, sign_of, verdict
from tests.factories_report import HOSTILE, a_report

REPORT = a_report()
PAGE = html(REPORT).decode()


def test_the_page_needs_nothing_from_elsewhere():
    found = re.findall(r'(?:src|href)="([^"]+)"|url\(([^)]{1,20})', PAGE)
    outside = {a or b for a, b in found}
    assert all(
        one.startswith(("https://banister.example/", "data:font/woff", "#")) for one in outside
    ), outside
    assert "<script" not in PAGE
    assert not re.search(r"\sstyle=", PAGE)
    assert len(PAGE) < 300_000


def test_what_is_not_ours_is_escaped():
    assert HOSTILE not in PAGE
    assert "&lt;script&gt;" in PAGE


@pytest.mark.parametrize(
    "words",
    ["Traffic", "Decisions by category", "Incidents", "Groundedness, latency and availability",
     "Bias by group and language", "Drift and monitoring", "Filter quality by human sample",
     "Coverage gaps", "Changes of policy, model and template", "Appendix"],
)  # fmt: skip
def test_every_section_is_there(words):
    assert re.search(rf"<h2>{words}", PAGE)


def test_no_data_is_shown_as_no_data():
    row = PAGE[PAGE.index("Harm, by human sample") :][:400]
    assert "no data" in row
    silent = PAGE[PAGE.index("Jobs without data all week") :][:80]
    assert "prompt_drift" in silent
    assert "Thu 19 Nov: no data" in PAGE, "a day without traffic is hatched"


def test_a_week_without_an_exchange_can_be_told():
    quiet = a_report(
        n=0, days=(), slices=(), categories=(), incidents=(), passed=(), gaps=(), jobs=(),
        failures=(), uncovered=(), events=(), audits=(), actions=(), links="",
    )  # fmt: skip
    page = html(quiet).decode()
    assert "nothing can be said of its safety" in page
    assert page.count("No data") >= 4
    assert pdf(quiet, page.encode()).startswith(b"%PDF")


def test_the_same_data_give_the_same_bytes_in_another_process():
    """Also after a round through JSON, as the database keeps it."""
    page, printed = pages(REPORT)
    code = (
        "import hashlib, msgspec; from tests.factories_report import a_report;"
        "from monitoring.report.document import opened, packed;"
        "from monitoring.report.render import pages;"
        "print(*(hashlib.sha256(b).hexdigest()"
        " for b in pages(opened(msgspec.json.decode(packed(a_report()))))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashlib.sha256(b).hexdigest() for b in (page, printed)]


def test_the_document_survives_its_record():
    again = opened(msgspec.json.decode(packed(REPORT)))
    assert again == REPORT
    assert sha256_of(again) == sha256_of(REPORT)
    assert sha256_of(REPORT) in PAGE


def test_another_document_has_another_fingerprint():
    assert sha256_of(a_report(n=4001)) != sha256_of(REPORT)


def test_the_verdict_names_what_moved_and_what_is_not_known():
    words = verdict(REPORT)
    assert words.startswith("2 of 7 headline numbers changed: blocked rose from 1.0")
    assert "answers grounded fell" in words
    assert "No data: harm, by human sample." in words
    assert "1 alert, 1 of them critical." in words


def test_a_change_is_worse_only_where_one_way_is_better():
    ways = {one.name: direction(one) for one in REPORT.headlines}
    assert (ways["Blocked"], ways["Answers grounded"]) == ("changed", "worse")
    assert ways["Served without failure"] == ways["Exchanges"] == ""


def test_p_values_are_never_written_as_zero():
    assert [sign_of(p) for p in (None, 0.0, 0.004, 0.03, 0.5)] == [
        "", "p < 0.001", "p = 0.004", "p = 0.030", "p = 0.50",
    ]  # fmt: skip


def test_a_mail_says_the_same_as_text_and_as_html():
    assert subject(REPORT) == "Safety report 2026-W47: 1 worse"
    assert subject(a_report(n=0)) == "Safety report 2026-W47: no data"
    words = text(REPORT)
    assert "Blocked: 4.0" in words
    assert "Harm, by human sample: no data, n = 12" in words
    assert "https://banister.example/reports/2026-11-16.html" in words
    page = mail_html(REPORT, ["blocked.png"])
    assert 'src="cid:blocked.png"' in page
    assert "no data" in page


def test_the_appendix_names_subcategories_and_claims_no_compliance():
    for section in SECTIONS:
        assert re.fullmatch(r"(MEASURE|MANAGE) [\d., ;A-Z]+", section.nist)
        assert section.nist in PAGE
    assert "it makes no system compliant" in PAGE
