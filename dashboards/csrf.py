"""Does a form come from a page of ours? By a token that only this browser's own pages hold.

The token is an HMAC of the visitor's seat (the session's token, or a random cookie where there is
no session), so nothing is stored, and another site can neither read nor guess it.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.exceptions import HTTPException
from starlette.requests import Request

FIELD = "csrf"
HEADER = "x-csrf-token"
MOST_BYTES = 100 * 2**20
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def token_of(secret: bytes, seat: str) -> str:
    """What stands in the forms of the pages that this seat is shown."""
    return hmac.digest(secret, b"csrf\0" + seat.encode(), hashlib.sha256).hex()[:40]


async def check(request: Request, secret: bytes, seat: str) -> None:
    """Refuse with 403 what does not carry the token of the seat; what only reads needs none."""
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This was sent by a page of another site.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES or _chunked(request):
        raise HTTPException(413, f"At most {MOST_BYTES // 2**20} MB can be sent at once.")
    shown = request.headers.get(HEADER)
    if shown is None and request.headers.get("content-type", "").startswith(_FORMS):
        shown = str((await request.form()).get(FIELD, ""))
    right = token_of(secret, seat)
    if not seat or not hmac.compare_digest((shown or "").encode(), right.encode()):
        raise HTTPException(403, "The page that sent this is too old: load it again.")


def _chunked(request: Request) -> bool:
    """Whether nobody knows before how long it is."""
    return "transfer-encoding" in request.headers
