"""Who asks on a developer's machine, where no Cloudflare stands before the application."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from typing import TYPE_CHECKING, Any, Final

from tokenward.cloudflare.people import CloudflareUser
from tokenward.errors import ConfigurationError
from tokenward.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenward.protocols import Headers

_logger = logging.getLogger("tokenward.cloudflare")

# What proxies, tunnels and content networks add. With any of them the peer is not who asks.
_FORWARDING: Final = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-By",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-Url",
    "X-Real-Ip",
    "X-Client-Ip",
    "X-Cluster-Client-Ip",
    "X-Envoy-External-Address",
    "X-Amzn-Trace-Id",
    "X-Cloud-Trace-Context",
    "X-Azure-Clientip",
    "X-Appengine-User-Ip",
    "Client-Ip",
    "True-Client-Ip",
    "Fastly-Client-Ip",
    "Fly-Client-Ip",
    "Via",
    "Cdn-Loop",
    "Cf-Connecting-Ip",
    "Cf-Connecting-Ipv6",
    "Cf-Pseudo-Ipv4",
    "Cf-Ipcountry",
    "Cf-Ray",
    "Cf-Visitor",
    "Cf-Worker",
    "Cf-Warp-Tag-Id",
)
_LOWERED: Final = frozenset(name.lower() for name in _FORWARDING)
_PREFIXES: Final = ("x-forwarded-", "cf-")
_ASSERTION: Final = "cf-access-jwt-assertion"

_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A host and its port, if any (RFC 9112, section 3.2): an address, or else a name.
_host = re.compile(
    rf"(?:\[([0-9a-f]*:[0-9a-f:.]+)\]|([0-9.]+)|((?:{_LABEL}\.)*{_LABEL}))(?::[0-9]{{1,5}})?",
    re.ASCII | re.IGNORECASE,
).fullmatch


def dev_principal(dev_user: CloudflareUser | str | None, *, issuer: str) -> Principal | None:
    """Return who asks without an assertion, if this process runs on a developer's machine.

    Args:
        dev_user: Who; an e-mail address is its own identifier.
        issuer: The team's.

    Returns:
        ``None`` without a ``dev_user``, and where ``TOKENWARD_ENV``, as it is now, is anything but
        ``development``; in that case one warning says so.

    Raises:
        ConfigurationError: ``dev_user`` is something else.
    """
    if dev_user is None:
        return None
    user: Any = CloudflareUser(dev_user, dev_user) if isinstance(dev_user, str) else dev_user
    if not isinstance(user, CloudflareUser) or not user.sub or "@" not in user.email:
        raise ConfigurationError(
            "dev_user is an e-mail address, or CloudflareUser(sub=..., email=...)."
        )
    if os.environ.get("TOKENWARD_ENV") != "development":
        _logger.warning(
            "dev_user is ignored: it is for development, where TOKENWARD_ENV=development is set; "
            "remove it from the configuration of other environments"
        )
        return None
    said = {"iss": issuer, "sub": user.sub, "email": user.email, "type": "app"}
    if user.country is not None:
        said["country"] = user.country
    return Principal(user.sub, issuer=issuer, email=user.email, claims=said)


def asks_from_here(headers: Headers, peer: str | None) -> bool:
    """Tell whether a request was made on this machine, to this machine, and nobody passed it on.

    Args:
        headers: The request's.
        peer: The address of the other end of the connection.
    """
    if peer is None or not _is_loopback_address(peer):
        return False
    host = headers.get("Host")
    if host is not None and not _is_this_machine(host):
        return False
    if any(headers.get(name) is not None for name in _FORWARDING):
        return False
    return not any(map(_is_forwarding, _names_of(headers)))


def _is_this_machine(host: str) -> bool:
    """Tell whether a ``Host`` header names this machine, as no site on the internet can be named.

    Servers may take the headers of proxies away, and any site may have its name lead to a loopback
    address; what the browser or the tunnel was asked for stands here all the same.
    """
    found = _host(host)
    if found is None:
        return False
    six, four, name = found.groups()
    if name is None:
        return _is_loopback_address(six or four)
    # Public names have a dot; localhost and what is below it never leave the machine (RFC 6761).
    return "." not in name or name.lower().endswith(".localhost")


def _is_forwarding(name: str) -> bool:
    lowered = name.lower()
    return (lowered in _LOWERED or lowered.startswith(_PREFIXES)) and lowered != _ASSERTION


def _names_of(headers: Headers) -> Iterable[str]:
    # Headers can be asked for by name; those of the frameworks can list their names too.
    keys = getattr(headers, "keys", None)
    return () if keys is None else keys()


def _is_loopback_address(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    # A server that listens on [::] writes IPv4 addresses so.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
