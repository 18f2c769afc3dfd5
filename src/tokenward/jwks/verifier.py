"""`JWKSVerifier`: the order of the checks, and the path of a token that was seen before."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from tokenward import _jose
from tokenward._events import outcome_of
from tokenward._http import RequestsTransport, apart
from tokenward._spellings import digest_of, digests_of
from tokenward.bearer import MAX_TOKEN_BYTES
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
)
from tokenward.jwks.checks import CheckOptions, Checks
from tokenward.jwks.live import REVOKED, agreed
from tokenward.jwks.memory import Memory
from tokenward.jwks.sources import NOT_WRITTEN, Places
from tokenward.metadata import MAX_DOCUMENT_BYTES
from tokenward.principal import thaw
from tokenward.protocols import serves_live

if TYPE_CHECKING:
    from tokenward.cache import CacheStats
    from tokenward.jwks.sources import FetchOptions
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, OnEvent, RevocationBus, TokenVerifier, Transport

_MAX_SIBLINGS: Final = 1_000


class JWKSVerifier:
    """Verifies signed tokens (JWT, RFC 7519) with the keys that their issuer publishes.

    Thread-safe; no I/O before the first token. A token costs a signature check once, and a look
    into a dictionary after that, for as long as the issuer's keys are the same. Nothing is fetched
    for a token that cannot be one of ours: its form, algorithm, type, issuer, audience and times
    come first.

    Args:
        issuer: Whose tokens: their ``iss``, compared code point by code point. Alone, the keys are
            found by discovery (RFC 8414, OpenID Connect Discovery). ``None`` with ``jwks_uri`` or
            ``jwks`` accepts any and must be written out.
        audience: See `ClaimsPolicy`; ``None`` must be written out.
        discovery_url: Where the issuer's metadata is, if not at a well-known place. Alone, the
            issuer is what stands before ``/.well-known/``.
        jwks_uri: Where the keys are; nothing is discovered.
        jwks: The keys themselves, a JWK Set (RFC 7517) or its JSON text; nothing is fetched.
        algorithms: The allow-list. HMAC (``HS256``, …) only with ``oct`` keys in ``jwks``, and
            with no other kind beside it.
        token_types: See `ClaimsPolicy`; ``("at+jwt",)`` takes access tokens by RFC 9068 only.
        accept_id_tokens: See `ClaimsPolicy`.
        clients: See `ClaimsPolicy`.
        required: See `ClaimsPolicy`.
        leeway: See `ClaimsPolicy`.
        roles_claim: See `ClaimsPolicy`.
        check: See `ClaimsPolicy`; called once for a token that is cached.
        ttl: Seconds for which fetched keys are used, or less if the server says so. So long may a
            withdrawn key go unnoticed.
        refresh_ahead: Seconds before that end at which one request fetches them anew.
        cooldown: Seconds between two fetches because of an unknown ``kid``.
        stale_for: Seconds beyond ``ttl`` for which keys are used while the issuer fails.
        timeout: Seconds for everything that a request may wait for keys: discovery, connecting,
            TLS, headers, body, retries.
        connect_timeout: Seconds for connecting to one address.
        retries: Further attempts after a connection failed; an HTTP status is never retried.
        verify_tls: ``True``, the path of a CA bundle, or ``False`` (loopback only).
        proxies: As in requests; the environment's are not used.
        max_token_bytes: Longer tokens are refused unread.
        cache_entries: Bound of the cache of verified tokens; 0 checks every signature every time.
        live: Asked where a view wants a ``live`` decision, after the signature was checked here;
            ``None``: such a view is a `ConfigurationError`.
        revocation_bus: What carries `invalidate`, and a logout or revocation at a tokenward
            service, to every process that listens: from its first token or `warm_up` on.
        transport: Sends the requests instead of the built-in one; then none of the transport's
            arguments above applies.
        clock: Seconds since the epoch.
        on_event: Receives an `Event` for each verification, fetch and use of the cache. What it
            raises is dropped.

    Attributes:
        issuer: The issuer; or, for anybody's tokens, where the keys are. It names this verifier in
            logs and events, and stands for the issuer where a token names none.
        algorithms: The allow-list.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self,
        issuer: str | None = NOT_WRITTEN,
        *,
        audience: str | Sequence[str] | None,
        discovery_url: str | None = None,
        jwks_uri: str | None = None,
        jwks: Mapping[str, Any] | str | None = None,
        algorithms: Sequence[str] = ("RS256", "ES256"),
        token_types: Collection[str] | None = None,
        accept_id_tokens: bool = False,
        clients: Collection[str] = (),
        required: Collection[str] = ("exp",),
        leeway: float = 30,
        roles_claim: str | Sequence[str] = "roles",
        check: Callable[[Mapping[str, Any]], None] | None = None,
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
        live: TokenVerifier | None = None,
        revocation_bus: RevocationBus | None = None,
        transport: Transport | None = None,
        clock: Clock = time.time,
        on_event: OnEvent | None = None,
    ) -> None:
        if type(cache_entries) is not int or cache_entries < 0:
            raise ConfigurationError("cache_entries is a whole number, 0 or more.")
        if type(max_token_bytes) is not int or max_token_bytes < 1:
            raise ConfigurationError("max_token_bytes is a whole number, 1 or more.")
        self.algorithms = _jose.check_algorithms(algorithms)
        self._transport = transport or RequestsTransport(
            connect_timeout=connect_timeout,
            retries=retries,
            verify_tls=verify_tls,
            proxies=proxies,
            max_response_bytes=MAX_DOCUMENT_BYTES,
        )
        self._clock = clock
        self._live = live
        self._memory = Memory(
            max_entries=cache_entries,
            clock=clock,
            bus=revocation_bus,
            report=None if on_event is None else self._report,
        )
        self._options: CheckOptions = {
            "algorithms": self.algorithms,
            "max_token_bytes": max_token_bytes,
            "verify_tls": verify_tls,
            "fetching": {
                "transport": self._transport,
                "timeout": timeout,
                "ttl": ttl,
                "refresh_ahead": refresh_ahead,
                "cooldown": cooldown,
                "stale_for": stale_for,
                "clock": clock,
            },
            "policing": {
                "audience": audience,
                "leeway": leeway,
                "required": required,
                "token_types": token_types,
                "accept_id_tokens": accept_id_tokens,
                "clients": clients,
                "roles_claim": roles_claim,
                "check": check,
            },
            "on_event": on_event,
            "memory": self._memory,
        }
        self._cache = self._memory.cache
        # What the path of nearly every request looks at: nothing where somebody observes, so that
        # it need not ask whether somebody does.
        self._fast: Mapping[bytes, Any] = self._cache.entries if on_event is None else {}
        self._maker: Self | None = None
        self._siblings: OrderedDict[str, Self] = OrderedDict()
        self._check_as(issuer, Places(discovery_url, jwks_uri, jwks))

    def _check_as(self, issuer: str | None, places: Places) -> None:
        options = self._options
        if self._maker is not None:
            # An issuer may name another one's server for its keys, and have us left without it.
            fetching: FetchOptions = {**options["fetching"], "transport": apart(self._transport)}
            options = {**options, "fetching": fetching}
        self._checks = Checks(issuer, places, options)
        self._keys = self._checks.keys
        self._events = self._checks.events
        self.issuer = self._checks.name

    def for_issuer(self, issuer: str, *, live: TokenVerifier | None = None) -> Self:
        """Return the verifier of another issuer: with these options, connections and cache.

        For `ByIssuer` and tenants that come and go: hundreds of issuers share one pool of
        connections, one bounded cache of verified tokens and one subscription to revocations. The
        keys of each are its own. The same issuer gives the same verifier, as long as there are
        not more than 1,000. What an observer is told of the cache has the first verifier's name.

        Args:
            issuer: Found by discovery.
            live: Asked for ``live`` decisions about this issuer's tokens, as of the first call; the
                first verifier's own is never asked about them.

        Raises:
            ConfigurationError: It must not be asked.
        """
        maker = self if self._maker is None else self._maker
        known = maker._checks.issuer  # noqa: SLF001 - of this very class
        if known is not None and known == issuer:
            return maker
        sibling = self._siblings.get(issuer)
        if sibling is None:
            sibling = object.__new__(type(self))
            sibling.__dict__.update(maker.__dict__)
            sibling._maker = maker
            sibling._live = live
            sibling._check_as(issuer, Places())
            while len(self._siblings) >= _MAX_SIBLINGS:
                self._siblings.popitem(last=False)
            sibling = self._siblings.setdefault(issuer, sibling)
        return sibling

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Return who ``token`` speaks for.

        Args:
            token: A JWT in compact form, without a scheme.
            live: Ask the verifier given as ``live`` too.

        Raises:
            InvalidToken: The token is refused.
            AuthServiceUnavailable: There are no keys to decide with, or ``live`` cannot tell.
            ConfigurationError: ``live`` is demanded, and there is nobody to ask.
        """
        if live:
            return self._ask(token)
        try:
            key = digest_of(token)
        except InvalidToken as refusal:
            self._events.emit("verify", outcome_of(refusal))
            raise
        entry = self._fast.get(key)
        if (
            entry is not None
            and entry.key_set is self._keys.in_use
            and entry.stored <= self._clock() < entry.fresh_until
        ):
            self._cache.hits += 1
            entry.used = True
            return entry.value  # type: ignore[no-any-return]  # entries hold principals
        if self._events:
            # Others may wait for this thread's fetch: not for an observer that blocks.
            with self._events.timed("verify"), self._events.held():
                return self._checks.look_up(key, token)
        return self._checks.look_up(key, token)

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where the token would have to be checked.

        Raises:
            TokenRevoked: The token is known to be revoked.
            InvalidToken: It is malformed.
        """
        started = time.perf_counter()
        try:
            key = digest_of(token)
            self._memory.refuse_denied(key)
        except AuthError as refusal:
            self._decided(outcome_of(refusal), started)
            raise
        entry = self._memory.entry(key)
        if entry is None or entry.key_set is not self._keys.in_use:
            return None
        if not entry.stored <= self._clock() < entry.fresh_until:
            return None
        principal = self._memory.hit(entry)
        self._decided("ok", started)
        return principal

    def verify_token(self, token: str) -> dict[str, Any]:
        """Return the claims of ``token``, as plain JSON types and a copy of your own.

        Args:
            token: The token; with or without ``Bearer`` before it, in any case.

        Raises:
            InvalidToken: The token is refused.
            AuthServiceUnavailable: There are no keys to decide with.
        """
        if isinstance(token, str):
            scheme, space, rest = token.strip().partition(" ")
            token = rest.strip() if space and scheme.lower() == "bearer" else token.strip()
        claims: dict[str, Any] = thaw(self.verify(token).claims)
        return claims

    def jwks(self) -> dict[str, Any]:
        """Return the public keys in use as a JWK Set (RFC 7517, section 5), a copy of your own.

        Raises:
            AuthServiceUnavailable: There are none.
        """
        with self._events.held():
            return self._keys.jwks()

    def refresh(self) -> None:
        """Fetch the keys now, whatever there is.

        Raises:
            AuthServiceUnavailable: They could not be fetched; those that there were stay in use.
        """
        with self._events.held():
            self._keys.refresh()

    def warm_up(self) -> bool:
        """Fetch the keys if there are none, so that the first request need not wait.

        Also begins to listen for revocations, if there is a bus. Never raises: an issuer that is
        down stops no start-up.

        Returns:
            Whether there are keys now.
        """
        self._memory.begin()
        try:
            with self._events.held():
                self._keys.snapshot()
        except AuthServiceUnavailable:
            return False
        return True

    def keys_age(self) -> float | None:
        """Return the seconds since the keys in use were fetched; no I/O.

        ``None`` while there are none, and where they are configured.
        """
        return self._keys.age()

    def invalidate(self, token: str) -> None:
        """Refuse ``token`` from now on, in this process and in those on the bus.

        What is remembered of it is bounded, and gone with the process: see `MAX_DENIED`. Never
        raises.
        """
        for digest in digests_of(token):
            self._memory.deny_everywhere(digest)

    def stats(self) -> CacheStats:
        """Return what the cache did so far, and how often keys were asked for.

        The cache's figures are those of all verifiers that share it: see `for_issuer`.
        """
        return replace(
            self._cache.stats(),
            upstream_calls=self._checks.upstream_calls,
            upstream_errors=self._checks.upstream_errors,
            shared_errors=self._memory.bus_errors,
        )

    def close(self) -> None:
        """Close idle connections, and stop listening for revocations; verifying starts anew.

        Does nothing for a verifier that `for_issuer` made: its maker's is the one to close.
        """
        if self._maker is None:
            self._memory.end()
            self._transport.close()

    @property
    def serves_live(self) -> bool:
        """Whether there is somebody to ask for ``live`` decisions."""
        return self._live is not None and serves_live(self._live)

    def __reduce__(self) -> NoReturn:
        msg = "a JWKSVerifier holds sockets, and perhaps secrets: make one in each process"
        raise TypeError(msg)

    def _ask(self, token: str) -> Principal:
        if self._live is None:
            raise ConfigurationError(
                f"A view wants a live decision about tokens of {self.issuer}, and there is nobody"
                " to ask: give the verifier live=, such as an IntrospectionVerifier of the issuer."
            )
        with self._events.timed("verify"):
            # Whoever can make no token of the issuer's cannot make us ask.
            with self._events.held():
                signed = self._checks.look_up(digest_of(token), token)
            try:
                asked = self._live.verify(token, live=True)
            except InvalidToken as refusal:
                if refusal.reason in REVOKED:
                    for digest in digests_of(token):
                        self._memory.deny(digest)
                raise
            return agreed(signed, asked)

    def _decided(self, outcome: str, started: float) -> None:
        self._events.emit("verify", outcome, seconds=time.perf_counter() - started)

    def _report(self, what: str) -> None:
        self._events.emit("cache", f"process.{what}")
