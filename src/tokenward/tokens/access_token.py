"""An access token as we make it, and its claims as we read them back (RFC 9068)."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tokenward import _jose
from tokenward.claims import ClaimsPolicy
from tokenward.errors import ConfigurationError, InvalidClaim, InvalidToken
from tokenward.principal import thaw

if TYPE_CHECKING:
    from tokenward._jose import KeySet, Unverified
    from tokenward.keys import KeyRing
    from tokenward.protocols import Clock
    from tokenward.schemas import TokenPayload

DEFAULT_LIFETIME: Final = timedelta(seconds=900)
TYPE: Final = "at+jwt"
REQUIRED: Final = ("exp", "iat", "jti", "sub")

_OURS = frozenset({"exp", "iat", "iss", "aud", "jti"})
_JTI_BYTES = 16
_REASONS = {"iss": "unknown_issuer", "aud": "audience_mismatch"}


def create_access_token(
    data: Mapping[str, Any],
    expires_delta: timedelta | None = None,
    *,
    keys: KeyRing,
    issuer: str | None = None,
    audience: str | Sequence[str] | None = None,
    clock: Clock = time.time,
) -> str:
    """Sign an access token (RFC 9068, section 2) with the ring's current key.

    Args:
        data: The claims: ``sub``, a non-empty string, and what else the token should say.
            ``exp``, ``iat``, ``iss``, ``aud`` and ``jti`` are made here. ``sid`` is the id of a
            session: while it is not one that goes on, `LocalVerifier` refuses the token.
        expires_delta: How long it is good; 900 seconds by default. A rotation ends it earlier, if
            that is more than what the ring is told (`KeyRing.outlast`).
        keys: Whose current key signs.
        issuer: ``iss``; ``None``: none.
        audience: ``aud``; ``None``: none.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: An argument is not what is described here, or the token could not be
            read back: it is larger than 16,384 bytes, or ``data`` is not JSON. A
            `ValueError`, and a mistake in the program that calls, never in a request.
        AuthServiceUnavailable: The ring has no key to sign with any more.
    """
    taken = _OURS.intersection(data)
    if taken:
        raise ConfigurationError(
            f"data must not hold {', '.join(sorted(taken))}: these are made here; use "
            "expires_delta, issuer and audience."
        )
    subject = data.get("sub")
    if not isinstance(subject, str) or not subject:
        raise ConfigurationError("data needs a 'sub', a non-empty string: the user's id.")
    if issuer == "" or (audience is not None and not all((audience, *audience))):
        raise ConfigurationError("issuer and audience are not empty; write None for none.")
    lifetime = (DEFAULT_LIFETIME if expires_delta is None else expires_delta).total_seconds()
    if lifetime < 1:
        raise ConfigurationError("expires_delta must be at least one second.")
    now = math.floor(clock())
    claims = {
        **data,
        "iat": now,
        "exp": now + math.floor(lifetime),
        "jti": secrets.token_urlsafe(_JTI_BYTES),
    }
    if issuer is not None:
        claims["iss"] = issuer
    if audience is not None:
        claims["aud"] = audience if isinstance(audience, str) else list(audience)
    try:
        token = _jose.sign(claims, keys.current, typ=TYPE)
        _jose.parse(token)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"data is not JSON ({type(error).__name__}).") from None
    except InvalidToken as error:
        raise ConfigurationError(f"The token would not be readable: {error.hint}.") from None
    return token


def get_jwt_payload(
    token: str,
    *,
    keys: KeyRing,
    issuer: str | None = None,
    audience: str | Sequence[str] | None = None,
    clock: Clock = time.time,
) -> TokenPayload:
    """Return the claims of a token that `create_access_token` made with the same arguments.

    Neither revocation nor the user is looked at; `LocalVerifier` does that.

    Args:
        token: The token.
        keys: The ring that signed it.
        issuer: Its ``iss``; ``None``: it must have none.
        audience: One of its ``aud``; ``None``: it must have none.
        clock: Seconds since the epoch.

    Raises:
        InvalidToken: It is none, or has expired.
    """
    policy = ClaimsPolicy(audience=audience, issuer=issuer, required=REQUIRED, token_types=(TYPE,))
    unverified = check_signature(token, keys.key_set, policy)
    claims = unverified.claims
    policy.check_claims(claims, now=clock())
    for name, configured in (("iss", issuer), ("aud", audience)):
        if configured is None and name in claims:
            hint = f"the token has an {name}, and none is expected: name it to the call"
            raise InvalidClaim(name, None, claims[name], hint, reason=_REASONS[name])
    return payload_of(claims)


def payload_of(claims: Mapping[str, Any]) -> TokenPayload:
    """Return checked claims as a payload.

    Raises:
        InvalidToken: A claim is not of the type that our own tokens have.
    """
    from tokenward.schemas import TokenPayload  # noqa: PLC0415 - pydantic, on the first use only

    try:
        return TokenPayload.model_validate(thaw(claims))
    except ValueError:
        hint = "a claim is not of the type that our own tokens have"
    raise InvalidToken(hint, reason="malformed")


def check_signature(token: object, key_set: KeySet, policy: ClaimsPolicy) -> Unverified:
    """Return what a token says once its form, its type and its signature are good.

    Raises:
        InvalidToken: One of them is not.
    """
    unverified = _jose.parse(token, algorithms=_jose.ASYMMETRIC)
    policy.check_type(unverified.header, unverified.claims)
    _jose.verify(unverified, key_set, algorithms=_jose.ASYMMETRIC)
    return unverified
