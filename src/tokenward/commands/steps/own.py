"""The checks of the service's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenward import _jose
from tokenward.commands.steps.step import (
    Step,
    claim_steps,
    claims_in,
    form,
    header_in,
    outage,
    subject_step,
    value,
    verdict_of,
)

if TYPE_CHECKING:
    from tokenward.config.settings import ServiceSection
    from tokenward.errors import AuthError
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier


def of_own_token(
    verifier: TokenVerifier,
    section: ServiceSection,
    token: str,
    *,
    kids: Sequence[str],
    leeway: float,
) -> tuple[list[Step], Principal | AuthError]:
    """Verify ``token``; return the checks that are made, and the verdict."""
    verdict = verdict_of(verifier, token)
    header, claims = header_in(token), claims_in(token)
    allowed = f"one of {', '.join(sorted(_jose.ASYMMETRIC))}"
    limit = _jose.MAX_TOKEN_BYTES
    required = ("exp", "iat", "jti", "sub")
    steps = [
        Step("syntax", {"malformed", "too_large"}, f"a JWT of up to {limit} bytes", form(token)),
        Step("alg", {"algorithm"}, allowed, value(header, "alg")),
        Step("crit", {"critical_header"}, "absent", value(header, "crit")),
        Step("typ", {"wrong_type"}, "at+jwt", value(header, "typ")),
        Step("kid", {"unknown_key", "ambiguous_key"}, " or ".join(kids), value(header, "kid")),
        Step("signature", {"bad_signature"}, "that key's, over this content"),
        *claim_steps(claims, leeway, required, (section.issuer,), section.audience),
        subject_step(claims),
        Step("jti", (), "a string", value(claims, "jti")),
        Step(
            "state",
            {"revoked", "user_not_found", "user_inactive", *outage(verdict)},
            "not revoked, and its user there, active and not past it",
        ),
    ]
    return steps, verdict
