"""The verifier of one entry of ``credentials``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.client_auth import (
    BearerAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    MutualTLS,
    PrivateKeyJWT,
)
from tokenward.config.build.shared import Shared
from tokenward.config.settings import (
    BasicAuthSection,
    BearerAuthSection,
    ClientCredentialsSection,
    IntrospectionEntry,
    MutualTLSSection,
    PostAuthSection,
)
from tokenward.errors import ConfigurationError
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.metadata import check_issuer
from tokenward.tokens import LocalVerifier

if TYPE_CHECKING:
    from tokenward.config.settings import ClientAuthSection, CredentialEntry
    from tokenward.protocols import ClientAuth, TokenVerifier
    from tokenward.service import AuthService

_ALONE = Shared()


def build_verifier(
    entry: CredentialEntry, *, service: AuthService | None = None, shared: Shared = _ALONE
) -> TokenVerifier:
    """Return the verifier that one entry of ``settings.credentials`` describes.

    Args:
        entry: The entry.
        service: Whose tokens a ``local`` entry takes.
        shared: What it shares with other verifiers; default: nothing.

    Raises:
        ConfigurationError: A part cannot be built; or ``local`` without a service.
    """
    if isinstance(entry, IntrospectionEntry):
        return _introspection(entry, shared)
    if service is None:
        msg = "a credential of type 'local' needs the service whose tokens it verifies"
        raise ConfigurationError(msg)
    return LocalVerifier(
        service.keys,
        issuer=service.issuer,
        audience=service.audience,
        users=service.users,
        tokens=service.tokens,
        leeway=entry.leeway,
        roles_claim=entry.roles_claim,
        clock=service.clock,
    )


def _introspection(entry: IntrospectionEntry, shared: Shared) -> IntrospectionVerifier:
    verifier = IntrospectionVerifier(
        _client(entry),
        audience=entry.audience,
        issuer=entry.issuer,
        leeway=entry.leeway,
        required=entry.required,
        roles_claim=entry.roles_claim,
        ttl=entry.ttl,
        negative_ttl=entry.negative_ttl,
        max_entries=entry.max_entries,
        stale_if_error=entry.stale_if_error,
        max_token_bytes=entry.max_token_bytes,
        shared_cache=shared.shared_cache,
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
    )
    for metrics in shared.metrics:
        metrics.watch(verifier)
    return verifier


def _client(entry: IntrospectionEntry) -> IntrospectionClient:
    options: dict[str, Any] = {
        "client_auth": client_auth_of(entry.client_auth, entry),
        "signed_response_alg": entry.signed_response_alg,
        "jwks_uri": entry.jwks_uri,
        "token_type_hint": entry.token_type_hint,
        "timeout": entry.timeout,
        "connect_timeout": entry.connect_timeout,
        "retries": entry.retries,
        "verify_tls": entry.verify_tls,
        "proxies": entry.proxies,
        "max_response_bytes": entry.max_response_bytes,
        "pool_size": entry.pool_size,
        "breaker_failures": entry.breaker_failures,
        "breaker_seconds": entry.breaker_seconds,
    }
    # One of the two is there: the settings see to it.
    if entry.introspection_endpoint is None:
        return IntrospectionClient.from_issuer(str(entry.issuer), **options)
    issuer = entry.issuer if _is_needed(entry) else None
    return IntrospectionClient(entry.introspection_endpoint, issuer=issuer, **options)


def _is_needed(entry: IntrospectionEntry) -> bool:
    """Tell whether the client has to know the issuer, and not only the policy.

    What answers name as their issuer may be no URL, where nothing has to be fetched from it.
    """
    if entry.issuer is None or entry.signed_response_alg is not None:
        return True
    try:
        check_issuer(entry.issuer, verify_tls=entry.verify_tls)
    except ConfigurationError:
        return False
    return True


def client_auth_of(section: ClientAuthSection, entry: IntrospectionEntry) -> ClientAuth:
    """Return what the section ``client_auth`` of an entry describes.

    Raises:
        ConfigurationError: It cannot be built.
    """
    if isinstance(section, BearerAuthSection):
        return BearerAuth(section.token.get_secret_value())
    if isinstance(section, ClientCredentialsSection):
        return BearerAuth(
            ClientCredentials(
                section.token_endpoint,
                issuer=section.issuer,
                client_auth=client_auth_of(section.client_auth, entry),
                scope=section.scope,
                audience=section.audience,
                resource=section.resource,
                early=section.early,
                timeout=section.timeout,
                # The same server, or its neighbour behind the same proxy.
                connect_timeout=entry.connect_timeout,
                verify_tls=entry.verify_tls,
                proxies=entry.proxies,
            )
        )
    if isinstance(section, MutualTLSSection):
        return MutualTLS(section.client_id, section.cert, section.key)
    if isinstance(section, BasicAuthSection):
        secret = section.client_secret.get_secret_value()
        return ClientSecretBasic(section.client_id, secret, encoding=section.encoding)
    if isinstance(section, PostAuthSection):
        return ClientSecretPost(section.client_id, section.client_secret.get_secret_value())
    return PrivateKeyJWT(
        section.client_id,
        section.private_key.get_secret_value(),
        algorithm=section.algorithm,
        audience=section.audience,
        kid=section.kid,
    )
