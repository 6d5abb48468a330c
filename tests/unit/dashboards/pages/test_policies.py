"""What holds, and how two policies differ."""

from __future__ import annotations

from datetime import UTC, datetime

from dashboards.pages.policies import difference, held
from monitoring.policies import Release, Version

AT = datetime(2026, 11, 23, tzinfo=UTC)
USED = Version("aa", "default", AT, 9, AT)


def release(part, version, name="strict"):
    return Release(part, version, name, "ada", "why", AT)


def labels(releases, versions=(USED,)):
    return [one.label for one in held(versions, releases)]


def test_the_newest_release_of_each_part_holds_else_the_files():
    assert labels([]) == ["default@aa", None]
    assert labels([release("enforce", "bb"), release("enforce", "cc")]) == ["strict@bb", None]
    assert labels([release("shadow", "bb")]) == ["default@aa", "strict@bb"]
    assert labels([release("enforce", None), release("enforce", "bb")]) == ["default@aa", None]
    assert labels([], versions=()) == [None, None]


def test_a_difference_shows_what_was_taken_and_what_was_added():
    lines = difference("a\nb\nc", "a\nB\nc")
    assert [(line.kind, line.text) for line in lines if line.kind != "place"] == [
        ("same", "a"), ("taken", "b"), ("added", "B"), ("same", "c"),
    ]  # fmt: skip
    assert difference("a", "a") == ()
