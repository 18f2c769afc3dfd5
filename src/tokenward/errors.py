"""Every error tokenward raises.

.. code-block:: text

    AuthError                        401  unauthorized             the safe default
    ├─ NotAuthenticated              401  not_authenticated        nothing was presented
    ├─ InvalidCredentials            401  invalid_credentials      login
    ├─ InvalidRequest                400  invalid_request          validation
    │  └─ InvalidAuthorizationHeader 400  invalid_request          "Bearer", malformed or doubled
    ├─ PayloadTooLarge               413  payload_too_large
    ├─ UnsupportedMediaType          415  unsupported_media_type
    ├─ Forbidden                     403  forbidden
    │  ├─ RegistrationClosed         403  registration_closed
    │  └─ CrossSiteRequest           403  cross_site_request
    ├─ InvalidToken                  401  invalid_token
    │  ├─ TokenExpired
    │  ├─ TokenRevoked
    │  ├─ InvalidSignature
    │  ├─ UserNotFound
    │  └─ InvalidClaim
    ├─ InsufficientScope             403  insufficient_scope
    ├─ UserAlreadyExists             409  user_already_exists
    ├─ TooManyAttempts               429  too_many_attempts
    ├─ OAuthError                    400  invalid_request          RFC 6749, section 5.2
    │  ├─ InvalidClient              401  invalid_client
    │  ├─ InvalidGrant               400  invalid_grant
    │  ├─ InvalidScope               400  invalid_scope
    │  ├─ InvalidTarget              400  invalid_target           RFC 8707, section 2
    │  ├─ UnsupportedGrantType       400  unsupported_grant_type
    │  └─ UnauthorizedClient         400  unauthorized_client
    └─ AuthServiceUnavailable        503  temporarily_unavailable  never a verdict, never cached
    ConfigurationError (ValueError)                                stops start-up; never a response

An error says four things. ``error`` and ``description`` go to the caller and never hold anything
that came from outside; ``reason`` is a stable slug to count and branch on; ``hint`` is for the
operator's log: what was expected, what came, what to do. A refusal by Cloudflare Access has a
``detail`` too, which is sent beside the two.
"""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_SHOWN = 200


class AuthError(Exception):
    """The root of all refusals and outages.

    Args:
        hint: For logs and ``verify --explain``: what was expected, what came, what to do.
        reason: A stable slug that is finer than ``error``; the class has a default.

    Attributes:
        detail: A further fixed text for the caller, in the member ``detail`` of the answer.
    """

    status_code: int = 401
    error: str = "unauthorized"
    description: str = "The request is not authorized."
    reason: str = "unauthorized"
    hint: str = ""
    detail: str | None = None

    def __init__(self, hint: str = "", *, reason: str | None = None) -> None:
        super().__init__()
        if hint:
            self.hint = hint
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.description} [{self.reason}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Caches hand out copies. Exception's own way calls __init__ again, without arguments: a
        # subclass of yours whose __init__ needs some would fail there, in another request.
        return copyreg.__newobj__, (type(self),), dict(self.__dict__)  # type: ignore[attr-defined]


class NotAuthenticated(AuthError):
    """Nothing was presented (RFC 6750, section 3.1: a bare challenge without an error code)."""

    error = "not_authenticated"
    description = "Authentication is required."
    reason = "not_authenticated"


class InvalidCredentials(AuthError):
    """A login failed; which half was wrong is never said."""

    error = "invalid_credentials"
    description = "The username or the password is wrong."
    reason = "invalid_credentials"


class InvalidRequest(AuthError):
    """The request cannot be understood.

    Args:
        fields: What is wrong, by field name; sent to the caller, so never an input value.
        hint: See `AuthError`.
        reason: See `AuthError`.
    """

    status_code = 400
    error = "invalid_request"
    description = "The request is malformed."
    reason = "invalid_request"

    def __init__(
        self, fields: Mapping[str, str] | None = None, hint: str = "", *, reason: str | None = None
    ) -> None:
        super().__init__(hint, reason=reason)
        self.fields: dict[str, str] = dict(fields or {})


class InvalidAuthorizationHeader(InvalidRequest):
    """``Bearer``, but malformed, doubled or presented in two ways (RFC 6750, section 3.1)."""

    description = "The Authorization header is malformed, or the token was sent more than once."
    reason = "malformed_authorization"


class PayloadTooLarge(AuthError):
    """The body is larger than the endpoint reads."""

    status_code = 413
    error = "payload_too_large"
    description = "The request body is too large."
    reason = "payload_too_large"


class UnsupportedMediaType(AuthError):
    """The body has a content type that the endpoint does not read."""

    status_code = 415
    error = "unsupported_media_type"
    description = "The request body has a content type that is not accepted here."
    reason = "unsupported_media_type"


class Forbidden(AuthError):
    """Refused whoever asks; another token would not help, so there is no challenge."""

    status_code = 403
    error = "forbidden"
    description = "The request is not allowed."
    reason = "forbidden"


class RegistrationClosed(Forbidden):
    """The service does not let people register themselves."""

    error = "registration_closed"
    description = "Registration is closed."
    reason = "registration_closed"


class CrossSiteRequest(Forbidden):
    """An ambient credential came with an unsafe request from another site."""

    error = "cross_site_request"
    description = "The request comes from another site."
    reason = "cross_site_request"


class InvalidToken(AuthError):
    """The token is refused (RFC 6750, section 3.1)."""

    error = "invalid_token"
    description = "The access token is invalid."
    reason = "invalid_token"


class TokenExpired(InvalidToken):
    """The token's ``exp`` has passed."""

    description = "The access token has expired."
    reason = "expired"


class TokenRevoked(InvalidToken):
    """The token was revoked by its issuer, or by a logout."""

    description = "The access token has been revoked."
    reason = "revoked"


class InvalidSignature(InvalidToken):
    """The signature does not belong to the content and the key."""

    reason = "bad_signature"


class UserNotFound(InvalidToken):
    """The user a token speaks for is gone or not active."""

    reason = "user_not_found"


class InvalidClaim(InvalidToken):
    """A claim is missing or is not what the policy demands.

    Args:
        claim: The claim's name.
        expected: What the policy demands. An attribute for programs, never sent.
        actual: What came. An attribute for programs, never sent, never logged.
        hint: See `AuthError`; by default what the claim is and what is expected of it.
        reason: See `AuthError`.
    """

    reason = "invalid_claim"

    def __init__(
        self,
        claim: str = "",
        expected: object = None,
        actual: object = None,
        hint: str = "",
        *,
        reason: str | None = None,
    ) -> None:
        if claim and not hint:
            hint = f"the claim {claim!r} is not what is expected"
            hint += "" if expected is None else f": {expected!r}"[:_SHOWN]
        super().__init__(hint, reason=reason)
        self.claim = claim
        self.expected = expected
        self.actual = actual


class InsufficientScope(AuthError):
    """The token is good, but does not grant enough (RFC 6750, section 3.1).

    Args:
        required: The scopes that would do; sent in the challenge's ``scope``.
        hint: See `AuthError`.
        reason: See `AuthError`.
    """

    status_code = 403
    error = "insufficient_scope"
    description = "The access token does not grant what this request needs."
    reason = "insufficient_scope"

    def __init__(
        self, required: Iterable[str] = (), hint: str = "", *, reason: str | None = None
    ) -> None:
        super().__init__(hint, reason=reason)
        self.required: tuple[str, ...] = tuple(required)


class UserAlreadyExists(AuthError):
    """The username or the e-mail address is taken; which one is never said."""

    status_code = 409
    error = "user_already_exists"
    description = "The username or the e-mail address is taken."
    reason = "user_already_exists"


class TooManyAttempts(AuthError):
    """Slow down.

    Args:
        retry_after: Seconds until another attempt is looked at.
        hint: See `AuthError`.
    """

    status_code = 429
    error = "too_many_attempts"
    description = "Too many attempts; try again later."
    reason = "too_many_attempts"

    def __init__(self, retry_after: float = 1, hint: str = "") -> None:
        super().__init__(hint)
        self.retry_after = retry_after


class OAuthError(AuthError):
    """An OAuth endpoint's refusal (RFC 6749, section 5.2).

    Args:
        hint: See `AuthError`.
        reason: See `AuthError`.
        description: Instead of the class's: a fixed text, sent to the caller.
    """

    status_code = 400
    error = "invalid_request"
    description = "The request is malformed."
    reason = "invalid_request"

    def __init__(
        self, hint: str = "", *, reason: str | None = None, description: str | None = None
    ) -> None:
        super().__init__(hint, reason=reason)
        if description is not None:
            self.description = description


class InvalidClient(OAuthError):
    """Client authentication failed; answered with a ``Basic`` challenge."""

    status_code = 401
    error = "invalid_client"
    description = "Client authentication failed."
    reason = "invalid_client"


class InvalidGrant(OAuthError):
    """The grant or refresh token is invalid, expired, revoked or another client's."""

    error = "invalid_grant"
    description = "The grant is invalid, expired or revoked."
    reason = "invalid_grant"


class InvalidScope(OAuthError):
    """The requested scope is unknown, malformed or more than was granted."""

    error = "invalid_scope"
    description = "The requested scope is not allowed."
    reason = "invalid_scope"


class InvalidTarget(OAuthError):
    """The token is asked for somebody whom it may not be for (RFC 8707, section 2)."""

    error = "invalid_target"
    description = "The requested resource or audience is not allowed."
    reason = "invalid_target"


class UnsupportedGrantType(OAuthError):
    """The authorization server does not support this ``grant_type``."""

    error = "unsupported_grant_type"
    description = "The grant type is not supported."
    reason = "unsupported_grant_type"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type."""

    error = "unauthorized_client"
    description = "The client may not use this grant type."
    reason = "unauthorized_client"


class AuthServiceUnavailable(AuthError):
    """Nobody could decide: the authorization server, a key set or a store cannot be asked.

    Args:
        hint: See `AuthError`.
        reason: See `AuthError`.
        retry_after: Seconds after which asking again makes sense.
    """

    status_code = 503
    error = "temporarily_unavailable"
    description = "The token cannot be checked right now; try again later."
    reason = "unavailable"

    def __init__(
        self, hint: str = "", *, reason: str | None = None, retry_after: float = 1
    ) -> None:
        super().__init__(hint, reason=reason)
        self.retry_after = retry_after


class ConfigurationError(ValueError):
    """The set-up is wrong; the message says what to change. Never turned into a response."""
