"""``private_key_jwt``: a signed assertion instead of a secret (RFC 7521, RFC 7523)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tokenward import _jose
from tokenward._log import shown
from tokenward.claims import ClaimsPolicy
from tokenward.errors import InvalidToken

if TYPE_CHECKING:
    from tokenward._jose import KeySet, Unverified
    from tokenward.clients.client import Client

UseOnce = Callable[[str, float], bool]
"""Uses up a key until a time in epoch seconds; tells whether it was unused until now."""

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The ``client_assertion_type`` of RFC 7523, section 2.2."""

MAX_LIFETIME: Final = 300
"""Seconds for which an assertion may be good."""

SIGNING_ALGORITHMS: Final = tuple(sorted(_jose.ASYMMETRIC))
"""With which an assertion may be signed; a shared secret is none of them."""

_LEEWAY: Final = 30
_MAX_JTI_CHARACTERS: Final = 1_024
# RFC 7519, section 5.1, and what the successor of RFC 7523 gives assertions. Never at+jwt: an
# access token is not for proving who a client is.
_TYPES = frozenset({"jwt", "client-authentication+jwt"})


def claimed_by(form: Mapping[str, str]) -> str | None:
    """Return in whose name an assertion is made, unverified: for the audit trail alone."""
    with contextlib.suppress(InvalidToken):
        subject = _jose.parse(form["client_assertion"], algorithms=_jose.ASYMMETRIC).claims.get(
            "sub"
        )
        if isinstance(subject, str):
            return subject
    return form.get("client_id")


class Assertions:
    """The check of client assertions against the keys of the clients that have some.

    Args:
        clients: By ``client_id``; those without keys are nobody here.
    """

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = {name: c for name, c in clients.items() if c.key_set is not None}
        # Whose signature an unknown client's is compared with, by algorithm, and refused.
        self._decoys: dict[str, KeySet] = {}
        for client in self._clients.values():
            for key in client.key_set.keys if client.key_set else ():
                for alg in key.algorithms:
                    self._decoys.setdefault(alg, _jose.KeySet([_anonymous(key)]))

    def client_of(
        self,
        form: Mapping[str, str],
        *,
        audiences: Sequence[str],
        use_once: UseOnce,
        now: float,
    ) -> Client:
        """Return the client that made an assertion (RFC 7523, section 3), and use it up.

        Args:
            form: With ``client_assertion``; ``client_id``, if it is there, says the same.
            audiences: Our names, one of which it is made out to.
            use_once: See `UseOnce`.
            now: Epoch seconds.

        Raises:
            InvalidToken: It is refused; the hint says why.
            AuthServiceUnavailable: Whether it was used before cannot be told.
        """
        assertion = _jose.parse(form["client_assertion"], algorithms=_jose.ASYMMETRIC)
        claims = assertion.claims
        client_id = claims.get("sub")
        client = self._check_signature(
            assertion, self._clients.get(client_id) if isinstance(client_id, str) else None
        )
        if claims.get("iss") != client_id or form.get("client_id", client_id) != client_id:
            raise _refused("iss, sub and the form's client_id are not one and the same")
        _check_type(assertion.header)
        _check_audience(claims)
        ClaimsPolicy(audience=audiences, required=("exp", "jti"), leeway=_LEEWAY).check_claims(
            claims, now=now
        )
        _check_life(claims, now)
        jti = claims["jti"]
        if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI_CHARACTERS:
            raise _refused(f"jti is not a string of at most {_MAX_JTI_CHARACTERS} characters")
        if not use_once(_key(client.client_id, jti), claims["exp"] + _LEEWAY + 1):
            raise _refused("the assertion was used before; make one for each request")
        return client

    def _check_signature(self, assertion: Unverified, client: Client | None) -> Client:
        """Return the client whose signature it is; one is checked, whoever is named."""
        hint = "it is signed in the name of no client with keys"
        if client is not None and client.key_set is not None:
            try:
                client.key_set.select(assertion.alg, assertion.kid)
            except InvalidToken as error:
                hint = error.hint
            else:
                _jose.verify(assertion, client.key_set, algorithms=_jose.ASYMMETRIC)
                return client
        # The same work as where there is such a key, for the same refusal.
        decoy = self._decoys.get(assertion.alg)
        if decoy is not None:
            with contextlib.suppress(InvalidToken):
                _jose.verify(assertion._replace(kid=None), decoy, algorithms=_jose.ASYMMETRIC)
        raise _refused(hint)


def _anonymous(key: _jose.Key) -> _jose.Key:
    return _jose.Key(key.kty, key.algorithms, key.public)


def _check_type(header: Mapping[str, Any]) -> None:
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
        raise _refused(f"the header typ {shown(typ)} is not that of an assertion")


def _check_audience(claims: Mapping[str, Any]) -> None:
    # Whoever else it is made out to could present it here as its own.
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) != 1:
        raise _refused(f"aud has {len(audience)} values; make it out to this issuer alone")


def _check_life(claims: Mapping[str, Any], now: float) -> None:
    # By its own clock where it says when it was made; how far ahead that may be was looked at.
    iat = claims.get("iat")
    if claims["exp"] - (now if iat is None else iat) > MAX_LIFETIME:
        raise _refused(f"the assertion is good for more than {MAX_LIFETIME} s")


def _key(client_id: str, jti: str) -> str:
    # A client_id holds no line feed, so no two pairs are written alike.
    digest = hashlib.sha256(f"{client_id}\n{jti}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"client_assertion:{digest}"


def _refused(hint: str) -> InvalidToken:
    return InvalidToken(hint, reason="client_refused")
