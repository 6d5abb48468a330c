"""Which letters of one script pose as letters of another inside a word?

A word of one script stays as it is, so nothing of Russian, Greek or Serbian changes. In a word
that mixes scripts, foreign letters that look Latin become Latin where all of them do; Latin
letters in a word that is otherwise Cyrillic become Cyrillic. Once a text mixes scripts so, its
words of look-alikes alone are read too where that gives a known word. Marks on Latin letters stay,
except where a known word lies under marks on most of its letters, or a strong one under rare ones.

The tables are our own: one by the letters' shapes, one by their names in Unicode (`LATIN SMALL
LETTER D WITH HOOK`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

from guardrails.text.edits import Edit
from guardrails.text.words import STRONG, is_known

_PAIRS = (
    # Cyrillic
    "аa бb вb гr еe ёe зz иn йn кk мm нh оo пn рp сc тt уy хx ѕs іi їi јj һh ԁd ԛq ԝw ѵv ӏl ѡw "
    "үy ҽe ԍg ҳx ҫc қk ԋh ӧo ӓa ӱy АA ВB ГR ЕE ЁE ЗZ ІI ЇI ЈJ КK МM НH ОO РP СC ТT УY ХX ЅS ЬB ӀI "
    "ԌG ҮY ԚQ ԜW ѴV ҪC ҚK ҲX ԀD ƄB ҍb ҟk ҝk ӄk ӿx ӽx єe ғf ѳo өo ҏp ҭt ѐe ѝn ӑa ӗe ӣn ӥn ӯy ӳy "
    "ҜK ҞK ӃK ҒF ѲO ӨO ҎP ҬT ҼE ӐA ӒA ӖE ӦO ӼX ӾX ѠW "
    # Greek
    "αa βb γy εe ζz ηn ιi κk νv οo ρp σo ςc τt υu χx ωw ϲc ϳj ϱp άa έe ήn ίi όo ύu ώw ϊi ϋu ΐi "
    "ΰu ϐb ϵe ϰk ϸp ϝf ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ΊI ΆA ΈE ΉH ΌO ΎY ͿJ ϜF ϺM "
    # Armenian, Coptic
    "ցg հh յj ոn օo սu քp զq տs լl ձd ժd ղn էt մu աw վy ռn ԱU ՍU ՏS ՕO ԼL ՒF ԸL ՀZ ՅJ ՈN "
    "ⲁa ⲃb ⲅr ⲇd ⲉe ⲍz ⲏh ⲓi ⲕk ⲙm ⲛn ⲟo ⲣp ⲥc ⲧt ⲩy ⲭx ⲱw ϥq ϭo ⲀA ⲂB ⲈE ⲌZ ⲎH ⲒI ⲔK ⲘM ⲚN "
    "ⲞO ⲢP ⲤC ⲦT ⲨY ⲬX ⲰW "
    # Cherokee, Lisu, Canadian syllabics, Deseret, Vai
    "ᎪA ᏴB ᏟC ᎠD ᎬE ᎰF ᏀG ᎻH ᏂH Ꭵi ᏆI ᎫJ ᏦK ᏞL ᎷM ᏢP ᏒR ᏚS ᎢT ᏙV ᏔW ᎳW ᎽY ᏃZ ᎡR ᎾO ᏫO ᏌU ᏳG ᎱF "
    "ᏐJ ᎶG ᏎS ᏕS ᏋE ᎵP ᏤV ᏜW ᏗJ "
    "ꓮA ꓐB ꓚC ꓓD ꓰE ꓝF ꓖG ꓧH ꓲI ꓙJ ꓗK ꓡL ꓟM ꓠN ꓳO ꓑP ꓣR ꓢS ꓔT ꓴU ꓦV ꓪW ꓫX ꓬY ꓜZ "
    "ᗩA ᗅA ᐱA ᗷB ᗸB ᑕC ᑢC ᗪD ᗞD ᐅD ᗴE ᕮE ᖴF ᕼH ᒍJ ᒎJ ᒪL ᒫL ᗰM ᗑM ᑎN ᑭP ᑮP ᖇR ᔕS ᑌU ᑘU ᐯV ᐺV "
    "ᗯW ᙭X ᕁX ᘔZ ᑫQ ᑲb ᑯd ᒿZ ᓚL ᐃA ᓬZ ᓰI ᖺh ᖻH ᘜG ᘂJ "
    "𐐀E 𐐄O 𐐕C 𐐛L 𐐝S 𐐢L 𐐣C 𐐬o 𐐽c 𐑈s 𐑋c ꖓT ꔖS ꘘX "
    # Latin letters whose names do not say so
    "ɑa ɡg ɩi ɪi ʟl ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ᴊj ᴋk ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz ᴑo ʋv ɯw "
    "ǀl ꞁl ɐa ɒa ɔc ɘe əe ɛe ɜe ɟj ɥh ɾr ʁR ɿr ʃs ʇt ʌv ʍm ʎy ʗc ɕc ɸo ʞk ꭤa ꭓx ꞵb ʄf ʉu ʊu ɷw "
    "ꭎu ꭒu ʒz ɣy "
)
# Shapes that only a reader with the rest of the word takes for Latin: read where a known word comes
# out.
_LOOSE_PAIRS = (
    "๏o яR ЯR ИN ЙN шw щw ШW ЩW цu ЦU чy ЧY ђh ћh џu эe ЭE лn ъb фo жx бb ЛA πn ϖw λa ΛA "
    "θo ΘO ΣE ϕo φo δd ΔA μu µu ξe ΞE ψw Ωo ΠN ϟs คa ๒b ςc ๔d เi ןj ๓m ภn קp รs ยu שv "
    "ฬw אx ץy ﻮg نn ოm აs ხb ძd ღn შd ლn Ⴝs Ⴙh 丂S 乃B 匚C 卂A 千F 卄H 丨I 山W 爪M 几N 口O 尺R 丅T "
    "凵U 乂X 乙Z 卩P 乇E лl гr нn вv пp сs уu рr иi жj ㄥL ㄖO ㄒT ㄩU ㄚY وg дd ДA"
)
_TIGHT = {pair[0]: pair[1] for pair in "".join(_PAIRS).split()}
_SMALL_CAPITALS = frozenset("ɪʟᴀʙᴄᴅᴇꜰɢʜᴊᴋᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")
# Letters that alphabets of Africa and Azerbaijani mix into words of the basic ones.
_HONEST = frozenset("ɓɗɖɛəɣɨɩɲɔʉʊʋʔ")
_NAMED = re.compile(
    r"(?:LATIN|MODIFIER LETTER|COMBINING LATIN) ?(SMALL|CAPITAL)? ?(?:LETTER )?"
    r"(?:SMALL CAPITAL |SIDEWAYS |TURNED |REVERSED |INSULAR |SCRIPT |OPEN |CLOSED |DOTLESS |LONG "
    r"|BARRED |TOP HALF |BOTTOM HALF |BLACKLETTER |STIRRUP |HALF )*([A-Z])(?: WITH .*| ROTUNDA)?"
)
_NAMED_RANGES = ((0xC0, 0x2B0), (0x1D00, 0x1DC0), (0x1E00, 0x1F00), (0x2C60, 0x2C80),
                 (0xA720, 0xA800), (0xAB30, 0xAB70), (0x1DF00, 0x1DF2B))  # fmt: skip


def _by_name() -> dict[str, str]:
    table = {}
    for code in chain.from_iterable(range(*bounds) for bounds in _NAMED_RANGES):
        if named := _NAMED.fullmatch(unicodedata.name(chr(code), "")):
            table[chr(code)] = named[2] if named[1] == "CAPITAL" else named[2].lower()
    return table


_NAMES = _by_name()
_MARKED = {c: plain for c, plain in _NAMES.items() if c <= "\u024f" or "\u1e00" <= c <= "\u1eff"}
"""Latin letters with marks: spelling in many languages, so that they stay by themselves."""

_LATIN = {c: plain for c, plain in _NAMES.items() if c not in _MARKED} | _TIGHT
_LOOSE = {pair[0]: pair[1] for pair in "".join(_LOOSE_PAIRS).split()} | _LATIN
# Letters that pose as one of two: the other one is tried where the first gives no known word.
_SECOND = str.maketrans("ⲩⲨӀυΥʌ", "uUluUa")
# Cyrillic letters that a reader cannot tell from the Latin ones; for the way back only these.
_CYRILLIC = dict(zip("aceopxyABCEHKMOPTXi", "асеорхуАВСЕНКМОРТХі", strict=True))

_BASIC = "A-Za-z\u00c0-\u024f\u1e00-\u1eff"
_CYRILLIC_LETTERS = "\u0400-\u052f"
_GREEK = "\u0370-\u03ff"
_ARMENIAN = "\u0531-\u0587"
# Scripts that hardly anybody writes but whoever wants letters that look Latin.
_EXOTIC = "\u13a0-\u13f5\u1400-\u167f\u2c80-\u2cf3\ua4d0-\ua4f7\U00010400-\U0001044f"
_OTHERS = "".join(c for c in _LOOSE if c not in _MARKED)
_RARE_MARKS = (
    "\u0180-\u0217\u021c-\u024f\u1e00-\u1e7f\u1e82-\u1e9d\u1ea0\u1ea1\u1eb8\u1eb9\u1eca-\u1ecd"
    "\u1ee4\u1ee5\u1ef4\u1ef5"
)
_NEGATIVE_LETTERS = "[\U0001f150-\U0001f169\U0001f170-\U0001f189]"
_REGIONAL = "[\U0001f1e6-\U0001f1ff]"
HINT = (
    f"[{_BASIC}][0-9]*[{_OTHERS}{_CYRILLIC_LETTERS}]|[{_OTHERS}{_CYRILLIC_LETTERS}][0-9]*[{_BASIC}]"
    f"|[{_CYRILLIC_LETTERS}][{_GREEK}{_ARMENIAN}]|[{_GREEK}][{_CYRILLIC_LETTERS}{_ARMENIAN}]"
    f"|[{_ARMENIAN}][{_GREEK}{_CYRILLIC_LETTERS}]"
    f"|[{_EXOTIC}]|[{''.join(sorted(_SMALL_CAPITALS))}]{{3}}|{_NEGATIVE_LETTERS}|{_REGIONAL}{{3}}"
    f"|[A-Za-z][{_RARE_MARKS}]|[{_RARE_MARKS}][A-Za-z]"
    "|[\u00c0-\u024f\u1e00-\u1eff][A-Za-z]?[\u00c0-\u024f\u1e00-\u1eff]"
)
"""A regex, of RE2 too, without which no word mixes scripts or hides under marks."""

_WORD = re.compile(r"(?:[^\W_]|๏)+")
_CYRILLIC_SCRIPT = 0x400
_SCRIPTS = ((_CYRILLIC_SCRIPT, 0x52F), (0x370, 0x3FF), (0x530, 0x58F), (0x250, 0x2AF))
_INFLECTED = re.compile(
    r"[A-Z0-9]{2,}[\u0400-\u04ff]{1,6}|[A-Za-z]+[αβγεζηκνρσχω]\d*|[αβγεζηκνρσχω][A-Z].*"
)
# A letter that looks like none of the Latin ones.
_NOT_DISGUISED = re.compile(f"[^{_OTHERS}{_BASIC}0-9]")
_EXOTIC_WORD = re.compile(f"[{_EXOTIC}0-9]+")
_RARE_MARK = re.compile(f"[{_RARE_MARKS}]")
_NEGATIVE = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189\ufe0f]+")
_FLAGS = re.compile(f"{_REGIONAL}+")
# The first letter of each region of ISO 3166 (and of flags beside it), and the second ones.
_REGIONS = frozenset(
    first + second
    for first, seconds in re.findall(
        r"(\w):(\w+)",
        "A:CDEFGILMOQRSTUWXZ B:ABDEFGHIJLMNOQRSTVWYZ C:ACDFGHIKLMNOPRUVWXYZ D:EGJKMOZ E:ACEGHRSTU "
        "F:IJKMOR G:ABDEFGHILMNPQRSTUWY H:KMNRTU I:CDELMNOQRST J:EMOP K:EGHIMNPRWYZ L:ABCIKRSTUVY "
        "M:ACDEFGHKLMNOPQRSTUVWXYZ N:ACEFGILOPRUZ O:M P:AEFGHKLMNRSTWY Q:A R:EOSUW "
        "S:ABCDEGHIJKLMNORSTVXYZ T:ACDFGHJKLMNORTVWZ U:AGMNSYZ V:ACEGINU W:FS X:K Y:ET Z:AMW",
    )
    for second in seconds
)
# Vietnamese words that look like strong ones under their marks.
_NOT_STRONG = frozenset({"hang", "dog", "gas", "cum", "die", "ban"})


def unmix_scripts(text: str) -> list[Edit]:
    """The edits that make each mixed word one of a single script."""
    edits: list[Edit] = []
    left: list[tuple[int, str]] = []
    to_latin = genuine = 0
    for word in _WORD.finditer(text):
        old = word[0]
        if old.isascii():
            continue
        new = unmixed(old)
        if new != old:
            to_latin += new.isascii()
            edits += _changes(word.start(), old, new)
        elif not _NOT_DISGUISED.search(old):
            left.append((word.start(), old))
        else:
            genuine += 1
    if to_latin > genuine:
        # The text disguises its words, so that those of look-alikes alone are no Russian or Greek.
        for start, old in left:
            edits += _changes(start, old, _disguised(old))
    return sorted(edits + _negative_letters(text) + _regional_letters(text))


def _changes(start: int, old: str, new: str) -> list[Edit]:
    return [
        (at, at + 1, made)
        for at, (was, made) in enumerate(zip(old, new, strict=True), start)
        if was != made
    ]


def _mapped(word: str, table: Mapping[str, str]) -> str:
    return "".join([table.get(c, c) for c in word])


@lru_cache(4_096)
def unmixed(word: str) -> str:
    """A word in a single script, or as it is."""
    letters = [c for c in word if not c.isdigit() or c in _LOOSE]
    other = [c for c in letters if not (c.isascii() or c in _MARKED or "\u00c0" <= c <= "\u024f")]
    if not other:
        return _without_marks(word)
    basic = len(letters) - len(other)
    is_latin = all(c in _LATIN for c in other)
    scripts = {_script(c) for c in other}
    latin = _mapped(word, _LATIN) if is_latin else word
    if is_latin and sum(c in _SMALL_CAPITALS for c in other) >= 3:
        return _without_marks(latin)
    if is_latin and _EXOTIC_WORD.fullmatch(word):
        return latin if len(word) >= 3 and is_known(latin.lower()) else word
    if not basic and len(scripts) < 2:
        return word
    if is_latin and len(letters) >= 4 and (plain := _known(word, _LATIN)):
        return plain
    if _INFLECTED.fullmatch(word) or all(c in _HONEST for c in other):
        return word
    is_cyrillic = scripts == {_CYRILLIC_SCRIPT}
    is_sure = len(scripts) > 1 or len(other) <= 2 * basic + 1
    if is_latin and is_sure and (len(letters) >= 3 or is_cyrillic or len(scripts) > 1):
        return _known(word, _LATIN) or latin
    if is_cyrillic and basic <= len(other) and all(c in _CYRILLIC for c in letters if c.isascii()):
        cyrillic = _mapped(word, _CYRILLIC)
        if all(_script(c) == _CYRILLIC_SCRIPT for c in cyrillic if not c.isdigit()):
            return cyrillic
    if len(letters) >= 4 and all(c in _LOOSE for c in other):
        return _known(word, _LOOSE) or word
    return word


def _known(word: str, table: Mapping[str, str]) -> str | None:
    """What a word says without marks on its letters, where that is a known word."""
    for read in (word, word.translate(_SECOND)):
        plain = _mapped(_mapped(read, table), _MARKED)
        if is_known(plain.lower()):
            return plain
    return None


def _disguised(word: str) -> str:
    """What a word says in a text that disguises others."""
    latin = _mapped(word, _LATIN)
    if plain := _known(word, _LATIN):
        return plain if latin != word or _RARE_MARK.search(word) else word
    if plain := _known(word, _LOOSE):
        return plain
    is_mixed = any(c.isascii() and c.isalpha() for c in word) or len(set(map(_script, word))) > 1
    if is_mixed and all(c in _LOOSE or c in _MARKED or c.isascii() for c in word):
        return _mapped(_mapped(word, _LOOSE), _MARKED)
    return latin if len(word) == 1 else word


def _script(letter: str) -> int:
    """A number for the letter's script: the first of its block, near enough."""
    code = ord(letter)
    for first, last in _SCRIPTS:
        if first <= code <= last:
            return first
    return code & ~0x1FF


def _without_marks(word: str) -> str:
    """The known word under the marks of its Latin letters, where they are no spelling."""
    marked = sum(c in _MARKED for c in word)
    if not marked or len(word) < 3:
        return word
    plain = _mapped(word, _MARKED)
    lower = plain.lower()
    if lower in STRONG and lower not in _NOT_STRONG and word.lower() not in STRONG:
        is_disguise = (len(word) >= 4 and _RARE_MARK.search(word)) or 2 * marked > len(word)
        return plain if is_disguise else word
    is_disguise = len(word) >= 4 and 2 * marked > len(word)
    return plain if is_disguise and is_known(lower) else word


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


def _regional_letters(text: str) -> list[Edit]:
    # Flags are pairs, and each pair a region; where one is not, the letters are there to spell.
    runs = list(_FLAGS.finditer(text))
    if not any(_spells(run[0]) for run in runs):
        return []
    return [
        (at, at + 1, chr(ord("A") + ord(c) - 0x1F1E6))
        for run in runs
        for at, c in enumerate(run[0], run.start())
    ]


def _spells(run: str) -> bool:
    if len(run) < 3:
        return False
    letters = "".join(chr(ord("A") + ord(c) - 0x1F1E6) for c in run)
    return len(run) % 2 == 1 or any(
        letters[at : at + 2] not in _REGIONS for at in range(0, len(run), 2)
    )
