"""The one check of a verifier that nobody here knows from inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.commands.steps.step import Step, verdict_of
from tokenward.errors import AuthError

if TYPE_CHECKING:
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier


def of_another(verifier: TokenVerifier, token: str) -> tuple[list[Step], Principal | AuthError]:
    """Verify ``token``; return the one check that can be seen from outside, and the verdict."""
    verdict = verdict_of(verifier, token)
    reasons = (verdict.reason,) if isinstance(verdict, AuthError) else ()
    return [Step("verify", reasons, "a principal")], verdict
