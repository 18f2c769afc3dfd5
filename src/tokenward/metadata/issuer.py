"""`IssuerMetadata`: an issuer's metadata, found when it is first needed and kept fresh."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tokenward._http import check_url
from tokenward._log import OncePerMinute, shown
from tokenward.cache import Fetched, KeptDocument
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.metadata.document import Metadata, check_issuer
from tokenward.metadata.places import first_document, issuer_at, places_of
from tokenward.principal import freeze

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth, Clock, Transport

REFRESH_AHEAD: Final = 60.0
"""Seconds before its end at which metadata is fetched anew, by one user for all."""

_MAX_MEMBERS: Final = 200
_MAX_MEMBER_CHARACTERS: Final = 16_384
_MAX_KEPT_CHARACTERS: Final = 65_536

T = TypeVar("T")

_logger = logging.getLogger("tokenward.metadata")
_seldom = OncePerMinute(_logger)

# Nothing that waiting mends: somebody has to change the server's configuration, or ours.
_MISCONFIGURED: Final = frozenset(
    {
        "issuer_mismatch",
        "no_metadata",
        "endpoint_missing",
        "endpoint_refused",
        "client_auth_unsupported",
        "algorithm_unsupported",
    }
)


class IssuerMetadata:
    """Finds an issuer's metadata and keeps it fresh; thread-safe, no I/O before the first use.

    Each failure is `AuthServiceUnavailable`: an issuer that is down, or that publishes what it
    should not, is nobody's bad token. Metadata that cannot be fetched anew is served for
    ``stale_for`` seconds; metadata whose ``issuer`` is another one is never used.

    Args:
        issuer: The issuer identifier, compared with the document's code point by code point
            (RFC 8414, section 3.3). ``None`` with ``discovery_url``: the URL before
            ``/.well-known/``.
        discovery_url: Where the document is; default: the well-known places of RFC 8414 and
            OpenID Connect Discovery, in this order.
        transport: Sends the requests.
        timeout: Seconds for a fetch where no deadline is given.
        ttl: Seconds for which a document is used, or less if the server says so.
        cooldown: Seconds for which the issuer is left alone after a failure that leaves nothing
            to use, and between two fetches because something is missing in the document.
        stale_for: Seconds beyond ``ttl`` for which a document is used while the issuer fails.
        clock: Seconds since the epoch.

    Attributes:
        issuer: The issuer identifier.

    Raises:
        ConfigurationError: A URL must not be called, or a number makes no sense.
    """

    def __init__(
        self,
        issuer: str | None,
        *,
        discovery_url: str | None = None,
        transport: Transport,
        timeout: float = 5.0,
        ttl: float = 3_600,
        cooldown: float = 10,
        stale_for: float = 86_400,
        clock: Clock = time.time,
    ) -> None:
        if discovery_url is not None:
            check_url(discovery_url, what="discovery_url")
        if issuer is None:
            issuer = issuer_at(discovery_url or "")
            if not issuer:
                raise ConfigurationError(
                    "Name the issuer; a discovery_url alone says who it is only if it has"
                    " /.well-known/ in it."
                )
        self.issuer = check_issuer(issuer)
        self._places = places_of(issuer) if discovery_url is None else [discovery_url]
        self._transport = transport
        self._document: KeptDocument[Metadata] = KeptDocument(
            self._fetch,
            ttl=ttl,
            refresh_ahead=REFRESH_AHEAD,
            cooldown=cooldown,
            stale_for=stale_for,
            timeout=timeout,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"IssuerMetadata({self.issuer!r})"

    @property
    def known(self) -> Metadata | None:
        """The metadata as far as it is known; no I/O."""
        kept = self._document.known
        return None if kept is None else kept.value

    def get(self, *, deadline: float | None = None) -> Metadata:
        """Return the metadata, fetching it if need be.

        Args:
            deadline: When to give up, on the ``time.monotonic()`` scale; default: after
                ``timeout`` seconds.

        Raises:
            AuthServiceUnavailable: There is none that may be used.
        """
        return self._document.get(deadline=deadline).value

    def endpoint(self, name: str, client_auth: ClientAuth, *, deadline: float | None = None) -> str:
        """Return the URL of an endpoint for a client that authenticates in this way.

        Args:
            name: ``introspection_endpoint``, ``token_endpoint`` or ``revocation_endpoint``.
            client_auth: How: see `Metadata.endpoint`.
            deadline: See `get`.

        Raises:
            AuthServiceUnavailable: There is no metadata, no such endpoint, or it takes no client
                that authenticates so.
        """
        return self.read(lambda m: m.endpoint(name, client_auth), deadline=deadline)

    def jwks_uri(self, *, deadline: float | None = None) -> str:
        """Return where the issuer publishes its keys.

        Raises:
            AuthServiceUnavailable: There is no metadata, or it does not say.
        """
        return self.read(lambda m: m.jwks_uri, deadline=deadline)

    def read(self, look: Callable[[Metadata], T], *, deadline: float | None = None) -> T:
        """Return what ``look`` finds in the metadata.

        Args:
            look: Raises `AuthServiceUnavailable` at what it misses. Then the document is fetched
                again, at most once in ``cooldown`` seconds, and looked at once more: somebody may
                have mended it.
            deadline: See `get`.

        Raises:
            AuthServiceUnavailable: As ``look`` does; or there is no metadata.
        """
        seen = self._document.begun
        kept = self._document.get(deadline=deadline)
        try:
            return look(kept.value)
        except AuthServiceUnavailable:
            renewed = self._document.renewed(seen, had=kept, deadline=deadline)
        try:
            return look(renewed.value)
        except AuthServiceUnavailable as error:
            self._report(error)
            raise

    def _fetch(self, deadline: float) -> Fetched[Metadata]:
        try:
            url, document = first_document(self._transport, self._places, deadline=deadline)
            self._compare(url, document.members.get("issuer"))
        except AuthServiceUnavailable as error:
            self._report(error)
            raise
        metadata = Metadata(self.issuer, freeze(_kept(document.members)))
        return Fetched(metadata, document.max_age)

    def _compare(self, url: str, named: object) -> None:
        if named == self.issuer:
            return
        hint = (
            f"expected the issuer {shown(self.issuer)}, and the metadata at"
            f" {shown(url.partition('?')[0])} is that of {shown(named)}; configure the issuer"
            " exactly as the server writes it (a trailing slash counts)"
        )
        raise AuthServiceUnavailable(hint, reason="issuer_mismatch")

    def _report(self, error: AuthServiceUnavailable) -> None:
        level = logging.ERROR if error.reason in _MISCONFIGURED else logging.WARNING
        log = partial(_seldom.log, level, (self.issuer, error.reason))
        log("The metadata of %s cannot be used (%s): %s", self.issuer, error.reason, error.hint)


def _kept(members: dict[str, Any]) -> dict[str, Any]:
    # What is kept costs memory for as long as the issuer is known, whoever it is. All that a
    # client looks for is short.
    lengths = {name: len(json.dumps({name: value})) for name, value in members.items()}
    chosen, left = set(), _MAX_KEPT_CHARACTERS
    for name in sorted(lengths, key=lengths.__getitem__)[:_MAX_MEMBERS]:
        left -= lengths[name]
        if left < 0 or lengths[name] > _MAX_MEMBER_CHARACTERS:
            break
        chosen.add(name)
    return {name: value for name, value in members.items() if name in chosen}
