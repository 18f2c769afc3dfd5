"""Taking away what is known of a token, everywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final

from tokenward._seal import Box
from tokenward.shared_cache.careful import Careful, seldom
from tokenward.shared_cache.places import (
    SCHEMA,
    TOMBSTONE,
    TOMBSTONE_SECONDS,
    Places,
    bytes_in,
    secrets_of,
)

if TYPE_CHECKING:
    from tokenward.protocols import Clock, RevocationBus, SharedCache

MESSAGE_SECONDS: Final = TOMBSTONE_SECONDS
"""Age at which a message is too old to count: whoever kept it could make us ask again for ever.

Long, because clocks differ, and a machine that was suspended reads its messages late.
"""


class Revocations:
    """Takes what is known of a token away, in the shared cache and in every process.

    Args:
        cache: The shared cache, if there is one.
        bus: What reaches the other processes, if something does.
        clock: Seconds since the epoch.
        failed: Called after each failure of either.

    Raises:
        ConfigurationError: The secrets of one are weak, or an empty list.
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
        self._places = None if cache is None else Places(cache)
        self._box = None if bus is None else Box(secrets_of(bus), "revocation")
        self._to_cache = Careful("the shared cache", failed)
        self._to_bus = Careful("the revocation bus", failed)

    def publish(self, digest: bytes) -> None:
        """Have everybody forget the token with this digest; never raises.

        First the shared cache, then the processes: one that forgets and asks again must not find
        the old answer there.
        """
        if self._cache is not None:
            self._to_cache.call(lambda: self._bury(digest), urgent=True)
        if self._bus is not None:
            self._to_bus.call(lambda: self._tell(digest), urgent=True)

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

        def received(message: object) -> None:
            digest = self._read(message)
            if digest is not None:
                forget(digest)

        if _takes_missed(self._bus):
            return self._bus.subscribe(received, missed=missed)
        simple: Any = self._bus
        end: Callable[[], None] | None = simple.subscribe(received)
        # Whatever was said before is missed in any case.
        missed()
        return end or (lambda: None)

    def _bury(self, digest: bytes) -> None:
        cache, places = self._cache, self._places
        if cache is not None and places is not None:
            for slot in places.slots(digest):
                stone = places.box.seal(TOMBSTONE, SCHEMA + TOMBSTONE + digest)
                cache.set(slot + TOMBSTONE, stone, ttl=TOMBSTONE_SECONDS)

    def _tell(self, digest: bytes) -> None:
        if self._bus is not None and self._box is not None:
            at = int(self._clock()).to_bytes(8, "big")
            for message in self._box.seals(at + digest, SCHEMA):
                self._bus.publish(message)

    def _read(self, message: object) -> bytes | None:
        opened, sealed = None, bytes_in(message)
        if self._box is not None and sealed is not None:
            opened = self._box.open(sealed, SCHEMA)
        if opened is None:
            seldom.log(
                logging.WARNING,
                ("message",),
                "a message on the revocation bus opens with none of the secrets; do all processes "
                "have the same list?",
            )
            return None
        at = int.from_bytes(opened[:8], "big")
        # Clocks differ a little, so from the future is fine.
        age = self._clock() - at
        if age >= MESSAGE_SECONDS:
            seldom.log(
                logging.WARNING,
                ("age",),
                "a message on the revocation bus is %.0f s old and was dropped; do the clocks of "
                "all machines agree?",
                age,
            )
            return None
        return opened[8:]


def _takes_missed(bus: RevocationBus) -> bool:
    try:
        parameters = signature(bus.subscribe).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.name == "missed" or p.kind is Parameter.VAR_KEYWORD for p in parameters)
