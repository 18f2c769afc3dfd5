"""Entries of ``credentials`` whose tokens are checked here: by published keys, or by a secret."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

from tokenward._http import RequestsTransport, is_loopback
from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.introspection import of_introspection
from tokenward.commands.doctor.server import failed, listed, of_clock, of_keys
from tokenward.commands.witness import Witness
from tokenward.errors import AuthServiceUnavailable
from tokenward.metadata import MAX_DOCUMENT_BYTES, IssuerMetadata

if TYPE_CHECKING:
    from tokenward.config.settings import (
        CloudflareEntry,
        CustomEntry,
        JWKSEntry,
        SharedSecretEntry,
    )
    from tokenward.metadata import Metadata

# Of ID tokens; servers that list nothing else sign access tokens alike.
_SIGNING: Final = "id_token_signing_alg_values_supported"


def of_jwks(entry: JWKSEntry, path: str) -> Iterator[Finding]:
    """Find the issuer's keys, and compare them with what is configured."""
    yield from _of_demands(entry, path)
    if entry.jwks is not None:
        found = "keys that are written here, and stay until somebody writes others"
        yield Finding("ok", f"{path}.jwks", found)
    else:
        yield from _of_published(entry, path)
    if entry.live is not None:
        yield from of_introspection(entry.live, f"{path}.live")


def of_keys_at(
    url: str, entry: JWKSEntry | CloudflareEntry, path: str, *, setting: str
) -> Iterator[Finding]:
    """Fetch the keys of an entry, and compare clocks.

    Args:
        url: Where they are.
        entry: The entry.
        path: Its dotted path.
        setting: What the findings are about.
    """
    witness = _witness(entry)
    try:
        yield from _keys(url, entry, witness, setting)
        yield from of_clock(witness, f"{path}.leeway", leeway=entry.leeway)
    finally:
        witness.close()


def of_shared_secret(entry: SharedSecretEntry, path: str) -> Iterator[Finding]:
    """Say what a shared secret is worth."""
    yield from _of_demands(entry, path)
    advice = (
        f"whoever verifies with it can make tokens ({entry.algorithm}); it is there for moving"
        " over: have the issuer sign with a key of its own, and write an entry of type jwks"
    )
    yield Finding("warn", f"{path}.secret", advice)


def of_custom(entry: CustomEntry, path: str) -> Finding:
    """Say that a verifier could be made, which `check` saw to."""
    found = f"{entry.factory} makes a verifier; what it verifies with, it alone knows"
    return Finding("ok", f"{path}.factory", found)


def _of_demands(entry: JWKSEntry | SharedSecretEntry, path: str) -> Iterator[Finding]:
    if entry.audience is None:
        advice = "tokens meant for anybody are accepted; write the name that this API has"
        yield Finding("warn", f"{path}.audience", advice)
    if entry.issuer is None:
        advice = "whatever these keys signed is accepted, whoever it says that it is of"
        yield Finding("warn", f"{path}.issuer", f"{advice}; write the issuer")


def _of_published(entry: JWKSEntry, path: str) -> Iterator[Finding]:
    if entry.verify_tls is False:
        yield Finding("warn", f"{path}.verify_tls", "nobody checks who answers; write true")
    if entry.jwks_uri is not None:
        setting = f"{path}.jwks_uri"
        yield from _of_address(entry.jwks_uri, setting)
        yield from of_keys_at(entry.jwks_uri, entry, path, setting=setting)
        return
    setting = f"{path}.issuer" if entry.discovery_url is None else f"{path}.discovery_url"
    yield from _of_address(entry.discovery_url or str(entry.issuer), setting)
    witness = _witness(entry)
    try:
        metadata = yield from _discovered(entry, witness, setting)
        if metadata is not None:
            yield from _named(metadata, entry, witness, path, setting)
        yield from of_clock(witness, f"{path}.leeway", leeway=entry.leeway)
    finally:
        witness.close()


def _witness(entry: JWKSEntry | CloudflareEntry) -> Witness:
    return Witness(
        RequestsTransport(
            connect_timeout=entry.connect_timeout,
            verify_tls=entry.verify_tls,
            proxies=entry.proxies,
            max_response_bytes=MAX_DOCUMENT_BYTES,
        )
    )


def _of_address(url: str, setting: str) -> Iterator[Finding]:
    if is_loopback(url):
        advice = "names this machine only; write the https URL that others reach it by"
        yield Finding("warn", setting, advice)


def _discovered(
    entry: JWKSEntry, witness: Witness, setting: str
) -> Generator[Finding, None, Metadata | None]:
    source = IssuerMetadata(
        entry.issuer,
        discovery_url=entry.discovery_url,
        transport=witness,
        timeout=entry.timeout,
    )
    try:
        metadata = source.get()
    except AuthServiceUnavailable as error:
        yield failed(error, setting, witness=witness)
        return None
    yield Finding("ok", setting, f"describes itself at {witness.url}")
    return metadata


def _named(
    metadata: Metadata, entry: JWKSEntry, witness: Witness, path: str, setting: str
) -> Iterator[Finding]:
    offered = listed(metadata, _SIGNING)
    if offered and set(offered).isdisjoint(entry.algorithms):
        advice = (
            f"the server lists {', '.join(offered)} for what it signs ({_SIGNING}), and none of"
            f" {', '.join(entry.algorithms)}; write what its access tokens have"
        )
        yield Finding("warn", f"{path}.algorithms", advice)
    try:
        url = metadata.jwks_uri
    except AuthServiceUnavailable as error:
        yield failed(error, setting, f"or write {path}.jwks_uri beside it")
        return
    yield from _keys(url, entry, witness, setting)


def _keys(
    url: str, entry: JWKSEntry | CloudflareEntry, witness: Witness, setting: str
) -> Iterator[Finding]:
    found, _published = of_keys(
        url, witness, setting, timeout=entry.timeout, algorithms=entry.algorithms
    )
    yield from found
