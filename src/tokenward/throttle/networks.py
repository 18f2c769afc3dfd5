"""Addresses, and whom to believe about them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNIX = "unix"
"""Among trusted proxies: who is connected without an address, as over a Unix socket."""


def read_address(text: str | None) -> IPAddress | None:
    """Return an address, or ``None`` for what is none.

    An IPv4 address in the form of IPv6 (RFC 4291, section 2.5.5.2) is the IPv4 address; the zone
    of a link-local address is left out.
    """
    try:
        address = ip_address((text or "").strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Trusted:
    """The proxies whose ``X-Forwarded-For`` is believed.

    Args:
        proxies: Addresses, networks such as ``10.0.0.0/8``, or `UNIX`.

    Raises:
        ValueError: One is something else; the message says which.
    """

    def __init__(self, proxies: Sequence[str]) -> None:
        self._unix = UNIX in proxies
        self._networks = tuple(_network(proxy) for proxy in proxies if proxy != UNIX)

    def __contains__(self, address: IPAddress | None) -> bool:
        if address is None:
            return self._unix
        return any(address in network for network in self._networks)


@lru_cache(maxsize=16)
def read_trusted(proxies: tuple[str, ...]) -> Trusted:
    """Return trusted proxies; see `Trusted`."""
    return Trusted(proxies)


def _network(proxy: str) -> Network:
    try:
        return ip_network(proxy)
    except ValueError:
        msg = f"{proxy!r} is neither an address nor a network, such as 10.0.0.0/8"
        raise ValueError(msg) from None
