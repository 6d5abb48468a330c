from __future__ import annotations

from guardrails.inference.cache import Cache, Key, key_of


def key(number: int) -> Key:
    return key_of("detector", "1", f"text {number}")


def test_keys_differ_by_detector_version_and_text() -> None:
    keys = {
        key_of("a", "1", "text"),
        key_of("b", "1", "text"),
        key_of("a", "2", "text"),
        key_of("a", "1", "other"),
        key_of("a", "1", "half a pair \ud83d"),
    }
    assert len(keys) == 5
    assert key_of("a", "1", "text") in keys


def test_the_longest_unused_leaves_first() -> None:
    cache = Cache(entries=2)
    cache.put(key(1), ([0.1], [None]))
    cache.put(key(2), ([0.2], [None]))
    assert cache.get(key(1)) == ([0.1], [None])
    cache.put(key(3), ([0.3], [(1, 2)]))
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) == ([0.1], [None])
    assert cache.get(key(3)) == ([0.3], [(1, 2)])


def test_bytes_are_bounded_and_counted_back() -> None:
    cache = Cache(entries=10_000, size_bytes=10_000)
    for number in range(1_000):
        cache.put(key(number), ([0.5] * 8, [(1, 2)] * 8))
        assert cache.bytes <= 10_000
    assert 0 < len(cache) < 20
    before = cache.bytes
    cache.put(key(999), ([0.5] * 8, [(1, 2)] * 8))
    assert cache.bytes == before


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = Cache(entries=0)
    cache.put(key(1), ([0.1], [None]))
    assert (cache.get(key(1)), len(cache), cache.bytes) == (None, 0, 0)
