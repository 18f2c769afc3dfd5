"""Which of the configured credentials a token belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenward.by_issuer import ByIssuer
from tokenward.commands.steps import claims_in
from tokenward.config import Shared, build_authenticator, build_service
from tokenward.config.settings import IntrospectionEntry, LocalEntry
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.config.settings import CredentialEntry
    from tokenward.protocols import TokenVerifier
    from tokenward.service import AuthService


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a request where tokens are read, and what decides about them there.

    Attributes:
        verifier: Decides.
        entries: What it was made of.
        service: Whose tokens a ``local`` entry takes.
        several: Whether other entries read another place.
    """

    verifier: TokenVerifier
    entries: tuple[CredentialEntry, ...]
    service: AuthService | None
    several: bool

    @property
    def issuers(self) -> list[str | None]:
        """Whose tokens each of the entries takes; ``None``: anybody's."""
        return [_issuer_of(entry, self.service) for entry in self.entries]

    def decider(self, token: str) -> tuple[TokenVerifier, CredentialEntry]:
        """Return what decides about ``token``, and the entry that it was made of.

        Raises:
            InvalidToken: Its issuer is none of those that are registered here.
        """
        if not isinstance(self.verifier, ByIssuer):
            return self.verifier, self.entries[0]
        verifier = self.verifier.verifier_for(token)
        if verifier is self.verifier.otherwise:
            asking = (e for e in self.entries if isinstance(e, IntrospectionEntry))
            return verifier, next(asking)
        return verifier, self.entries[self.issuers.index(claims_in(token).get("iss"))]


def place_of(settings: Settings, token: str) -> Place:
    """Return the place where ``token`` would be read: the first one, or that of its issuer.

    It is the first one unless its entries name their issuers, and the token's is named elsewhere.

    Raises:
        ConfigurationError: There is nothing to verify a token with, or it cannot be built.
    """
    if not settings.credentials and settings.service is None:
        raise ConfigurationError(
            "The configuration has neither credentials nor a section 'service', so there is "
            "nothing to verify a token with."
        )
    described = settings.credentials or (LocalEntry(type="local"),)
    # Alone: whoever asks why wants the issuer's word, and what a shared cache holds may be older.
    shared = Shared()
    local = any(isinstance(entry, LocalEntry) for entry in described)
    service = build_service(settings, shared=shared) if local else None
    made = build_authenticator(settings, service=service, shared=shared)
    entries = _entries(described, service, token)
    place = _written(entries[0])
    verifier = next(c.verifier for c in made.credentials if c.source.place == place)
    return Place(verifier, entries, service, several=len(set(map(_written, described))) > 1)


def _entries(
    described: Sequence[CredentialEntry], service: AuthService | None, token: str
) -> tuple[CredentialEntry, ...]:
    places: dict[str, list[CredentialEntry]] = {}
    for entry in described:
        places.setdefault(_written(entry), []).append(entry)
    first, *others = places.values()
    said = claims_in(token).get("iss")
    for entries in (first, *others):
        named = [_issuer_of(entry, service) for entry in entries]
        if said in named or (entries is first and None in named):
            return tuple(entries)
    return tuple(first)


def _written(entry: CredentialEntry) -> str:
    # Header names are compared in any case, cookie names are not.
    return entry.source.lower() if entry.source.startswith("header:") else entry.source


def _issuer_of(entry: CredentialEntry, service: AuthService | None) -> str | None:
    if isinstance(entry, LocalEntry):
        return None if service is None else service.issuer
    return entry.issuer
