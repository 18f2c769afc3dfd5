"""The authorization server of an ``introspection`` entry, or of an entry's ``live``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from tokenward._http import RequestsTransport
from tokenward.commands.doctor.files import of_certificate
from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.server import (
    failed,
    listed,
    metadata_of,
    methods_at,
    of_clock,
)
from tokenward.commands.witness import Witness
from tokenward.config import Shared
from tokenward.config.build.asked import client_auth_of, introspection_verifier
from tokenward.config.settings import ClientCredentialsSection, MutualTLSSection
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.protocols import Request

if TYPE_CHECKING:
    from tokenward.config.settings import AskingSection

_ENDPOINT = "introspection_endpoint"
_SIGNED = "introspection_signing_alg_values_supported"
# What a token endpoint says of a request for a token of our own (RFC 6749, 5.2; RFC 8707, 2).
_NO_GRANT = frozenset(
    {
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


def of_introspection(entry: AskingSection, path: str) -> Iterator[Finding]:
    """Look at what is configured, find the endpoint, and ask it about a token that nobody has."""
    if entry.audience is None:
        advice = "tokens meant for anybody are accepted; write the name that this API has"
        yield Finding("warn", f"{path}.audience", advice)
    if entry.verify_tls is False:
        yield Finding("warn", f"{path}.verify_tls", "nobody checks who answers; write true")
    yield from _certificates(entry, path)
    witness = Witness(
        RequestsTransport(
            connect_timeout=entry.connect_timeout,
            verify_tls=entry.verify_tls,
            proxies=entry.proxies,
        )
    )
    try:
        if entry.introspection_endpoint is None:
            found = yield from _discovered(entry, witness, path)
            if not found:
                return
        reached = yield from _asked(entry, path)
        if reached and entry.introspection_endpoint is not None:
            _look_at_the_clock(entry.introspection_endpoint, witness, entry.timeout)
        yield from of_clock(witness, f"{path}.leeway")
    finally:
        witness.close()


def _certificates(entry: AskingSection, path: str) -> Iterator[Finding]:
    section, setting = entry.client_auth, f"{path}.client_auth"
    if isinstance(section, ClientCredentialsSection):
        section, setting = section.client_auth, f"{setting}.client_auth"
    if isinstance(section, MutualTLSSection):
        yield from of_certificate(section, setting)


def _discovered(
    entry: AskingSection, witness: Witness, path: str
) -> Generator[Finding, None, bool]:
    setting = f"{path}.issuer"
    by_hand = f"or write {path}.{_ENDPOINT} beside it"
    try:
        metadata = metadata_of(str(entry.issuer), witness, timeout=entry.timeout)
    except AuthServiceUnavailable as error:
        yield failed(error, setting, by_hand)
        return False
    yield Finding("ok", setting, f"describes itself at {witness.url}")
    client_auth, method = client_auth_of(entry.client_auth, entry), f"{path}.client_auth.method"
    try:
        endpoint = metadata.endpoint(_ENDPOINT, client_auth)
    except AuthServiceUnavailable as error:
        if error.reason == "client_auth_unsupported":
            yield failed(error, method)
        else:
            yield failed(error, setting, by_hand)
        return False
    yield Finding("ok", setting, f"introspects at {endpoint.partition('?')[0]}")
    # What the server says of introspection itself was looked at above.
    ours, likely = getattr(client_auth, "methods", ()), methods_at(metadata, _ENDPOINT)
    if ours and likely and set(likely).isdisjoint(ours):
        found = f"the server does not say, and its token endpoint takes {', '.join(likely)}"
        yield Finding("warn", method, f"{found}; if we are refused, write one of these")
    offered = listed(metadata, _SIGNED)
    if entry.signed_response_alg is None and offered:
        found = f"could demand signed answers (RFC 9701): the server lists {', '.join(offered)}"
        yield Finding("ok", f"{path}.signed_response_alg", found)
    return True


def _asked(entry: AskingSection, path: str) -> Generator[Finding, None, bool]:
    is_written = entry.introspection_endpoint is not None
    setting = f"{path}.{_ENDPOINT}" if is_written else f"{path}.issuer"
    verifier = introspection_verifier(entry, Shared())
    try:
        active = verifier.client.introspect(secrets.token_urlsafe(32))["active"]
    except AuthServiceUnavailable as error:
        if error.reason == "client_refused":
            yield Finding("FAIL", f"{path}.client_auth", f"{error.hint}; {_identity(entry, path)}")
            return True
        if error.reason in _NO_GRANT:
            yield Finding("FAIL", f"{path}.client_auth", error.hint)
            return True
        is_other = error.reason == "bad_response"
        advice = "write the server's introspection endpoint (RFC 7662)" if is_other else ""
        finding = failed(error, setting, advice)
        yield finding
        return not finding.outage
    except InvalidToken as error:
        yield Finding("ok", setting, f"answers, and takes our credentials: {error.hint}")
        return True
    finally:
        verifier.close()
    if active:
        advice = "calls a token active that was made up just now; write another endpoint"
        yield Finding("FAIL", setting, advice)
        return True
    signed = "" if entry.signed_response_alg is None else ", with a signature that is good"
    yield Finding("ok", setting, f"answers, takes our credentials, knows no made-up token{signed}")
    return True


def _identity(entry: AskingSection, path: str) -> str:
    section = entry.client_auth
    if section.method == "bearer":
        return f"make {path}.client_auth.token one that may introspect"
    if section.method == "client_credentials":
        return f"look at {path}.client_auth.client_auth, or ask for a scope that may introspect"
    evidence = {
        "private_key_jwt": "private_key (and the kid)",
        "tls_client_auth": "cert",
        "self_signed_tls_client_auth": "cert",
    }.get(section.method, "client_secret")
    return (
        f"make {path}.client_auth.client_id and .{evidence} what the server knows us by, and "
        ".method one that it takes"
    )


def _look_at_the_clock(endpoint: str, witness: Witness, timeout: float) -> None:
    try:
        witness.send(Request("GET", endpoint), deadline=time.monotonic() + timeout)
    except AuthServiceUnavailable:
        # A server that answers nobody but clients is none the worse.
        return
