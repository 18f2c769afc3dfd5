"""Why a token is accepted or refused, check by check.

The verifier itself decides; here its verdict is only laid out. A verifier makes its checks in a
fixed order and stops at the first that fails, and the error's ``reason`` says which that was: the
checks before it passed, those after it were not made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tokenward.by_issuer import Unreserved
from tokenward.commands import steps
from tokenward.commands.advice import of_presentation, of_refusal
from tokenward.commands.routing import place_of
from tokenward.commands.setup import service_section
from tokenward.config.settings import (
    CloudflareEntry,
    CustomEntry,
    IntrospectionEntry,
    JWKSEntry,
    LocalEntry,
    SharedSecretEntry,
)
from tokenward.errors import AuthError, InvalidClaim
from tokenward.introspection import IntrospectionVerifier
from tokenward.jwks import JWKSVerifier

if TYPE_CHECKING:
    from tokenward.commands.steps import Step
    from tokenward.config import Settings
    from tokenward.config.settings import CredentialEntry
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier
    from tokenward.service import AuthService

_SIGNED = (JWKSEntry, SharedSecretEntry, CloudflareEntry)
Outcome = Literal["ok", "failed", "not made"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a token.

    Attributes:
        name: What is checked: a claim, or a step on the way to the claims.
        outcome: How it went.
        expected: What the configuration demands.
        got: What the token, or the answer about it, says; escaped and cut.
    """

    name: str
    outcome: Outcome
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict, and how it came about.

    Attributes:
        verifier: Who decided.
        checks: In the order in which they are made.
        verdict: Who the token speaks for; or why it is refused, or why nobody could decide.
        advice: What to do about a refusal, beside what its hint says.
    """

    verifier: str
    checks: tuple[Check, ...]
    verdict: Principal | AuthError
    advice: str = ""


def verify(settings: Settings, token: str) -> Principal:
    """Return who a token speaks for, by the configured credential that it belongs to.

    That is one of those at the place in a request where tokens of its issuer are read; of an
    unknown issuer, at the first place. A configuration that has only a ``service`` section verifies
    that service's own tokens.

    Raises:
        AuthError: The token is refused, or nobody could decide.
        ConfigurationError: There is nothing to verify a token with, or it cannot be built.
    """
    return place_of(settings, token).verifier.verify(token)


def explain(settings: Settings, token: str) -> Explanation:
    """Verify a token as `verify` does, and say how each check went.

    An ``introspection`` endpoint is asked itself, once; keys are fetched; what caches hold is not
    looked at.

    Raises:
        ConfigurationError: There is nothing to verify a token with, or it cannot be built.
    """
    place = place_of(settings, token)
    header = steps.header_in(token)
    registered = [repr(issuer) for issuer in place.issuers if issuer is not None]
    expected = f"a token of {' or '.join(registered)}"
    try:
        verifier, entry = place.decider(token)
    except AuthError as error:
        refused = Check("route", "failed", expected, error.hint)
        return Explanation("ByIssuer", (refused,), error, of_refusal(error, token, header))
    routed: tuple[Check, ...] = ()
    if verifier is not place.verifier:
        at = next(n for n, other in enumerate(settings.credentials) if other is entry)
        got = f"one, for credentials[{at}] ({entry.type})"
        routed = (Check("route", "ok", expected, got),)
    name, made, verdict = _examined(verifier, entry, settings, place.service, token)
    if place.several:
        name += f", in {entry.source}"
    advice = ""
    if isinstance(verdict, AuthError):
        signed = isinstance(entry, _SIGNED)
        advice = of_refusal(verdict, token, header) if signed else of_presentation(token)
    return Explanation(name, (*routed, *_judged(made, verdict)), verdict, advice)


_Examined = tuple[str, list["Step"], "Principal | AuthError"]


def _examined(
    verifier: TokenVerifier,
    entry: CredentialEntry,
    settings: Settings,
    service: AuthService | None,
    token: str,
) -> _Examined:
    """Verify ``token`` by one entry; return who decides, the checks and the verdict."""
    asks = verifier.verifier if isinstance(verifier, Unreserved) else verifier
    match entry:
        case IntrospectionEntry() if isinstance(asks, IntrospectionVerifier):
            made, verdict = steps.of_introspection(verifier, asks, entry, token)
            endpoint = entry.introspection_endpoint
            where = f"of {entry.issuer}" if endpoint is None else f"at {endpoint.partition('?')[0]}"
            return f"introspection {where}, past all caches", made, verdict
        case JWKSEntry() | SharedSecretEntry() if isinstance(asks, JWKSVerifier):
            demands = steps.Demands.of(entry)
            made, verdict = steps.of_signed(verifier, asks, demands, token)
            return _of_keys(entry), made, verdict
        case CloudflareEntry():
            made, verdict = steps.of_signed(
                verifier,
                verifier._keys,  # type: ignore[attr-defined]  # noqa: SLF001 - checks signatures
                steps.Demands.of_team(entry),
                token,
                assertion=True,
                groups=entry.groups_as_roles,
            )
            return f"the keys of {entry.issuer}", made, verdict
        case LocalEntry():
            made, verdict = steps.of_own_token(
                verifier,
                service_section(settings),
                token,
                kids=() if service is None else service.keys.kids(),
                leeway=entry.leeway,
            )
            return "the service's own keys and store", made, verdict
    made, verdict = steps.of_another(verifier, token)
    named = entry.factory if isinstance(entry, CustomEntry) else entry.type
    return f"{named}, which keeps its checks to itself", made, verdict


def _of_keys(entry: JWKSEntry | SharedSecretEntry) -> str:
    whose = entry.issuer or "anybody"
    if isinstance(entry, SharedSecretEntry):
        return f"the secret shared with {whose}"
    if entry.jwks is not None:
        return f"the keys in jwks, for tokens of {whose}"
    place = entry.jwks_uri or entry.discovery_url
    where = "found by discovery" if place is None else f"from {place.partition('?')[0]}"
    return f"the keys of {whose}, {where}"


def _judged(made: Sequence[Step], verdict: Principal | AuthError) -> list[Check]:
    if not isinstance(verdict, AuthError):
        return [_passed(step) for step in made]
    failed = _failed(made, verdict)
    if failed is None:
        return [Check(verdict.reason, "failed", "", verdict.hint)]
    at = made.index(failed)
    return [
        *(_passed(step) for step in made[:at]),
        Check(failed.name, "failed", failed.expected, failed.got or verdict.hint),
        *(Check(step.name, "not made", step.expected, "") for step in made[at + 1 :]),
    ]


def _passed(step: Step) -> Check:
    return Check(step.name, "ok", step.expected, "it" if step.got is None else step.got)


def _failed(made: Sequence[Step], error: AuthError) -> Step | None:
    if isinstance(error, InvalidClaim) and error.reason != "claim_missing":
        named = next((step for step in made if step.name == error.claim), None)
        if named is not None:
            return named
    return next((step for step in made if error.reason in step.reasons), None)
