"""Several entries of ``credentials`` that read one place in the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenward.config.settings import IntrospectionEntry
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.config.settings import CredentialEntry
    from tokenward.protocols import TokenVerifier

_MAX_TOKEN_BYTES = 16_384
"""What an entry without a bound of its own counts as."""


@dataclass(frozen=True, slots=True)
class Made:
    """An entry, and what was made of it.

    Attributes:
        at: Where the entry stands in ``credentials``.
        entry: The entry.
        verifier: What decides about its tokens.
        issuer: Whose tokens; ``None``: anybody's.
    """

    at: int
    entry: CredentialEntry
    verifier: TokenVerifier
    issuer: str | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"credentials[{self.at}] ({self.entry.type!r})"

    @property
    def people_of(self) -> str | None:
        """The issuer of whom its tokens name without an issuer; ``None``: nobody knows."""
        name = getattr(self.verifier, "issuer", None) if self.issuer is None else self.issuer
        return name if isinstance(name, str) else None


def joined(place: str, made: Sequence[Made]) -> TokenVerifier:
    """Return the verifier of all entries that read one place.

    Alone, an entry takes whatever is presented there. Several are told apart by their issuers; one
    of type ``introspection`` takes what is not a JWT.

    Raises:
        ConfigurationError: Two of them cannot be told apart.
    """
    if len(made) == 1:
        return made[0].verifier
    # Only who takes tokens of several reads in them whose they are.
    from tokenward.by_issuer import ByIssuer  # noqa: PLC0415

    by_issuer: dict[str, Made] = {}
    asked: Made | None = None
    for one in made:
        if isinstance(one.entry, IntrospectionEntry):
            if asked is not None:
                raise ConfigurationError(_two_asked(place, asked, one))
            asked = one
        elif one.issuer is None:
            other = next(another for another in made if another is not one)
            raise ConfigurationError(_for_anybody(place, one, other))
        if one.issuer is not None:
            other = by_issuer.setdefault(one.issuer, one)
            if other is not one:
                raise ConfigurationError(_of_one_issuer(place, other, one))
    return ByIssuer(
        {issuer: one.verifier for issuer, one in by_issuer.items()},
        otherwise=None if asked is None else asked.verifier,
        # None is refused here that its own entry would take.
        max_token_bytes=max(
            getattr(one.entry, "max_token_bytes", _MAX_TOKEN_BYTES) for one in made
        ),
    )


def _two_asked(place: str, one: Made, other: Made) -> str:
    return (
        f"{one.name} and {other.name} both read {place!r}, and opaque tokens do not say which "
        "server they are of: give one of them another 'source'"
    )


def _for_anybody(place: str, one: Made, other: Made) -> str:
    return (
        f"{one.name} takes tokens of any issuer, and {other.name} reads {place!r} too: write the "
        f"'issuer' of credentials[{one.at}], or give one of them another 'source'"
    )


def _of_one_issuer(place: str, one: Made, other: Made) -> str:
    types = {one.entry.type, other.entry.type}
    advice = "keep one, or give one of them another 'source'"
    if types == {"jwks", "introspection"}:
        keys, server = (one, other) if one.entry.type == "jwks" else (other, one)
        advice = (
            f"write what credentials[{server.at}] says as the 'live' of credentials[{keys.at}], "
            "which is asked where a view wants live=True; or give one of them another 'source'"
        )
    elif types == {"cloudflare"}:
        advice = "write both audiences as a list in one of them"
    return (
        f"{one.name} and {other.name} both read {place!r} and take tokens of the issuer "
        f"{one.issuer!r}: {advice}"
    )
