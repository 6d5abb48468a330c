from __future__ import annotations

import pytest

from guardrails.text import checksums

# Published specimens, and the same with one digit changed.
CASES = [
    ("credit_card", "4111 1111 1111 1111", "4111 1111 1111 1112"),
    ("credit_card", "378282246310005", "378282246310006"),
    ("credit_card", "5555-5555-5555-4444", "0000 0000 0000 0000"),
    ("luhn", "79927398713", "79927398714"),
    ("iban", "DE89370400440532013000", "DE89370400440532013001"),
    ("iban", "FR14 2004 1010 0505 0001 3M02 606", "FR14 2004 1010 0505 0001 3M02 60"),
    ("iban", "NO9386011117947", "XX9386011117947"),
    ("us_social_security", "536-90-4399", "000-12-3456"),
    ("us_social_security", "536904399", "666-12-3456"),
    ("phone_international", "49 30 901820", "1 111 111 1111"),
    ("phone_national", "030 901820", "123"),
    ("phone_north_america", "415-555-0132", "411-911-0132"),
    ("ipv4", "8.8.8.8", "192.168.1.1"),
    ("ipv4", "1.1.1.1", "999.1.1.1"),
    ("ipv6", "2a00:1450:4001:82a::200e", "fe80::1"),
    ("ipv6", "2606:4700::1111", "a::b::c"),
    ("email_address", "a.b@example.org", "a..b@example.org"),
    ("email_address", "x@y.io", "icon@2x.png"),
    ("uk_national_insurance", "QQ 12 34 56 C", "GB 12 34 56 C"),
    ("uk_nhs", "943 476 5919", "943 476 5918"),
    ("spain_dni", "12345678Z", "12345678A"),
    ("spain_dni", "X1234567L", "X1234567M"),
    ("codice_fiscale", "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
    ("france_nir", "255081416802538", "255081416802539"),
    ("brazil_cpf", "529.982.247-25", "529.982.247-26"),
    ("aadhaar", "2341 2341 2346", "2341 2341 2347"),
    ("poland_pesel", "44051401359", "44051401358"),
    ("netherlands_bsn", "111222333", "111222334"),
    ("china_resident_id", "11010519491231002X", "110105194912310021"),
    ("china_resident_id", "11010519491231002x", "11010519491331002X"),
    ("json_web_token", "eyJhbGciOiJIUzI1NiJ9.e30.x", "eyJmb28iOiJiYXIifQ.e30.x"),
    ("not_a_placeholder", "hunter2!x", "your-password"),
    ("not_a_placeholder", "s3cr3t-9", "********"),
    ("not_a_placeholder", "Tr0ub4dor", "os.environ"),
    ("mixed_key", "Zk3vQ8mN1xB7cR5tY9uL", "aaaaaaaaaaaaaaaaaaaaaa1"),
    ("mixed_password", "Sunny2day!", "incorrect."),
]


@pytest.mark.parametrize(("name", "right", "wrong"), CASES)
def test_check_digit_tells_right_from_wrong(name, right, wrong):
    check = getattr(checksums, name)
    assert check(right)
    assert not check(wrong)


@pytest.mark.parametrize(
    ("name", "text", "length"),
    [
        ("iban", "DE89 3704 0044 0532 0130 00 OK12", 27),
        ("iban", "NO9386011117947 AND MORE", 15),
        ("iban", "NO93860111179471", 0),
        ("ipv6", "2606:4700::1111:", 15),
    ],
)
def test_what_stands_behind_a_number_is_left_out(name, text, length):
    assert getattr(checksums, name)(text) == length


@pytest.mark.parametrize("place", range(22))
def test_iban_finds_every_single_changed_digit(place):
    number = "DE89370400440532013000"
    changed = "1" if number[place] != "1" else "2"
    assert not checksums.iban(number[:place] + changed + number[place + 1 :])
