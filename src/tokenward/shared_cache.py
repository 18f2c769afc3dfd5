"""What processes share about tokens: answers in a second cache level, and who is revoked.

`SharedAnswers` keeps what the authorization server said, never what anybody made of it: each reader
applies its own policy. `Revocations` takes answers away, everywhere. Both see nothing but the
SHA-256 digest of a token, and seal whatever leaves the process, so that whoever can read the store
learns nothing, and whoever can write to it can at most make somebody ask again.

A token has one place for answers, for each endpoint and client, and one for a tombstone, which says
that no answer may be used. The tombstone has a place of its own because a look-up that began before
the revocation may still write its answer after it.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from tokenward import _json
from tokenward._log import OncePerMinute
from tokenward._seal import Box
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.protocols import Clock, RevocationBus, SharedCache

T = TypeVar("T")

LONGEST_TTL: Final = 3_600.0
"""Seconds for which an answer stands in the shared cache at most, whatever the reader's ttl."""

TOMBSTONE_SECONDS: Final = LONGEST_TTL + 300.0
"""Longer than any answer whose look-up was under way when the tombstone was set."""

MESSAGE_SECONDS: Final = 300.0
"""Age at which a message is too old to count: whoever kept it could make us ask again for ever."""

_FIRST_BACK_OFF = 0.5
_LONGEST_BACK_OFF = 15.0
_MAX_FAILURES = 6

_logger = logging.getLogger("tokenward.shared_cache")
_seldom = OncePerMinute(_logger)


class SharedAnswer(NamedTuple):
    """What the authorization server said, and when it was asked (seconds since the epoch)."""

    claims: Mapping[str, Any]
    asked_at: float


class _Careful:
    """Calls something that may be down: never raises, and leaves it alone after a failure.

    Args:
        what: Its name, for the log.
        failed: Called after each failure.
    """

    def __init__(self, what: str, failed: Callable[[], None]) -> None:
        self._what = what
        self._failed = failed
        self._failures = 0
        self._again_at = 0.0

    def call(self, operation: Callable[[], T], *, urgent: bool = False) -> T | None:
        """Return what ``operation`` returns; ``None`` when it fails or is not tried.

        Args:
            operation: What to do.
            urgent: Try it although an attempt failed a moment ago.
        """
        # Read and written without a lock: two threads that try at once do no harm.
        if not urgent and time.monotonic() < self._again_at:
            return None
        try:
            result = operation()
        except Exception as error:  # noqa: BLE001 - a cache of your own may raise anything
            longest = min(_FIRST_BACK_OFF * 2**self._failures, _LONGEST_BACK_OFF)
            self._failures = min(self._failures + 1, _MAX_FAILURES)
            # Jitter, so that processes which saw one outage do not come back in step.
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            self._again_at = time.monotonic() + pause
            _seldom.log(
                logging.WARNING,
                (self._what, "failed"),
                "%s failed and is left alone for %.1f s: %s",
                self._what,
                pause,
                getattr(error, "hint", "") or type(error).__name__,
            )
            self._failed()
            return None
        self._failures = 0
        return result


class SharedAnswers:
    """The second cache level of one verifier: sealed answers about tokens, by digest.

    Args:
        cache: Where they are kept.
        endpoint: The introspection endpoint that gave them.
        client: Who asked: other clients may be told other things.
        failed: Called after each failure of the cache.

    Raises:
        ConfigurationError: The cache names no secrets, or weak ones.
    """

    def __init__(
        self, cache: SharedCache, *, endpoint: str, client: str, failed: Callable[[], None]
    ) -> None:
        self._cache = cache
        self._box = Box(_secrets_of(cache), "shared cache")
        self._tombs = _tombstones(cache)
        # Length first, so that no two pairs read alike.
        asked = endpoint.encode("utf-8")
        self._asked = b"%d:%b%b" % (len(asked), asked, client.encode("utf-8"))
        self._careful = _Careful("the shared cache", failed)

    def get(self, digest: bytes) -> SharedAnswer | None:
        """Return the answer for a token; ``None`` when there is none that may be used."""
        name = self._box.name(self._asked + digest)
        found = self._careful.call(
            lambda: self._cache.get_many([b"a:" + name, _grave(self._tombs.name(digest))])
        )
        if found is None or found[0] is None or found[1] is not None:
            return None
        return self._open(found[0], digest)

    def put(self, digest: bytes, claims: Mapping[str, Any], *, asked_at: float, ttl: float) -> None:
        """Keep an answer for ``ttl`` seconds, `LONGEST_TTL` at most."""
        members = {"at": float(asked_at), "claims": claims}
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
        name = b"a:" + self._box.name(self._asked + digest)
        sealed = self._box.seal(text.encode("utf-8"), _SCHEMA, self._asked, digest)
        self._careful.call(lambda: self._cache.set(name, sealed, ttl=min(ttl, LONGEST_TTL)))

    def drop(self, digest: bytes) -> None:
        """Take the answer for a token away."""
        name = b"a:" + self._box.name(self._asked + digest)
        self._careful.call(lambda: self._cache.delete(name))

    def _open(self, sealed: bytes, digest: bytes) -> SharedAnswer | None:
        opened = self._box.open(sealed, _SCHEMA, self._asked, digest)
        if opened is None:
            # Somebody else's, corrupt, or from before the secrets changed.
            return None
        try:
            members = _json.loads(opened)
        except _json.JSONError:
            return None
        asked_at, claims = members.get("at"), members.get("claims")
        if not isinstance(asked_at, float) or not isinstance(claims, dict):
            return None
        return SharedAnswer(claims, asked_at)


class Revocations:
    """Takes what is known of a token away, in the shared cache and in every process.

    Args:
        cache: The shared cache, if there is one.
        bus: What reaches the other processes, if something does.
        clock: Seconds since the epoch.
        failed: Called after each failure of either.

    Raises:
        ConfigurationError: One of them names no secrets, or weak ones.
    """

    def __init__(
        self,
        cache: SharedCache | None,
        bus: RevocationBus | None,
        *,
        clock: Clock,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._cache = cache
        self._bus = bus
        self._clock = clock
        self._tombs = None if cache is None else _tombstones(cache)
        self._box = None if bus is None else Box(_secrets_of(bus), "revocation")
        self._to_cache = _Careful("the shared cache", failed)
        self._to_bus = _Careful("the revocation bus", failed)

    def publish(self, digest: bytes) -> None:
        """Have everybody forget the token with this digest; never raises.

        First the shared cache, then the processes: one that forgets and asks again must not find
        the old answer there.
        """
        if self._cache is not None and self._tombs is not None:
            cache, tombs = self._cache, self._tombs
            # Under every secret: during a change of secrets readers look under either.
            for name in tombs.names(digest):
                stone = tombs.seal(b"", _SCHEMA, digest)
                self._to_cache.call(
                    lambda name=name, stone=stone: cache.set(  # type: ignore[misc]
                        _grave(name), stone, ttl=TOMBSTONE_SECONDS
                    ),
                    urgent=True,
                )
        if self._bus is not None and self._box is not None:
            bus = self._bus
            at = int(self._clock()).to_bytes(8, "big")
            message = self._box.seal(at + digest, _SCHEMA)
            self._to_bus.call(lambda: bus.publish(message), urgent=True)

    def subscribe(
        self, forget: Callable[[bytes], None], *, missed: Callable[[], None]
    ) -> Callable[[], None]:
        """Have ``forget`` called with the digest of each token that anybody revokes.

        Args:
            forget: Called on a thread of the bus.
            missed: Called whenever revocations may have been missed.

        Returns:
            What ends the subscription.
        """
        if self._bus is None:
            return lambda: None

        def received(message: bytes) -> None:
            digest = self._read(message)
            if digest is not None:
                forget(digest)

        return self._bus.subscribe(received, missed=missed)

    def _read(self, message: bytes) -> bytes | None:
        opened = None if self._box is None else self._box.open(message, _SCHEMA)
        if opened is None:
            _seldom.log(
                logging.WARNING,
                ("message",),
                "a message on the revocation bus opens with none of the secrets; do all processes "
                "have the same list?",
            )
            return None
        at = int.from_bytes(opened[:8], "big")
        # Clocks differ a little, so from the future is fine.
        return opened[8:] if self._clock() - at < MESSAGE_SECONDS else None


_SCHEMA: Final = b"tokenward 1"


def _grave(name: bytes) -> bytes:
    return b"t:" + name


def _tombstones(cache: SharedCache) -> Box:
    return Box(_secrets_of(cache), "tombstone")


def _secrets_of(shared: SharedCache | RevocationBus) -> Sequence[str]:
    secrets: Sequence[str] = getattr(shared, "secrets", ())
    if not secrets:
        raise ConfigurationError(
            f"{type(shared).__name__} has no secrets, and nothing is shared unsealed: give it an "
            "attribute 'secrets', a list of strings of at least 16 bytes, newest first."
        )
    return secrets
