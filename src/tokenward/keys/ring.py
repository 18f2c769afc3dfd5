"""The ring: what it signs with now, and what verifies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward import _jose
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.keys.files import keys_in_files
from tokenward.keys.rotation import Terms, check_algorithm
from tokenward.keys.snapshot import NOTHING, make_key, no_keys, open_all, open_some
from tokenward.keys.unkept import UnkeptKeys
from tokenward.keys.watch import Watch

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tokenward._jose import Key, KeySet
    from tokenward._seal import Sealer
    from tokenward.keys.snapshot import Snapshot
    from tokenward.protocols import Clock
    from tokenward.repositories.base import KeyRepository


class KeyRing:
    """The signing keys of one issuer; thread-safe.

    Made by `generate`, `create`, `load`, `salvage` or `from_files`.

    With a store, it is read again every 60 seconds, so that what another process changed counts
    here too. A store that is down then changes nothing. A key that cannot be opened then is left
    out with an ERROR in the log; a key that is gone from the store verifies nothing any more.

    A store that is down when the ring is loaded is asked again when the ring is used, once a second
    at most. Until it answers, every use is `AuthServiceUnavailable`, and so it is when there turn
    out to be no keys or one that does not open; the log says so once a minute.
    """

    def __init__(
        self, snapshot: Snapshot | None, *, store: KeyRepository | None, terms: Terms, clock: Clock
    ) -> None:
        self._watch = Watch(snapshot, store=store, terms=terms, clock=clock)

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, clock: Clock = time.time) -> KeyRing:
        """Make a ring in memory: its tokens end with the process. For tests and trying out.

        Args:
            algorithm: A public-key algorithm of RFC 7518 or RFC 8037, such as ``ES256``.
            clock: Seconds since the epoch.

        Raises:
            ConfigurationError: There is no such algorithm, or it is symmetric.
        """
        return cls.create(UnkeptKeys(), algorithm, clock=clock)

    @classmethod
    def load(
        cls,
        store: KeyRepository,
        *,
        sealer: Sealer | None = None,
        algorithm: str | None = None,
        rotate_every: int = 0,
        longest_lifetime: int = 900,
        clock: Clock = time.time,
    ) -> KeyRing:
        """Open the keys of a store; none is made here.

        A store that is down is no error: the ring opens the keys as soon as it answers.

        Args:
            store: Where the keys are.
            sealer: Opens them, when they are sealed, and seals what a rotation stores.
            algorithm: That of the next key that a rotation makes, see `generate`; ``None``: as
                the one before it.
            rotate_every: Seconds after which the next key takes over by itself, whenever the
                store is read again; 0: by `rotate` only.
            longest_lifetime: Seconds for which a token may be good, see `outlast`. A retired key
                is published for so long and 420 seconds more.
            clock: Seconds since the epoch.

        Raises:
            ConfigurationError: There are no keys, one cannot be opened, or not exactly one is
                current; or an argument cannot be what was meant.
        """
        terms = Terms(sealer, algorithm, rotate_every, longest_lifetime)
        ring = cls(None, store=store, terms=terms, clock=clock)
        ring._watch.start()
        return ring

    @classmethod
    def salvage(
        cls,
        store: KeyRepository,
        *,
        sealer: Sealer | None = None,
        algorithm: str | None = None,
        longest_lifetime: int = 900,
        clock: Clock = time.time,
    ) -> KeyRing:
        """Open what opens of a store that `load` refuses, to give up the rest with `rotate`.

        For an operator, and never to serve with. Arguments as in `load`.

        Raises:
            ConfigurationError: There are no keys, or an argument cannot be what was meant.
            AuthServiceUnavailable: The store is down.
        """
        terms = Terms(sealer, algorithm, 0, longest_lifetime)
        _, stored = store.load()
        if not stored:
            raise no_keys()
        snapshot = open_some(stored, NOTHING, sealer=sealer, now=clock())
        return cls(snapshot, store=store, terms=terms, clock=clock)

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
        check_algorithm(algorithm)
        version, existing = store.load()
        if existing:
            raise ConfigurationError(
                f"The store has {len(existing)} signing keys already, and none are made beside "
                "them. Use these, or name an empty store."
            )
        now = clock()
        made = [make_key(algorithm, state, now, sealer=sealer) for state in ("current", "next")]
        if not store.replace(version, [stored for _, stored in made]):
            raise ConfigurationError(
                "Another process made signing keys at the same moment; run this again to use them."
            )
        opened = {stored.kid: key for key, stored in made}
        snapshot = open_all((stored for _, stored in made), opened, now=now)
        return cls(snapshot, store=store, terms=Terms(sealer, algorithm), clock=clock)

    @classmethod
    def from_files(
        cls,
        current: str | os.PathLike[str],
        *,
        next: str | os.PathLike[str] | None = None,  # noqa: A002 - the state's name
        retired: Sequence[str | os.PathLike[str]] = (),
        algorithm: str = "ES256",
        clock: Clock = time.time,
    ) -> KeyRing:
        """Read the keys from PEM files that only this user can read; each is published.

        They are read once. Rotate them by exchanging the files, and start again.

        Args:
            current: The path of the key that signs; unencrypted PEM.
            next: That of the key that will.
            retired: Those of keys that did.
            algorithm: What the current key signs with, and the others if it fits them; else they
                are for ``ES256``, ``EdDSA`` or ``RS256``, by their kind.
            clock: Seconds since the epoch.

        Raises:
            ConfigurationError: A file is missing, open to other users, no private key or one for
                another algorithm; or two files hold the same key.
        """
        read = keys_in_files(current, next=next, retired=retired, algorithm=algorithm)
        opened = {stored.kid: key for key, stored in read}
        snapshot = open_all((stored for _, stored in read), opened, now=clock())
        return cls(snapshot, store=None, terms=Terms(), clock=clock)

    def __repr__(self) -> str:
        return f"KeyRing(keys={len(self._watch.snapshot.stored)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing holds private keys: load one in each process")

    @property
    def current(self) -> Key:
        """The key that signs now.

        Raises:
            AuthServiceUnavailable: The store could not be asked yet, or has none that can be
                opened any more.
        """
        key = self._watch.fresh().current
        if key is None:
            hint = "the key store no longer has one current key that opens; see the log"
            raise AuthServiceUnavailable(hint, reason="no_signing_key")
        return key

    @property
    def key_set(self) -> KeySet:
        """The keys that verify (current, next, and retired ones still published).

        The same object until one comes or goes, so that what was verified with it can be
        remembered together with it.

        Raises:
            AuthServiceUnavailable: The store could not be asked yet.
        """
        return self._watch.fresh().key_set

    def kids(self) -> tuple[str, ...]:
        """Return the ids of the published keys, the current one first.

        Raises:
            AuthServiceUnavailable: As `key_set`.
        """
        return tuple(key.kid for key in self.key_set.keys if key.kid is not None)

    def public_jwks(self) -> dict[str, Any]:
        """Return the published keys as a JWK Set (RFC 7517, section 5).

        Raises:
            AuthServiceUnavailable: As `key_set`.
        """
        return {"keys": [_jose.public_jwk(key) for key in self.key_set.keys]}

    def rotate(self, *, force: bool = False, compromised: bool = False) -> str:
        """Have the next key sign, retire the current one, and publish a new next one at once.

        What is replaced is the key that signed here until now. When somebody else has replaced it,
        nothing more is done: of many who rotate at once, one does. Other processes follow within
        60 seconds.

        Args:
            force: Also when the next key has been published for less than 360 seconds: resource
                servers that do not know it yet refuse its tokens until they fetch the keys again.
            compromised: At once, and no key that has ever signed stays published, so that no token
                signed until now verifies any more. A next key that cannot be opened is given up
                as well.

        Returns:
            The ``kid`` of the key that signs now.

        Raises:
            Forbidden: ``rotation_too_early``: the next key has not been published for long enough;
                the hint says how long to wait.
            ConfigurationError: The keys are in files; or the next one is missing or cannot be
                opened.
            AuthServiceUnavailable: The store is busy or down.
        """
        return self._watch.rotate(force=force, compromised=compromised)

    def outlast(self, lifetime: int) -> None:
        """Have a key that retires from now on published for as long as its tokens are good.

        `AuthService` says so for the tokens that it issues. Whoever rotates in another process
        says it there.

        Args:
            lifetime: Seconds for which a token may be good. What was said before stays, if it is
                more.

        Raises:
            ConfigurationError: ``rotate_every`` is too short for so many keys to be published; or
                this is no number of whole seconds.
        """
        self._watch.outlast(lifetime)

    def prune(self) -> int:
        """Take retired keys out of the store whose last token has expired.

        With secrets, all others are sealed anew under the newest one. A next key that is missing
        is made.

        Returns:
            How many were taken out.

        Raises:
            ConfigurationError: The keys are in files, or there are none.
            AuthServiceUnavailable: The store is busy or down.
        """
        return self._watch.prune()
