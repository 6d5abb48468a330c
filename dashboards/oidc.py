"""How does a person log in with an OpenID Connect provider?

The code flow with PKCE: Authlib speaks OAuth, joserfc checks the ID token. What must come back with
the answer (state, nonce, verifier) lies in a signed cookie for ten minutes and nowhere else.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from httpx2 import HTTPError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import Struct

from dashboards.visitors import ROLES, Role
from guardrails.errors import BanisterError
from guardrails.settings import OidcSettings

SECONDS = 10.0
TICKET_SECONDS = 600
CLOCK_SECONDS = 60
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]


class LoginRefused(BanisterError):
    """The provider's answer lets nobody in."""


class Ticket(Struct, frozen=True):
    """What the browser brings back, to prove that it is the one that was sent."""

    state: str
    nonce: str
    verifier: str
    next: str


class Identity(Struct, frozen=True):
    """Whom the provider vouches for, and what that person may do here."""

    subject: str
    name: str
    email: str | None
    role: Role
    tenants: tuple[str, ...] | None


class Provider:
    """One OpenID provider, found by its issuer's own description of itself."""

    def __init__(self, settings: OidcSettings, redirect_uri: str) -> None:
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._described: dict[str, Any] | None = None

    async def begin(self, next_path: str) -> tuple[str, Ticket]:
        """Where to send the browser, and the ticket to give it. Errors: LoginRefused."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        ticket = Ticket(state, nonce, verifier, next_path)
        async with self._client() as client:
            described = await self._description(client)
            url, _ = client.create_authorization_url(
                described["authorization_endpoint"],
                state=ticket.state,
                code_verifier=ticket.verifier,
                nonce=ticket.nonce,
            )
        return url, ticket

    async def finish(self, ticket: Ticket, query: Mapping[str, str], now: float) -> Identity:
        """Who came back. Errors: LoginRefused, which says no secret."""
        if "error" in query:
            raise LoginRefused(f"The provider says: {query['error'][:80]}.")
        state = query.get("state", "")
        if not hmac.compare_digest(state.encode(), ticket.state.encode()) or "code" not in query:
            raise LoginRefused("This answer belongs to another login; begin again.")
        try:
            async with self._client() as client:
                described = await self._description(client)
                token = await client.fetch_token(
                    described["token_endpoint"],
                    code=query["code"],
                    code_verifier=ticket.verifier,
                    grant_type="authorization_code",
                )
                keys = KeySet.import_key_set(
                    (await client.request("GET", described["jwks_uri"], withhold_token=True)).json()
                )
            claims = _claims(token.get("id_token", ""), keys)
        except (OAuthError, HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise LoginRefused(
                f"The provider's answer is no good: {type(error).__name__}."
            ) from error
        self._check(claims, ticket, now)
        return identity_of(claims, self._settings)

    def _check(self, claims: Mapping[str, Any], ticket: Ticket, now: float) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        client_id = self._settings.client_id
        right = (
            claims.get("iss") == self._settings.issuer
            and client_id in audiences
            and (len(audiences) == 1 or claims.get("azp") == client_id)
            and hmac.compare_digest(str(claims.get("nonce", "")).encode(), ticket.nonce.encode())
            and isinstance(claims.get("exp"), int | float)
            and claims["exp"] > now - CLOCK_SECONDS
            and isinstance(claims.get("sub"), str)
        )
        if not right:
            raise LoginRefused("The provider's token is not for this login.")

    def _client(self) -> AsyncOAuth2Client:
        settings = self._settings
        return AsyncOAuth2Client(
            settings.client_id,
            settings.client_secret.get_secret_value(),
            scope=settings.scope,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            timeout=SECONDS,
        )

    async def _description(self, client: AsyncOAuth2Client) -> dict[str, Any]:
        if self._described is None:
            address = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                answer = await client.request("GET", address, withhold_token=True)
                answer.raise_for_status()
                described: dict[str, Any] = answer.json()
            except (HTTPError, ValueError) as error:
                raise LoginRefused(
                    f"The provider does not answer: {type(error).__name__}."
                ) from error
            if described.get("issuer") != self._settings.issuer:
                raise LoginRefused("The provider calls itself by another name than oidc.issuer.")
            self._described = described
        return self._described


def identity_of(claims: Mapping[str, Any], settings: OidcSettings) -> Identity:
    """Name, role and tenants by the settings' claims; the highest role of several.

    Errors: LoginRefused where no claim gives a role, and there is no role for everybody.
    """
    named = _values(claims.get(settings.role_claim))
    roles = [settings.roles[value] for value in named if value in settings.roles]
    if settings.default_role is not None:
        roles.append(settings.default_role)
    if not roles:
        raise LoginRefused("This person has no role here: see oidc.roles in the settings.")
    tenants = None
    if settings.tenants_claim is not None:
        tenants = tuple(_values(claims.get(settings.tenants_claim)))
    email = claims.get("email")
    name = claims.get(settings.name_claim) or email or claims["sub"]
    return Identity(
        subject=f"{settings.issuer}|{claims['sub']}",
        name=str(name),
        email=email if isinstance(email, str) else None,
        role=max(roles, key=ROLES.index),
        tenants=tenants,
    )


def encode(ticket: Ticket) -> str:
    """A ticket as text."""
    return msgspec.json.encode(ticket).decode()


def decode(written: str) -> Ticket:
    """A ticket from its text. Errors: LoginRefused."""
    try:
        return msgspec.json.decode(written, type=Ticket)
    except msgspec.DecodeError as error:
        raise LoginRefused("This login is too old; begin again.") from error


def _claims(id_token: str, keys: KeySet) -> Mapping[str, Any]:
    return jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims


def _values(claim: Any) -> list[str]:
    if isinstance(claim, str):
        return claim.split()
    return [str(value) for value in claim] if isinstance(claim, list) else []
