"""The auth service.

What it is made of is imported where there is one: whoever only verifies tokens has no use for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.config.build.imported import imported_function
from tokenward.config.build.shared import Shared, build_shared
from tokenward.config.build.store import open_keys, open_store, required_section
from tokenward.config.settings.fields import plain
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.clients import Client
    from tokenward.config.settings import ServiceSection, Settings
    from tokenward.config.settings.service import ClientSection
    from tokenward.repositories import Repositories, TokenRepository, UserRepository
    from tokenward.service import AuthService
    from tokenward.throttle import LoginThrottle


def build_service(
    settings: Settings,
    *,
    users: UserRepository | None = None,
    tokens: TokenRepository | None = None,
    shared: Shared | None = None,
) -> AuthService:
    """Return the auth service that ``settings.service`` describes, on an existing store.

    A MongoDB that is down is no error: the service answers 503 until it is there.

    Args:
        settings: The parsed configuration.
        users: Instead of the store's.
        tokens: Instead of the store's.
        shared: What it shares with the verifiers; ``None``: as `build_shared` makes it.

    Raises:
        ConfigurationError: There is no ``service`` section; the store is missing, unusable or
            without keys (``tokenward store init`` makes both); or as in `build_shared`.
    """
    section = required_section(settings)
    repositories = open_store(section, create=False)
    try:
        return service_on(repositories, settings, users=users, tokens=tokens, shared=shared)
    except BaseException:
        repositories.close()
        raise


def service_on(
    repositories: Repositories,
    settings: Settings,
    *,
    users: UserRepository | None = None,
    tokens: TokenRepository | None = None,
    shared: Shared | None = None,
) -> AuthService:
    """Return the auth service that ``settings.service`` describes, on a store that is open.

    Args:
        repositories: The store; whoever opened it closes it.
        settings: The parsed configuration.
        users: Instead of the store's.
        tokens: Instead of the store's.
        shared: As in `build_service`.

    Raises:
        ConfigurationError: As in `build_service`.
    """
    from tokenward.service import AuthService  # noqa: PLC0415 - see above

    section = required_section(settings)
    shared = build_shared(settings) if shared is None else shared
    return AuthService(
        repositories.users if users is None else users,
        keys=open_keys(section, repositories),
        tokens=repositories.tokens if tokens is None else tokens,
        issuer=section.issuer,
        audience=section.audience if len(section.audience) > 1 else section.audience[0],
        clients=[_client(at, client) for at, client in enumerate(section.clients)],
        access_token_lifetime=section.access_token_lifetime,
        refresh_token_lifetime=section.refresh_token_lifetime,
        session_lifetime=section.session_lifetime,
        password_min_length=section.password.min_length,
        common_passwords=section.password.common,
        registration=section.registration,
        throttle=throttle_of(section, repositories),
        trusted_proxies=section.trusted_proxies,
        shared_cache=shared.shared_cache,
        revocation_bus=shared.revocation_bus,
        on_event=shared.on_event,
        deliver=imported_function(section.deliver, "service.deliver", ("purpose", "user", "token")),
        claims=imported_function(section.claims, "service.claims", ("user",)),
    )


def _client(at: int, section: ClientSection) -> Client:
    from tokenward.clients import Client  # noqa: PLC0415 - see above

    secret = section.client_secret
    try:
        return Client(
            client_id=section.client_id,
            client_secret=None if secret is None else secret.get_secret_value(),
            jwks=plain(section.jwks),
            scopes=frozenset(section.scopes),
            grants=frozenset(section.grants),
            audiences=frozenset(section.audiences) or None,
            token_audiences=frozenset(section.token_audiences) or None,
            access_token_lifetime=section.access_token_lifetime,
        )
    except ConfigurationError as error:
        msg = f"service.clients[{at}]: {error}"
    raise ConfigurationError(msg)


def throttle_of(section: ServiceSection, repositories: Repositories) -> LoginThrottle | None:
    """Return what bounds the attempts at logins, or ``None`` where that was turned off.

    Raises:
        ConfigurationError: The extra ``throttle`` is not installed, or the storage is none.
    """
    if section.throttle is None:
        return None
    # What a service without a throttle can do without.
    from tokenward.throttle import LoginThrottle  # noqa: PLC0415

    try:
        return LoginThrottle.open(
            section.throttle.storage.get_secret_value(),
            counters=repositories.counters,
            per_name_and_address=section.throttle.per_name_and_address,
            per_address=section.throttle.per_address,
            per_name=section.throttle.per_name,
        )
    except ConfigurationError as error:
        msg = f"service.throttle: {error}"
    raise ConfigurationError(msg)
