"""The auth service, and the store that it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward._seal import Sealer
from tokenward.clients import Client
from tokenward.config.build.shared import Shared, build_shared
from tokenward.errors import ConfigurationError
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService

if TYPE_CHECKING:
    from tokenward.config.settings import ServiceSection, Settings
    from tokenward.repositories import Repositories, TokenRepository, UserRepository

_SEAL_PURPOSE = "signing keys"


def build_service(
    settings: Settings,
    *,
    users: UserRepository | None = None,
    tokens: TokenRepository | None = None,
    shared: Shared | None = None,
) -> AuthService:
    """Return the auth service that ``settings.service`` describes, on an existing store.

    Args:
        settings: The parsed configuration.
        users: Instead of the store's.
        tokens: Instead of the store's.
        shared: What it shares with the verifiers; ``None``: as `build_shared` makes it.

    Raises:
        ConfigurationError: There is no ``service`` section; the store is missing, unusable or
            without keys (``tokenward store init`` makes both); or as in `build_shared`.
    """
    section = _service_section(settings)
    shared = build_shared(settings) if shared is None else shared
    repositories = open_store(section, create=False)
    sealer = sealer_of(section)
    if section.store.startswith("memory:"):
        keys = KeyRing.create(repositories.keys, section.keys.algorithm, sealer=sealer)
    else:
        keys = KeyRing.load(repositories.keys, sealer=sealer)
    return AuthService(
        repositories.users if users is None else users,
        keys=keys,
        tokens=repositories.tokens if tokens is None else tokens,
        issuer=section.issuer,
        audience=section.audience,
        clients=[
            Client(
                client_id=client.client_id,
                client_secret=client.client_secret.get_secret_value(),
                scopes=frozenset(client.scopes),
                grants=frozenset(client.grants),
                audiences=frozenset(client.audiences) or None,
                access_token_lifetime=client.access_token_lifetime,
            )
            for client in section.clients
        ],
        access_token_lifetime=section.access_token_lifetime,
        password_min_length=section.password.min_length,
        registration=section.registration,
        shared_cache=shared.shared_cache,
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
    )


def initialize_store(settings: Settings) -> bool:
    """Make the store and its first signing keys; tell whether anything had to be made.

    Raises:
        ConfigurationError: There is no ``service`` section, or the store cannot be made.
    """
    section = _service_section(settings)
    repositories = open_store(section, create=True)
    try:
        _version, stored = repositories.keys.load()
        if stored:
            KeyRing.load(repositories.keys, sealer=sealer_of(section))
            return False
        KeyRing.create(repositories.keys, section.keys.algorithm, sealer=sealer_of(section))
        return True
    finally:
        repositories.close()


def open_store(section: ServiceSection, *, create: bool) -> Repositories:
    """Open the store that the section names."""
    return open_repositories(section.store, create=create, bcrypt_cost=section.password.bcrypt_cost)


def sealer_of(section: ServiceSection) -> Sealer | None:
    """Return what seals the section's keys at rest, or ``None`` where no secret is configured."""
    if not section.keys.secrets:
        return None
    return Sealer([s.get_secret_value() for s in section.keys.secrets], _SEAL_PURPOSE)


def _service_section(settings: Settings) -> ServiceSection:
    if settings.service is None:
        msg = "The configuration has no section 'service'; it names issuer, audience and store."
        raise ConfigurationError(msg)
    return settings.service
