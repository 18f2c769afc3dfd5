"""Under which key a name or an address is counted: digests, whatever the name is."""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from tokenward.schemas import canonical_key
from tokenward.schemas.names import MAX_USERNAME_CHARACTERS

if TYPE_CHECKING:
    from tokenward.throttle.networks import IPAddress

_IPV6_PREFIX = 64
_DIGEST_CHARACTERS = 32


def name_key(name: str) -> str:
    """Return what all spellings of a name have in common; of one that nobody can have, itself."""
    name = name.strip()
    # The store's own bound; beyond it, normalizing would be work for nothing.
    if len(name) <= 2 * MAX_USERNAME_CHARACTERS:
        try:
            return canonical_key(name)
        except ValueError:
            pass
    return name


def address_key(address: IPAddress) -> str:
    """Return what one who has an address can move within: itself, or an IPv6 network of /64."""
    if isinstance(address, IPv6Address):
        return f"{int(address) >> (128 - _IPV6_PREFIX):x}::/{_IPV6_PREFIX}"
    return str(address)


def digest(*parts: str) -> str:
    """Return a digest of several strings of any characters."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hashed.update(len(encoded).to_bytes(8, "big") + encoded)
    return hashed.hexdigest()[:_DIGEST_CHARACTERS]
