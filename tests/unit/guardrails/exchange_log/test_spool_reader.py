from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.exchange_log.segment import HEAD_BYTES, MOST_LINE_BYTES, framed, segment_path
from guardrails.exchange_log.spool import End
from guardrails.exchange_log.spool_reader import SpoolReader

ID = "01900000-0000-7000-8000-000000000000"


def write(directory: Path, segments: dict[int, list[bytes]]) -> None:
    for first, lines in segments.items():
        segment_path(directory, first).write_bytes(framed(first, lines))


def lines(count: int, size: int = 50) -> list[bytes]:
    return [b"%04d" % number + b"." * (size - 4) for number in range(count)]


def numbers(reader: SpoolReader, most_bytes: int = 2**20) -> list[int]:
    found = []
    while records := reader.read(most_bytes):
        found += [number for number, _ in records]
    return found


def spoil(path: Path, at: int, junk: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(junk)] = junk
    path.write_bytes(data)


def test_segments_are_read_in_order_and_deleted_when_they_are_written(tmp_path: Path):
    write(tmp_path, {1: lines(10), 11: lines(5), 16: lines(5)})
    reader = SpoolReader(tmp_path)
    size = reader.held_bytes()
    assert numbers(reader, 200) == list(range(1, 21))
    assert len(list(tmp_path.iterdir())) == 3
    freed = reader.written(12)
    assert [path.stem[-2:] for path in sorted(tmp_path.iterdir())] == ["11", "16"]
    freed += reader.written(20)
    assert freed == size
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_already_is_not_read_again(tmp_path: Path):
    write(tmp_path, {1: lines(10), 11: lines(10)})
    reader = SpoolReader(tmp_path, position=13)
    assert numbers(reader) == list(range(14, 21))
    reader.written(20)
    assert list(tmp_path.iterdir()) == []


def test_a_living_spool_is_read_up_to_what_is_on_disk(tmp_path: Path):
    write(tmp_path, {1: lines(10)})
    record = HEAD_BYTES + 50
    end = [End(1, 3 * record, 3)]
    reader = SpoolReader(tmp_path, end=lambda: end[0])
    assert numbers(reader) == [1, 2, 3]
    reader.written(3)
    assert segment_path(tmp_path, 1).exists()
    end[0] = End(1, 10 * record, 10)
    assert numbers(reader) == list(range(4, 11))
    write(tmp_path, {11: lines(5)})
    assert numbers(reader) == []
    end[0] = End(11, 2 * record, 12)
    assert numbers(reader) == [11, 12]
    reader.written(12)
    assert not segment_path(tmp_path, 1).exists()


def test_an_empty_spool_reads_as_nothing(tmp_path: Path):
    assert SpoolReader(tmp_path).read() == []
    assert SpoolReader(tmp_path, end=lambda: End(1, 0, 0)).read() == []


def test_damage_in_the_middle_costs_its_records_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    spool, damaged = tmp_path / "spool", tmp_path / "damaged"
    spool.mkdir()
    told = [b'{"id":"%s","request":"secret"}' % ID.encode(), b"x" * 60]
    write(spool, {1: lines(4) + told + lines(4), 11: lines(5)})
    spoil(segment_path(spool, 1), 4 * (HEAD_BYTES + 50) + HEAD_BYTES + 60, b"JUNK" * 6)
    reader = SpoolReader(spool, damaged=damaged)
    with caplog.at_level(logging.ERROR):
        assert numbers(reader) == [1, 2, 3, 4, *range(7, 16)]
    assert reader.lost == 2
    assert "numbers 5 to 6" in caplog.text
    assert ID in caplog.text
    assert "secret" not in caplog.text
    (kept,) = damaged.iterdir()
    assert told[0][:40] in kept.read_bytes()
    assert reader.damaged_bytes == kept.stat().st_size


def test_a_torn_tail_is_put_aside_and_is_no_loss(tmp_path: Path):
    write(tmp_path, {1: lines(5)})
    path = segment_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-7])
    reader = SpoolReader(tmp_path)
    assert numbers(reader) == [1, 2, 3, 4]
    assert reader.lost == 0
    assert reader.damaged_bytes == HEAD_BYTES + 43
    reader.written(4)
    assert list(tmp_path.iterdir()) == []


def test_a_tail_of_zeros_is_nothing(tmp_path: Path):
    write(tmp_path, {1: lines(5)})
    with segment_path(tmp_path, 1).open("ab") as file:
        file.write(bytes(4096))
    reader = SpoolReader(tmp_path)
    assert numbers(reader) == [1, 2, 3, 4, 5]
    assert (reader.lost, reader.damaged_bytes) == (0, 0)


def test_damage_larger_than_any_record_is_passed(tmp_path: Path):
    write(tmp_path, {1: [*lines(2), b"y" * 3_000_000, *lines(2)]})
    spoil(segment_path(tmp_path, 1), 2 * (HEAD_BYTES + 50), b"\xff" * (MOST_LINE_BYTES + 900_000))
    reader = SpoolReader(tmp_path)
    assert numbers(reader, 1000) == [1, 2, 4, 5]
    assert reader.lost == 1


def test_a_missing_segment_is_a_loss(tmp_path: Path):
    write(tmp_path, {1: lines(5), 6: lines(5), 11: lines(5)})
    segment_path(tmp_path, 6).unlink()
    reader = SpoolReader(tmp_path)
    assert numbers(reader) == [*range(1, 6), *range(11, 16)]
    assert reader.lost == 5


@pytest.mark.parametrize("harm", ["cut", "gone", "junk"])
def test_harm_to_the_end_of_a_living_spool_is_passed_over(tmp_path: Path, harm: str):
    write(tmp_path, {1: lines(5)})
    path = segment_path(tmp_path, 1)
    size = path.stat().st_size
    if harm == "cut":
        path.write_bytes(path.read_bytes()[: 2 * (HEAD_BYTES + 50) + 9])
    elif harm == "gone":
        path.unlink()
    else:
        spoil(path, 2 * (HEAD_BYTES + 50), b"\xff" * 210)
    reader = SpoolReader(tmp_path, end=lambda: End(1, size, 5))
    found = numbers(reader)
    assert len(found) + reader.lost == 5
    assert reader.number == 5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.integers(1, 8), min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=70)), max_size=4),
    st.integers(30, 400),
)
def test_whatever_is_spoilt_every_record_is_read_or_counted_as_lost(
    tmp_path: Path, counts: list[int], harms: list[tuple[int, bytes]], most_bytes: int
):
    for path in tmp_path.iterdir():
        path.unlink()
    first, segments = 1, {}
    for count in counts:
        segments[first] = lines(count)
        first += count
    # The last record stays whole, so that every gap shows.
    segments[first] = [b"last"]
    write(tmp_path, segments)
    paths = [segment_path(tmp_path, number) for number in list(segments)[:-1]]
    for at, junk in harms:
        path = paths[at % len(paths)]
        spoil(path, at % path.stat().st_size, junk)
    reader = SpoolReader(tmp_path)
    found = numbers(reader, most_bytes)
    assert found == sorted(set(found))
    assert found[-1] == first
    assert len(found) + reader.lost == first
