from __future__ import annotations

import pytest

from guardrails.errors import BadRequest, UpstreamError
from guardrails.settings import UpstreamSettings
from guardrails.upstream.roster import Roster
from guardrails.upstream.split import Split


def upstream(version: str, name: str | None = None, **changes: object) -> UpstreamSettings:
    values = {"name": name or f"u{version}", "url": "http://gpu:1/v1", "model": "small"}
    return UpstreamSettings(**{**values, "version": version, **changes})


def split(share: float, candidate: str = "small@2", champion: str = "small@1") -> Split:
    return Split("r", "small", champion, candidate, share)


def names(
    roster: Roster, assigned: str | None = None, template: str | None = ""
) -> list[list[str]]:
    return [[m.settings.name for m in v] for v in roster.of("small", assigned, template)]


TWO = [upstream("1"), upstream("2", weight=0)]


@pytest.mark.parametrize(
    ("share", "assigned", "asked"),
    [
        (0.05, None, [["u1"]]),
        (0.05, "small@1", [["u1"]]),
        (0.05, "small@2", [["u2"], ["u1"]]),
        # A rollback that came after the draw counts.
        (0.0, "small@2", [["u1"]]),
        (1.0, "small@1", [["u2"]]),
        (1.0, None, [["u2"]]),
    ],
)
def test_the_rollout_says_who_is_asked_and_who_steps_in(share, assigned, asked):
    roster = Roster(TWO)
    roster.use({"small": split(share)}, {})
    assert names(roster, assigned) == asked


def test_without_a_rollout_the_weights_of_the_settings_say_it():
    assert names(Roster(TWO)) == [["u1"]]


def test_nobody_serves_before_it_is_known_who_does():
    roster = Roster(TWO, rollouts_known=False)
    with pytest.raises(UpstreamError, match="which version") as told:
        names(roster)
    assert (told.value.status, told.value.retry_after_seconds) == (503, 2)
    roster.use({}, {})
    assert names(roster) == [["u1"]]


def test_an_endpoint_that_was_taken_out_stays_out_in_a_rollout():
    roster = Roster([upstream("1"), upstream("1", "old", weight=0), upstream("2", weight=0)])
    roster.use({"small": split(0.5)}, {})
    assert names(roster, "small@2") == [["u2"], ["u1"]]


def test_a_version_that_the_settings_do_not_name_joins_where_it_may():
    roster = Roster([upstream("1", versions_served_as="{version}")])
    roster.use({"small": split(0.5)}, {})
    assert roster.versions == ["small@1", "small@2"]
    assert names(roster, "small@2") == [["u1@2"], ["u1"]]
    assert roster.unserved() == []


def test_a_version_that_is_nowhere_is_named_and_nothing_is_drawn_for_it():
    roster = Roster([upstream("1")])
    roster.use({"small": split(0.5)}, {})
    assert roster.unserved() == ["small@2"]
    assert roster.assign(split(0.5), 7, "") is None
    assert names(roster) == [["u1"]]


def test_what_was_rolled_back_does_not_serve_where_the_champion_is_missing():
    roster = Roster([upstream("2"), upstream("3")])
    roster.use({"small": split(0.0)}, {})
    assert names(roster) == [["u3"]]
    assert roster.unserved() == ["small@1"]


TRAINED = {"small@1": "aaa", "small@2": "bbb"}


def test_a_version_that_was_trained_with_another_template_is_not_asked():
    roster = Roster(TWO)
    roster.use({"small": split(0.5)}, TRAINED)
    assert names(roster, "small@2", "aaa") == [["u1"]]
    assert roster.assign(split(0.5), 7, "aaa") is None
    assert names(roster, "small@2", "") == [["u2"], ["u1"]]


@pytest.mark.parametrize("template", ["ccc", None])
def test_a_template_that_no_version_was_trained_with_is_refused(template):
    roster = Roster(TWO)
    roster.use({}, TRAINED)
    with pytest.raises(UpstreamError, match="trained with the template") as told:
        names(roster, None, template)
    assert (told.value.status, told.value.code) == (503, "template_mismatch")
    assert names(roster, None, "aaa") == [["u1"]]


def test_a_version_asked_for_by_name_is_held_to_its_template_too():
    roster = Roster(TWO)
    roster.use({}, TRAINED)
    assert [m.label for m in roster.of("small@2", None, "bbb")[0]] == ["small@2"]
    with pytest.raises(UpstreamError):
        roster.of("small@2", None, "aaa")
    with pytest.raises(BadRequest):
        roster.of("small@9", None, "aaa")
