"""A check before it is known how it went, and what there is to show of a token."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenward import _jose, _json
from tokenward._log import shown
from tokenward.claims import CLIENT_CLAIMS
from tokenward.errors import AuthError, AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier

_TIMES = ("exp", "nbf", "iat")
_HEADER, _PAYLOAD = 0, 1


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


def verdict_of(verifier: TokenVerifier, token: str, *, live: bool = False) -> Principal | AuthError:
    """Return what a verifier says of a token; a refusal, too, is an answer."""
    try:
        return verifier.verify(token, live=live)
    except AuthError as error:
        return error


def outage(verdict: Principal | AuthError) -> tuple[str, ...]:
    """Return the reason why nobody could decide, if nobody could."""
    return (verdict.reason,) if isinstance(verdict, AuthServiceUnavailable) else ()


def claim_steps(
    claims: Mapping[str, Any],
    leeway: float,
    required: Sequence[str],
    issuer: Sequence[str] | None,
    audience: Sequence[str] | None,
    *,
    clients: Sequence[str] = (),
) -> list[Step]:
    """Return the checks of `ClaimsPolicy.check_registered` in its order."""
    ahead, past = f"a time ahead (leeway {leeway:g} s)", f"no time ahead (leeway {leeway:g} s)"
    missing = [name for name in required if claims.get(name) is None]
    present = f"without {', '.join(missing)}" if missing else "all there"
    return [
        Step("exp", {"expired"}, ahead, value(claims, "exp")),
        Step("nbf", {"not_yet_valid"}, past, value(claims, "nbf")),
        Step("iat", {"issued_in_future"}, past, value(claims, "iat")),
        Step("iss", {"unknown_issuer"}, _any_of(issuer), value(claims, "iss")),
        Step("aud", {"audience_mismatch"}, _any_of(audience), value(claims, "aud")),
        *([_client_step(claims, clients)] if clients else []),
        Step("required", {"claim_missing"}, ", ".join(required) or "nothing", present),
        Step("cnf", {"sender_constrained"}, "absent", value(claims, "cnf")),
    ]


def _client_step(claims: Mapping[str, Any], clients: Sequence[str]) -> Step:
    name = next((name for name in CLIENT_CLAIMS if claims.get(name)), "client_id")
    return Step("client_id", {"client_mismatch"}, _any_of(clients), value(claims, name))


def subject_step(claims: Mapping[str, Any]) -> Step:
    """Return the check that a token speaks for somebody."""
    return Step("subject", {"no_subject"}, "somebody", value(claims, "sub"))


def header_in(token: str) -> Mapping[str, Any]:
    """Return the header of a JWT as it says, whoever says it; nothing of what is none."""
    return _read(token, _HEADER)


def claims_in(token: str) -> Mapping[str, Any]:
    """Return the claims of a JWT as it says, whoever says it; nothing of what is none."""
    return _read(token, _PAYLOAD)


def _read(token: str, segment: int) -> Mapping[str, Any]:
    segments = token.split(".", 3)
    if len(segments) != 3:
        return {}
    try:
        return _json.loads(_jose.decode(segments[segment].encode("ascii")))
    except ValueError:
        return {}


def value(claims: Mapping[str, Any], name: str) -> str:
    """Return what a claim says, escaped and cut; a time, also as it is from now."""
    said = claims.get(name)
    if said is None:
        return "absent"
    if name in _TIMES and type(said) in (int, float):
        apart = said - time.time()
        return f"{shown(said)} ({_seconds(abs(apart))} {'ahead' if apart > 0 else 'ago'})"
    return shown(list(said) if isinstance(said, tuple) else said)


def size(token: str) -> str:
    """Return how long a token is."""
    return f"{len(token)} characters"


def characters(token: str) -> str:
    """Return how long a token is, and what is among its characters that should not be."""
    if " " in token:
        return f"{size(token)}, among them a space"
    if not all("!" <= character <= "~" for character in token):
        return f"{size(token)}, among them one that is not visible ASCII"
    return size(token)


def form(token: str) -> str:
    """Return how long a token is, and of how many segments."""
    segments = token.count(".") + 1
    return f"{size(token)} in {segments} segment{'s' if segments > 1 else ''}"


def _any_of(names: Sequence[str] | None) -> str:
    return "any" if names is None else " or ".join(repr(name) for name in names)


def _seconds(apart: float) -> str:
    return f"{apart:.0f} s" if apart < 1e9 else "very long"
