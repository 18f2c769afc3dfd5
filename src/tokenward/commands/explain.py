"""Why a token is accepted or refused, check by check.

The verifier itself decides; here its verdict is only laid out. A verifier makes its checks in a
fixed order and stops at the first that fails, and the error's ``reason`` says which that was: the
checks before it passed, those after it were not made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.commands import steps
from tokenward.commands.setup import service_section
from tokenward.config import Shared, build_authenticator, build_service
from tokenward.config.settings import IntrospectionEntry, LocalEntry
from tokenward.errors import AuthError, ConfigurationError, InvalidClaim
from tokenward.introspection import IntrospectionVerifier

if TYPE_CHECKING:
    from tokenward.commands.steps import Step
    from tokenward.config import Settings
    from tokenward.config.settings import CredentialEntry
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier
    from tokenward.service import AuthService

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
    """

    verifier: str
    checks: tuple[Check, ...]
    verdict: Principal | AuthError


def verify(settings: Settings, token: str) -> Principal:
    """Return who a token speaks for, by the first configured credential.

    A configuration that has only a ``service`` section verifies that service's own tokens.

    Raises:
        AuthError: The token is refused, or nobody could decide.
        ConfigurationError: There is nothing to verify a token with, or it cannot be built.
    """
    return _verifier(settings, _service(settings)).verify(token)


def explain(settings: Settings, token: str) -> Explanation:
    """Verify a token as `verify` does, and say how each check went.

    An ``introspection`` endpoint is asked itself, once; what caches hold is not looked at.

    Raises:
        ConfigurationError: There is nothing to verify a token with, or it cannot be built.
    """
    service = _service(settings)
    verifier = _verifier(settings, service)
    entries = _entries(settings)
    checks: tuple[Check, ...] = ()
    if isinstance(verifier, ByIssuer):
        registered = " or ".join(repr(i) for i in _issuers(entries, service))
        try:
            verifier = verifier.verifier_for(token)
        except AuthError as error:
            refused = Check("route", "failed", f"a token of {registered}", error.hint)
            return Explanation("ByIssuer", (refused,), error)
        checks = (Check("route", "ok", f"a token of {registered}", "one"),)
    asks = verifier.verifier if isinstance(verifier, Unreserved) else verifier
    if isinstance(asks, IntrospectionVerifier):
        entry = next(e for e in entries if isinstance(e, IntrospectionEntry))
        made, verdict = steps.of_introspection(verifier, asks, entry, token)
        endpoint = entry.introspection_endpoint
        where = f"of {entry.issuer}" if endpoint is None else f"at {endpoint.partition('?')[0]}"
        name = f"introspection {where}, asked just now, past all caches"
    else:
        leeway = next((e.leeway for e in entries if isinstance(e, LocalEntry)), 30.0)
        name = "the service's own keys and store"
        made, verdict = steps.of_own_token(
            verifier,
            service_section(settings),
            token,
            kids=() if service is None else service.keys.kids(),
            leeway=leeway,
        )
    return Explanation(name, (*checks, *_judged(made, verdict)), verdict)


def _service(settings: Settings) -> AuthService | None:
    if not settings.credentials and settings.service is None:
        raise ConfigurationError(
            "The configuration has neither credentials nor a section 'service', so there is "
            "nothing to verify a token with."
        )
    local = any(isinstance(e, LocalEntry) for e in settings.credentials)
    # Alone: whoever asks why wants the issuer's word, and what a shared cache holds may be older.
    needed = local or not settings.credentials
    return build_service(settings, shared=Shared()) if needed else None


def _verifier(settings: Settings, service: AuthService | None) -> TokenVerifier:
    made = build_authenticator(settings, service=service, shared=Shared())
    return made.credentials[0].verifier


def _entries(settings: Settings) -> list[CredentialEntry]:
    """Return the entries that read the same place as the first."""
    first = settings.credentials[0].source if settings.credentials else ""
    if first.startswith("header:"):
        return [e for e in settings.credentials if e.source.lower() == first.lower()]
    return [e for e in settings.credentials if e.source == first]


def _issuers(entries: Sequence[CredentialEntry], service: AuthService | None) -> list[str]:
    issuers = [e.issuer for e in entries if isinstance(e, IntrospectionEntry) and e.issuer]
    return issuers if service is None else [service.issuer, *issuers]


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
