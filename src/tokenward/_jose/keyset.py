"""JWK Sets: read entry by entry, and the one key that a token means (RFC 7517, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, product
from typing import Final, NamedTuple

from tokenward._jose.jwk import JWKError, Key, key_from_jwk
from tokenward._log import shown
from tokenward.errors import InvalidToken

MAX_KEYS: Final = 100
"""Keys of one set that are used; the rest is skipped."""

MAX_ENTRIES: Final = 1_000
"""Entries of one set that are looked at."""

_MAX_SKIPPED: Final = 100


class Skipped(NamedTuple):
    """An entry of a JWK Set that is not used, and why; the last one may stand for many."""

    position: int
    kid: str | None
    reason: str


class KeySet:
    """Keys to verify with; never changed, so threads share it without a lock.

    Args:
        keys: The keys.
        skipped: What else the document held.
        positions: Where each key stood in the document; default: from 0 on.
    """

    __slots__ = ("_fitting", "_kids", "keys", "positions", "skipped")

    def __init__(
        self,
        keys: Iterable[Key],
        skipped: Iterable[Skipped] = (),
        *,
        positions: Iterable[int] | None = None,
    ) -> None:
        self.keys = tuple(keys)
        self.skipped = tuple(skipped)
        self.positions = tuple(range(len(self.keys)) if positions is None else positions)
        self._kids = frozenset(key.kid for key in self.keys)
        # By what a header says: a token without a kid may mean any of them.
        self._fitting: dict[tuple[str, str | None], list[Key]] = {}
        for key in self.keys:
            for header in product(key.algorithms, {key.kid, None}):
                self._fitting.setdefault(header, []).append(key)

    def __repr__(self) -> str:
        return f"KeySet(keys={len(self.keys)}, skipped={len(self.skipped)})"

    def select(self, alg: str, kid: str | None) -> Key:
        """Return the one key that a token with this header means.

        Args:
            alg: The token's algorithm.
            kid: The token's ``kid``, compared exactly; ``None``: the only key that fits.

        Raises:
            InvalidToken: ``unknown_key``: none has this ``kid``, or none fits. ``algorithm``: the
                key is there and is for another algorithm. ``ambiguous_key``: several fit.
        """
        fitting = self._fitting.get((alg, kid), ())
        if len(fitting) == 1:
            return fitting[0]
        what = "without a kid" if kid is None else f"with the kid {shown(kid)!r}"
        if fitting:
            hint = f"{len(fitting)} keys fit an {alg} token {what}; the issuer must name one"
            raise InvalidToken(hint, reason="ambiguous_key")
        if kid is not None and kid in self._kids:
            hint = f"the key {what} is not for {alg}, which the token's header says"
            raise InvalidToken(hint, reason="algorithm")
        hint = f"none of {len(self.keys)} keys fits an {alg} token {what}"
        raise InvalidToken(hint, reason="unknown_key")


def parse_key_set(document: object, *, allow_symmetric: bool = False) -> KeySet:
    """Read a JWK Set (RFC 7517, section 5).

    What is kept of it is bounded, whoever wrote it: `MAX_KEYS` keys of the first `MAX_ENTRIES`
    entries, and why a hundred of the others are not used.

    Args:
        document: The document, as `tokenward._json` read it.
        allow_symmetric: Use ``oct`` keys; only for a set that was configured, never fetched.

    Raises:
        JWKError: It is no object with a list of keys. An entry that cannot be used is no error.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list | tuple):
        raise JWKError("a JWK Set is an object with a list of keys in its member 'keys'")
    keys: list[Key] = []
    positions: list[int] = []
    skipped: list[Skipped] = []
    for position, entry in enumerate(islice(entries, MAX_ENTRIES)):
        try:
            key = key_from_jwk(entry, allow_symmetric=allow_symmetric)
        except JWKError as error:
            reason = str(error)
        else:
            if len(keys) < MAX_KEYS:
                keys.append(key)
                positions.append(position)
                continue
            reason = f"more than {MAX_KEYS} keys"
        kid = entry.get("kid") if isinstance(entry, Mapping) else None
        skipped.append(Skipped(position, shown(kid) if isinstance(kid, str) else None, reason))
    unread = len(entries) - MAX_ENTRIES
    if len(skipped) > _MAX_SKIPPED or unread > 0:
        skipped[_MAX_SKIPPED:] = [_the_rest(skipped[_MAX_SKIPPED:], unread)]
    return KeySet(keys, skipped, positions=positions)


def _the_rest(skipped: list[Skipped], unread: int) -> Skipped:
    position = skipped[0].position if skipped else MAX_ENTRIES
    reasons = []
    if skipped:
        reasons.append(f"it and {len(skipped) - 1} of the entries after it are not used")
    if unread > 0:
        reasons.append(f"{unread} entries after the first {MAX_ENTRIES} are not looked at")
    return Skipped(position, None, "; ".join(reasons))
