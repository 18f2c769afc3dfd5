"""Which URLs tokenward calls: https, or http to this very machine.

A token in a request to ``http://127.0.0.1.example`` leaves the machine in the clear, so a host that
only looks like a loopback address is refused whatever the scheme.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from tokenward._log import shown
from tokenward.errors import ConfigurationError

_VISIBLE = re.compile(r"[!-~]+")
# RFC 1035, section 2.3.4, bounds a label and the whole.
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
# A last label like these makes a resolver read the whole name as an IPv4 address (inet_aton).
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_MAX_HOST = 253
# Names that resolvers or /etc/hosts answer with a loopback address (RFC 6761, section 6.3).
_LOCAL_NAME = re.compile(
    r"(.+\.)?localhost|localhost[46](\.localdomain[46]?)?|ip6-(localhost|loopback)"
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")  # RFC 9637; older Pythons take it for global


def check_url(url: str, *, what: str = "The URL", verify_tls: bool | str = True) -> str:
    """Refuse a URL that tokenward must not call.

    Args:
        url: An absolute https URL; http only with the host ``127.x.x.x``, ``[::1]`` or
            ``localhost``.
        what: What the URL is for; the error begins with it.
        verify_tls: How the server's certificate will be verified; ``False`` is for a server on
            this machine only.

    Returns:
        ``url``, unchanged.

    Raises:
        ConfigurationError: Another scheme, user information, a fragment, white space, a host
            that only looks like this machine or like an IP address, or a server elsewhere whose
            certificate would not be verified; says what to write.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"{what} must be a string, not {type(url).__name__}.")
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise ConfigurationError(
            f"{what} must be an absolute URL without white space, control characters, backslashes"
            " or non-ASCII characters; write a non-ASCII host in its xn-- form and percent-encode"
            " the rest."
        )
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigurationError(
            f"{what} must not hold a user name or a password; pass credentials as client_auth."
        )
    written = shown(url.partition("?")[0])  # a query may hold a key
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{what} has a malformed host or port: {written}.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigurationError(
            f"{what} must be an absolute https URL such as https://auth.example.com/path, not"
            f" {written}."
        )
    if "#" in url:
        raise ConfigurationError(f"{what} must not have a fragment; cut {written} at the #.")
    if port == 0 or parts.netloc.endswith(":"):
        raise ConfigurationError(f"{what} has a malformed port: {written}.")
    _check_host(parts, what)
    if verify_tls is False and not _is_loopback_host(parts.hostname):
        raise ConfigurationError(
            f"{what} is not on this machine, so verify_tls=False is refused; name a CA bundle that"
            " holds the server's authority instead."
        )
    return url


def is_loopback(url: str) -> bool:
    """Tell whether a URL that `check_url` has passed names this machine literally."""
    return _is_loopback_host(urlsplit(url).hostname or "")


def check_named_url(url: str, *, what: str, issuer: str) -> str:
    """Refuse a URL of a server's document that the document must not send us to.

    Args:
        url: What the document names.
        what: The member that names it; the error begins with it.
        issuer: The configured issuer whose document it is.

    Returns:
        ``url``, unchanged.

    Raises:
        ConfigurationError: See `check_url`; or the URL leads to this machine by a name or an
            address, or into a private network by an address, and the configured issuer is not
            there itself.
    """
    check_url(url, what=what)
    host, home = (urlsplit(u).hostname or "" for u in (url, issuer))
    if _is_loopback_host(home):
        return url
    if _is_loopback_host(host) or (_is_local_name(host) and host != home):
        why = "names this machine, which the configured issuer is not on"
    elif _is_private_address(host) and not _is_private_address(home):
        why = "has an address of a private network; have the server publish its DNS name"
    else:
        return url
    raise ConfigurationError(f"{what} {why}: {shown(url.partition('?')[0])}.")


def _is_private_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _GLOBAL_UNICAST
        or address in _DOCUMENTATION
        # An IPv4 address in IPv6's clothes: a relay unpacks it.
        or address.sixtofour is not None
    ):
        return True
    return address.is_multicast or not address.is_global


def _is_local_name(host: str) -> bool:
    return _LOCAL_NAME.fullmatch(host.removesuffix(".")) is not None


def _check_host(parts: SplitResult, what: str) -> None:
    host = parts.hostname or ""

    def refuse(why: str) -> NoReturn:
        raise ConfigurationError(
            f"{what} {why}: {shown(host)}. Write https:// and the server's DNS name; for a server"
            " on this machine write 127.0.0.1, [::1] or localhost."
        )

    if _is_loopback_host(host):
        return
    if "[" in parts.netloc:
        if not _is_plain_ipv6(host):
            refuse("has an IPv6 address that is malformed or stands for an IPv4 one")
    elif len(host) > _MAX_HOST or not _HOST.fullmatch(host):
        refuse("has a malformed host")
    elif _looks_like_ipv4(host) and not _is_ipv4(host):
        refuse("has an IPv4 address in an unusual form")
    elif host.startswith(("127.", "localhost.")):
        refuse("has a host that only looks like this machine")
    if parts.scheme == "http":
        refuse("uses http, which is for a server on this machine only")


def _is_plain_ipv6(host: str) -> bool:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return address.ipv4_mapped is None and address.scope_id is None


def _looks_like_ipv4(host: str) -> bool:
    return _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    if _is_ipv4(host):
        return ipaddress.IPv4Address(host).is_loopback
    return _is_plain_ipv6(host) and ipaddress.IPv6Address(host).is_loopback
