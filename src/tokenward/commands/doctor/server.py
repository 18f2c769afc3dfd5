"""An authorization server as anybody can see it: its metadata, its keys, its clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tokenward import _jose
from tokenward._http import json_object
from tokenward._log import shown
from tokenward.commands.doctor.finding import Finding
from tokenward.errors import AuthServiceUnavailable
from tokenward.metadata import IssuerMetadata
from tokenward.protocols import Request

if TYPE_CHECKING:
    from tokenward.metadata import Metadata
    from tokenward.protocols import Response, Transport

MAX_SKEW = 10.0
"""Seconds by which another machine's clock may differ before that is worth a word."""

# Somebody has to change something; everything else may pass by itself.
_LASTING = frozenset(
    {
        "algorithm_unsupported",
        "bad_response",
        "bad_url",
        "client_auth",
        "client_auth_unsupported",
        "client_refused",
        "endpoint_missing",
        "endpoint_refused",
        "issuer_mismatch",
        "no_metadata",
        "no_usable_key",
        "too_large",
        "unsigned_response",
    }
)


class Witness:
    """A transport that remembers where it was and what time it is there.

    Args:
        transport: Sends the requests.

    Attributes:
        url: Where the last answer came from.
        date: The last ``Date`` that an answer had (RFC 9110, section 6.6.1), and when it came.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.url = ""
        self.date: tuple[str, float] | None = None

    def send(self, request: Request, *, deadline: float) -> Response:
        """See `Transport.send`."""
        response = self._transport.send(request, deadline=deadline)
        self.url = request.url
        if "date" in response.headers:
            self.date = response.headers["date"], time.time()
        return response

    def close(self) -> None:
        """See `Transport.close`."""
        self._transport.close()


def metadata_of(issuer: str, witness: Witness, *, timeout: float) -> Metadata:
    """Return what an issuer publishes about itself.

    Raises:
        AuthServiceUnavailable: It publishes nothing that may be used, or cannot be reached.
    """
    return IssuerMetadata(issuer, transport=witness, timeout=timeout).get()


def failed(error: AuthServiceUnavailable, setting: str, advice: str = "") -> Finding:
    """Return the finding that a server cannot be used, and whether that may pass by itself."""
    if error.reason in _LASTING:
        return Finding("FAIL", setting, f"{error.hint}{advice and f'; {advice}'}")
    text = f"cannot be reached ({error.reason}): {error.hint}"
    return Finding("FAIL", setting, text, outage=True)


def listed(metadata: Metadata, name: str) -> list[str]:
    """Return the strings that a member of the metadata lists; none where it lists nothing."""
    value = metadata.raw.get(name)
    if not isinstance(value, list | tuple):
        return []
    return [shown(entry) for entry in value if isinstance(entry, str)]


def methods_at(metadata: Metadata, endpoint: str) -> list[str]:
    """Return how clients authenticate at an endpoint; none where the server does not say."""
    suffix = "_auth_methods_supported"
    return listed(metadata, endpoint + suffix) or listed(metadata, "token_endpoint" + suffix)


def of_keys(url: str, witness: Witness, setting: str, *, timeout: float) -> Finding:
    """Fetch a JWK Set, and say what is in it."""
    request = Request("GET", url, headers={"Accept": "application/jwk-set+json, application/json"})
    types = ("application/json", "application/jwk-set+json")
    try:
        response = witness.send(request, deadline=time.monotonic() + timeout)
        if response.status != 200:
            return Finding("FAIL", setting, f"{url} answered {response.status}")
        keys = _jose.parse_key_set(json_object(response, types=types))
    except AuthServiceUnavailable as error:
        return failed(error, setting)
    except _jose.JWKError as error:
        return Finding("FAIL", setting, f"{url}: {error}")
    if not keys.keys:
        why = f" ({keys.skipped[0].reason})" if keys.skipped else ""
        return Finding("FAIL", setting, f"{url} has no key that can be used{why}")
    counted = Counter("/".join(sorted(key.algorithms)) for key in keys.keys)
    what = ", ".join(f"{number} for {names}" for names, number in sorted(counted.items()))
    skipped = f"; {len(keys.skipped)} more cannot be used" if keys.skipped else ""
    return Finding("ok", setting, f"{url} has keys: {what}{skipped}")


def of_clock(witness: Witness, setting: str) -> Iterator[Finding]:
    """Compare the server's clock with ours; most servers say what time it is."""
    if witness.date is None:
        return
    said, came = witness.date
    try:
        skew = came - parsedate_to_datetime(said).timestamp()
    except ValueError:
        return
    if abs(skew) > MAX_SKEW:
        which = "ahead of" if skew > 0 else "behind"
        advice = (
            f"this clock is {abs(skew):.0f} s {which} the server's; set the one "
            "that is wrong, or write a larger leeway"
        )
        yield Finding("warn", setting, advice)
    else:
        yield Finding("ok", setting, "the server's clock and this one agree")
