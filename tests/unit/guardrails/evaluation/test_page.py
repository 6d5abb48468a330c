import re
from datetime import UTC, datetime

import numpy as np

from guardrails.evaluation.compare import Comparison, compare
from guardrails.evaluation.page import page
from guardrails.evaluation.run import ScoredFile, reports_of

RNG = np.random.default_rng(7)
ROWS = [{"text": "<b>some text</b>", "label": n % 2, "kind": "<script>"} for n in range(60)]
SCORED = ScoredFile("rows <1>.jsonl", ROWS, ("x",), RNG.random((60, 1)), 1.0)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def make_page() -> str:
    scores, truth = SCORED.of("x", range(60))
    comparison = Comparison("f", "x", 60, compare(scores, 1 - scores, truth, (0.5, 0.5)))
    reports = list(reports_of(SCORED, labels=("x",), thresholds={}, slices=("kind", "length")))
    return page("detector <1>", reports, [comparison], now=NOW)


def test_the_page_has_four_charts_and_each_slice() -> None:
    html = make_page()
    assert html.count("<svg") == 4
    assert "kind=&lt;script&gt;" in html
    assert "length=0 to 49 characters" in html
    assert "Against the other version" in html


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    html = make_page()
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", html)
    assert "<1>" not in html
