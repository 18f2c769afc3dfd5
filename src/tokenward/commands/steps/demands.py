"""What a verifier of signed tokens was configured to demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenward.claims import ClaimsPolicy
from tokenward.config.settings import SharedSecretEntry
from tokenward.errors import InvalidToken

if TYPE_CHECKING:
    from tokenward.config.settings import CloudflareEntry, JWKSEntry


@dataclass(frozen=True, slots=True)
class Demands:
    """What a verifier of signed tokens was configured to demand; see `JWKSVerifier`."""

    algorithms: tuple[str, ...]
    audience: tuple[str, ...] | None
    issuer: str | None
    leeway: float
    required: tuple[str, ...]
    max_token_bytes: int
    token_types: tuple[str, ...] | None = None
    accept_id_tokens: bool = False
    clients: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: JWKSEntry | SharedSecretEntry) -> Demands:
        """Return those of an entry of ``credentials``."""
        if isinstance(entry, SharedSecretEntry):
            algorithms: tuple[str, ...] = (entry.algorithm,)
        else:
            algorithms = entry.algorithms
        return cls(
            algorithms=algorithms,
            audience=entry.audience,
            issuer=entry.issuer,
            leeway=entry.leeway,
            required=entry.required,
            max_token_bytes=entry.max_token_bytes,
            token_types=entry.token_types,
            accept_id_tokens=entry.accept_id_tokens,
            clients=entry.clients,
        )

    @classmethod
    def of_team(cls, entry: CloudflareEntry) -> Demands:
        """Return those of a Cloudflare entry."""
        return cls(
            algorithms=entry.algorithms,
            audience=entry.audience,
            issuer=entry.issuer,
            leeway=entry.leeway,
            required=("exp",),
            max_token_bytes=entry.max_token_bytes,
        )

    @property
    def types(self) -> str:
        """What a header's ``typ`` may be."""
        return (
            "JWT, at+jwt, or absent" if self.token_types is None else " or ".join(self.token_types)
        )

    def admit(self, header: Mapping[str, Any]) -> bool:
        """Tell whether a ``typ`` is one of those."""
        policy = ClaimsPolicy(audience=None, token_types=self.token_types)
        try:
            policy.check_type(header, {})
        except InvalidToken:
            return False
        return True
