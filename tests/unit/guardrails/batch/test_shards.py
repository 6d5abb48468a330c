from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.batch.shards import Parts, cut, read
from guardrails.errors import ConfigError

LINES = st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b and b"\r" not in b))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES, st.integers(1, 5), st.booleans())
def test_the_shards_are_the_file_line_by_line(
    tmp_path: Path, lines: list[bytes], size: int, ended: bool
) -> None:
    source = tmp_path / "in"
    while not ended and lines and not lines[-1]:
        lines = lines[:-1]
    source.write_bytes(b"\n".join(lines) + (b"\n" if ended and lines else b""))
    shards = cut(source, size)
    assert [line for shard in shards for line in read(source, shard)] == lines
    assert [shard.first for shard in shards] == [size * n for n in range(len(shards))]


def test_a_batch_goes_on_with_what_is_missing_and_ends_whole(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"a\nb\r\nc\n")
    parts = Parts(target)
    shards = parts.begin(source, 2, {"x": 1})
    assert read(source, shards[0]) == [b"a", b"b"]
    parts.write(shards[1], [b"C"])
    again = Parts(target)
    assert again.missing(again.begin(source, 2, {"x": 1})) == [shards[0]]
    with pytest.raises(ValueError, match="1 answers for 2 lines"):
        again.write(shards[0], [b"A"])
    again.write(shards[0], [b"A", b"B"])
    again.write(shards[0], [b"A", b"B"])
    assert not target.exists()
    assert again.assemble(shards) == 3
    assert target.read_bytes() == b"A\nB\nC\n"
    assert not parts.directory.exists()


def test_parts_of_another_batch_are_refused(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"a\n")
    Parts(target).begin(source, 2, {})
    with pytest.raises(ConfigError, match="another input"):
        Parts(target).begin(source, 3, {})
    source.write_bytes(b"b\n")
    with pytest.raises(ConfigError, match="another input"):
        Parts(target).begin(source, 2, {})
