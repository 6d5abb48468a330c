from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from monitoring.retraining.card import Card, markdown, write_card
from monitoring.retraining.plan import Plan, Prepared
from monitoring.retraining.rows import Row

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PLAN = Plan(model="m", base="b", since=NOW, until=NOW)


def row(kind: str, conversation: str) -> Row:
    return Row(
        id="1", conversation=conversation, kind=kind, source="review", messages=[], answer="a"
    )


def test_the_card_counts_what_is_in_and_what_was_left_out(tmp_path: Path) -> None:
    done = Prepared(str(tmp_path), "abcdef" * 10, 2, 1, "feed" * 16)
    train, held = [row("answer", "a"), row("refusal", "b")], [row("answer", "a")]
    card = Card.of(PLAN, done, "plain@1", train, held, {"no answer": 3, "gone": 0})
    write_card(tmp_path, card)
    read = json.loads((tmp_path / "card.json").read_text())
    assert read["kinds"] == {"answer": 2, "refusal": 1}
    assert read["left_out"] == {"no answer": 3}
    assert (read["conversations"], read["template"]) == (2, "plain@1")
    page = (tmp_path / "card.md").read_text()
    assert page == markdown(card)
    assert "| no answer | 3 |" in page
    assert "`plain@1`" in page
