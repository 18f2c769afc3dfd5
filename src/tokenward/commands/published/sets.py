"""A JWK Set as it is published: fetched once, and described."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tokenward import _jose
from tokenward._http import max_age_of
from tokenward._log import shown
from tokenward.commands.published.entries import PublishedKey, described
from tokenward.commands.witness import age_of
from tokenward.errors import AuthServiceUnavailable
from tokenward.jwkset import JWK_SET_TYPES
from tokenward.metadata import fetch_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenward.commands.witness import Witness
    from tokenward.protocols import Response

TTL: Final = 900.0
COOLDOWN: Final = 30.0
"""As in `JWKSVerifier`, for keys that no configuration names."""


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """A JWK Set (RFC 7517, section 5).

    Attributes:
        url: Where it is.
        keys: Its entries, in their order.
        kept: What is made of what the server says about keeping it.
        age: The seconds for which it was kept on its way (RFC 9111, section 5.1).
    """

    url: str
    keys: tuple[PublishedKey, ...]
    kept: str
    age: float = 0.0

    @property
    def used(self) -> tuple[PublishedKey, ...]:
        """The entries that verify tokens."""
        return tuple(key for key in self.keys if key.state == "used")

    @property
    def algorithms(self) -> frozenset[str]:
        """What tokens may be signed with that they verify."""
        return frozenset(alg for key in self.used for alg in key.algorithms)

    @property
    def exposed(self) -> tuple[PublishedKey, ...]:
        """The entries that are secret, and published all the same."""
        return tuple(key for key in self.keys if key.state == "exposed")

    @property
    def skipped(self) -> tuple[PublishedKey, ...]:
        """The other entries that are not used."""
        return tuple(key for key in self.keys if key.state == "skipped")


def fetch(
    url: str,
    witness: Witness,
    *,
    timeout: float,
    ttl: float = TTL,
    cooldown: float = COOLDOWN,
) -> PublishedSet:
    """Fetch a JWK Set.

    Args:
        url: Where; checked by the caller.
        witness: Sends the request.
        timeout: Seconds.
        ttl: See `JWKSVerifier`.
        cooldown: See `JWKSVerifier`.

    Raises:
        AuthServiceUnavailable: It cannot be fetched, or is none.
    """
    deadline = time.monotonic() + timeout
    document = fetch_json(witness, url, types=JWK_SET_TYPES, deadline=deadline)
    return read(url, document.members, witness.response, ttl=ttl, cooldown=cooldown)


def read(
    url: str,
    members: Mapping[str, Any],
    response: Response | None,
    *,
    ttl: float = TTL,
    cooldown: float = COOLDOWN,
) -> PublishedSet:
    """Describe a JWK Set that was fetched; for the arguments and errors see `fetch`."""
    try:
        key_set = _jose.parse_key_set(members)
    except _jose.JWKError as error:
        hint = f"{shown(url.partition('?')[0])}: {error}"
        raise AuthServiceUnavailable(hint, reason="bad_response") from None
    keys = tuple(described(members["keys"], key_set))
    return PublishedSet(
        url, keys, _kept(response, ttl, cooldown), 0.0 if response is None else age_of(response)
    )


def _kept(response: Response | None, ttl: float, cooldown: float) -> str:
    if response is None:
        return f"{ttl:g} s, which is ttl"
    said = max_age_of(response)
    headers = (("Cache-Control", "cache-control"), ("Age", "age"))
    quoted = [
        f"{name}: {shown(response.headers[header])}"
        for name, header in headers
        if header in response.headers
    ]
    if said is None:
        why = f"which is ttl; the server does not say ({'; '.join(quoted) or 'no Cache-Control'})"
        return f"{ttl:g} s, {why}"
    life = min(max(said, cooldown), ttl)
    if said < cooldown:
        why = f"which is cooldown; the server says {said:g} s"
    elif said > ttl:
        why = f"which is ttl; the server says {said:g} s"
    else:
        why = "as the server says"
    return f"{life:g} s, {why} ({'; '.join(quoted)})"
