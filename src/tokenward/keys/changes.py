"""Rotating and pruning the keys of a store: read, plan, compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tokenward._audit import audit
from tokenward.errors import AuthServiceUnavailable
from tokenward.keys.rotation import Terms, is_due, is_untidy, renounced, rotated, tidied
from tokenward.keys.snapshot import current_of, no_keys

if TYPE_CHECKING:
    from tokenward._jose import Key
    from tokenward.protocols import Clock
    from tokenward.repositories.base import KeyRepository, StoredKey

# Each failure is somebody else's success.
_TRIES: Final = 20


def rotate_in(
    store: KeyRepository,
    known: str | None,
    opened: Mapping[str, Key],
    terms: Terms,
    clock: Clock,
    *,
    force: bool,
    compromised: bool,
) -> list[StoredKey]:
    """Replace the current key ``known``, unless somebody else did; return what is stored now.

    Raises:
        Forbidden: See `rotated`.
        ConfigurationError: See `rotated`; or there are no keys.
        AuthServiceUnavailable: The store is busy or down.
    """
    for _ in range(_TRIES):
        now = clock()
        version, stored = _loaded(store)
        current = current_of(stored)
        if compromised:
            if current is not None and known not in {key.kid for key in stored}:
                return stored
            keys = renounced(stored, known, terms, now)
        elif current is not None and current.kid != known:
            return stored
        else:
            keys = rotated(stored, opened, terms, now, force=force)
        if store.replace(version, keys):
            how = "compromised" if compromised else "forced" if force else "ordinary"
            _tell(known, keys, now, how=how)
            return keys
    raise _contended()


def prune_in(store: KeyRepository, terms: Terms, clock: Clock) -> tuple[list[StoredKey], int]:
    """Take out what is over, seal the rest anew; return what is stored now, and how many went.

    Raises:
        ConfigurationError: There are no keys.
        AuthServiceUnavailable: The store is busy or down.
    """
    for _ in range(_TRIES):
        now = clock()
        version, stored = _loaded(store)
        if terms.sealer is None and not is_untidy(stored, now):
            return stored, 0
        keys = tidied(stored, terms, now)
        if store.replace(version, keys):
            return keys, len({key.kid for key in stored} - {key.kid for key in keys})
    raise _contended()


def keep_up(
    store: KeyRepository,
    held: tuple[int, Sequence[StoredKey]],
    opened: Mapping[str, Key],
    terms: Terms,
    now: float,
) -> bool:
    """Do what the schedule asks for, once; tell whether the store is to be read again.

    Args:
        store: Where the keys are.
        held: What was loaded from it.
        opened: Those that were opened before, by ``kid``.
        terms: The schedule, and what new keys are made by.
        now: Seconds since the epoch.

    Raises:
        ConfigurationError: The next key cannot be opened.
        AuthServiceUnavailable: The store is busy or down.
    """
    version, stored = held
    if not terms.rotate_every or current_of(stored) is None:
        return False
    if is_due(stored, terms, now):
        keys = rotated(stored, opened, terms, now)
        if store.replace(version, keys):
            _tell(_kid(stored), keys, now, how="scheduled")
        return True
    if is_untidy(stored, now):
        store.replace(version, tidied(stored, terms, now))
        return True
    return False


def _loaded(store: KeyRepository) -> tuple[int, list[StoredKey]]:
    version, stored = store.load()
    if not stored:
        raise no_keys()
    return version, stored


def _kid(stored: Sequence[StoredKey]) -> str | None:
    current = current_of(stored)
    return None if current is None else current.kid


def _tell(previous: str | None, keys: Sequence[StoredKey], now: float, *, how: str) -> None:
    audit("key_rotated", now, kid=_kid(keys), previous=previous, how=how)


def _contended() -> AuthServiceUnavailable:
    hint = "others change the signing keys all the time; try again"
    return AuthServiceUnavailable(hint, reason="store_unavailable")
