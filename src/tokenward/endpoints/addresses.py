"""The address that a request came from (RULES 40)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationError
from tokenward.throttle.networks import read_address, read_trusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.protocols import Headers
    from tokenward.throttle.networks import IPAddress, Trusted


def client_address(peer: str | None, headers: Headers, trusted: Sequence[str]) -> str | None:
    """Return the address of the client, as far as somebody says it who is to be believed.

    Each proxy adds the address that it was asked from to the end of ``X-Forwarded-For``; what
    stands before that was said by others. So this is the last hop there which is no trusted proxy;
    the first hop when all of them are; and the last that is readable when what is before it is
    no address.

    Args:
        peer: Who is connected to this server: ``REMOTE_ADDR``.
        headers: Of the request; a repeated header arrives comma-joined.
        trusted: Addresses of proxies, networks such as ``10.0.0.0/8``, or ``unix`` for whoever is
            connected without an address; the header of anybody else is not looked at.

    Returns:
        The address in its usual form, of IPv4 where IPv6 only wraps it; ``None``: there is none.

    Raises:
        ConfigurationError: One of ``trusted`` is something else.
    """
    address = read_address(peer)
    if trusted:
        address = _behind_proxies(address, headers, _read(trusted))
    return None if address is None else str(address)


def _behind_proxies(
    address: IPAddress | None, headers: Headers, trusted: Trusted
) -> IPAddress | None:
    hops = (headers.get("X-Forwarded-For") or "").split(",")
    while hops and address in trusted:
        hop = _read_hop(hops.pop())
        if hop is None:
            break
        address = hop
    return address


def _read_hop(hop: str) -> IPAddress | None:
    # Some proxies add the port: 192.0.2.1:52180, [2001:db8::1]:52180.
    hop = hop.strip()
    if hop.startswith("["):
        return read_address(hop[1:].partition("]")[0])
    if hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return read_address(hop)


def _read(trusted: Sequence[str]) -> Trusted:
    try:
        return read_trusted(tuple(trusted))
    except (ValueError, TypeError) as error:
        msg = f"trusted_proxies: {error}."
    raise ConfigurationError(msg)
