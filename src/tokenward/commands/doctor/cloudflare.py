"""Entries of type ``cloudflare``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.signed import of_keys_at

if TYPE_CHECKING:
    from tokenward.config.settings import CloudflareEntry

CERTS = "/cdn-cgi/access/certs"
"""Where a team's keys are, on its domain."""


def of_cloudflare(entry: CloudflareEntry, path: str) -> Iterator[Finding]:
    """Fetch the team's keys, and look at who stands in for people in development."""
    if entry.audience is None:
        advice = "whoever may use any application of the team may use this one; write its AUD tag"
        yield Finding("warn", f"{path}.audience", advice)
    if entry.verify_tls is False:
        yield Finding("warn", f"{path}.verify_tls", "nobody checks who answers; write true")
    setting = f"{path}.team" if entry.domain is None else f"{path}.domain"
    yield from of_keys_at(entry.issuer + CERTS, entry, path, setting=setting)
    if entry.dev_user is None:
        return
    if os.environ.get("TOKENWARD_ENV") == "development":
        advice = (
            "stands in for everybody who asks on this machine (TOKENWARD_ENV is development); never"
            " set that where others can reach the server"
        )
    else:
        advice = (
            "is ignored: TOKENWARD_ENV is not development; take it out of the configuration of"
            " every other environment"
        )
    yield Finding("warn", f"{path}.dev_user", advice)
