"""`FetchedKeySet`: the keys that an issuer publishes, fetched when needed and kept fresh."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tokenward import _fork, _jose
from tokenward._http import JSON, check_url
from tokenward._log import OncePerMinute, shown
from tokenward.cache import Fetched, Kept, KeptDocument, NotTried
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.metadata import fetch_json

if TYPE_CHECKING:
    from tokenward._jose import Key, KeySet, Unverified
    from tokenward.protocols import Clock, Transport

JWK_SET_TYPES: Final = (JSON, "application/jwk-set+json")
"""The content types of a JWK Set (RFC 7517, section 8.5.2)."""

_SHOWN_ENTRIES: Final = 5
# Far more than the keys of any issuer take: what stands beside the keys costs memory for as long
# as they are in use.
_MAX_KEPT_CHARACTERS: Final = 65_536

_logger = logging.getLogger("tokenward.jwkset")
_seldom = OncePerMinute(_logger)


class KeySnapshot(NamedTuple):
    """The keys at one moment; never changed, so threads share it without a lock.

    Attributes:
        key_set: What to verify with.
        generation: Another number whenever the keys are others. What was verified with one
            generation says nothing about the next.
        fetched_at: When they were asked for, in seconds since the epoch.
        document: The entries that are used, as the issuer wrote them; where that is too much to
            keep, what a key needs alone.
    """

    key_set: KeySet
    generation: int
    fetched_at: float
    document: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"KeySnapshot(generation={self.generation}, {self.key_set!r})"


class FetchedKeySet:
    """A JWK Set that is fetched and kept fresh; thread-safe, no I/O before the first use.

    One user fetches the set anew ahead of its end, and whoever else has a token of a known key does
    not wait for that. Past its end, as after a quiet hour, one fetches it and the others do wait: a
    key that was withdrawn in the meantime must not be taken once more. A fetch that fails leaves
    the last good set in use, and then nobody waits for the next attempt but who makes it. An
    unknown ``kid`` is a reason to fetch at most once in ``cooldown`` seconds, whoever makes such
    tokens up.

    Args:
        jwks_uri: Where the set is, or a callable that says so; called for each fetch, with the
            fetch's deadline on the ``time.monotonic()`` scale.
        transport: Sends the requests.
        timeout: Seconds for a fetch where no deadline is given.
        ttl: Seconds for which a set is used, or less if the server says so.
        refresh_ahead: Seconds before that end at which one user fetches it anew.
        cooldown: Seconds between two fetches because of an unknown ``kid``, and for which the
            server is left alone after a failure that leaves no keys.
        stale_for: Seconds beyond ``ttl`` for which a set is used while the server fails.
        clock: Seconds since the epoch.
        fetched: Told of each fetch how it ended (``ok``, or an outage's reason) and how many
            seconds it took; never raises.

    Attributes:
        in_use: The keys in use, another object whenever they are others; ``None`` before the
            first. For where a call would cost too much.

    Raises:
        ConfigurationError: The URL must not be called, or a number makes no sense.
    """

    def __init__(
        self,
        jwks_uri: str | Callable[[float], str],
        *,
        transport: Transport,
        timeout: float = 5.0,
        ttl: float = 900,
        refresh_ahead: float = 60,
        cooldown: float = 30,
        stale_for: float = 3_600,
        clock: Clock = time.time,
        fetched: Callable[[str, float], None] | None = None,
    ) -> None:
        if callable(jwks_uri):
            self._locate = jwks_uri
        else:
            checked = check_url(jwks_uri, what="jwks_uri")
            self._locate = lambda _deadline: checked
        self._transport = transport
        self._timeout = timeout
        self._clock = clock
        self._fetched = fetched
        self._generations = itertools.count(1)
        self.in_use: KeySet | None = None
        self._lock = threading.Lock()
        self._document: KeptDocument[KeySnapshot] = KeptDocument(
            self._fetch,
            ttl=ttl,
            refresh_ahead=refresh_ahead,
            cooldown=cooldown,
            stale_for=stale_for,
            timeout=timeout,
            clock=clock,
        )
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace a lock that another thread may hold in the parent."""
        self._lock = threading.Lock()

    @property
    def known(self) -> KeySnapshot | None:
        """The keys that could be used if the server failed; no I/O."""
        kept = self._document.known
        return None if kept is None else kept.value

    @property
    def fresh_until(self) -> float:
        """Until when `snapshot` only looks, in seconds since the epoch; ``-inf`` without keys."""
        return self._document.fresh_until

    def deadline(self) -> float:
        """Return when to give up what begins now, on the ``time.monotonic()`` scale."""
        return time.monotonic() + self._timeout

    def snapshot(self, *, deadline: float | None = None) -> KeySnapshot:
        """Return the keys as they are, fetching them if need be.

        Args:
            deadline: When to give up, on the ``time.monotonic()`` scale; default: after
                ``timeout`` seconds.

        Raises:
            AuthServiceUnavailable: There are none that may be used.
        """
        return self._followed(self._document.get(deadline=deadline).value)

    def key_set(self, *, deadline: float | None = None) -> KeySet:
        """Return what to verify with; see `snapshot`."""
        return self.snapshot(deadline=deadline).key_set

    def jwks(self) -> dict[str, Any]:
        """Return the keys in use as a JWK Set, a copy of your own; see `snapshot`.

        Entries that are not used, private ones among them, are not in it.
        """
        copied: dict[str, Any] = json.loads(json.dumps(self.snapshot().document))
        return copied

    def age(self) -> float | None:
        """Return the seconds since the keys in use were asked for; no I/O.

        ``None`` while there are none.
        """
        kept = self._document.known
        return None if kept is None else max(0.0, self._clock() - kept.asked_at)

    def refresh(self, *, deadline: float | None = None) -> KeySnapshot:
        """Fetch the keys now, whatever there is.

        Raises:
            AuthServiceUnavailable: The fetch failed; the last good set stays in use.
        """
        return self._followed(self._document.refresh(deadline=deadline).value)

    def verify(
        self,
        unverified: Unverified,
        algorithms: frozenset[str],
        *,
        deadline: float | None = None,
    ) -> KeySnapshot:
        """Check the signature of a token.

        Args:
            unverified: What `tokenward._jose.parse` returned.
            algorithms: The allow-list, as `tokenward._jose.check_algorithms` returned it.
            deadline: See `snapshot`.

        Returns:
            The keys that said so.

        Raises:
            InvalidSignature: It is not the key's signature over this content.
            InvalidToken: With the reason ``unknown_key``, ``algorithm`` or ``ambiguous_key``.
            AuthServiceUnavailable: There are no keys; or the token's is not among them, and they
                could not be fetched again.
        """
        # One for both fetches that there may be: of a set that is due, and for the key it lacks.
        deadline = self.deadline() if deadline is None else deadline
        seen = self._document.begun
        had = self._document.get(deadline=deadline)
        snapshot = self._followed(had.value)
        try:
            _jose.verify(unverified, snapshot.key_set, algorithms=algorithms)
        except InvalidToken as refusal:
            if refusal.reason != "unknown_key":
                raise
        else:
            return snapshot
        newer = self._followed(self._document.renewed(seen, had=had, deadline=deadline).value)
        try:
            _jose.verify(unverified, newer.key_set, algorithms=algorithms)
        except InvalidToken as refusal:
            raise _explained(refusal, unverified, newer.key_set) from None
        return newer

    def _followed(self, snapshot: KeySnapshot) -> KeySnapshot:
        if snapshot.key_set is not self.in_use:
            # Read under the lock: of two threads, the later one writes what is in use now.
            with self._lock:
                known = self.known
                self.in_use = None if known is None else known.key_set
        return snapshot

    def _fetch(self, deadline: float) -> Fetched[KeySnapshot]:
        if self._fetched is None:
            return self._fetch_now(deadline)
        started, outcome = time.perf_counter(), "interrupted"
        try:
            fetched = self._fetch_now(deadline)
            outcome = "ok"
        except AuthServiceUnavailable as error:
            outcome = error.reason
            raise
        except NotTried as untried:
            outcome = untried.error.reason
            raise
        finally:
            self._fetched(outcome, time.perf_counter() - started)
        return fetched

    def _fetch_now(self, deadline: float) -> Fetched[KeySnapshot]:
        asked_at = self._clock()
        url = self._url(deadline)
        try:
            document = fetch_json(self._transport, url, types=JWK_SET_TYPES, deadline=deadline)
            key_set = _read(url, document.members)
        except AuthServiceUnavailable as error:
            broken = error.reason == "no_usable_key"
            level = logging.ERROR if broken else logging.WARNING
            hint = error.hint
            shown_url = shown(url.partition("?")[0])
            _seldom.log(level, (url, error.reason), "No keys from %s: %s", shown_url, hint)
            raise
        used = {"keys": _kept(document.members["keys"], key_set)}
        known: Kept[KeySnapshot] | None = self._document.known
        if known is not None and _fingerprint(known.value.key_set) == _fingerprint(key_set):
            # The very same object, so that whoever compares identities sees no change either.
            snapshot = known.value._replace(fetched_at=asked_at, document=used)
        else:
            snapshot = KeySnapshot(key_set, next(self._generations), asked_at, used)
        return Fetched(snapshot, document.max_age)

    def _url(self, deadline: float) -> str:
        try:
            return check_url(self._locate(deadline), what="jwks_uri")
        except AuthServiceUnavailable as error:
            raise NotTried(error) from None
        except ConfigurationError as error:
            raise AuthServiceUnavailable(str(error), reason="bad_url") from None


def _read(url: str, document: Mapping[str, Any]) -> KeySet:
    where = shown(url.partition("?")[0])
    try:
        key_set = _jose.parse_key_set(document)
    except _jose.JWKError as error:
        hint = f"{where} answered with something else: {error}"
        raise AuthServiceUnavailable(hint, reason="bad_response") from None
    if not key_set.keys:
        why = "; ".join(f"entry {s.position}: {s.reason}" for s in key_set.skipped[:_SHOWN_ENTRIES])
        hint = f"{where} has no key that can be used ({why or 'it is empty'})"
        raise AuthServiceUnavailable(hint, reason="no_usable_key")
    return key_set


def _kept(entries: list[dict[str, Any]], key_set: KeySet) -> list[dict[str, Any]]:
    used = [entries[position] for position in key_set.positions]
    if len(json.dumps(used)) <= _MAX_KEPT_CHARACTERS:
        return used
    return [_jose.public_jwk(key) for key in key_set.keys]


def _fingerprint(key_set: KeySet) -> list[str]:
    return sorted(map(_identity, key_set.keys))


def _identity(key: Key) -> str:
    return json.dumps(_jose.public_jwk(key), sort_keys=True)


def _explained(refusal: InvalidToken, unverified: Unverified, key_set: KeySet) -> InvalidToken:
    if unverified.kid is not None:
        for skipped in key_set.skipped:
            if skipped.kid == shown(unverified.kid):
                refusal.hint += f"; the set has one that is not used: {skipped.reason}"
                break
    return refusal
