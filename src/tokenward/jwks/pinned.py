"""`PinnedKeySet`: keys that the configuration holds, behind the face of `FetchedKeySet`."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tokenward import _jose, _json
from tokenward._log import shown
from tokenward._secrets import check_secret
from tokenward.errors import ConfigurationError
from tokenward.jwkset import KeySnapshot

if TYPE_CHECKING:
    from tokenward._jose import KeySet, Unverified

_SHOWN_ENTRIES: Final = 5

_logger = logging.getLogger("tokenward.jwks")


class PinnedKeySet:
    """A JWK Set that was configured: never fetched, never changed.

    Args:
        jwks: The set (RFC 7517, section 5), or its JSON text.
        algorithms: The allow-list. With an HMAC algorithm in it, ``oct`` keys are used: secrets.

    Attributes:
        in_use: The keys.
        fresh_until: Never ends.

    Raises:
        ConfigurationError: It is no JWK Set, or no key in it fits an algorithm of the list.
    """

    def __init__(self, jwks: Mapping[str, Any] | str, algorithms: frozenset[str]) -> None:
        symmetric = not algorithms <= _jose.ASYMMETRIC
        document = _document(jwks)
        try:
            key_set = _jose.parse_key_set(document, allow_symmetric=symmetric)
        except _jose.JWKError as error:
            raise ConfigurationError(f"jwks: {error}.") from None
        _check(key_set, algorithms)
        for key in key_set.keys:
            if key.kty == "oct":
                secret: bytes = key.private
                text = secret.decode("latin-1")
                check_secret(text, what="a secret in jwks", is_text=secret.isascii())
        for skipped in key_set.skipped:
            _logger.warning("jwks: entry %d is not used: %s", skipped.position, skipped.reason)
        entries = document["keys"]
        # What `jwks()` shows is public: secrets are not.
        used = [entries[at] for at in key_set.positions if entries[at]["kty"] != "oct"]
        self._published = json.dumps({"keys": used})
        self._snapshot = KeySnapshot(key_set, 1, time.time(), json.loads(self._published))
        self.in_use = key_set
        self.fresh_until = math.inf

    def deadline(self) -> float:
        """Return when to give up: never, for nobody is asked."""
        return math.inf

    @property
    def known(self) -> KeySnapshot:
        """The keys."""
        return self._snapshot

    def snapshot(self, *, deadline: float | None = None) -> KeySnapshot:
        """Return the keys."""
        del deadline
        return self._snapshot

    def refresh(self, *, deadline: float | None = None) -> KeySnapshot:
        """Return the keys; there is nowhere to fetch others from."""
        del deadline
        return self._snapshot

    def jwks(self) -> dict[str, Any]:
        """Return the public keys in use as a JWK Set, a copy of your own."""
        copied: dict[str, Any] = json.loads(self._published)
        return copied

    def age(self) -> float | None:
        """Return ``None``: what was never fetched does not age."""
        return None

    def verify(
        self,
        unverified: Unverified,
        algorithms: frozenset[str],
        *,
        deadline: float | None = None,
    ) -> KeySnapshot:
        """Check the signature of a token; see `FetchedKeySet.verify`."""
        del deadline
        _jose.verify(unverified, self._snapshot.key_set, algorithms=algorithms)
        return self._snapshot


def _document(jwks: object) -> dict[str, Any]:
    if isinstance(jwks, str):
        try:
            return _json.loads(jwks.encode("utf-8", "surrogatepass"))
        except ValueError:
            pass
        raise ConfigurationError(
            'jwks is not the text of a JSON object; write {"keys": [...]}, or jwks_uri for a URL.'
        )
    if isinstance(jwks, Mapping):
        try:
            # A copy: what is changed in the caller's mapping later changes nothing here.
            return _json.loads(json.dumps(dict(jwks)).encode())
        except (TypeError, ValueError, RecursionError):
            pass
    raise ConfigurationError('jwks is a JWK Set: a mapping {"keys": [...]}, or its JSON text.')


def _check(key_set: KeySet, algorithms: frozenset[str]) -> None:
    if any(key.algorithms & algorithms for key in key_set.keys):
        return
    found = [
        f"a key for {'/'.join(sorted(key.algorithms))}" for key in key_set.keys[:_SHOWN_ENTRIES]
    ]
    found += [f"entry {s.position}: {s.reason}" for s in key_set.skipped[:_SHOWN_ENTRIES]]
    raise ConfigurationError(
        f"jwks has no key for the algorithms {', '.join(sorted(algorithms))}"
        f" ({shown('; '.join(found) or 'it is empty')}); name the algorithms of its keys."
    )
