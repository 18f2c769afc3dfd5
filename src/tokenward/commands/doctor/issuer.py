"""An authorization server that is not configured yet: what an operator has to know of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward import _jose
from tokenward._http import RequestsTransport
from tokenward._log import shown
from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.server import (
    failed,
    listed,
    metadata_of,
    methods_at,
    of_clock,
    of_keys,
)
from tokenward.commands.witness import Witness
from tokenward.errors import AuthServiceUnavailable
from tokenward.metadata import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from tokenward.commands.published import PublishedSet
    from tokenward.metadata import Metadata

TIMEOUT = 5.0
"""Seconds for each document."""

DEFAULT_ALGORITHMS = frozenset({"RS256", "ES256"})
"""What an entry of type ``jwks`` takes that does not say."""

_INTROSPECTION = "introspection_endpoint"
_BY_HAND = (
    "if it publishes no metadata, write an entry by hand that names its introspection_endpoint or "
    "jwks_uri"
)
_ENDPOINTS = (_INTROSPECTION, "revocation_endpoint", "token_endpoint")
_SIGNED = "introspection_signing_alg_values_supported"
# What has to be written for each way to authenticate, the simplest first.
_HOW = {
    "client_secret_basic": 'client_secret = { file = "client.secret" }',
    "client_secret_post": 'client_secret = { file = "client.secret" }',
    "private_key_jwt": 'private_key = { file = "client.pem" }',
    "tls_client_auth": 'cert = "client.crt", key = "client.key"',
    "self_signed_tls_client_auth": 'cert = "client.crt", key = "client.key"',
}


def examine_issuer(issuer: str) -> tuple[list[Finding], str]:
    """Read what an authorization server publishes about itself.

    Args:
        issuer: Its issuer identifier.

    Returns:
        What was found; and what to write in a TOML file, if its tokens can be introspected.

    Raises:
        ConfigurationError: The issuer is no URL that may be called.
    """
    witness = Witness(RequestsTransport(max_response_bytes=MAX_DOCUMENT_BYTES))
    try:
        metadata = metadata_of(issuer, witness, timeout=TIMEOUT)
        place = witness.url
    except AuthServiceUnavailable as error:
        witness.close()
        advice = "" if error.reason == "issuer_mismatch" else _BY_HAND
        return [failed(error, "issuer", advice)], ""
    try:
        of_keys_there, published = _keys(metadata, witness)
        algorithms = frozenset[str]() if published is None else published.algorithms
        findings = [
            Finding("ok", "issuer", f"describes itself at {place}"),
            *_endpoints(metadata, has_keys=bool(algorithms)),
            *_methods(metadata),
            *_signatures(metadata),
            *of_keys_there,
            *of_clock(witness, "clock"),
        ]
    finally:
        witness.close()
    if _url(metadata, _INTROSPECTION) is not None:
        return findings, toml_for(metadata)
    return findings, toml_by_keys(metadata, algorithms) if algorithms else ""


def toml_by_keys(metadata: Metadata, algorithms: frozenset[str]) -> str:
    """Return the entry of ``credentials`` that verifies this server's tokens with its keys."""
    lines = [
        "[[credentials]]",
        'type = "jwks"',
        f"issuer = {json.dumps(metadata.issuer)}",
        'audience = "my-api"',
    ]
    if algorithms.isdisjoint(DEFAULT_ALGORITHMS):
        lines.append(f"algorithms = {json.dumps(sorted(algorithms))}")
    return "\n".join([*lines, ""])


def toml_for(metadata: Metadata) -> str:
    """Return the entry of ``credentials`` that introspects this server's tokens."""
    offered = methods_at(metadata, _INTROSPECTION)
    method = next((m for m in _HOW if m in offered), "client_secret_basic")
    signed = next((a for a in listed(metadata, _SIGNED) if a in _jose.ASYMMETRIC), None)
    demand = "" if signed is None else f'# signed_response_alg = "{signed}"\n'
    return (
        "[[credentials]]\n"
        'type = "introspection"\n'
        f"issuer = {json.dumps(metadata.issuer)}\n"
        'audience = "my-api"\n'
        f'client_auth = {{ method = "{method}", client_id = "my-api", {_HOW[method]} }}\n'
        f"{demand}"
    )


def _url(metadata: Metadata, name: str) -> str | None:
    try:
        return metadata.url(name)
    except AuthServiceUnavailable:
        return None


def _endpoints(metadata: Metadata, *, has_keys: bool) -> Iterator[Finding]:
    for name in _ENDPOINTS:
        try:
            yield Finding("ok", name, metadata.url(name))
        except AuthServiceUnavailable as error:
            if name == _INTROSPECTION and has_keys and error.reason == "endpoint_missing":
                yield Finding("ok", name, "none: its tokens are verified with its keys")
            elif name == _INTROSPECTION:
                advice = "its tokens cannot be introspected, unless you know the endpoint"
                yield failed(error, name, advice)
            elif error.reason != "endpoint_missing":
                yield Finding("warn", name, error.hint)
    aliases = metadata.raw.get("mtls_endpoint_aliases")
    if isinstance(aliases, dict):
        for name in _ENDPOINTS:
            if isinstance(aliases.get(name), str):
                found = f"{shown(aliases[name])}, with a client certificate"
                yield Finding("ok", f"mtls_endpoint_aliases.{name}", found)


def _methods(metadata: Metadata) -> Iterator[Finding]:
    if _url(metadata, _INTROSPECTION) is None:
        return
    setting = f"{_INTROSPECTION}_auth_methods_supported"
    offered, likely = listed(metadata, setting), methods_at(metadata, _INTROSPECTION)
    unsaid = "" if offered else "does not say; the token endpoint takes "
    if not likely:
        yield Finding("ok", setting, "does not say; ask whoever runs the server")
    elif set(likely).isdisjoint(_HOW):
        advice = f"{', '.join(likely)}, none of which is known here: {', '.join(_HOW)}"
        yield Finding("FAIL" if offered else "warn", setting, unsaid + advice)
    else:
        yield Finding("ok", setting, unsaid + ", ".join(likely))


def _signatures(metadata: Metadata) -> Iterator[Finding]:
    offered = listed(metadata, _SIGNED)
    if offered:
        found = f"answers can be signed (RFC 9701): {', '.join(offered)}"
        yield Finding("ok", _SIGNED, found)


def _keys(metadata: Metadata, witness: Witness) -> tuple[list[Finding], PublishedSet | None]:
    try:
        url = metadata.jwks_uri
    except AuthServiceUnavailable as error:
        missing = error.reason == "endpoint_missing"
        return ([] if missing else [Finding("warn", "jwks_uri", error.hint)]), None
    return of_keys(url, witness, "jwks_uri", timeout=TIMEOUT)
