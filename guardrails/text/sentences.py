"""Where does each sentence of a text begin and end?"""

from __future__ import annotations

import re

_ENDERS = ".!?…"
_WIDE_ENDERS = "。！？｡．؟۔।॥።፧။។៕᠃᠉‼⁇⁈⁉"
_CLOSERS = "\"'”’»›)\\]}」』】）》〉*_"

# A full stop ends a sentence only before white space; the wide enders need none after them.
_BORDER = re.compile(
    rf"(?P<plain>[{_ENDERS}]+[{_CLOSERS}]*)(?=\s|$)|[{_WIDE_ENDERS}][{_WIDE_ENDERS}{_ENDERS}]*"
    rf"[{_CLOSERS}]*|(?P<line>\n\s*\n|\n(?=[ \t]*(?:[-*•]|\d{{1,3}}[.)])[ \t]))"
)

_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof sr jr st rev hon gen col capt lt sgt maj gov pres sen rep messrs "
        "mme mlle mgr vs cf al eg ie viz approx dept univ eq eqs eds jan feb apr jun jul aug "
        "sep sept oct nov dec e.g i.e u.s u.k d.h z.b u.a z.t bzw evtl ggf ca nr bspw vgl hr "
        "fr frl bd jh p.ex boul éd sra srta ud uds dña lic ing núm sig sigg dott avv pag tzn "
        "np m.in ul dhr mevr bijv т.е др г гг ул им стр тыс млн млрд",
    )
)
# These are words as well: abbreviations only before a number.
_BEFORE_A_NUMBER = frozenset(
    {"no", "nos", "fig", "figs", "vol", "art", "sec", "ch", "p", "pp", "pág"}
)
_WORD_BEFORE = re.compile(r"[^\s\"'“”‘’«»()\[\]{}]{1,12}$")
_NEXT = re.compile(r"\s*[\"'“‘«(\[]?(.)", re.DOTALL)
_LEAD = 13


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences, in order, without the white space around them.

    They cover every character that is not white space. A sentence ends at `.!?…` before white
    space, at the enders of other scripts (`。！？।؟۔።။`), at an empty line and before a list item;
    not at an abbreviation, an initial, a decimal point or the number of a list item.
    Limits: abbreviations of some European languages are known; others may be split.
    Cost:   linear in the text.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for border in _BORDER.finditer(text):
        if border["plain"] and not _ends(text, start, border):
            continue
        _add(spans, text, start, border.end())
        start = border.end()
    _add(spans, text, start, len(text))
    return spans


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    stripped = piece.strip()
    if stripped:
        start += len(piece) - len(piece.lstrip())
        spans.append((start, start + len(stripped)))


def _ends(text: str, start: int, border: re.Match[str]) -> bool:
    if border["plain"] not in (".", "..."):
        return True
    following = _NEXT.match(text, border.end())
    if following and following[1].islower():
        return False
    if border["plain"] == "...":
        return True
    before = _WORD_BEFORE.search(text[max(start, border.start() - _LEAD) : border.start()])
    word = before[0].lower() if before else ""
    if word in _ABBREVIATIONS:
        return False
    if word in _BEFORE_A_NUMBER and following and following[1].isdigit():
        return False
    # An initial (J. Smith), initials (J.R. Smith); but "I." and "vitamin C." at the end do end.
    if before and len(word) == 1 and word.isalpha() and before[0].isupper():
        return following is None or word == "i"
    # The number of a list item at the beginning of a line: "1. First".
    is_number = word.isdigit() and len(word) <= 3
    return not (is_number and not text[start : border.start() - len(word)].strip())
