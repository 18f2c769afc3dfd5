"""The checks that each kind of verifier makes, in its order, with what there is to show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenward import _jose
from tokenward._log import shown
from tokenward.errors import AuthError, AuthServiceUnavailable, InvalidToken

if TYPE_CHECKING:
    from tokenward.config.settings import IntrospectionEntry, ServiceSection
    from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier

_TIMES = ("exp", "nbf", "iat")


@dataclass(frozen=True, slots=True)
class Step:
    """A check before it is known how it went.

    ``reasons`` are those of the errors it raises. ``got`` is ``None`` where there is nothing to
    show beside what the error says.
    """

    name: str
    reasons: Iterable[str]
    expected: str
    got: str | None = None


def of_introspection(
    decides: TokenVerifier, verifier: IntrospectionVerifier, entry: IntrospectionEntry, token: str
) -> tuple[list[Step], Principal | AuthError]:
    """Verify ``token``; return the checks that are made, and the verdict.

    Args:
        decides: The verifier, or what stands before it.
        verifier: Asks the server, once; what its client is told is kept from now on.
        entry: What the verifier was made of.
        token: The token.
    """
    said = _overheard(verifier.client)
    verdict: Principal | AuthError
    try:
        verdict = decides.verify(token, live=True)
    except AuthError as error:
        verdict = error
    claims = said[-1] if said else {}
    answer = "an answer as in RFC 7662"
    if entry.signed_response_alg is not None:
        answer += f", signed as in RFC 9701 ({', '.join(entry.signed_response_alg)})"
    limit = entry.max_token_bytes
    steps = [
        Step("syntax", {"malformed"}, f"1 to {limit} visible ASCII characters", _size(token)),
        Step("call", {"unsupported_token_type", *_outage(verdict)}, answer),
        Step("active", {"inactive"}, "true", _value(claims, "active")),
        Step("token_type", {"wrong_type"}, "Bearer, or absent", _value(claims, "token_type")),
        *_claim_steps(claims, entry.leeway, entry.required, entry.issuer, entry.audience),
    ]
    return steps, verdict


def _overheard(client: IntrospectionClient) -> list[Mapping[str, Any]]:
    """Return a list to which everything is added that the server says to ``client``."""
    said: list[Mapping[str, Any]] = []
    ask = client.ask

    def overheard(token: str, /) -> Any:
        answer = ask(token)
        said.append(answer.claims)
        return answer

    # A refusal does not carry the claims, and to ask for them again might bring others.
    client.ask = overheard  # type: ignore[method-assign]
    return said


def of_own_token(
    verifier: TokenVerifier,
    section: ServiceSection,
    token: str,
    *,
    kids: Sequence[str],
    leeway: float,
) -> tuple[list[Step], Principal | AuthError]:
    """Verify ``token``; return the checks that are made, and the verdict.

    What there is to show is read from the token as `LocalVerifier` reads it, whoever signed it.
    """
    verdict: Principal | AuthError
    try:
        verdict = verifier.verify(token)
    except AuthError as error:
        verdict = error
    header: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    try:
        unverified = _jose.parse(token, algorithms=_jose.ASYMMETRIC)
    except InvalidToken:
        pass
    else:
        header, claims = unverified.header, unverified.claims
    allowed = f"one of {', '.join(sorted(_jose.ASYMMETRIC))}"
    limit = _jose.MAX_TOKEN_BYTES
    steps = [
        Step("syntax", {"malformed", "too_large"}, f"a JWT of up to {limit} bytes", _size(token)),
        Step("alg", {"algorithm"}, allowed, _value(header, "alg")),
        Step("crit", {"critical_header"}, "absent", _value(header, "crit")),
        Step("typ", {"wrong_type"}, "at+jwt", _value(header, "typ")),
        Step("kid", {"unknown_key", "ambiguous_key"}, " or ".join(kids), _value(header, "kid")),
        Step("signature", {"bad_signature"}, "that key's, over this content"),
        *_claim_steps(
            claims, leeway, ("exp", "iat", "jti", "sub"), section.issuer, (section.audience,)
        ),
        Step("jti", (), "a string", _value(claims, "jti")),
        Step(
            "state",
            {"revoked", "user_not_found", "user_inactive", *_outage(verdict)},
            "not revoked, and its user there, active and not past it",
        ),
    ]
    return steps, verdict


def _outage(verdict: Principal | AuthError) -> tuple[str, ...]:
    return (verdict.reason,) if isinstance(verdict, AuthServiceUnavailable) else ()


def _claim_steps(
    claims: Mapping[str, Any],
    leeway: float,
    required: Sequence[str],
    issuer: str | None,
    audience: Sequence[str] | None,
) -> list[Step]:
    """Return the checks of `ClaimsPolicy` in its order."""
    ahead, past = f"a time ahead (leeway {leeway:g} s)", f"no time ahead (leeway {leeway:g} s)"
    audiences = "any" if audience is None else " or ".join(repr(a) for a in audience)
    missing = [name for name in required if claims.get(name) is None]
    present = f"without {', '.join(missing)}" if missing else "all there"
    return [
        Step("exp", {"expired"}, ahead, _value(claims, "exp")),
        Step("nbf", {"not_yet_valid"}, past, _value(claims, "nbf")),
        Step("iat", {"issued_in_future"}, past, _value(claims, "iat")),
        Step("required", {"claim_missing"}, ", ".join(required) or "nothing", present),
        Step("iss", {"unknown_issuer"}, repr(issuer) if issuer else "any", _value(claims, "iss")),
        Step("aud", {"audience_mismatch"}, audiences, _value(claims, "aud")),
        Step("cnf", {"sender_constrained"}, "absent", _value(claims, "cnf")),
        Step("subject", {"no_subject"}, "somebody", _value(claims, "sub")),
    ]


def _value(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return "absent"
    if name in _TIMES and type(value) in (int, float):
        apart = value - time.time()
        return f"{shown(value)} ({_seconds(abs(apart))} {'ahead' if apart > 0 else 'ago'})"
    return shown(list(value) if isinstance(value, tuple) else value)


def _seconds(apart: float) -> str:
    return f"{apart:.0f} s" if apart < 1e9 else "very long"


def _size(token: str) -> str:
    return f"{len(token)} characters"
