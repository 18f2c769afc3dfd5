"""The keys of a store as they were read last: read again in time, and changed there."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tokenward import _fork
from tokenward._log import OncePerMinute, shown
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, Forbidden
from tokenward.keys.changes import keep_up, prune_in, rotate_in
from tokenward.keys.rotation import REREAD_SECONDS
from tokenward.keys.snapshot import NOTHING, current_of, open_all, open_some

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenward.keys.rotation import Terms
    from tokenward.keys.snapshot import Snapshot
    from tokenward.protocols import Clock
    from tokenward.repositories.base import KeyRepository, StoredKey

_logger = logging.getLogger("tokenward.keys")
_seldom = OncePerMinute(_logger)

RETRY_SECONDS: Final = 1.0
"""How long a store that could not be asked for the first time is left alone."""

_TOO_EARLY = (
    "Resource servers may not know the next key yet; the hint says how long to wait, and "
    "rotate(force=True) does not."
)
_STORE = "store_unavailable"
_NO_KEY = "no_signing_key"


class Watch:
    """The snapshot of one ring; thread-safe.

    Args:
        snapshot: What the store held a moment ago; ``None``: it is still to be asked, see `start`.
        store: Where the keys are; ``None``: in files, and nothing changes.
        terms: What rotations go by.
        clock: Seconds since the epoch.

    Attributes:
        snapshot: What was read last.
    """

    def __init__(
        self, snapshot: Snapshot | None, *, store: KeyRepository | None, terms: Terms, clock: Clock
    ) -> None:
        self.snapshot = NOTHING if snapshot is None else snapshot
        self._refusal = None if snapshot is not None else ("not asked yet", _STORE)
        self._store = store
        self._terms = terms
        self._clock = clock
        self._read_at = self._tried_at = clock()
        self._asked = self._learnt = 0
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Make the lock anew in a forked child, where no thread asks the store."""
        self._lock = threading.Lock()
        self._is_trying = False

    def start(self) -> None:
        """Read the store for the first time; when it is down, that is done later.

        Raises:
            ConfigurationError: What is there cannot be used.
        """
        try:
            self._load_all(self._clock())
        except AuthServiceUnavailable as error:
            self._put_off(error)

    def fresh(self) -> Snapshot:
        """Return the snapshot, read anew if the last one is too old.

        Raises:
            AuthServiceUnavailable: The store could not be asked yet, or what it has is of no use.
        """
        self._require()
        now = self._clock()
        # "before" too: the clock may jump back.
        if self._read_at <= now < self._read_at + REREAD_SECONDS:
            return self.snapshot
        with self._lock:
            due = not self._read_at <= now < self._read_at + REREAD_SECONDS
            if due:
                # From here on the other threads go by what is loaded, while this one asks.
                self._read_at = now
        if due:
            self._reread(now)
        return self.snapshot

    def rotate(self, *, force: bool, compromised: bool) -> str:
        """See `KeyRing.rotate`."""
        store = self._to_change()
        known = current_of(self.fresh().stored)
        try:
            stored = rotate_in(
                store,
                None if known is None else known.kid,
                self.snapshot.opened,
                self._terms,
                self._clock,
                force=force,
                compromised=compromised,
            )
        except Forbidden as error:
            # Its text reaches a program, which has no command line, and nobody else.
            error.description = _TOO_EARLY
            raise
        self._learn_of(stored)
        current = current_of(stored)
        return "" if current is None else current.kid

    def outlast(self, lifetime: int) -> None:
        """See `KeyRing.outlast`."""
        with self._lock:
            terms = replace(self._terms, longest_lifetime=lifetime)
            if lifetime > self._terms.longest_lifetime:
                self._terms = terms

    def prune(self) -> int:
        """See `KeyRing.prune`."""
        self._require()
        stored, gone = prune_in(self._to_change(), self._terms, self._clock)
        self._learn_of(stored)
        return gone

    def _to_change(self) -> KeyRepository:
        if self._store is None:
            raise ConfigurationError(
                "The signing keys are in files (`service.keys.files`): exchange these and start "
                "again; nothing is rotated or pruned here."
            )
        return self._store

    def _require(self) -> None:
        """Raise `AuthServiceUnavailable` until the store was read once; here it is asked again."""
        if self._refusal is None:
            return
        now = self._clock()
        with self._lock:
            is_early = self._tried_at <= now < self._tried_at + RETRY_SECONDS
            due = not self._is_trying and not is_early
            if due:
                # The other threads are refused at once, while this one asks.
                self._is_trying = True
        if due:
            self._try(now)
        refusal = self._refusal
        if refusal is not None:
            hint, reason = refusal
            raise AuthServiceUnavailable(hint, reason=reason)

    def _try(self, now: float) -> None:
        try:
            self._load_all(now)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, nobody can be served
            self._put_off(error)
        finally:
            with self._lock:
                self._is_trying = False

    def _load_all(self, now: float) -> None:
        turn = self._turn()
        _, stored = self._to_change().load()
        self._take(open_all(stored, sealer=self._terms.sealer, now=now), turn)
        self._read_at = now
        self._refusal = None

    def _put_off(self, error: Exception) -> None:
        if isinstance(error, ConfigurationError):
            hint, reason = str(error), _NO_KEY
        else:
            hint, reason = getattr(error, "hint", "") or type(error).__name__, _STORE
        self._refusal = (hint, reason)
        # What was just asked may have taken long to say no.
        self._tried_at = self._clock()
        message = "No signing keys yet, so nothing is signed or verified: %s"
        _seldom.log(logging.ERROR, ("start", reason), message, shown(hint))

    def _reread(self, now: float) -> None:
        if self._store is None:
            self._learn(self.snapshot.stored, self._turn(), now)
            return
        try:
            held = self._load(self._store, now)
            if keep_up(self._store, held, self.snapshot.opened, self._terms, now):
                self._load(self._store, now)
        except ConfigurationError as error:
            message = "The signing keys cannot be rotated as scheduled: %s"
            _seldom.log(logging.ERROR, ("schedule",), message, error)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, tokens are verified
            why = getattr(error, "hint", "") or type(error).__name__
            message = "The key store cannot be used; the loaded keys serve on: %s"
            _seldom.log(logging.WARNING, ("store",), message, shown(why))

    def _load(self, store: KeyRepository, now: float) -> tuple[int, list[StoredKey]]:
        turn = self._turn()
        version, stored = store.load()
        self._learn(stored, turn, now)
        return version, stored

    def _learn_of(self, written: Iterable[StoredKey]) -> None:
        # Somebody else may have gone on from there, and then it is theirs that counts.
        now = self._clock()
        try:
            self._load(self._to_change(), now)
        except Exception:  # noqa: BLE001 - what was written, was
            self._learn(written, self._turn(), now)

    def _turn(self) -> int:
        with self._lock:
            self._asked += 1
            return self._asked

    def _learn(self, stored: Iterable[StoredKey], turn: int, now: float) -> None:
        self._take(open_some(stored, self.snapshot, sealer=self._terms.sealer, now=now), turn)

    def _take(self, snapshot: Snapshot, turn: int) -> None:
        with self._lock:
            # A slow answer must not bring back what a later question found gone.
            if turn > self._learnt:
                self._learnt = turn
                self.snapshot = snapshot
