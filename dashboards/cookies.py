"""The cookies of a login: how they are set, and how what they hold is kept from being forged."""

from __future__ import annotations

from datetime import timedelta

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from dashboards import oidc
from dashboards.access import SESSION_COOKIE
from dashboards.sessions import LONGEST
from dashboards.site import site_of

TICKET_COOKIE = "banister_login"
TICKET_PATH = "/login"


def secure(request: Request) -> bool:
    """Whether people come by https: then no cookie is ever sent without it."""
    address = site_of(request).settings.dashboard_url or ""
    return request.url.scheme == "https" or address.startswith("https://")


def give_session(request: Request, response: Response, token: str) -> None:
    """Log the browser in."""
    _set(request, response, SESSION_COOKIE, token, "/", LONGEST)


def take_session(response: Response) -> None:
    """Log the browser out."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")


def give_ticket(request: Request, response: Response, ticket: oidc.Ticket) -> None:
    """Send the browser to the provider with what it must bring back."""
    signed = _signer(request).dumps(oidc.encode(ticket))
    seconds = timedelta(seconds=oidc.TICKET_SECONDS)
    _set(request, response, TICKET_COOKIE, str(signed), TICKET_PATH, seconds)


def read_ticket(request: Request) -> oidc.Ticket:
    """What the browser brought back. Errors: LoginRefused where it is forged, old or missing."""
    try:
        written = _signer(request).loads(
            request.cookies.get(TICKET_COOKIE, ""), max_age=oidc.TICKET_SECONDS
        )
    except BadSignature as error:
        raise oidc.LoginRefused("This login is too old, or not this browser's.") from error
    return oidc.decode(written)


def take_ticket(response: Response) -> None:
    """A ticket is good once."""
    response.delete_cookie(TICKET_COOKIE, path=TICKET_PATH, httponly=True, samesite="lax")


def _set(
    request: Request, response: Response, name: str, value: str, path: str, longest: timedelta
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(longest.total_seconds()),
        path=path,
        secure=secure(request),
        httponly=True,
        # Lax: one who follows a link in an alert's mail is logged in; a foreign form is not.
        samesite="lax",
    )


def _signer(request: Request) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(site_of(request).secret, salt="oidc ticket")
