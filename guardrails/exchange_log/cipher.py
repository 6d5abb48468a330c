"""How are the texts of a record encrypted, and read again?

AES-256-GCM on each text column of the line, before it reaches a spool or the database. What is
bound to a ciphertext is the record's id and the column's name, so none can be moved elsewhere. The
first key of the ring writes, every key reads: a new one is put in front, and the old one leaves
when retention has dropped the last rows that it wrote.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct
from pydantic import SecretStr

from guardrails.errors import ConfigError
from guardrails.exchange_log.privacy import end_user, pseudonym
from guardrails.exchange_log.private_body import ENDS

MARK = "$encrypted"
NONCE_BYTES = 12
KEY_BYTES = 32
BODIES = ("request", "prompt", "completion", "answer")
LISTS = ("inputs", "outputs", "passages")
UNREADABLE = "[encrypted with a key that is not in BANISTER_LOG_KEYS]"

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_parts = msgspec.json.Decoder(dict[str, Raw]).decode
_write = msgspec.json.Encoder().encode


class _User(Struct):
    """The fields of a request that name the caller's user."""

    user: Any = None
    safety_identifier: Any = None
    metadata: Any = None


class _Choice(Struct):
    finish_reason: Any = None


class _Ends(Struct):
    """The fields of a completion that stand in columns of their own."""

    model: Any = None
    stop_reason: Any = None
    status: Any = None
    details: Any = None
    incomplete_details: Any = None
    choices: list[_Choice] | None = None


class _Caller(Struct):
    tenant: str = "default"


class Cipher:
    """Encrypts and decrypts with a ring of keys.

    Cost: about 15 µs and 4 µs a KiB for a record. Limits: a key writes 2³² columns at most, some
    600 million exchanges; change it before.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes],
        secret: bytes,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        # Seven megabytes, which only those pay who encrypt.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._keys = {name: AESGCM(key) for name, key in keys.items()}
        self._invalid = InvalidTag
        self._writes_with = next(iter(keys))
        self._secret = secret
        self._random = random

    def seal(self, line: bytes) -> bytes:
        """A record's line with its text columns encrypted; all else stays as it is."""
        parts = _parts(line)
        exchange_id = msgspec.json.decode(parts["id"], type=str)
        for name in (*BODIES, *LISTS):
            plain = parts.get(name)
            if plain is None or bytes(plain) in (b"null", b"[]"):
                continue
            hidden: dict[str, Any] = {MARK: self._encrypt(bytes(plain), exchange_id, name)}
            if name in ("request", "prompt"):
                hidden |= self._user(plain, parts["caller"])
            elif name == "completion":
                hidden |= _ends(plain)
            parts[name] = Raw(_write([hidden] if name in LISTS else hidden))
        return _write(parts)

    def open(self, exchange_id: str, column: str, value: Any) -> Any:
        """A column's value as it was recorded; one that was not encrypted is given back.

        A key that is not in the ring, or a value that was changed or moved, gives UNREADABLE in the
        place of the texts: the rest of the record can still be read.
        """
        hidden = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(hidden, dict) or not isinstance(hidden.get(MARK), str):
            return value
        plain = self._decrypt(hidden[MARK], exchange_id, column)
        if plain is None:
            return [] if column in LISTS else {MARK: UNREADABLE}
        return msgspec.json.decode(plain)

    def pseudonym(self, tenant: str, user: str) -> str:
        """The name under which an end user stands in encrypted records."""
        return pseudonym(self._secret, tenant, user)

    def _encrypt(self, plain: bytes, exchange_id: str, column: str) -> str:
        nonce = self._random(NONCE_BYTES)
        key = self._keys[self._writes_with]
        sealed = key.encrypt(nonce, plain, _bound(exchange_id, column))
        return f"{self._writes_with}:{base64.b64encode(nonce + sealed).decode()}"

    def _decrypt(self, written: str, exchange_id: str, column: str) -> bytes | None:
        name, _, encoded = written.partition(":")
        key = self._keys.get(name)
        if key is None:
            return None
        try:
            sealed = base64.b64decode(encoded, validate=True)
            bound = _bound(exchange_id, column)
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (self._invalid, binascii.Error, ValueError):
            return None

    def _user(self, request: Raw, caller: Raw) -> dict[str, str]:
        try:
            fields = msgspec.json.decode(request, type=_User)
        except msgspec.DecodeError:
            return {}
        user = end_user(msgspec.structs.asdict(fields))
        if user is None:
            return {}
        tenant = msgspec.json.decode(caller, type=_Caller).tenant
        return {"safety_identifier": self.pseudonym(tenant, user)}


def make_cipher(keys: SecretStr | None, secret: bytes) -> Cipher | None:
    """The cipher of BANISTER_LOG_KEYS; None where texts are not encrypted. Errors: ConfigError."""
    if keys is None:
        return None
    ring: dict[str, bytes] = {}
    for entry in keys.get_secret_value().split(","):
        name, _, encoded = entry.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not _KEY_ID.fullmatch(name) or len(key) != KEY_BYTES or name in ring:
            raise ConfigError(
                "BANISTER_LOG_KEYS is `id:key,id:key`, each id once, each key 32 bytes in base64; "
                "make one with `openssl rand -base64 32`."
            )
        ring[name] = key
    return Cipher(ring, secret)


def _bound(exchange_id: str, column: str) -> bytes:
    return f"{exchange_id}\0{column}".encode()


def _ends(completion: Raw) -> dict[str, Any]:
    try:
        ends = msgspec.json.decode(completion, type=_Ends)
    except msgspec.DecodeError:
        return {}
    kept = {"model": ends.model, "stop_reason": ends.stop_reason, "status": ends.status}
    held = {"details": ends.details, "incomplete_details": ends.incomplete_details}
    inner = {
        name: {field: held[name][field]}
        for name, field in ENDS
        if isinstance(held[name], dict) and isinstance(held[name].get(field), str)
    }
    choices = [{"finish_reason": choice.finish_reason} for choice in ends.choices or ()]
    return {
        **{name: value for name, value in kept.items() if isinstance(value, str)},
        **inner,
        **({"choices": choices} if choices else {}),
    }
