"""Whose assertions: the issuer of a Cloudflare team."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from tokenward._http import check_url, is_loopback
from tokenward._log import shown
from tokenward.errors import ConfigurationError

_SHARED_DOMAIN: Final = ".cloudflareaccess.com"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_is_team = re.compile(_LABEL).fullmatch
_is_host = re.compile(rf"{_LABEL}(?:\.{_LABEL})+").fullmatch


def issuer_of(team: str, domain: str | None = None) -> str:
    """Return the ``iss`` of a team's assertions: the URL of its domain, without a final slash.

    Args:
        team: The team's name: letters, digits and hyphens.
        domain: The team's domain, where it has one of its own: a host name. For tests also
            ``http://127.0.0.1:PORT``.

    Raises:
        ConfigurationError: One of them is something else.
    """
    name, host = _lowered(team), _lowered(domain)
    if not _is_team(name):
        raise ConfigurationError(_team_error(team))
    if domain is None:
        return f"https://{name}{_SHARED_DOMAIN}"
    if "://" in host:
        return _on_this_machine(domain)
    if not _is_host(host):
        raise ConfigurationError(
            f"domain is a host name such as login.acme.example, not {shown(domain)}; leave it out "
            f"for TEAM{_SHARED_DOMAIN}."
        )
    return check_url(f"https://{host}", what="domain")


def _lowered(name: object) -> str:
    # Names of hosts have no case, and an issuer is compared character by character.
    return name.lower() if isinstance(name, str) else ""


def _on_this_machine(url: str) -> str:
    parts = urlsplit(check_url(url, what="domain"))
    if not is_loopback(url):
        raise ConfigurationError(
            f"domain is a host name: write {parts.netloc}, without the scheme and a path."
        )
    if f"{parts.scheme}://{parts.netloc}" != url:
        raise ConfigurationError(
            f"domain has no path: write {parts.scheme}://{parts.netloc}, not {shown(url)}."
        )
    return url


def _team_error(team: object) -> str:
    message = (
        "team is the name of the Cloudflare team alone, in letters, digits and hyphens, such as"
        f" acme for https://acme{_SHARED_DOMAIN}, not {shown(team)}"
    )
    host = _lowered(team).rpartition("//")[2].partition("/")[0]
    name = host.removesuffix(_SHARED_DOMAIN)
    if name != host and _is_team(name):
        return f"{message}. Write {name}."
    if "." in host:
        return f"{message}. A domain of the team's own goes into domain, beside the name."
    return f"{message}."
