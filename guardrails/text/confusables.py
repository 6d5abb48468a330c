"""Which letters of one script pose as letters of another inside a word?

A word of one script stays as it is, so nothing of Russian, Greek or Serbian changes. In a word
that mixes scripts, foreign letters that look Latin become Latin where all of them do; Latin
letters in a word that is otherwise Cyrillic become Cyrillic. The table is our own, by the letters'
shapes: small, and without the thousands of symbols in Unicode's confusables.txt that no keyboard
or generator uses.
"""

from __future__ import annotations

import re

from guardrails.text.edits import Edit

_PAIRS = (
    # Cyrillic
    "аa бb вb гr еe ёe зz иn йn кk мm нh оo пn рp сc тt уy хx ѕs іi їi јj һh ԁd ԛq ԝw ѵv ӏl ѡw "
    "үy ҽe "
    "ԍg ҳx ҫc қk ԋh ӧo ӓa ӱy АA ВB ГR ЕE ЁE ЗZ ІI ЇI ЈJ КK МM НH ОO РP СC ТT УY ХX ЅS ЬB ӀI ԌG "
    "ҮY ԚQ "
    "ԜW ѴV ҪC ҚK ҲX ԀD ƄB "
    # Greek
    "αa βb γy εe ζz ηn ιi κk νv οo ρp σo ςc τt υu χx ωw ϲc ϳj ϱp άa έe ήn ίi όo ύu ώw ϊi ϋu ΐi "
    "ΰu "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ΊI ΆA ΈE ΉH ΌO ΎY "
    # Armenian, Coptic
    "ցg հh յj ոn օo սu քp զq տs լl ձd ԱU ՍU ՏS ՕO ԼL ՒF ⲁa ⲃb ⲉe ⲏh ⲓi ⲕk ⲙm ⲛn ⲟo ⲣp ⲥc ⲧt ⲩy "
    "ⲭx "
    "ⲀA ⲂB ⲈE ⲎH ⲒI ⲔK ⲘM ⲚN ⲞO ⲢP ⲤC ⲦT ⲨY ⲬX "
    # Cherokee, Lisu
    "ᎪA ᏴB ᏟC ᎠD ᎬE ᎰF ᏀG ᎻH ᏂH Ꭵi ᏆI ᎫJ ᏦK ᏞL ᎷM ᏢP ᏒR ᏚS ᎢT ᏙV ᏔW ᎳW ᎽY ᏃZ ᏀG ᎡR ᏟC ᎬE "
    "ꓮA ꓐB ꓚC ꓓD ꓰE ꓝF ꓖG ꓧH ꓲI ꓙJ ꓗK ꓡL ꓟM ꓠN ꓳO ꓑP ꓣR ꓢS ꓔT ꓴU ꓦV ꓪW ꓫX ꓬY ꓜZ "
    # Latin letters that no alphabet of today mixes into a word of the basic ones
    "ɑa ɡg ɩi ɪi ʟl ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ᴊj ᴋk ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz ᴑo ʋv ɯw "
    "ǀl ꞁl "
)
_LATIN = {pair[0]: pair[1] for pair in "".join(_PAIRS).split()}
# Cyrillic letters that a reader cannot tell from the Latin ones; for the way back only these.
_CYRILLIC = dict(zip("aceopxyABCEHKMOPTXi", "асеорхуАВСЕНКМОРТХі", strict=True))
_SMALL_CAPITALS = frozenset("ɪʟᴀʙᴄᴅᴇꜰɢʜᴊᴋᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")

_BASIC = "A-Za-z\u00c0-\u024f"
_FOREIGN = "".join(_LATIN)
_CYRILLIC_LETTERS = "\u0400-\u052f"
_NEGATIVE_LETTERS = "[\U0001f150-\U0001f169\U0001f170-\U0001f189]"
HINT = (
    f"[{_BASIC}][0-9]*[{_FOREIGN}{_CYRILLIC_LETTERS}]|[{_FOREIGN}{_CYRILLIC_LETTERS}][0-9]*[{_BASIC}]"
    f"|[{''.join(sorted(_SMALL_CAPITALS))}]{{3}}|{_NEGATIVE_LETTERS}"
)
"""A regex, of RE2 too, without which no word mixes scripts."""

_WORD = re.compile(r"[^\W_]+")
_INFLECTED = re.compile(
    r"[A-Z0-9]{2,}[\u0400-\u04ff]{1,6}|[A-Za-z]+[αβγεζηκνρσχω]|[αβγεζηκνρσχω][A-Z].*"
)
_NEGATIVE = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189\ufe0f]+")


def unmix_scripts(text: str) -> list[Edit]:
    """The edits that make each mixed word one of a single script."""
    edits: list[Edit] = []
    for word in _WORD.finditer(text):
        old = word[0]
        if old.isascii():
            continue
        new = _unmixed(old)
        start = word.start()
        edits += [
            (start + at, start + at + 1, made)
            for at, (was, made) in enumerate(zip(old, new, strict=True))
            if was != made
        ]
    edits += _negative_letters(text)
    return sorted(edits)


def _unmixed(word: str) -> str:
    letters = [character for character in word if not character.isdigit()]
    basic = [c for c in letters if c.isascii() or "\u00c0" <= c <= "\u024f"]
    other = [c for c in letters if not (c.isascii() or "\u00c0" <= c <= "\u024f")]
    if sum(c in _SMALL_CAPITALS for c in other) >= 3 and all(c in _LATIN for c in other):
        return "".join(_LATIN.get(c, c) for c in word)
    is_cyrillic = all("\u0400" <= c <= "\u052f" for c in other)
    if not basic or not other or _INFLECTED.fullmatch(word):
        return word
    if len(letters) < 3 and not is_cyrillic:
        return word
    if all(c in _LATIN for c in other) and len(other) <= 2 * len(basic) + 1:
        return "".join(_LATIN.get(c, c) for c in word)
    if is_cyrillic and len(basic) <= len(other) and all(c in _CYRILLIC for c in basic):
        return "".join(_CYRILLIC.get(c, c) for c in word)
    return word


def _negative_letters(text: str) -> list[Edit]:
    # One or two in white on black are signs (blood groups, parking); from three on they spell.
    edits = []
    for run in _NEGATIVE.finditer(text):
        if sum(c != "\ufe0f" for c in run[0]) < 3:
            continue
        for at, c in enumerate(run[0], run.start()):
            base = 0x1F150 if c < "\U0001f170" else 0x1F170
            edits.append((at, at + 1, "" if c == "\ufe0f" else chr(ord("A") + ord(c) - base)))
    return edits
