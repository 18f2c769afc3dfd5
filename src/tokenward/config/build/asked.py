"""What asks a server about tokens: an ``introspection`` entry, or somebody's ``live``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.client_auth import (
    BearerAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    MutualTLS,
)
from tokenward.config.settings import (
    BasicAuthSection,
    BearerAuthSection,
    ClientCredentialsSection,
    MutualTLSSection,
    PostAuthSection,
)
from tokenward.errors import ConfigurationError
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.metadata import check_issuer

if TYPE_CHECKING:
    from tokenward.config.build.shared import Shared
    from tokenward.config.settings import AskingSection, ClientAuthSection
    from tokenward.protocols import ClientAuth


def introspection_verifier(section: AskingSection, shared: Shared) -> IntrospectionVerifier:
    """Return what asks the server that the section names about each token.

    Raises:
        ConfigurationError: It cannot be built.
    """
    verifier = IntrospectionVerifier(
        _client(section),
        audience=section.audience,
        issuer=section.issuer,
        leeway=section.leeway,
        required=section.required,
        roles_claim=section.roles_claim,
        ttl=section.ttl,
        negative_ttl=section.negative_ttl,
        max_entries=section.max_entries,
        stale_if_error=section.stale_if_error,
        max_token_bytes=section.max_token_bytes,
        shared_cache=shared.shared_cache,
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
    )
    for metrics in shared.metrics:
        metrics.watch(verifier)
    return verifier


def _client(section: AskingSection) -> IntrospectionClient:
    options: dict[str, Any] = {
        "client_auth": client_auth_of(section.client_auth, section),
        "signed_response_alg": section.signed_response_alg,
        "jwks_uri": section.jwks_uri,
        "token_type_hint": section.token_type_hint,
        "timeout": section.timeout,
        "connect_timeout": section.connect_timeout,
        "retries": section.retries,
        "verify_tls": section.verify_tls,
        "proxies": section.proxies,
        "max_response_bytes": section.max_response_bytes,
        "pool_size": section.pool_size,
        "breaker_failures": section.breaker_failures,
        "breaker_seconds": section.breaker_seconds,
    }
    # One of the two is there: the settings see to it.
    if section.introspection_endpoint is None:
        return IntrospectionClient.from_issuer(str(section.issuer), **options)
    issuer = section.issuer if _is_needed(section) else None
    return IntrospectionClient(section.introspection_endpoint, issuer=issuer, **options)


def _is_needed(section: AskingSection) -> bool:
    """Tell whether the client has to know the issuer, and not only the policy.

    What answers name as their issuer may be no URL, where nothing has to be fetched from it.
    """
    if section.issuer is None or section.signed_response_alg is not None:
        return True
    try:
        check_issuer(section.issuer, verify_tls=section.verify_tls)
    except ConfigurationError:
        return False
    return True


def client_auth_of(section: ClientAuthSection, around: AskingSection) -> ClientAuth:
    """Return what the section ``client_auth`` of another describes.

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
                client_auth=client_auth_of(section.client_auth, around),
                scope=section.scope,
                audience=section.audience,
                resource=section.resource,
                early=section.early,
                timeout=section.timeout,
                # The same server, or its neighbour behind the same proxy.
                connect_timeout=around.connect_timeout,
                verify_tls=around.verify_tls,
                proxies=around.proxies,
            )
        )
    if isinstance(section, MutualTLSSection):
        return MutualTLS(section.client_id, section.cert, section.key)
    if isinstance(section, BasicAuthSection):
        secret = section.client_secret.get_secret_value()
        return ClientSecretBasic(section.client_id, secret, encoding=section.encoding)
    if isinstance(section, PostAuthSection):
        return ClientSecretPost(section.client_id, section.client_secret.get_secret_value())
    # The others need no cryptography.
    from tokenward.client_auth import PrivateKeyJWT  # noqa: PLC0415

    return PrivateKeyJWT(
        section.client_id,
        section.private_key.get_secret_value(),
        algorithm=section.algorithm,
        audience=section.audience,
        kid=section.kid,
    )
