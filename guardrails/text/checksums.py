"""Which numbers are what they look like: the check digits of cards, accounts, phones and ids.

Each function takes the text of one candidate, with its blanks and dashes, and says whether it can
be real. Nothing is looked up: a number that passes is well formed, not necessarily issued.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
import string
from datetime import date
from itertools import cycle, islice

_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]")
_IBAN_LENGTHS = dict(
    re.findall(
        r"(\w\w):(\d\d)",
        "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 "
        "CR:22 CY:28 CZ:24 DE:22 DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 "
        "FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 IE:22 IL:23 IQ:23 "
        "IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 "
        "MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 "
        "PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 "
        "SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30",
    )
)

_IBAN_VALUES = {
    ord(letter): str(number) for number, letter in enumerate(string.ascii_uppercase, 10)
}


def _compact(text: str) -> str:
    return _NOT_ALNUM.sub("", text).upper()


def _digits(text: str) -> list[int]:
    return [int(character) for character in text if character in "0123456789"]


def luhn(text: str) -> bool:
    """Whether the last digit is right by Luhn's rule (ISO/IEC 7812-1)."""
    digits = _digits(text)
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def credit_card(text: str) -> bool:
    """A payment card: 13 to 19 digits, Luhn, and not one digit over and over."""
    digits = _digits(text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(text)


def iban(text: str) -> int:
    """How many characters, blanks included, are an account number by ISO 13616; 0 for none.

    The country says the length, and the whole is 1 modulo 97; letters behind it are another word.
    """
    size = int(_IBAN_LENGTHS.get(text[:2], 0))
    value = _compact(text)[:size]
    if (
        not size
        or len(value) != size
        or int((value[4:] + value[:4]).translate(_IBAN_VALUES)) % 97 != 1
    ):
        return 0
    places = (at for at, character in enumerate(text, 1) if character.isalnum())
    length = next(islice(places, size - 1, None))
    return 0 if text[length : length + 1].isalnum() else length


def us_social_security(text: str) -> bool:
    """A US social security number that the administration could have issued."""
    digits = _compact(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if digits in ("078051120", "123456789", "219099999"):
        return False
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def phone_international(text: str) -> bool:
    """A number after a plus: 8 to 15 digits (E.164), not all alike."""
    digits = _digits(text)
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


def phone_national(text: str) -> bool:
    """A number without a country code: 7 to 14 digits, not all alike."""
    digits = _digits(text)
    return 7 <= len(digits) <= 14 and len(set(digits)) > 2


def phone_north_america(text: str) -> bool:
    """A North American number: neither area nor exchange is a service code such as 911."""
    digits = "".join(map(str, _digits(text)))
    return len(digits) == 10 and digits[1:3] != "11" and digits[4:6] != "11"


def ipv4(text: str) -> bool:
    """An IPv4 address of a host; private and loopback ranges say nothing of a person."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return address.is_global


def ipv6(text: str) -> int:
    """How many characters are an IPv6 address reachable from outside (2000::/3); 0 for none.

    A colon behind it may be punctuation.
    """
    trimmed = text if text.endswith("::") else text.removesuffix(":")
    try:
        address = ipaddress.IPv6Address(trimmed)
    except ValueError:
        return 0
    return len(trimmed) if int(address) >> 125 == 1 and address.is_global else 0


def email_address(text: str) -> bool:
    """An address whose parts are in order, and that is not a file name such as `icon@2x.png`."""
    local, _, domain = text.rpartition("@")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return False
    return domain.rpartition(".")[2].lower() not in {"png", "jpg", "jpeg", "gif", "svg", "webp"}


def uk_national_insurance(text: str) -> bool:
    """A UK national insurance number with a prefix that is given out."""
    return _compact(text)[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def uk_nhs(text: str) -> bool:
    """An NHS number: weights 10 to 2, modulo 11."""
    digits = _digits(text)
    if len(digits) != 10:
        return False
    weighted = sum(w * d for w, d in zip(range(10, 1, -1), digits, strict=False))
    return -weighted % 11 == digits[9]


def spain_dni(text: str) -> bool:
    """A Spanish DNI or NIE: the letter is the number modulo 23."""
    value = _compact(text)
    number = value[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == value[-1]


_CODICE_FISCALE_ODD = (
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18),
    *(20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
)


def codice_fiscale(text: str) -> bool:
    """An Italian tax code: odd places by the ministry's table, even ones by value, modulo 26."""
    odd = (
        1,
        0,
        5,
        7,
        9,
        13,
        15,
        17,
        19,
        21,
        2,
        4,
        18,
        20,
        11,
        3,
        6,
        8,
        12,
        14,
        16,
        10,
        22,
        25,
        24,
        23,
    )
    values = [int(c) if c.isdigit() else ord(c) - ord("A") for c in text]
    total = sum(odd[v] for v in values[0:15:2]) + sum(values[1:15:2])
    return total % 26 == values[15]


def france_nir(text: str) -> bool:
    """A French social security number: key = 97 minus the number modulo 97."""
    value = _compact(text)
    number = value[:13].replace("2A", "19").replace("2B", "18")
    if not (len(value) == 15 and number.isdigit() and value[13:].isdigit()):
        return False
    return 97 - int(number) % 97 == int(value[13:])


def brazil_cpf(text: str) -> bool:
    """A Brazilian CPF: two check digits modulo 11."""
    digits = _digits(text)
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    return all(
        sum(d * w for d, w in zip(digits[:n], range(n + 1, 1, -1), strict=True)) * 10 % 11 % 10
        == digits[n]
        for n in (9, 10)
    )


_VERHOEFF_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _dihedral(left: int, right: int) -> int:
    # The product in the dihedral group of ten, of which Verhoeff's check digit is made.
    if left < 5:
        return (left + right) % 5 if right < 5 else (left + right) % 5 + 5
    return (left - right) % 5 + 5 if right < 5 else (left - right) % 5


def aadhaar(text: str) -> bool:
    """An Indian Aadhaar number: twelve digits, Verhoeff's check digit."""
    digits = _digits(text)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        for _ in range(place % 8):
            digit = _VERHOEFF_PERMUTATION[digit]
        total = _dihedral(total, digit)
    return len(digits) == 12 and total == 0


def poland_pesel(text: str) -> bool:
    """A Polish PESEL: weights 1, 3, 7, 9, modulo 10."""
    digits = _digits(text)
    weighted = sum(w * d for w, d in zip(cycle((1, 3, 7, 9)), digits[:10], strict=False))
    return len(digits) == 11 and -weighted % 10 == digits[10]


def netherlands_bsn(text: str) -> bool:
    """A Dutch BSN: weights 9 to 2 and -1, divisible by 11."""
    digits = _digits(text)
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    if len(digits) != 9 or not any(digits):
        return False
    return sum(w * d for w, d in zip(weights, digits, strict=True)) % 11 == 0


def china_resident_id(text: str) -> bool:
    """A Chinese resident id: a real date of birth, and the check digit of ISO 7064 MOD 11-2."""
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def json_web_token(text: str) -> bool:
    """A JSON Web Token: its first part decodes to a header that names an algorithm."""
    header = text.split(".", 1)[0]
    try:
        decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(decoded, dict) and "alg" in decoded


_PLACEHOLDER = re.compile(
    r"(?i)^(?:[*•x.#?_-]+|<.*|\$.*|%.*|\[.*|(?:your|my|the|some|new|old|user|change|enter|insert)[_-].*"
    r"|password\d?|passwd|secret|example|placeholder|redacted|required|optional|string|str|none|null"
    r"|true|false|undefined|hidden|changeme|process\.env.*|os\.(?:environ|getenv).*|env\..*|self\..*"
    r"|request\..*|input.*|getpass.*|config\..*|settings\..*)[.!?]*$"
)


def not_a_placeholder(text: str) -> bool:
    """Whether a value reads like a real secret rather than `your-password` or `os.environ`."""
    return not _PLACEHOLDER.match(text)


def mixed_key(text: str) -> bool:
    """Whether a value has the mix of a random key: letters and digits, few repeated characters."""
    return (
        any(c.isdigit() for c in text)
        and any(c.isalpha() for c in text)
        and len(set(text)) >= min(10, len(text) // 2)
    )


def mixed_password(text: str) -> bool:
    """Whether a word reads like a password: letters together with digits or signs."""
    word = text.rstrip(".!?,;:")
    return (
        len(word) >= 6
        and any(c.isalpha() for c in word)
        and any(not c.isalpha() and c not in "-'’_/" for c in word)
    )
