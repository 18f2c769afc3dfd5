"""What an introspection endpoint replied: an answer to the question, or something else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenward import _json
from tokenward._http import (
    JSON,
    is_odd_json,
    json_object,
    media_type,
    report_unreadable,
    retry_in,
)
from tokenward._log import OncePerMinute
from tokenward.errors import AuthError, AuthServiceUnavailable, InvalidToken

if TYPE_CHECKING:
    from tokenward.introspection.signed import SignedAnswers
    from tokenward.protocols import Response, Transport

CLIENT_REFUSED_BACK_OFF = 5.0
"""Seconds without a call after the server refused *our* credentials."""

# Of RFC 6749, sections 4.1.2.1 and 5.2, and RFC 7009. No other is repeated: some servers say in its
# place what they make of the token, and quote it.
_CODES = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_token",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
    }
)

_logger = logging.getLogger("tokenward.introspection")
_seldom = OncePerMinute(_logger)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: the claims, and whether the answer may be stored."""

    claims: Mapping[str, Any]
    storable: bool


def shown_url(url: str) -> str:
    """Return a URL without its query, which may hold a key: hints and principals go to logs."""
    return url.partition("?")[0]


def refusal(response: Response, url: str) -> AuthError:
    """Return what an answer of another status than 200 means (RFC 7662, section 2.3)."""
    endpoint, status = shown_url(url), response.status
    code = _oauth_error(response)
    hint = f"{endpoint} answered {status} {code}".rstrip()
    # A 400 may say so too (RFC 6749, section 5.2); it counts for this call only, as any other.
    if status in (401, 403) or (status == 400 and code == "invalid_client"):
        _seldom.log(
            logging.ERROR,
            (endpoint, "client_refused"),
            "%s answered %d: it does not accept our client credentials; check client_auth",
            endpoint,
            status,
        )
        return client_refused(hint)
    if status == 400 and code == "unsupported_token_type":
        hint = f"{endpoint} does not introspect tokens of this type (unsupported_token_type)"
        return InvalidToken(hint, reason="unsupported_token_type")
    if 300 <= status < 400:
        hint += " (redirects are not followed: configure the final URL)"
    return AuthServiceUnavailable(
        hint,
        reason="bad_response",
        retry_after=retry_in(response),
    )


def token_refused(response: Response, url: str) -> AuthServiceUnavailable:
    """Return the outage that a 401 or 403 is when the server takes our credentials all the same."""
    hint = (
        f"{shown_url(url)} answered {response.status} to this token and takes our credentials: it,"
        " or something before it, refuses what the token looks like"
    )
    return AuthServiceUnavailable(
        hint, reason="client_refused", retry_after=CLIENT_REFUSED_BACK_OFF
    )


def client_refused(hint: str) -> AuthServiceUnavailable:
    """Return the outage that *our* wrong credentials are."""
    return AuthServiceUnavailable(
        f"{hint}: check client_id, client_secret and the method of client_auth",
        reason="client_refused",
        retry_after=CLIENT_REFUSED_BACK_OFF,
    )


def read_answer(
    response: Response,
    url: str,
    *,
    signed: SignedAnswers | None,
    transport: Transport,
    deadline: float,
) -> Answer:
    """Read an answer of status 200 (RFC 7662, section 2.2; RFC 9701, section 5).

    Args:
        response: The answer.
        url: The endpoint that gave it.
        signed: What reads it, if it has to be signed.
        transport: Told when it is none, so that its breaker can count that; not when claims may
            be all that is wrong with it, which whoever got the token can have chosen.
        deadline: When to give up on the keys of a signed one, on the ``time.monotonic()`` scale.

    Raises:
        AuthServiceUnavailable: It is none, or its signature cannot be checked.
    """

    def unreadable(
        what: str, reason: str = "bad_response", *, counts: bool = True
    ) -> AuthServiceUnavailable:
        if counts:
            report_unreadable(transport, url)
        endpoint = shown_url(url)
        hint = f"{endpoint} answered 200 with {what}"
        if reason == "unsigned_response":
            # Nothing that waiting mends.
            _seldom.log(logging.ERROR, (endpoint, reason), "%s", hint)
        return AuthServiceUnavailable(hint, reason=reason)

    try:
        if signed is None:
            claims: Mapping[str, Any] = json_object(response)
        else:
            unverified = signed.read(response)
    except AuthServiceUnavailable as error:
        odd = _is_odd(response) if signed is None else signed.is_odd(response)
        raise unreadable(error.hint, error.reason, counts=not odd) from None
    if signed is not None:
        try:
            claims = signed.verify(unverified, deadline=deadline)
        except InvalidToken as refused:
            what = f"a JWT that its issuer has not signed: {refused.hint}"
            raise unreadable(what) from None
    active = claims.get("active")
    if active is not True and active is not False:
        # "true", 1 or a missing member is a server that does not speak RFC 7662, not a verdict.
        raise unreadable("no JSON true or false as the member active")
    return Answer(claims, "no-store" not in response.headers.get("cache-control", "").lower())


def _is_odd(response: Response) -> bool:
    return media_type(response) == JSON and is_odd_json(response.body)


def _oauth_error(response: Response) -> str:
    try:
        code = _json.loads(response.body).get("error")
    except _json.JSONError:
        return ""
    return code if isinstance(code, str) and code in _CODES else ""
