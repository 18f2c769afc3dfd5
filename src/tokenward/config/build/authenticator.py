"""The authenticator: which places in a request are read, and who decides about each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tokenward.authenticator import Authenticator, Credential, authorization, cookie, header
from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.config.build.service import build_service
from tokenward.config.build.shared import Shared, build_shared
from tokenward.config.build.verifiers import build_verifier
from tokenward.config.settings import CredentialEntry, IntrospectionEntry, LocalEntry
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.authenticator import Source
    from tokenward.config.settings import PagesSection, Settings
    from tokenward.protocols import TokenVerifier
    from tokenward.service import AuthService

_Made = tuple[CredentialEntry, "TokenVerifier"]


def build_authenticator(
    settings: Settings, *, service: AuthService | None = None, shared: Shared | None = None
) -> Authenticator:
    """Return the authenticator that ``settings.credentials`` describe.

    Without credentials, a ``service`` section stands for its own tokens.

    Args:
        settings: The parsed configuration.
        service: Verifies the tokens of ``local`` entries; made from the settings when needed.
        shared: What the verifiers share; ``None``: as `build_shared` makes it. Whoever makes the
            service too hands the same to both.

    Raises:
        ConfigurationError: Two entries cannot be told apart, or a part cannot be built.
    """
    described = settings.credentials
    if not described and settings.service is not None:
        described = (LocalEntry(type="local"),)
    shared = build_shared(settings) if shared is None else shared
    if service is None and any(isinstance(e, LocalEntry) for e in described):
        service = build_service(settings, shared=shared)
    reserved = _reserved(settings)
    places: defaultdict[str, list[_Made]] = defaultdict(list)
    for at, entry in enumerate(described):
        verifier = _verifier(entry, f"credentials[{at}]", service, shared, reserved)
        places[_place(entry.source)].append((entry, verifier))
    credentials = [
        Credential(
            _source(made[0][0].source),
            _joined(made, service),
            ambient=_ambient([e for e, _ in made]),
        )
        for made in places.values()
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
    entry: CredentialEntry,
    path: str,
    service: AuthService | None,
    shared: Shared,
    reserved: frozenset[str],
) -> TokenVerifier:
    try:
        verifier = build_verifier(entry, service=service, shared=shared)
    except ConfigurationError as error:
        msg = f"{path}: {error}"
    else:
        if isinstance(entry, IntrospectionEntry) and entry.issuer is None and reserved:
            return Unreserved(verifier, reserved)
        return verifier
    raise ConfigurationError(msg)


def _joined(made: list[_Made], service: AuthService | None) -> TokenVerifier:
    if len(made) == 1:
        return made[0][1]
    by_issuer: dict[str, TokenVerifier] = {}
    otherwise: TokenVerifier | None = None
    for entry, verifier in made:
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
