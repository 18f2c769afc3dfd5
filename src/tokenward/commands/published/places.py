"""What a URL is of: a JWK Set, an issuer, or an issuer's metadata."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tokenward import _json
from tokenward._http import check_url
from tokenward._log import shown
from tokenward.commands.published.sets import PublishedSet, fetch, read
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.jwkset import JWK_SET_TYPES
from tokenward.metadata import IssuerMetadata, fetch_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenward.commands.witness import Witness
    from tokenward.metadata import Metadata

TakenFor = Literal["a JWK Set", "an issuer", "an issuer's metadata"]

_WELL_KNOWN: Final = (
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL was taken for, and the keys that it leads to.

    Attributes:
        taken_for: What.
        key_set: The keys.
        metadata: What the issuer says of itself, where it was asked.
        found_at: Where it says so.
    """

    taken_for: TakenFor
    key_set: PublishedSet
    metadata: Metadata | None = None
    found_at: str = ""


def look_at(url: str, witness: Witness, *, timeout: float) -> Place:
    """Follow a URL to the keys.

    What it answers decides: an object with ``keys`` is a JWK Set, one with a ``jwks_uri`` is
    metadata. A URL that answers with anything else is an issuer, whose metadata is looked for at
    the well-known places of RFC 8414 and then of OpenID Connect Discovery.

    Args:
        url: The URL.
        witness: Sends the requests.
        timeout: Seconds for each document.

    Raises:
        ConfigurationError: The URL must not be called.
        AuthServiceUnavailable: It leads to no keys.
    """
    check_url(url, what="The URL")
    if any(name in url for name in _WELL_KNOWN):
        return _described("an issuer's metadata", None, url, witness, timeout)
    deadline = time.monotonic() + timeout
    try:
        members = fetch_json(witness, url, types=JWK_SET_TYPES, deadline=deadline).members
    except AuthServiceUnavailable as error:
        if witness.response is None or _meant_as_keys(witness.response.body):
            raise
        what = error.hint
    else:
        if "keys" in members:
            return Place("a JWK Set", read(url, members, witness.response))
        if "jwks_uri" in members:
            issuer = _named(url, members)
            return _described("an issuer's metadata", issuer, url, witness, timeout)
        what = f"{_shown(url)} answered with an object without keys"
    if "?" in url:
        raise AuthServiceUnavailable(f"there is no JWK Set: {what}", reason="bad_response")
    try:
        return _described("an issuer", url, None, witness, timeout)
    except AuthServiceUnavailable as error:
        if error.reason == "no_metadata":
            error.hint = f"there is no JWK Set: {what}; and for an issuer {error.hint}"
        raise


def _described(
    taken_for: TakenFor,
    issuer: str | None,
    discovery_url: str | None,
    witness: Witness,
    timeout: float,
) -> Place:
    found = IssuerMetadata(
        issuer, discovery_url=discovery_url, transport=witness, timeout=timeout
    ).get()
    found_at = witness.url
    key_set = fetch(found.jwks_uri, witness, timeout=timeout)
    return Place(taken_for, key_set, found, found_at)


def _named(url: str, members: Mapping[str, Any]) -> str:
    # Whoever names such a place by hand has nothing else to compare the issuer with.
    named = members.get("issuer")
    try:
        return check_url(named, what="The issuer in it")  # type: ignore[arg-type]
    except ConfigurationError as error:
        hint = f"{_shown(url)} answered with metadata that names no issuer. {error}"
    raise AuthServiceUnavailable(hint, reason="issuer_mismatch")


def _meant_as_keys(body: bytes) -> bool:
    try:
        return "keys" in _json.loads(body)
    except ValueError:
        return False


def _shown(url: str) -> str:
    return shown(url.partition("?")[0])
