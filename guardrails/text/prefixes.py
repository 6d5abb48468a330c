"""From which place on may the end of a text still grow into a match of a regex?

For a regex R, `prefix_regex(R)` matches every beginning of a match of R. Anchored at the end of a
text, its leftmost match begins where the earliest unfinished match may begin. A stream may let go
of everything before that place, and of nothing behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

import re2

Node = tuple[Any, Any]

# RE2's classes of letters are unknown to `re`: they travel through its parser as one character.
_STAND_INS = {r"\pL": "\ue000", r"\pN": "\ue001", r"\p{L}": "\ue002", r"\p{N}": "\ue003"}
_CLASSES = {stand_in: name for name, stand_in in _STAND_INS.items()}
_FLAGS = re.compile(r"\(\?[imsU]+\)")
_GROUP_FLAGS = re.compile(r"\(\?[imsU]+:")
_HEEDLESS = re.compile(r"\(\?[msU]*i[imsU]*[:)]")
_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
_MOST_REPEATS = 1_000


class Unreadable(ValueError):
    """A regex whose beginnings cannot be told; then any text may be the beginning of a match."""


def prefix_regex(source: str) -> str:
    """A regex in RE2's syntax for all beginnings of matches of `source`, the empty one included.

    Anchors are let go of, and case wherever a part of the regex does not heed it, so it matches a
    little more: a text may be held for longer than it had to be, never let go too early.
    Errors: Unreadable.
    """
    heedless = [match.start() for match in _HEEDLESS.finditer(source)]
    if heedless and heedless[0] > 0 and "[^" in source:
        # All that is not "x" is less without case than with it, and where it begins is not known.
        raise Unreadable("case begins not to matter in its middle, and it has a negated class")
    plain = _GROUP_FLAGS.sub("(?:", _FLAGS.sub("", source))
    for name, stand_in in _STAND_INS.items():
        plain = plain.replace(name, stand_in)
    try:
        tree = sre_parser.parse(plain)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    beginnings = _beginnings(list(tree))
    return f"(?i:{beginnings})" if heedless else beginnings


def _beginnings(nodes: Sequence[Node]) -> str:
    """Every beginning of a sequence: of its head, or the whole head and a beginning of the rest."""
    if not nodes:
        return ""
    head, rest = nodes[0], nodes[1:]
    kind, value = head
    if kind is sre.AT:
        whole = r"\b" if value is sre.AT_BOUNDARY else ""
        return whole + _optional(_beginnings(rest)) if whole else _beginnings(rest)
    if kind is sre.SUBPATTERN:
        return _joined(_beginnings(list(value[-1])), _whole(head), rest)
    if kind is sre.BRANCH:
        branches = "|".join(_beginnings(list(branch)) for branch in value[1])
        return _joined(f"(?:{branches})", _whole(head), rest)
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        return _joined(_repeated_beginnings(*value), _whole(head), rest)
    return _optional(_whole(head) + _beginnings(rest))


def _joined(beginning: str, whole: str, rest: Sequence[Node]) -> str:
    if not rest:
        return f"(?:{beginning})" if beginning else ""
    return f"(?:{beginning}|{whole}(?:{_beginnings(rest)}))"


def _repeated_beginnings(least: int, most: Any, body: Iterable[Node]) -> str:
    nodes = list(body)
    whole = "".join(map(_whole, nodes))
    if len(nodes) == 1 and nodes[0][0] in (sre.IN, sre.LITERAL, sre.NOT_LITERAL, sre.ANY):
        return whole + ("*" if most is sre.MAXREPEAT else f"{{0,{_bounded(most)}}}")
    before = "*" if most is sre.MAXREPEAT else f"{{0,{_bounded(most) - 1}}}"
    return f"(?:{whole}){before}(?:{_beginnings(nodes)})"


def _bounded(most: Any) -> int:
    if int(most) > _MOST_REPEATS:
        raise Unreadable("it repeats too often")
    return int(most)


def _optional(regex: str) -> str:
    return f"(?:{regex})?" if regex else ""


def _whole(node: Node) -> str:
    kind, value = node
    if kind is sre.LITERAL:
        return _CLASSES.get(chr(value)) or re2.escape(chr(value))
    if kind is sre.NOT_LITERAL:
        return f"[^{_in_class(chr(value))}]"
    if kind is sre.ANY:
        return "(?s:.)"
    if kind is sre.IN:
        return "[" + "".join(map(_member, value)) + "]"
    if kind is sre.AT:
        return r"\b" if value is sre.AT_BOUNDARY else ""
    if kind is sre.BRANCH:
        return "(?:" + "|".join("".join(map(_whole, branch)) for branch in value[1]) + ")"
    if kind is sre.SUBPATTERN:
        return "(?:" + "".join(map(_whole, value[-1])) + ")"
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        least, most, body = value
        upper = "" if most is sre.MAXREPEAT else _bounded(most)
        return f"(?:{''.join(map(_whole, body))}){{{least},{upper}}}"
    raise Unreadable(f"{kind} is not known")


def _member(member: Node) -> str:
    kind, value = member
    if kind is sre.NEGATE:
        return "^"
    if kind is sre.LITERAL:
        return _CLASSES.get(chr(value)) or _in_class(chr(value))
    if kind is sre.RANGE:
        return f"{_in_class(chr(value[0]))}-{_in_class(chr(value[1]))}"
    if kind is sre.CATEGORY and value in _CATEGORIES:
        return _CATEGORIES[value]
    raise Unreadable(f"{kind} in a class is not known")


def _in_class(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"


class Beginnings:
    """The beginnings of many regexes as one automaton.

    Cost: linear in the text that is given; give it no more than is held.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        beginnings = []
        self._unreadable = False
        for source in sources:
            try:
                beginnings.append(prefix_regex(source))
            except Unreadable:
                self._unreadable = True
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 64 << 20
        union = "|".join(f"(?:{beginning})" for beginning in beginnings)
        self._regex = re2.compile(f"(?:{union})\\z", options)

    def live_from(self, text: str) -> int:
        """Where the earliest unfinished match may begin; the text's length where there is none."""
        if self._unreadable:
            return 0
        # Of a str the wrapper would map every offset before it searches: four times the cost.
        data = text.encode("utf-8", "replace")
        match = self._regex.search(data)
        if match is None:
            return len(text)
        return len(data[: match.start()].decode("utf-8", "replace"))
