"""The arguments of a transport: what makes no sense stops start-up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import urlsplit

from tokenward.errors import ConfigurationError


def seconds(name: str, value: object) -> float:
    """Return ``value``, a number of seconds.

    Raises:
        ConfigurationError: It is something else, or not more than 0.
    """
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} is a number of seconds, more than 0.")
    return value


def count(name: str, value: object, *, least: int = 1) -> int:
    """Return ``value``, a whole number.

    Raises:
        ConfigurationError: It is something else, or less than ``least``.
    """
    if not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} is a whole number, {least} or more.")
    return value


def checked_proxies(proxies: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of ``proxies``.

    Raises:
        ConfigurationError: One is not an ``http://`` URL with a host, or this is no mapping.
    """
    if not isinstance(proxies, Mapping):
        raise ConfigurationError(
            "proxies is a mapping, such as {'https': 'http://proxy.example.com:3128'}."
        )
    for key, proxy in proxies.items():
        try:
            parts = urlsplit(str(proxy))
            sound = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise ConfigurationError(
                f"The proxy for {key!r} must be an http:// URL with a host, such as"
                " http://proxy.example.com:3128."
            )
    return dict(proxies)
