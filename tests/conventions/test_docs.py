"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from guardrails import cli, detectors

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MAKE_VERBS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


settings_table = _beside("settings_table")


def commands(page: Path) -> set[str]:
    """The shell commands of a page: lines of its code blocks, and `code` in its text."""
    text = page.read_text()
    blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    found = lines + re.findall(r"`([^`\n]+)`", text)
    return {line.partition("#")[0].strip().removeprefix("$ ") for line in found}


def test_every_setting_has_its_line_in_the_docs():
    page = settings_table.PAGE.read_text()
    assert page == settings_table.page_with(settings_table.tables(), page), (
        "docs/configuration.md is old: run python tests/conventions/settings_table.py"
    )


@pytest.mark.parametrize("kind", detectors.kinds())
def test_every_detector_has_its_card(kind):
    cards = [card.read_text() for card in (ROOT / "docs" / "models").glob("*.md")]
    assert any(f"guardrails/detectors/{kind}.py" in card for card in cards)


def test_every_card_is_in_the_index():
    index = (ROOT / "docs" / "models.md").read_text()
    missing = [c.name for c in (ROOT / "docs" / "models").glob("*.md") if c.name not in index]
    assert missing == []


def test_every_decision_has_its_four_parts_and_a_number_of_its_own():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [decision.name[:4] for decision in decisions]
    assert len(numbers) == len(set(numbers))
    for decision in decisions:
        text = decision.read_text().lower()
        for part in ("context", "decision", "consequences", "alternatives"):
            assert part in text, f"{decision.name} has no {part}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_verb_and_banister_verb_that_a_page_names_exists(page):
    # As this tree has it: what is installed beside it may be older.
    verbs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        cli.GROUP
    ]
    for command in commands(page):
        words = command.split()
        if words[:1] == ["make"] and len(words) > 1:
            assert words[1] in MAKE_VERBS, command
        if words[:1] == ["banister"] and len(words) > 1 and words[1].isalpha():
            assert words[1] in verbs or words[1].isupper(), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_first_entry_of_the_changelog_is_unreleased():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
