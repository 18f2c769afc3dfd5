"""The checks of a verifier that asks an introspection endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenward.commands.steps.step import (
    Step,
    characters,
    claim_steps,
    outage,
    subject_step,
    value,
    verdict_of,
)

if TYPE_CHECKING:
    from tokenward.config.settings import IntrospectionEntry
    from tokenward.errors import AuthError
    from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier


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
    verdict = verdict_of(decides, token, live=True)
    claims = said[-1] if said else {}
    answer = "an answer as in RFC 7662"
    if entry.signed_response_alg is not None:
        answer += f", signed as in RFC 9701 ({', '.join(entry.signed_response_alg)})"
    limit = entry.max_token_bytes
    issuer = None if entry.issuer is None else (entry.issuer,)
    steps = [
        Step("syntax", {"malformed"}, f"1 to {limit} visible ASCII characters", characters(token)),
        Step("call", {"unsupported_token_type", *outage(verdict)}, answer),
        Step("active", {"inactive"}, "true", value(claims, "active")),
        Step("token_type", {"wrong_type"}, "Bearer, or absent", value(claims, "token_type")),
        *claim_steps(claims, entry.leeway, entry.required, issuer, entry.audience),
        subject_step(claims),
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
