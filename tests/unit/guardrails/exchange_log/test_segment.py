from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from guardrails.exchange_log.segment import (
    HEAD_BYTES,
    MARK,
    MOST_LINE_BYTES,
    Damage,
    framed,
    parse,
    segment_path,
    segments_in,
)

LINES = st.lists(st.binary(max_size=60), min_size=1, max_size=12)


def test_what_was_framed_is_parsed_with_its_numbers():
    data = framed(7, [b"one", b"", b"three"])
    parsed = parse(data, final=True)
    assert parsed.records == [(7, b"one"), (8, b""), (9, b"three")]
    assert parsed.damages == []
    assert parsed.used == len(data)


def test_a_number_that_was_changed_is_damage():
    data = bytearray(framed(1, [b"line"]))
    data[12] ^= 1
    assert parse(bytes(data), final=True).damages == [Damage(0, len(data))]


def test_a_mark_within_a_line_hides_no_record():
    lines = [MARK * 5, MARK + b"\0" * 40, b"x"]
    assert [line for _, line in parse(framed(1, lines), final=True).records] == lines


def test_a_length_that_lies_does_not_swallow_what_follows():
    data = bytearray(framed(1, [b"a" * 30, b"b", b"c"]))
    data[8:12] = (MOST_LINE_BYTES).to_bytes(4, "little")
    parsed = parse(bytes(data), final=True)
    assert [number for number, _ in parsed.records] == [2, 3]
    assert parsed.damages == [Damage(0, HEAD_BYTES + 30)]


def test_what_is_cut_off_waits_unless_it_is_final():
    data = framed(1, [b"one", b"two"])
    for cut in range(HEAD_BYTES + 3, len(data)):
        parsed = parse(data[:cut], final=False)
        assert (len(parsed.records), parsed.used, parsed.damages) == (1, HEAD_BYTES + 3, [])
        final = parse(data[:cut], final=True)
        assert (len(final.records), final.used) == (1, cut)


@given(LINES, st.data())
def test_every_record_that_no_damage_touches_is_found_and_no_other(lines, draw):
    data = framed(1, lines)
    start = draw.draw(st.integers(0, len(data) - 1))
    junk = draw.draw(st.binary(min_size=1, max_size=40))
    end = min(len(data), start + len(junk))
    bad = data[:start] + junk[: end - start] + data[end:]
    parsed = parse(bad, final=True)
    at, whole = 0, []
    for number, line in enumerate(lines, 1):
        after = at + HEAD_BYTES + len(line)
        if bad[at:after] == data[at:after]:
            whole.append((number, line))
        at = after
    assert parsed.records == whole
    assert parsed.used == len(bad)
    covered = sum(HEAD_BYTES + len(line) for _, line in parsed.records)
    assert covered + sum(d.end - d.start for d in parsed.damages) == len(bad)


@given(LINES, st.data())
def test_however_it_is_cut_into_pieces_the_same_is_found(lines, draw):
    data = b"\0\1junk" + framed(1, lines) + b"more"
    whole = parse(data, final=True)
    records, at, end = [], 0, 0
    while end < len(data):
        end = min(len(data), end + draw.draw(st.integers(1, 80)))
        parsed = parse(data[at:end], final=end == len(data))
        records += parsed.records
        at += parsed.used
    assert records == whole.records
    assert at == len(data)


def test_segments_are_listed_by_their_first_number(tmp_path: Path):
    for first in (30, 4, 100):
        segment_path(tmp_path, first).touch()
    (tmp_path / "probe").touch()
    assert segments_in(tmp_path) == [4, 30, 100]
