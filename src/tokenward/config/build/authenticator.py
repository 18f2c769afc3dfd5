"""The authenticator: which places in a request are read, and who decides about each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tokenward.authenticator import Authenticator, Credential, authorization, cookie, header
from tokenward.config.build.apart import kept_apart
from tokenward.config.build.joined import Made, joined
from tokenward.config.build.service import build_service
from tokenward.config.build.shared import Shared, build_shared
from tokenward.config.build.verifiers import build_verifier
from tokenward.config.settings import CloudflareEntry, LocalEntry
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.authenticator import Source
    from tokenward.config.settings import CredentialEntry, PagesSection, Settings
    from tokenward.service import AuthService

NOBODY = "so every request is one of nobody; add one"
"""What becomes of requests without credentials in the settings, and what to do."""

_logger = logging.getLogger("tokenward.config")


def build_authenticator(
    settings: Settings, *, service: AuthService | None = None, shared: Shared | None = None
) -> Authenticator:
    """Return the authenticator that ``settings.credentials`` describe.

    Without credentials, a ``service`` section stands for its own tokens. Where there is no login
    either, that is logged as a warning.

    Args:
        settings: The parsed configuration.
        service: Verifies the tokens of ``local`` entries; made from the settings when needed.
        shared: What the verifiers share; ``None``: as `build_shared` makes it. Whoever makes the
            service too hands the same to both.

    Raises:
        ConfigurationError: Two entries cannot be told apart, or a part cannot be built.
    """
    described = settings.credentials
    if service is None and not settings.issuers:
        # A request would not tell: with a good token, too, it is answered as one without any.
        _logger.warning("The configuration of tokenward has no credentials, %s", NOBODY)
    if not described and settings.service is not None:
        described = (LocalEntry(type="local"),)
    shared = build_shared(settings) if shared is None else shared
    if service is None and any(isinstance(e, LocalEntry) for e in described):
        service = build_service(settings, shared=shared)
    entries = [_made(at, entry, service, shared) for at, entry in enumerate(described)]
    sources: dict[str, Source] = {}
    places: dict[str, list[Made]] = {}
    for made in kept_apart(settings, entries):
        for source in _sources(made):
            sources[source.place] = source
            places.setdefault(source.place, []).append(made)
    credentials = [_credential(source, places[place]) for place, source in sources.items()]
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


def _sources(made: Made) -> tuple[Source, ...]:
    """Return the places that an entry reads, the one it names first."""
    try:
        first = _source(made.entry.source)
    except ConfigurationError as error:
        msg = f"credentials[{made.at}].source: {error}"
    else:
        if isinstance(made.entry, CloudflareEntry) and made.entry.cookie:
            access: Any = made.verifier
            return first, access.credentials(cookie=True)[-1].source
        return (first,)
    raise ConfigurationError(msg)


def _source(text: str) -> Source:
    kind, _, name = text.partition(":")
    if kind == "header":
        return header(name)
    return cookie(name) if kind == "cookie" else authorization()


def _credential(source: Source, made: list[Made]) -> Credential:
    verifier = joined(source.place, made)
    # At one place all are presented alike: it is ambient if any of them says so.
    said = [
        one.entry.ambient
        for one in made
        if one.entry.ambient is not None and _source(one.entry.source).place == source.place
    ]
    return Credential(source, verifier, ambient=any(said)) if said else Credential(source, verifier)


def _made(at: int, entry: CredentialEntry, service: AuthService | None, shared: Shared) -> Made:
    if isinstance(entry, LocalEntry):
        issuer = None if service is None else service.issuer
    else:
        issuer = entry.issuer
    try:
        verifier = build_verifier(entry, service=service, shared=shared)
    except ConfigurationError as error:
        msg = f"credentials[{at}]: {error}"
    else:
        return Made(at, entry, verifier, issuer)
    raise ConfigurationError(msg)
