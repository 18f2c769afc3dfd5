"""`Checks`: what is looked at, and in which order, before a token of an issuer is accepted."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from tokenward import _jose
from tokenward._events import Events
from tokenward.claims import ClaimsPolicy
from tokenward.errors import AuthServiceUnavailable
from tokenward.jwks.memory import VerifiedEntry, revoked
from tokenward.jwks.sources import FetchOptions, Places, source_of

if TYPE_CHECKING:
    from tokenward.jwks.memory import Memory
    from tokenward.jwkset import KeySnapshot
    from tokenward.principal import Principal
    from tokenward.protocols import OnEvent


class CheckOptions(TypedDict):
    """What all the issuers of one verifier have in common.

    `policing` is what `ClaimsPolicy` takes beside the issuer.
    """

    algorithms: frozenset[str]
    max_token_bytes: int
    verify_tls: bool | str
    fetching: FetchOptions
    policing: dict[str, Any]
    on_event: OnEvent | None
    memory: Memory


class Checks:
    """The keys of one issuer, and how its tokens are checked; thread-safe.

    Args:
        issuer: As `JWKSVerifier` takes it.
        places: Where the keys are, if they are not found by discovery.
        options: See `CheckOptions`.

    Attributes:
        issuer: Whose tokens; ``None``: anybody's.
        name: A configured name: the issuer, or else where the keys are.
        keys: The keys.
        events: What an observer is told, under that name.
        upstream_calls: How often keys were fetched.
        upstream_errors: How often that failed.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(self, issuer: str | None, places: Places, options: CheckOptions) -> None:
        self._algorithms = options["algorithms"]
        self._max_token_bytes = options["max_token_bytes"]
        self._clock = options["fetching"]["clock"]
        self._memory = options["memory"]
        source = source_of(
            issuer,
            places,
            algorithms=self._algorithms,
            verify_tls=options["verify_tls"],
            options=options["fetching"],
            fetched=self._fetched,
        )
        self.issuer = source.issuer
        self.name = source.name
        self.keys = source.keys
        self.events = Events(options["on_event"], source.name)
        self.upstream_calls = 0
        self.upstream_errors = 0
        self._policy = ClaimsPolicy(issuer=source.issuer, **options["policing"])

    def look_up(self, key: bytes, token: str) -> Principal:
        """Return who a token speaks for, remembered or checked now.

        Args:
            key: Its digest.
            token: The token.

        Raises:
            InvalidToken: It is refused.
            AuthServiceUnavailable: There are no keys to decide with.
        """
        self._memory.begin()
        self._memory.refuse_denied(key)
        deadline = self.keys.deadline()
        if not self._memory.cache.max_entries:
            principal, _snapshot = self._check(token, self._clock(), deadline)
            return principal
        known = self._remembered(key, deadline)
        if known is not None:
            return known
        load = partial(self._load, key, token, deadline)
        # live: what another thread finds out may be of keys that are no longer in use.
        return self._memory.cache.look_up(key, load, patience=0, live=True)

    def _remembered(self, key: bytes, deadline: float) -> Principal | None:
        # Also while the keys are due or stale, and whoever fetches them is not back yet.
        entry = self._memory.entry(key)
        # Another issuer's, perhaps, whose token is no reason to fetch our keys.
        if entry is None or entry.key_set is not self.keys.in_use:
            return None
        if not entry.stored <= self._clock() < entry.ends:
            return None
        try:
            key_set = self.keys.snapshot(deadline=deadline).key_set
        except AuthServiceUnavailable:
            self._memory.missed()
            raise
        if entry.key_set is not key_set:
            return None
        until = min(entry.ends, self.keys.fresh_until)
        if until > entry.fresh_until:
            # As if it were verified now: a clock that jumps back makes it a miss.
            entry.stored = max(entry.stored, self._clock())
            entry.fresh_until = until
        # Looking at the keys may have taken its time.
        still = self._memory.entry(key) is entry and entry.stored <= self._clock() < entry.ends
        return self._memory.hit(entry) if still else None

    def _load(self, key: bytes, token: str, deadline: float) -> VerifiedEntry:
        # Again, now that this look-up is known: what is revoked from here on is not stored.
        if self._memory.is_denied(key):
            raise revoked()
        now = self._clock()
        principal, snapshot = self._check(token, now, deadline)
        exp = principal.expires_at
        return VerifiedEntry(
            principal,
            key_set=snapshot.key_set,
            stored=now,
            ends=math.inf if exp is None else exp + self._policy.leeway,
            fresh_until=self.keys.fresh_until,
        )

    def _check(self, token: str, now: float, deadline: float) -> tuple[Principal, KeySnapshot]:
        max_bytes = self._max_token_bytes
        unverified = _jose.parse(token, max_bytes=max_bytes, algorithms=self._algorithms)
        claims = unverified.claims
        self._policy.check_type(unverified.header, claims)
        self._policy.check_registered(claims, now=now)
        snapshot = self.keys.verify(unverified, self._algorithms, deadline=deadline)
        self._policy.check_own(claims)
        return self._policy.principal(claims, issuer=self.name), snapshot

    def _fetched(self, outcome: str, seconds: float) -> None:
        self.upstream_calls += 1
        self.upstream_errors += outcome != "ok"
        self.events.emit("upstream", outcome, seconds=seconds)
