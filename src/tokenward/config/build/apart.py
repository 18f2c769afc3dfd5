"""The people of one entry of ``credentials`` are not those of another."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tokenward.config.settings import CustomEntry, IntrospectionEntry, JWKSEntry
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.config.build.joined import Made
    from tokenward.config.settings import Settings


def kept_apart(settings: Settings, made: Sequence[Made]) -> list[Made]:
    """Return the entries, none of which can make anybody of another's or of a login's.

    Where nothing configured says whose tokens an entry takes, they may name any issuer but those
    that are configured, and those that stand for the issuer of another entry's tokens.

    Raises:
        ConfigurationError: The same name stands for the issuers of two entries.
    """
    for one, other in combinations(made, 2):
        if None in {one.issuer, other.issuer} and not _asks_the_same(one, other):
            _check_names(one, other)
    configured = _configured(settings)
    names = frozenset(name for one in made if (name := one.people_of) is not None)
    return [_unreserved(one, configured, names) for one in made]


def _asks_the_same(one: Made, other: Made) -> bool:
    # At two places, perhaps: its people are the same.
    asked = _asked(one)
    return asked is not None and asked == _asked(other)


def _asked(one: Made) -> tuple[Any, ...] | None:
    """Return who decides whose the tokens of a nameless entry are, where it says that."""
    entry = one.entry
    if one.issuer is not None:
        return None
    if isinstance(entry, CustomEntry):
        return entry.factory, entry.options
    if isinstance(entry, JWKSEntry) and entry.jwks_uri is not None:
        return entry.type, entry.jwks_uri
    if isinstance(entry, IntrospectionEntry):
        return entry.type, entry.introspection_endpoint
    return None


def _check_names(one: Made, other: Made) -> None:
    name = one.people_of
    if name is None or name != other.people_of:
        return
    if other.issuer is None:
        # Written later, and so perhaps the one that is new.
        one, other = other, one
    msg = (
        f"{one.name} names no issuer, so its people would be those of {name!r}, as those of "
        f"{other.name} are, and nobody could tell them apart: write the 'issuer' of "
        f"credentials[{one.at}]"
    )
    raise ConfigurationError(msg)


def _configured(settings: Settings) -> frozenset[str]:
    """Return the issuers that nobody may name who was not configured to speak for them."""
    section, service = settings.django, settings.service
    if len(settings.credentials) > 1:
        return frozenset(issuer for issuer in settings.issuers if issuer is not None)
    if service is not None and section is not None and section.service_users == "model":
        # A subject of this issuer is a row of the project's as it stands.
        return frozenset({service.issuer})
    # One credential and the service that its tokens are of, or that people sign in at.
    return frozenset()


def _unreserved(one: Made, configured: frozenset[str], names: frozenset[str]) -> Made:
    if one.issuer is not None and not isinstance(one.entry, CustomEntry):
        return one
    # What stands for its own issuer is not taken from anybody; see `_check_names`.
    others = (configured - {one.issuer}) | (names - {one.people_of})
    if not others:
        return one
    # Only who takes tokens of several reads in them whose they are.
    from tokenward.by_issuer import Unreserved  # noqa: PLC0415

    return replace(one, verifier=Unreserved(one.verifier, others))
