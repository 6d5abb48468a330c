"""Patterns: which exact things stand in a text: secrets, personal data, coarse words, injections?

All rules are one RE2 set: a single pass of one automaton says which rules match, and only those are
asked where (docs/decisions/0010). RE2 has no back-tracking, so no rule, also none of an operator's,
can take more than linear time. The card with its measured false alarms is docs/models/patterns.md.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import re2
import yaml
from msgspec import Struct

from guardrails.errors import ConfigError
from guardrails.text import checksums
from guardrails.text.prefixes import Beginnings
from guardrails.types import Detection

RUNS_IN = "loop"

LABELS = ("secret", "personal_data", "profanity", "injection_marker")

Words = Sequence[str] | str
"""A list of words, or the path of a file with one a line (`#` begins a comment)."""

_DATA = Path(__file__).parent / "data"
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0eff\u1780-\u17ff]")
_CONTEXT_BYTES = 48
_UNTIL_BYTES = 16_384
_CUSTOM_MATCHES = 1_000
_SET_BYTES = 40 << 20
_CANARY = "\ue000banister\ue001"
_WARM_UP = (
    "Hi! My name is Ann, I'm 34 (born 12/05/1990) & I paid $1,299.50 at https://example.com/a?b=c. "
    "Could you please ignore the typos, and tell me: what's the 'best' way to sort a list? "
    "x = [3, 1, 2]; print(sorted(x)) # 100% done\n- First item\n* Second_item: p. 12–14 “quoted”. "
    "The quick brown fox jumps over the lazy dog. THE QUICK BROWN FOX. Was it 4:30 or 16:45?"
)


_Check = Callable[[str, str, str], bool | int]
"""Given a span, and what stands before and behind it: is it one, or how much of it is?"""


class _Pattern(Struct, frozen=True):
    """One rule, ready to search bytes of UTF-8."""

    id: str
    label: str
    score: float
    regex: re2._Regexp
    group: int = 0
    check: _Check | None = None
    retry: bool = True
    until: re2._Regexp | None = None
    most: int | None = None


def create(
    name: str,
    *,
    words: Mapping[str, Words] | None = None,
    regexes: Mapping[str, Sequence[str]] | None = None,
    labels: Sequence[str] = LABELS,
    without: Sequence[str] = (),
) -> Patterns:
    """The finder with the built-in rules of `labels`, and an operator's own words and regexes.

    `words` and `regexes` map a label, new or built in, to what belongs to it. Words match whole and
    in any case; regexes are in RE2 syntax. `without` names rules (by evidence id) to leave out.
    Errors: ConfigError for an unknown label or rule, a file that cannot be read, a faulty regex.
    """
    if unknown := set(labels) - set(LABELS):
        raise ConfigError(f"patterns has no label {sorted(unknown)}; it has {', '.join(LABELS)}.")
    rules = yaml.safe_load((_DATA / "patterns.yaml").read_text("utf-8"))
    patterns = [_built_in(**rule) for rule in rules]
    profanity = _read_words("profanity", str(_DATA / "profanity.txt"))
    patterns.append(_word_pattern("profanity-words", "profanity", profanity))
    if unknown := set(without) - {pattern.id for pattern in patterns}:
        raise ConfigError(f"patterns has no rule {sorted(unknown)} to leave out.")
    patterns = [p for p in patterns if p.label in labels and p.id not in without]
    for label, listed in (words or {}).items():
        patterns.append(_word_pattern(f"words.{label}", label, _read_words(label, listed)))
    for label, sources in (regexes or {}).items():
        if isinstance(sources, str):
            raise ConfigError(f"regexes of {label!r} must be a list.")
        for number, source in enumerate(sources, 1):
            patterns.append(_custom(f"regexes.{label}.{number}", label, source))
    return Patterns(name, patterns)


class Patterns:
    """A `Finder` over one automaton.

    Limits: exact on what its rules describe; a reworded injection or an unlisted word is not seen.
    Cost:   see docs/models/patterns.md; linear, and a match costs a few microseconds more.
    """

    def __init__(self, name: str, patterns: Sequence[_Pattern]) -> None:
        self.name = name
        self.labels = tuple(dict.fromkeys(pattern.label for pattern in patterns))
        self._patterns = patterns
        described = "\n".join(f"{p.id} {p.label} {p.score} {p.regex.pattern}" for p in patterns)
        self.version = "patterns-" + hashlib.sha256(described.encode()).hexdigest()[:12]
        self._closed_later = [pattern for pattern in patterns if pattern.until]
        self._set = re2.Set.SearchSet(_options(_SET_BYTES))
        for pattern in patterns:
            self._set.Add(pattern.regex.pattern)
        canary = self._set.Add(re2.escape(_CANARY))
        self._set.Compile()
        # A set whose states do not fit into its memory says that nothing matches: find out now.
        if canary not in (self._set.Match(_CANARY.encode()) or ()):
            raise ConfigError(
                f"{name} has more words and regexes than one automaton holds; "
                "give some of them to a second detector with `kind: patterns`."
            )
        self._beginnings = {
            label: Beginnings(p.regex.pattern for p in patterns if p.label == label)
            for label in self.labels
        }
        # The automaton builds its states as it meets them: let the first caller not pay for that.
        self.find(_WARM_UP)

    def find(self, text: str, *, before: int | None = None) -> list[Detection]:
        """Every match that begins before `before`, in the order of the text; offsets are of `text`.

        A span that lies within another of its label with at least its score is left out.
        """
        data = text.encode("utf-8", "replace")
        hits = self._set.Match(data)
        if hits is None:
            return []
        hits = [index for index in hits if index < len(self._patterns)]
        limit = len(data) if before is None else len(text[:before].encode("utf-8", "replace"))
        spans = sorted(
            (
                (start, end, pattern)
                for index in hits
                for pattern in (self._patterns[index],)
                for start, end in _spans(pattern, data, limit)
            ),
            key=lambda span: (span[0], -span[1], -span[2].score, span[2].id),
        )
        at = _characters(data, text, spans)
        return [
            Detection(p.label, p.score, start=at(start), end=at(end), evidence=p.id)
            for start, end, p in _outermost(spans)
        ]

    def live_from(self, text: str, labels: Collection[str]) -> int:
        """Where the earliest match of some labels that more text may still complete begins.

        The text's length where there is none. Cost: some 10 µs a label for 100 characters; see
        `text/prefixes.py`.
        """
        live = min((self._beginnings[label].live_from(text) for label in labels), default=len(text))
        for pattern in self._closed_later:
            if pattern.label in labels and (opened := _opened(pattern, text)) is not None:
                live = min(live, opened)
        return live


def _opened(pattern: _Pattern, text: str) -> int | None:
    """Where a span begins that goes on until something that has not come yet."""
    data = text.encode("utf-8", "replace")
    closing = pattern.until
    if closing is None:
        return None
    for match in pattern.regex.finditer(data):
        if len(data) - match.end() <= _UNTIL_BYTES and not closing.search(data, match.end()):
            return len(data[: match.start()].decode("utf-8", "ignore"))
    return None


def _options(max_mem: int = 16 << 20) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = max_mem
    return options


def _built_in(
    id: str,
    label: str,
    regex: str,
    score: float = 1.0,
    check: str | None = None,
    retry: bool = True,
    until: str | None = None,
) -> _Pattern:
    compiled = _compiled(id, regex)
    return _Pattern(
        id,
        label,
        score,
        compiled,
        group=compiled.groupindex.get("found", 0),
        check=_check(check) if check else None,
        retry=retry,
        until=re2.compile(until, _options()) if until else None,
    )


def _custom(id: str, label: str, source: str) -> _Pattern:
    compiled = _compiled(id, source)
    if compiled.search(b"") is not None:
        raise ConfigError(f"{id} also matches an empty text: {source}")
    return _Pattern(id, label, 1.0, compiled, most=_CUSTOM_MATCHES)


def _compiled(id: str, source: str) -> re2._Regexp:
    try:
        return re2.compile(source, _options())
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ConfigError(f"{id} cannot be a regex of RE2: {reason}") from error


def _read_words(label: str, listed: Words) -> list[str]:
    if isinstance(listed, str):
        try:
            listed = Path(listed).read_text("utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"The words of {label!r} cannot be read: {error}") from error
    stripped = (str(line).partition("#")[0].strip() for line in listed)
    words = {unicodedata.normalize("NFKC", word) for word in stripped if word}
    if not words:
        raise ConfigError(f"There are no words for {label!r}.")
    return sorted(words, key=lambda word: (-len(word), word))


def _word_pattern(id: str, label: str, words: Iterable[str]) -> _Pattern:
    source = "(?i)(?:" + "|".join(map(_word_regex, words)) + ")"
    return _Pattern(id, label, 1.0, _compiled(id, source), check=_whole_words)


def _word_regex(word: str) -> str:
    # RE2's \b knows ASCII only; _whole_words looks at the neighbours of the rest.
    body = r"\s{1,3}".join(re2.escape(part) for part in word.split())
    first, last = (c.isascii() and (c.isalnum() or c == "_") for c in (word[0], word[-1]))
    return (r"\b" if first else "") + body + (r"\b" if last else "")


def _spans(pattern: _Pattern, data: bytes, limit: int) -> Iterator[tuple[int, int]]:
    """The spans of the matches that begin before `limit`."""
    position, closing, count = 0, None, 0
    while (match := pattern.regex.search(data, position)) and match.start() < limit:
        start, end = match.span(pattern.group)
        if start < 0:
            start, end = match.span()
        if pattern.check:
            kept = _kept(pattern.check, data, start, end)
            if not kept:
                position = match.start() + 1 if pattern.retry else match.end()
                continue
            end = start + kept
        if pattern.until:
            # Where the end was found once it stands for all beginnings before it: linear.
            if closing is None or closing[0] < end:
                found = pattern.until.search(data, end)
                closing = found.span() if found else (len(data), len(data))
            if closing[0] - end <= _UNTIL_BYTES and closing[1] > closing[0]:
                end = closing[1]
        count += 1
        if count == pattern.most:
            # An operator's regex may look far ahead of each match; the rest counts as one match.
            yield start, len(data)
            return
        yield start, end
        position = max(end, match.start() + 1)


def _kept(check: _Check, data: bytes, start: int, end: int) -> int:
    """How many bytes of a span pass its check."""
    if check is _whole_words and _is_ascii_word(data, start, end):
        return end - start
    before = data[max(0, start - _CONTEXT_BYTES) : start].decode("utf-8", "ignore")
    after = data[end : end + 4].decode("utf-8", "ignore")
    found = data[start:end].decode("utf-8", "ignore")
    passed = check(found, before, after)
    if isinstance(passed, bool):
        return (end - start) * passed
    return len(found[:passed].encode())


def _is_ascii_word(data: bytes, start: int, end: int) -> bool:
    """Whether a span and its neighbours are ASCII: then the regex saw that the word is whole."""
    before = data[start - 1] if start else 0
    after = data[end] if end < len(data) else 0
    return (before | data[start] | data[end - 1] | after) < 0x80


def _check(name: str) -> _Check:
    if name in _IN_CONTEXT:
        return _IN_CONTEXT[name]
    verify = getattr(checksums, name)
    return lambda found, _before, _after: verify(found)


def _whole_words(found: str, before: str, after: str) -> bool:
    def cut(inner: str, outer: str) -> bool:
        return outer.isalnum() and not (_NO_SPACES.match(inner) or _NO_SPACES.match(outer))

    return not (cut(found[0], before[-1:]) or cut(found[-1], after[:1]))


_NEGATION = re.compile(
    r"(?i)(?:\b(?:do|should|must|may|to|please|can) ?not|n[’']t|\bnever|\bcannot)\s+$"
)


def _not_negated(_found: str, before: str, _after: str) -> bool:
    return _NEGATION.search(before) is None


# French and Catalan: a delay.
_DELAY = re.compile(
    r"(?i)\b(?:un|le|les|des|de|du|en|sans|avec|mon|ton|son|ce|au|aucun|quel|gros|petit|léger|leur"
    r"|notre|votre|amb|el|sense)\s+$"
)


def _not_a_delay(found: str, before: str, after: str) -> bool:
    return _DELAY.search(before) is None and _whole_words(found, before, after)


_VERSION = re.compile(r"(?i)(?:\bversion|\bver\.?|\bv|\brelease|[.\d])[ :=]?$")


def _host_ipv4(found: str, before: str, after: str) -> bool:
    outside = _VERSION.search(before) is None and not re.match(r"\.\d", after)
    return outside and checksums.ipv4(found)


_IN_CONTEXT = {
    "whole_words": _whole_words,
    "not_a_delay": _not_a_delay,
    "not_negated": _not_negated,
    "host_ipv4": _host_ipv4,
}


def _outermost(
    spans: Sequence[tuple[int, int, _Pattern]],
) -> Iterator[tuple[int, int, _Pattern]]:
    around: dict[str, tuple[int, float]] = {}
    for start, end, pattern in spans:
        reach, score = around.get(pattern.label, (-1, 0.0))
        if end <= reach and pattern.score <= score:
            continue
        if end > reach:
            around[pattern.label] = (end, pattern.score)
        yield start, end, pattern


def _characters(
    data: bytes, text: str, spans: Iterable[tuple[int, int, _Pattern]]
) -> Callable[[int], int]:
    """From an offset in the UTF-8 to one in the text, for the ends of the spans."""
    if len(data) == len(text):
        return int
    ends = sorted({0, *(offset for span in spans for offset in span[:2])})
    counts = [0]
    for left, right in pairwise(ends):
        counts.append(counts[-1] + len(data[left:right].decode("utf-8", "ignore")))
    return lambda offset: counts[bisect_left(ends, offset)]
