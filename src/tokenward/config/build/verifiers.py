"""The verifier of one entry of ``credentials``.

Each is imported where there is such an entry: a configuration seldom has more than one kind, and
some need an HTTP client or cryptography.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.config.build.custom import custom_verifier
from tokenward.config.build.shared import Shared
from tokenward.config.settings import (
    CloudflareEntry,
    CustomEntry,
    IntrospectionEntry,
    JWKSEntry,
    SharedSecretEntry,
)
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenward.cloudflare import CloudflareAccess
    from tokenward.config.settings import (
        AskingSection,
        CredentialEntry,
        LiveSection,
        LocalEntry,
    )
    from tokenward.introspection import IntrospectionVerifier
    from tokenward.jwks import JWKSVerifier
    from tokenward.protocols import TokenVerifier
    from tokenward.service import AuthService
    from tokenward.tokens import LocalVerifier

_ALONE = Shared()
_PLACE = frozenset({"type", "source", "ambient"})


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
    match entry:
        case JWKSEntry():
            return _jwks(entry, shared)
        case IntrospectionEntry():
            return _introspection(entry, shared)
        case CloudflareEntry():
            return _cloudflare(entry, shared)
        case SharedSecretEntry():
            return _shared_secret(entry, shared)
        case CustomEntry():
            return custom_verifier(entry)
        case _:
            return _local(entry, service)


def _local(entry: LocalEntry, service: AuthService | None) -> LocalVerifier:
    if service is None:
        msg = "a credential of type 'local' needs the service whose tokens it verifies"
        raise ConfigurationError(msg)
    from tokenward.tokens import LocalVerifier  # noqa: PLC0415 - see above

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


def _introspection(section: AskingSection, shared: Shared) -> IntrospectionVerifier:
    from tokenward.config.build.asked import introspection_verifier  # noqa: PLC0415 - see above

    return introspection_verifier(section, shared)


def _jwks(entry: JWKSEntry, shared: Shared) -> JWKSVerifier:
    from tokenward.jwks import JWKSVerifier  # noqa: PLC0415 - see above

    verifier = JWKSVerifier(
        live=None if entry.live is None else _live(entry.live, shared),
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
        **_arguments(entry, but={"live"}),
    )
    _watch(verifier, shared)
    return verifier


def _live(section: LiveSection, shared: Shared) -> IntrospectionVerifier:
    try:
        return _introspection(section, shared)
    except ConfigurationError as error:
        msg = f"live: {error}"
    raise ConfigurationError(msg)


def _shared_secret(entry: SharedSecretEntry, shared: Shared) -> JWKSVerifier:
    from tokenward.jwks import JWKSVerifier  # noqa: PLC0415 - see above

    verifier = JWKSVerifier(
        jwks={"keys": [entry.jwk()]},
        algorithms=(entry.algorithm,),
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
        **_arguments(entry, but={"secret", "algorithm"}),
    )
    _watch(verifier, shared)
    return verifier


def _cloudflare(entry: CloudflareEntry, shared: Shared) -> CloudflareAccess:
    from tokenward.cloudflare import (  # noqa: PLC0415 - see above
        CloudflareAccess,
        CloudflareUser,
    )

    user = None
    if (said := entry.dev_user) is not None:
        # As an address alone is taken: it is its own identifier.
        user = CloudflareUser(said.sub or said.email, said.email, said.country)
    verifier = CloudflareAccess(
        dev_user=user,
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
        **_arguments(entry, but={"cookie", "dev_user"}),
    )
    _watch(verifier, shared)
    return verifier


def _arguments(entry: CredentialEntry, *, but: Collection[str]) -> dict[str, Any]:
    """Return the settings that are arguments of the verifier by the same name."""
    names = type(entry).model_fields.keys() - _PLACE - set(but)
    return {name: getattr(entry, name) for name in names}


def _watch(verifier: Any, shared: Shared) -> None:
    for metrics in shared.metrics:
        metrics.watch(verifier)
