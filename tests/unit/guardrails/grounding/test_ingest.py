"""Which files are found, and what they are called."""

from pathlib import Path

import pytest

from guardrails.grounding.ingest import find_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.md",
        "a.txt",
        "sub/c.PDF",
        "sub/.hidden.md",
        ".git/d.md",
        "e.png",
        "sub/z/f.htm",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


def test_directory_is_searched_in_order_without_hidden_files(tree: Path) -> None:
    sources = ["a.txt", "b.md", "sub/c.PDF", "sub/z/f.htm"]
    assert [file.source for file in find_files(tree)] == sources
    assert [f.source for f in find_files(tree, "https://x/")] == [f"https://x/{s}" for s in sources]


def test_one_file_is_itself_whatever_its_kind(tree: Path) -> None:
    [file] = find_files(tree / "e.png", "base/")
    assert (file.path, file.source) == (tree / "e.png", "base/e.png")


def test_link_to_a_directory_is_not_followed(tree: Path) -> None:
    (tree / "sub" / "loop").symlink_to(tree)
    assert len(find_files(tree)) == 4
