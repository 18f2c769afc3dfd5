"""Signed answers: a JWT of the authorization server's own, made for us (RFC 9701).

Whatever is wrong with one is an outage: an answer that anybody may have written says nothing about
the token, least of all that it is inactive.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tokenward import _jose
from tokenward._http import JSON, check_url, is_odd_json, media_type
from tokenward._log import shown
from tokenward.claims.kinds import full_type
from tokenward.client_auth import BearerAuth
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.jwkset import FetchedKeySet

if TYPE_CHECKING:
    from tokenward._jose import Unverified
    from tokenward.metadata import IssuerMetadata, Metadata
    from tokenward.protocols import ClientAuth, Clock, Response, Transport

SIGNED_ANSWER: Final = "application/token-introspection+jwt"
"""The content type of a signed answer, and in full the ``typ`` of its header."""

MAX_ANSWER_AGE: Final = 30.0
"""Seconds since ``iat`` after which an answer is an old one that somebody plays back."""

CLOCK_LEEWAY: Final = 30.0
"""Seconds by which the server's clock may differ from ours."""

_SIGNING_ALGORITHMS: Final = "introspection_signing_alg_values_supported"
_JWE_SEGMENTS: Final = 5
_NO_CLAIMS: Final = _jose.encode(b"{}").encode("ascii")


class SignedAnswers:
    """Reads the signed answers that one server makes for one client.

    Args:
        issuer: Who must have signed them.
        client_id: Whom they must be for.
        algorithms: What they may be signed with.
        key_set: The issuer's keys.
        finds_keys: Whether the metadata has to say where those are.
        clock: Seconds since the epoch.
    """

    accept = SIGNED_ANSWER

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        algorithms: frozenset[str],
        key_set: FetchedKeySet,
        finds_keys: bool,
        clock: Clock,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self.algorithms = algorithms
        self._key_set = key_set
        self._finds_keys = finds_keys
        self._clock = clock

    def check(self, metadata: Metadata) -> None:
        """Refuse metadata that cannot lead to an answer we take.

        Raises:
            AuthServiceUnavailable: The server signs in other ways, or names no keys.
        """
        metadata.check_algorithms(_SIGNING_ALGORITHMS, self.algorithms)
        if self._finds_keys:
            metadata.url("jwks_uri")

    def read(self, response: Response) -> Unverified:
        """Read an answer of status 200 that claims to be the issuer's, and is for us and for now.

        Nothing of it counts before `verify` has seen its signature.

        Raises:
            AuthServiceUnavailable: It is not signed (``unsigned_response``), or not what it should
                be (``bad_response``); the hint says what it is, as the end of a sentence.
        """
        kind = media_type(response)
        if kind == JSON:
            hint = (
                "unsigned JSON, and signed_response_alg demands a signed answer: register the"
                " client for one (introspection_signed_response_alg), or leave that out"
            )
            raise AuthServiceUnavailable(hint, reason="unsigned_response")
        if kind != SIGNED_ANSWER:
            content_type = shown(response.headers.get("content-type", ""))
            raise _bad(f"the content type {content_type}, not {SIGNED_ANSWER}")
        unverified = self._parse(response.body)
        claims = unverified.claims
        if claims.get("iss") != self._issuer:
            raise _bad(f"a JWT of the issuer {shown(claims.get('iss'))}, not {self._issuer}")
        audience = claims.get("aud")
        if self._client_id not in (audience if isinstance(audience, list) else [audience]):
            raise _bad(f"a JWT for {shown(audience)}, not for our client_id {self._client_id}")
        self._check_times(claims)
        if not isinstance(claims.get("token_introspection"), Mapping):
            raise _bad("a JWT whose member token_introspection is not an object")
        return unverified

    def is_odd(self, response: Response) -> bool:
        """Tell whether an answer that `read` refuses is refused for its claims' JSON alone.

        See `is_odd_json`. The signature is not looked at: what cannot be read has no use for it.
        """
        first, _, rest = response.body.partition(b".")
        second, _, third = rest.rpartition(b".")
        try:
            self._parse(b".".join((first, _NO_CLAIMS, third)))
            payload = _jose.decode(second)
        except (AuthServiceUnavailable, ValueError):
            return False
        return media_type(response) == SIGNED_ANSWER and is_odd_json(payload)

    def verify(self, unverified: Unverified, *, deadline: float) -> Mapping[str, Any]:
        """Return the member ``token_introspection`` of an answer that the issuer has signed.

        Args:
            unverified: What `read` returned.
            deadline: When to give up on the issuer's keys, on the ``time.monotonic()`` scale.

        Raises:
            InvalidToken: It has not; the hint says why.
            AuthServiceUnavailable: The issuer's keys cannot be had.
        """
        self._key_set.verify(unverified, self.algorithms, deadline=deadline)
        answer: Mapping[str, Any] = unverified.claims["token_introspection"]
        return answer

    def _parse(self, body: bytes) -> Unverified:
        if body.count(b".") == _JWE_SEGMENTS - 1:
            raise _bad(
                "an encrypted JWT, which is not read: register the client without"
                " introspection_encrypted_response_alg"
            )
        try:
            unverified = _jose.parse(
                body.decode("latin-1"), max_bytes=len(body), algorithms=self.algorithms
            )
        except InvalidToken as refusal:
            hint = refusal.hint
        else:
            typ = unverified.header.get("typ")
            if isinstance(typ, str) and full_type(typ) == SIGNED_ANSWER:
                return unverified
            hint = f"its typ is {shown(typ)}, not token-introspection+jwt"
        raise _bad(f"a JWT that is refused: {hint}")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        issued = _seconds(claims, "iat")
        if issued is None:
            raise _bad("a JWT without iat, which may be an old one")
        if issued > now + CLOCK_LEEWAY:
            raise _bad(f"a JWT issued {issued - now:.0f} s in the future; compare the clocks")
        if issued < now - MAX_ANSWER_AGE - CLOCK_LEEWAY:
            raise _bad(
                f"a JWT issued {now - issued:.0f} s ago; it is an old one, or compare clocks"
            )
        expires, begins = _seconds(claims, "exp"), _seconds(claims, "nbf")
        if expires is not None and now >= expires + CLOCK_LEEWAY:
            raise _bad("a JWT that has expired")
        if begins is not None and now + CLOCK_LEEWAY < begins:
            raise _bad("a JWT that is not valid yet; compare the clocks")


def signed_answers(
    algorithms: str | Sequence[str],
    *,
    client_auth: ClientAuth,
    metadata: IssuerMetadata | None,
    jwks_uri: str | None,
    transport: Transport,
    timeout: float,
    verify_tls: bool | str,
    clock: Clock,
) -> SignedAnswers:
    """Return what reads the signed answers of a server; for the arguments see the client.

    Raises:
        ConfigurationError: They cannot lead to a signed answer.
    """
    given: object = [algorithms] if isinstance(algorithms, str) else algorithms
    named = frozenset(map(str, given)) if isinstance(given, Collection) else frozenset()
    if not named or not named <= _jose.ASYMMETRIC:
        raise ConfigurationError(
            "signed_response_alg takes algorithms whose keys an issuer publishes:"
            f" {', '.join(sorted(_jose.ASYMMETRIC))}."
        )
    # What tells one bearer from another is no name that the server knows.
    identified = None if isinstance(client_auth, BearerAuth) else client_auth
    client_id = getattr(identified, "client_id", None)
    if metadata is None or not isinstance(client_id, str):
        raise ConfigurationError(
            "A signed answer names its issuer and the client it is for: with signed_response_alg"
            " give the issuer, and a client_auth that has a client_id."
        )
    if jwks_uri is not None:
        check_url(jwks_uri, what="jwks_uri", verify_tls=verify_tls)

    def named_keys(_deadline: float) -> str:
        # Every question begins with the metadata, so what is known is as fresh as it gets.
        return (metadata.known or metadata.get()).jwks_uri

    return SignedAnswers(
        issuer=metadata.issuer,
        client_id=client_id,
        algorithms=named,
        key_set=FetchedKeySet(
            jwks_uri or named_keys, transport=transport, timeout=timeout, clock=clock
        ),
        finds_keys=jwks_uri is None,
        clock=clock,
    )


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        # Beyond any date: an integer too large for a float is as good.
        return float(max(-1e15, min(value, 1e15)))
    raise _bad(f"a JWT whose {name} is not a number of seconds")


def _bad(what: str) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(what, reason="bad_response")
