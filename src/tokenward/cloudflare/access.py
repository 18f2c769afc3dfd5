"""`CloudflareAccess`: verifies assertions, and knows where requests carry them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from tokenward import _jose
from tokenward._events import Events, outcome_of
from tokenward._http import RequestsTransport
from tokenward.authenticator import Credential, cookie, header
from tokenward.bearer import MAX_TOKEN_BYTES
from tokenward.cloudflare.assertion import check_assertion, speaker
from tokenward.cloudflare.dev import asks_from_here, dev_principal
from tokenward.cloudflare.identity import Identities
from tokenward.cloudflare.people import CloudflareUser
from tokenward.cloudflare.team import issuer_of
from tokenward.errors import ConfigurationError, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.metadata import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from tokenward.cache import CacheStats
    from tokenward.cloudflare.people import Identity
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, Event, Headers, OnEvent, RevocationBus, Transport

ASSERTION_HEADER: Final = "Cf-Access-Jwt-Assertion"
ASSERTION_COOKIE: Final = "CF_Authorization"

_REFUSED: Final = "CFA token verification failed"

T = TypeVar("T")


class CloudflareAccess:
    """Verifies the assertions that Cloudflare Access adds to the requests it lets through.

    A person's assertion gives a principal of ``kind`` ``user`` with their ``email``; a service
    token's one of ``kind`` ``service``, with the subject ``service:COMMON_NAME`` and no e-mail
    address. Who it is comes from the assertion alone: no other header of Cloudflare's is read.
    Thread-safe; no I/O before the first assertion.

    Refusals carry the `detail` that the answer has beside its standard members.

    Args:
        team: The team's name, as in ``https://TEAM.cloudflareaccess.com``.
        audience: The application's AUD tag, or several. ``None`` takes the assertions of all the
            team's applications and must be written out.
        domain: The team's domain, where it has one of its own: a host name.
        algorithms: The allow-list.
        leeway: Seconds by which clocks may differ.
        ttl: Seconds for which keys are used; this and the next three are as in `JWKSVerifier`.
        refresh_ahead: Seconds before that end at which one request fetches them anew.
        cooldown: Seconds between two fetches because of an unknown ``kid``.
        stale_for: Seconds beyond ``ttl`` for which keys are used while the domain fails.
        timeout: Seconds for everything that a request may wait for keys, and again for an
            identity.
        connect_timeout: Seconds for connecting to one address.
        retries: Further attempts after a connection failed; an HTTP status is never retried.
        verify_tls: ``True``, the path of a CA bundle, or ``False`` (loopback only).
        proxies: As in requests; the environment's are not used.
        max_token_bytes: Longer assertions are refused unread.
        cache_entries: Bound of the cache of verified assertions; 0 checks every signature every
            time, and asks for an identity every time it is needed.
        groups_as_roles: Take the groups of the person's `Identity` for their roles. Whoever's
            identity cannot be asked for is nobody meanwhile: `AuthServiceUnavailable`.
        dev_user: Who asks on a developer's machine, where no Cloudflare stands before: see
            `absent`. An e-mail address, or a `CloudflareUser`.
        revocation_bus: What carries `invalidate` to every process.
        transport: Sends the requests instead of the built-in one.
        clock: Seconds since the epoch.
        on_event: Receives an `Event` for each verification, fetch and use of the cache. What it
            raises is dropped.

    Attributes:
        issuer: The URL of the team's domain, which is the ``iss`` of the assertions.
        algorithms: The allow-list.
        absent_detail: The ``detail`` of the answer to whoever presents nothing.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    absent_detail: Final = "Invalid CFA Token"

    def __init__(
        self,
        team: str,
        *,
        audience: str | Sequence[str] | None,
        domain: str | None = None,
        algorithms: Sequence[str] = ("RS256", "ES256"),
        leeway: float = 30,
        ttl: float = 900,
        refresh_ahead: float = 60,
        cooldown: float = 30,
        stale_for: float = 3_600,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        retries: int = 1,
        verify_tls: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        max_token_bytes: int = MAX_TOKEN_BYTES,
        cache_entries: int = 10_000,
        groups_as_roles: bool = False,
        dev_user: CloudflareUser | str | None = None,
        revocation_bus: RevocationBus | None = None,
        transport: Transport | None = None,
        clock: Clock = time.time,
        on_event: OnEvent | None = None,
    ) -> None:
        self.issuer = issuer_of(team, domain)
        self._max_token_bytes = max_token_bytes
        self._groups_as_roles = groups_as_roles
        self._events = Events(on_event, self.issuer)
        self._keys = JWKSVerifier(
            self.issuer,
            jwks_uri=f"{self.issuer}/cdn-cgi/access/certs",
            audience=audience,
            algorithms=algorithms,
            roles_claim=(),
            leeway=leeway,
            ttl=ttl,
            refresh_ahead=refresh_ahead,
            cooldown=cooldown,
            stale_for=stale_for,
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            verify_tls=verify_tls,
            proxies=proxies,
            max_token_bytes=max_token_bytes,
            cache_entries=cache_entries,
            revocation_bus=revocation_bus,
            transport=transport,
            clock=clock,
            on_event=None if on_event is None else _all_but_verdicts(on_event),
        )
        self.algorithms = self._keys.algorithms
        self._identities = Identities(
            self.issuer,
            # One of its own: what is slow or fails there never stands in the way of the keys.
            transport=transport
            or RequestsTransport(
                connect_timeout=connect_timeout,
                retries=retries,
                verify_tls=verify_tls,
                proxies=proxies,
                max_response_bytes=MAX_DOCUMENT_BYTES,
            ),
            timeout=timeout,
            max_entries=cache_entries,
            clock=clock,
            events=self._events,
        )
        self._dev = dev_principal(dev_user, issuer=self.issuer)

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Return who an assertion speaks for.

        Args:
            token: The assertion.
            live: Cloudflare has nobody to ask: see `serves_live`.

        Raises:
            InvalidToken: The assertion is refused.
            AuthServiceUnavailable: There are no keys to decide with; or, with
                ``groups_as_roles``, the person's groups cannot be asked for.
            ConfigurationError: ``live`` is demanded.
        """
        if live:
            raise self._not_live()
        return self._observed(self._decide, token)

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where something would have to be checked.

        Raises:
            InvalidToken: The assertion is known to be revoked, or is malformed.
        """
        started = time.perf_counter()
        try:
            principal = self._decided(token)
        except InvalidToken as refusal:
            self._events.emit("verify", outcome_of(refusal), seconds=time.perf_counter() - started)
            raise _told(refusal) from None
        if principal is not None:
            self._events.emit("verify", "ok", seconds=time.perf_counter() - started)
        return principal

    def verify_user(self, token: str) -> CloudflareUser:
        """Return the person an assertion speaks for.

        Raises:
            InvalidToken: The assertion is refused, or a service token's.
            AuthServiceUnavailable: There are no keys to decide with.
        """
        return self._observed(lambda sent: CloudflareUser.of(self._verified(sent)), token)

    def verify_email(self, token: str) -> str:
        """Return the e-mail address of the person an assertion speaks for; see `verify_user`."""
        return self.verify_user(token).email

    def get_identity(self, token: str) -> Identity:
        """Return what the team's domain knows of whoever an assertion speaks for.

        The assertion is verified first, and sent to the team's own domain only. The answer is
        remembered for a minute, by the assertion.

        Raises:
            InvalidToken: The assertion is refused, or its session is over.
            AuthServiceUnavailable: There are no keys to decide with, or the domain cannot say.
        """
        return self._observed(lambda sent: self._identities.get(sent, self._verified(sent)), token)

    def credentials(self, cookie: bool = False) -> tuple[Credential, ...]:  # noqa: FBT001, FBT002 - as documented
        """Return where requests carry assertions, for an `Authenticator`.

        Args:
            cookie: Look into the cookie ``CF_Authorization`` too, where the header is not there.
                The header decides where both are.
        """
        sources = [header(ASSERTION_HEADER), *([_cookie(ASSERTION_COOKIE)] if cookie else [])]
        return tuple(Credential(source, self, ambient=True) for source in sources)

    def absent(
        self, headers: Headers, peer: str | None, /, *, live: bool = False
    ) -> Principal | None:
        """Return who sends a request that presents nothing at all: ``dev_user``, or ``None``.

        It is ``dev_user`` where ``TOKENWARD_ENV`` was ``development`` when this was made, the peer
        is this very machine by its address, a ``Host`` header names it too (``localhost``, a name
        below that or without a dot, a loopback address), and no header says that anybody passed
        the request on.

        Args:
            headers: The request's.
            peer: The address of the other end of the connection.
            live: See `verify`.

        Raises:
            ConfigurationError: ``live`` is demanded.
        """
        if self._dev is None or not asks_from_here(headers, peer):
            return None
        if live:
            raise self._not_live()
        return self._dev

    def invalidate(self, token: str) -> None:
        """Refuse ``token`` from now on; see `JWKSVerifier.invalidate`. Never raises."""
        self._keys.invalidate(token)

    def refresh(self) -> None:
        """Fetch the keys now, whatever there is.

        Raises:
            AuthServiceUnavailable: They could not be fetched; those that there were stay in use.
        """
        self._keys.refresh()

    def warm_up(self) -> bool:
        """Fetch the keys if there are none; see `JWKSVerifier.warm_up`. Never raises."""
        return self._keys.warm_up()

    def keys_age(self) -> float | None:
        """Return the seconds since the keys in use were fetched; ``None`` while there are none."""
        return self._keys.keys_age()

    def stats(self) -> CacheStats:
        """Return what the caches did so far, and how often keys and identities were asked for."""
        assertions, identities = self._keys.stats(), self._identities.stats()
        return replace(
            assertions,
            upstream_calls=assertions.upstream_calls + self._identities.upstream_calls,
            upstream_errors=assertions.upstream_errors + self._identities.upstream_errors,
            stale_served=assertions.stale_served + identities.stale_served,
            evictions=assertions.evictions + identities.evictions,
            entries=assertions.entries + identities.entries,
        )

    def close(self) -> None:
        """Close idle connections, and stop listening for revocations; verifying starts anew."""
        self._keys.close()
        self._identities.close()

    @property
    def serves_live(self) -> bool:
        """Whether there is somebody to ask for ``live`` decisions; there is not."""
        return False

    def __reduce__(self) -> NoReturn:
        msg = "a CloudflareAccess holds sockets: make one in each process"
        raise TypeError(msg)

    def _observed(self, decide: Callable[[str], T], token: str) -> T:
        try:
            if not self._events:
                return decide(token)
            with self._events.timed("verify"):
                return decide(token)
        except InvalidToken as refusal:
            raise _told(refusal) from None

    def _decide(self, token: str) -> Principal:
        who = self._verified(token)
        if self._groups_as_roles and who.kind == "user":
            return _in_groups(who, self._identities.get(token, who))
        return who

    def _decided(self, token: str) -> Principal | None:
        known = self._keys.cached(token)
        if known is None:
            return None
        who = speaker(known)
        if self._groups_as_roles and who.kind == "user":
            identity = self._identities.cached(token)
            return None if identity is None else _in_groups(who, identity)
        return who

    def _verified(self, token: str) -> Principal:
        # What is cached has passed the profile below: nothing else puts it there.
        known = self._keys.cached(token)
        if known is None:
            unverified = _jose.parse(
                token, max_bytes=self._max_token_bytes, algorithms=self.algorithms
            )
            check_assertion(unverified.header, unverified.claims)
            known = self._keys.verify(token)
        return speaker(known)

    def _not_live(self) -> ConfigurationError:
        return ConfigurationError(
            f"A view wants a live decision about assertions of {self.issuer}, and Cloudflare has "
            "nobody to ask: take live off the view."
        )


_cookie = cookie  # beside an argument of the same name


def _in_groups(who: Principal, identity: Identity) -> Principal:
    return replace(who, roles=frozenset(identity.groups))


def _told(refusal: InvalidToken) -> InvalidToken:
    # A copy: the original may be another request's too.
    told = copy.copy(refusal)
    told.detail = _REFUSED
    return told


def _all_but_verdicts(on_event: OnEvent) -> OnEvent:
    """Return an observer of the keys; what becomes of an assertion is ours to tell."""

    def observe(event: Event) -> None:
        if event.kind != "verify":
            on_event(event)

    return observe
