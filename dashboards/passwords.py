"""How are passwords kept? As Argon2id hashes, at the library's recommended cost.

Hashing takes some 50 ms and 64 MB on purpose, so it runs in a thread, two at once at most.
"""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from guardrails.errors import ConfigError

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 200

_hasher = PasswordHasher()
_at_once = asyncio.Semaphore(2)
_NOBODY = _hasher.hash("the password of a user who does not exist")


def hash_password(password: str) -> str:
    """What is stored of a password. Errors: ConfigError for one that is too short, or too long."""
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise ConfigError(
            f"A password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters; several words do."
        )
    return _hasher.hash(password)


async def fits(stored: str | None, password: str) -> bool:
    """Whether it is the password. Without a stored one it takes as long, and is never right."""
    async with _at_once:
        return await asyncio.to_thread(_fits, stored, password[:MOST_CHARACTERS])


def _fits(stored: str | None, password: str) -> bool:
    try:
        right = _hasher.verify(stored or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None
