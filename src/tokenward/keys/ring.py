"""The ring: what it signs with now, and what verifies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tokenward import _fork, _jose
from tokenward._log import OncePerMinute, shown
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.keys.snapshot import Snapshot, make_keys, open_all, open_some

if TYPE_CHECKING:
    from tokenward._jose import Key, KeySet
    from tokenward._seal import Sealer
    from tokenward.protocols import Clock
    from tokenward.repositories.base import KeyRepository, StoredKey

REREAD_SECONDS: Final = 60.0
"""How long another process's rotation may go unnoticed."""

_logger = logging.getLogger("tokenward.keys")
_seldom = OncePerMinute(_logger)


class KeyRing:
    """The signing keys of one issuer; thread-safe. Made by `generate`, `load` or `create`.

    With a store, it is read again every 60 seconds, so that what another process changed counts
    here too. A store that is down then changes nothing. A key that cannot be opened then is left
    out with an ERROR in the log; a key that is gone from the store verifies nothing any more.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        store: KeyRepository | None,
        sealer: Sealer | None,
        clock: Clock,
    ) -> None:
        self._snapshot = snapshot
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._read_at = clock()
        self._lock = threading.Lock()
        _fork.register(self)

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, clock: Clock = time.time) -> KeyRing:
        """Make a ring in memory: its tokens end with the process. For tests and trying out.

        Args:
            algorithm: A public-key algorithm of RFC 7518 or RFC 8037, such as ``ES256``.
            clock: Seconds since the epoch.

        Raises:
            ConfigurationError: There is no such algorithm, or it is symmetric.
        """
        made = make_keys(algorithm, clock())
        snapshot = open_all((stored for _, stored in made), {key.kid: key for key, _ in made})
        return cls(snapshot, store=None, sealer=None, clock=clock)

    @classmethod
    def load(
        cls, store: KeyRepository, *, sealer: Sealer | None = None, clock: Clock = time.time
    ) -> KeyRing:
        """Open the keys of a store; none is ever made here.

        Args:
            store: Where the keys are.
            sealer: Opens them, when they are sealed.
            clock: Seconds since the epoch.

        Raises:
            ConfigurationError: There are no keys, one cannot be opened, or not exactly one is
                current.
            AuthServiceUnavailable: The store is down.
        """
        _, stored = store.load()
        snapshot = open_all(stored, {}, sealer=sealer, now=clock())
        return cls(snapshot, store=store, sealer=sealer, clock=clock)

    @classmethod
    def create(
        cls,
        store: KeyRepository,
        algorithm: str = "ES256",
        *,
        sealer: Sealer | None = None,
        clock: Clock = time.time,
    ) -> KeyRing:
        """Make the first keys of a store, the current and the next one.

        Args:
            store: Where they go; it has none yet.
            algorithm: See `generate`.
            sealer: Seals them; without one they are stored as PEM.
            clock: Seconds since the epoch.

        Raises:
            ConfigurationError: There are keys already, or no such algorithm.
            AuthServiceUnavailable: The store is busy or down.
        """
        version, existing = store.load()
        if existing:
            raise ConfigurationError(
                f"The store has {len(existing)} signing keys already, and none are made beside "
                "them. Use these, or name an empty store."
            )
        made = make_keys(algorithm, clock(), sealer=sealer)
        if not store.replace(version, [stored for _, stored in made]):
            raise ConfigurationError(
                "Another process made signing keys at the same moment; run this again to use them."
            )
        return cls.load(store, sealer=sealer, clock=clock)

    def __repr__(self) -> str:
        return f"KeyRing(keys={len(self._snapshot.stored)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing holds private keys: load one in each process")

    def after_fork(self) -> None:
        """Make the lock anew in a forked child."""
        self._lock = threading.Lock()

    @property
    def current(self) -> Key:
        """The key that signs now.

        Raises:
            AuthServiceUnavailable: The store has none that can be opened any more.
        """
        key = self._fresh().current
        if key is None:
            hint = "the key store no longer has one current key that opens; see the log"
            raise AuthServiceUnavailable(hint, reason="no_signing_key")
        return key

    @property
    def key_set(self) -> KeySet:
        """The keys that verify: current, next, and retired ones still published.

        The same object until one comes or goes, so that what was verified with it can be
        remembered together with it.
        """
        return self._fresh().key_set

    def kids(self) -> tuple[str, ...]:
        """Return the ids of the published keys, the current one first."""
        return tuple(key.kid for key in self.key_set.keys if key.kid is not None)

    def public_jwks(self) -> dict[str, Any]:
        """Return the published keys as a JWK Set (RFC 7517, section 5)."""
        return {"keys": [_jose.public_jwk(key) for key in self.key_set.keys]}

    def _fresh(self) -> Snapshot:
        now = self._clock()
        # "before" too: the clock may jump back.
        if self._read_at <= now < self._read_at + REREAD_SECONDS:
            return self._snapshot
        with self._lock:
            due = not self._read_at <= now < self._read_at + REREAD_SECONDS
            if due:
                # From here on the other threads go by what is loaded, while this one asks.
                self._read_at = now
        if due:
            self._reread(now)
        return self._snapshot

    def _reread(self, now: float) -> None:
        stored: Iterable[StoredKey] = self._snapshot.stored
        if self._store is not None:
            try:
                _, stored = self._store.load()
            except Exception as error:  # noqa: BLE001 - whatever a store raises, tokens are verified
                why = getattr(error, "hint", "") or type(error).__name__
                message = "The key store cannot be read; the loaded keys serve on: %s"
                _seldom.log(logging.WARNING, ("store",), message, shown(why))
                return
        self._snapshot = open_some(stored, self._snapshot, sealer=self._sealer, now=now)
