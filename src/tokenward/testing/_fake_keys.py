"""The keys that a `FakeAuthorizationServer` signs with and publishes."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tokenward import _jose
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward._jose import Key


class SigningKeys:
    """One key for each algorithm, those that come after them, and earlier ones; thread-safe.

    Args:
        algorithms: The first is the one that signs where none is named.

    Attributes:
        algorithms: As given.

    Raises:
        ConfigurationError: One of them is unknown or not asymmetric, or there is none.
    """

    def __init__(self, algorithms: Sequence[str]) -> None:
        if not _jose.check_algorithms(algorithms) <= _jose.ASYMMETRIC:
            raise ConfigurationError(
                "algorithm names asymmetric ones, such as 'ES256': the keys are published."
            )
        self.algorithms = tuple(algorithms)
        self._current = self._made()
        self._next: dict[str, Key] = {}
        self._earlier: list[Key] = []
        self._strangers: dict[str, Key] = {}
        self._lock = threading.Lock()

    def sign(self, payload: Mapping[str, Any], *, typ: str, algorithm: str | None = None) -> str:
        """Return a JWT, signed with the key in use for an algorithm.

        Raises:
            ConfigurationError: There is none.
        """
        named = self._named(algorithm)
        with self._lock:
            key = self._current[named]
        return _jose.sign(payload, key, typ=typ)

    def forge(self, payload: Mapping[str, Any], *, typ: str, algorithm: str | None = None) -> str:
        """Return what `sign` would, with a key that is never published, and another name for it.

        Raises:
            ConfigurationError: There is no key in use for this algorithm either.
        """
        named = self._named(algorithm)
        with self._lock:
            if named not in self._strangers:
                self._strangers[named] = _jose.generate_key(named)
            key = replace(self._strangers[named], kid=secrets.token_urlsafe(16))
        return _jose.sign(payload, key, typ=typ)

    def publish_next(self) -> None:
        """Publish the keys that `rotate` will sign with; again: nothing."""
        with self._lock:
            self._next = self._next or self._made()

    def rotate(self, *, keep: bool) -> None:
        """Sign with those of `publish_next`, or else with new ones.

        Args:
            keep: Whether the earlier ones go on being published.
        """
        with self._lock:
            self._earlier = [*self._current.values(), *self._earlier] if keep else []
            self._current, self._next = self._next or self._made(), {}

    def published(self) -> list[dict[str, Any]]:
        """Return the public JWKs: those in use, those that come next, the earlier ones."""
        with self._lock:
            keys = [*self._current.values(), *self._next.values(), *self._earlier]
        return [_jose.public_jwk(key) for key in keys]

    def _named(self, algorithm: str | None) -> str:
        if algorithm is None:
            return self.algorithms[0]
        if algorithm not in self.algorithms:
            raise ConfigurationError(
                f"the server has no key for {algorithm!r}, only for {', '.join(self.algorithms)};"
                " make it with algorithm=[...] that names all you need."
            )
        return algorithm

    def _made(self) -> dict[str, Key]:
        return {algorithm: _jose.generate_key(algorithm) for algorithm in self.algorithms}
