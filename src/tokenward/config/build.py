"""From `Settings` to parts: the only place that picks implementations."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tokenward._seal import Sealer
from tokenward.authenticator import Authenticator, Credential, authorization, cookie, header
from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.client_auth import BearerAuth, ClientSecretBasic, ClientSecretPost
from tokenward.clients import Client
from tokenward.config.settings import (
    BasicAuthSection,
    BearerAuthSection,
    CredentialEntry,
    IntrospectionEntry,
    LocalEntry,
    PagesSection,
    PostAuthSection,
    ServiceSection,
    Settings,
)
from tokenward.errors import ConfigurationError
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService
from tokenward.tokens import LocalVerifier

if TYPE_CHECKING:
    from tokenward.authenticator import Source
    from tokenward.protocols import ClientAuth, TokenVerifier
    from tokenward.repositories import Repositories, TokenRepository, UserRepository

_SEAL_PURPOSE = "signing keys"


def build_authenticator(settings: Settings, *, service: AuthService | None = None) -> Authenticator:
    """Return the authenticator that ``settings.credentials`` describe.

    Without credentials, a ``service`` section stands for its own tokens.

    Args:
        settings: The parsed configuration.
        service: Verifies the tokens of ``local`` entries; made from the settings when needed.

    Raises:
        ConfigurationError: Two entries cannot be told apart, or a part cannot be built.
    """
    described = settings.credentials
    if not described and settings.service is not None:
        described = (LocalEntry(type="local"),)
    if service is None and any(isinstance(e, LocalEntry) for e in described):
        service = build_service(settings)
    places: defaultdict[str, list[CredentialEntry]] = defaultdict(list)
    for entry in described:
        places[_place(entry.source)].append(entry)
    credentials = [
        Credential(
            _source(entries[0].source),
            _joined(entries, service, _reserved(settings)),
            ambient=_ambient(entries),
        )
        for entries in places.values()
    ]
    if settings.pages is not None:
        credentials.append(_signed_in(settings.pages, credentials))
    return Authenticator(
        *credentials,
        realm=settings.realm,
        default_access=settings.default_access,
        public=settings.public,
        origins=settings.origins,
    )


def build_verifier(entry: CredentialEntry, *, service: AuthService | None = None) -> TokenVerifier:
    """Return the verifier that one entry of ``settings.credentials`` describes.

    Raises:
        ConfigurationError: A part cannot be built; or ``local`` without a service.
    """
    if isinstance(entry, IntrospectionEntry):
        return _introspection(entry)
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


def build_service(
    settings: Settings,
    *,
    users: UserRepository | None = None,
    tokens: TokenRepository | None = None,
) -> AuthService:
    """Return the auth service that ``settings.service`` describes, on an existing store.

    Args:
        settings: The parsed configuration.
        users: Instead of the store's.
        tokens: Instead of the store's.

    Raises:
        ConfigurationError: There is no ``service`` section; the store is missing, unusable or
            without keys (``tokenward store init`` makes both).
    """
    section = _service_section(settings)
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


def _signed_in(pages: PagesSection, credentials: list[Credential]) -> Credential:
    # The last one: what a program presents comes before what a browser sends along.
    place = authorization().place
    for credential in credentials:
        if credential.source.place == place:
            return Credential(cookie(pages.sign_in_cookie().name), credential.verifier)
    msg = (
        "pages: the sign-in cookie holds a token like those of the Authorization header, and no "
        "credential reads that; add one, or leave 'pages' out"
    )
    raise ConfigurationError(msg)


def _place(source: str) -> str:
    # Header names are compared in any case, cookie names are not.
    return source.lower() if source.startswith("header:") else source


def _source(text: str) -> Source:
    kind, _, name = text.partition(":")
    if kind == "header":
        return header(name)
    return cookie(name) if kind == "cookie" else authorization()


def _reserved(settings: Settings) -> frozenset[str]:
    """Return the issuers that nobody may name who was not configured to speak for them."""
    section, service = settings.django, settings.service
    if len(settings.credentials) > 1:
        return frozenset(issuer for issuer in settings.issuers if issuer is not None)
    if service is not None and section is not None and section.service_users == "model":
        # A subject of this issuer is a row of the project's as it stands.
        return frozenset({service.issuer})
    # One credential and the service that its tokens are of, or that people sign in at.
    return frozenset()


def _ambient(entries: list[CredentialEntry]) -> Any:
    # At one place all are presented alike: it is ambient if any of them says so.
    said = [entry.ambient for entry in entries if entry.ambient is not None]
    return any(said) if said else None


def _verifier(
    entry: CredentialEntry, service: AuthService | None, reserved: frozenset[str]
) -> TokenVerifier:
    verifier = build_verifier(entry, service=service)
    if isinstance(entry, IntrospectionEntry) and entry.issuer is None and reserved:
        return Unreserved(verifier, reserved)
    return verifier


def _joined(
    entries: list[CredentialEntry], service: AuthService | None, reserved: frozenset[str]
) -> TokenVerifier:
    if len(entries) == 1:
        return _verifier(entries[0], service, reserved)
    by_issuer: dict[str, TokenVerifier] = {}
    otherwise: TokenVerifier | None = None
    for entry in entries:
        verifier = _verifier(entry, service, reserved)
        if isinstance(entry, IntrospectionEntry):
            if otherwise is not None:
                msg = (
                    f"two 'introspection' credentials read {entry.source!r}; opaque tokens do not "
                    "say which server they are of: give one of them another source"
                )
                raise ConfigurationError(msg)
            otherwise = verifier
            issuer = entry.issuer
        else:
            issuer = None if service is None else service.issuer
        if issuer is not None and by_issuer.setdefault(issuer, verifier) is not verifier:
            msg = f"two credentials read {entry.source!r} for the issuer {issuer!r}; keep one"
            raise ConfigurationError(msg)
    return ByIssuer(by_issuer, otherwise=otherwise)


def _introspection(entry: IntrospectionEntry) -> IntrospectionVerifier:
    client = IntrospectionClient(
        entry.introspection_endpoint,
        client_auth=_client_auth(entry.client_auth),
        token_type_hint=entry.token_type_hint,
        timeout=entry.timeout,
        connect_timeout=entry.connect_timeout,
        retries=entry.retries,
        verify_tls=entry.verify_tls,
        proxies=entry.proxies,
        max_response_bytes=entry.max_response_bytes,
        pool_size=entry.pool_size,
        breaker_failures=entry.breaker_failures,
        breaker_seconds=entry.breaker_seconds,
    )
    return IntrospectionVerifier(
        client,
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
    )


def _client_auth(
    section: BasicAuthSection | PostAuthSection | BearerAuthSection,
) -> ClientAuth:
    if isinstance(section, BearerAuthSection):
        return BearerAuth(section.token.get_secret_value())
    secret = section.client_secret.get_secret_value()
    if isinstance(section, PostAuthSection):
        return ClientSecretPost(section.client_id, secret)
    return ClientSecretBasic(section.client_id, secret, encoding=section.encoding)
