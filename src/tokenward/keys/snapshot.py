"""What a key store held at one moment, opened."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tokenward import _jose
from tokenward._log import OncePerMinute, shown
from tokenward.errors import ConfigurationError
from tokenward.repositories.base import StoredKey

if TYPE_CHECKING:
    from tokenward._jose import Key, KeySet
    from tokenward._seal import Sealer

_logger = logging.getLogger("tokenward.keys")
_seldom = OncePerMinute(_logger)

_ORDER = {"current": 0, "next": 1, "retired": 2}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the store held at one moment, opened; never changed."""

    stored: tuple[StoredKey, ...]
    opened: Mapping[str, Key]
    current: Key | None
    key_set: KeySet


NOTHING = Snapshot((), {}, None, _jose.KeySet(()))


def make_key(
    algorithm: str,
    state: Literal["next", "current"],
    now: float,
    *,
    sealer: Sealer | None = None,
) -> tuple[Key, StoredKey]:
    """Make a key, and the same as a store keeps it."""
    key = _jose.generate_key(algorithm)
    pem = _jose.to_pem(key)
    material = pem if sealer is None else sealer.seal(pem)
    return key, StoredKey(key.kid or "", algorithm, state, material, int(now))


def current_of(stored: Iterable[StoredKey]) -> StoredKey | None:
    """Return the current key; ``None`` unless there is exactly one."""
    found = [key for key in stored if key.state == "current"]
    return found[0] if len(found) == 1 else None


def is_over(key: StoredKey, now: float) -> bool:
    """Tell whether the last token has expired that a retired key may have signed."""
    return key.state == "retired" and key.published_until is not None and key.published_until <= now


def open_all(
    stored: Iterable[StoredKey],
    opened: Mapping[str, Key] = NOTHING.opened,
    *,
    sealer: Sealer | None = None,
    now: float = 0.0,
) -> Snapshot:
    """Open every key, or say which one does not open."""
    stored = tuple(stored)
    if not stored:
        raise no_keys()
    keys = {s.kid: opened.get(s.kid) or open_key(s, sealer) for s in stored}
    snapshot = _snapshot(stored, keys, now=now)
    if snapshot.current is None:
        raise not_one_current()
    return snapshot


def no_keys() -> ConfigurationError:
    """Return the error of a store that has none yet."""
    return ConfigurationError(
        "The store has no signing keys yet; make them with `tokenward store init`."
    )


def not_one_current() -> ConfigurationError:
    """Return the error of a store that cannot be used as it is."""
    return ConfigurationError(
        "The store does not have exactly one current signing key; restore it from a backup, or "
        "give its keys up with `tokenward keys rotate --compromised`."
    )


def open_some(
    stored: Iterable[StoredKey], before: Snapshot, *, sealer: Sealer | None, now: float
) -> Snapshot:
    """Open what opens; what was open stays open for as long as it is in the store."""
    stored = tuple(stored)
    keys: dict[str, Key] = {}
    for one in stored:
        try:
            # A kid is the thumbprint, so the key behind it never changes.
            keys[one.kid] = before.opened.get(one.kid) or open_key(one, sealer)
        except ConfigurationError as error:
            _seldom.log(logging.ERROR, ("open", one.kid), "A signing key is left out: %s", error)
    snapshot = _snapshot(stored, keys, now=now, before=before.key_set)
    if snapshot.current is None:
        _seldom.log(logging.ERROR, ("current",), "There is no current signing key to be opened.")
    return snapshot


def _snapshot(
    stored: tuple[StoredKey, ...],
    keys: Mapping[str, Key],
    *,
    now: float,
    before: KeySet | None = None,
) -> Snapshot:
    current = current_of(stored)
    published = [
        s
        for s in sorted(stored, key=lambda s: _ORDER.get(s.state, len(_ORDER)))
        if s.kid in keys and not is_over(s, now)
    ]
    key_set = _jose.KeySet(keys[s.kid] for s in published)
    if before is not None and before.keys == key_set.keys:
        key_set = before
    return Snapshot(stored, keys, keys.get(current.kid) if current else None, key_set)


def open_key(stored: StoredKey, sealer: Sealer | None) -> Key:
    """Return the private key that ``stored`` holds.

    Raises:
        ConfigurationError: It does not open, or is another key than its ``kid`` says.
    """
    name = f"The signing key {shown(stored.kid)}"
    pem = stored.material
    if stored.is_sealed:
        if sealer is None:
            raise ConfigurationError(
                f"{name} is sealed, and there is no secret to open it with; give the one that "
                "sealed it (`service.keys.secrets`)."
            )
        pem = sealer.open(pem)
    elif sealer is not None:
        _seldom.log(logging.WARNING, ("plain", stored.kid), "%s is stored unsealed.", name)
    key = _jose.from_pem(pem, stored.algorithm)
    if key.kid != stored.kid:
        raise ConfigurationError(
            f"{name} holds another key than its name says; restore the store from a backup."
        )
    return key
