"""Key stores that are changed, slowed down and broken at will, and keys to put into them."""

from tokenward import _jose
from tokenward.repositories import KeyRepository, StoredKey

SECRET = "kq3V-new-8fJ2_0pTzXw7Lm"
OLD_SECRET = "R9d!old-c41Hs6vQe+bYtUa"
NOW = 1_700_000_000.5


class Clock:
    """Seconds since the epoch, as a test says."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Store(KeyRepository):
    """A store that counts, fails and is changed at will.

    Attributes:
        replacing: Called before each replacement, as if by somebody who is faster.
        loading: Called at each load.
        loaded: Called after each load, with what it returns in hand.
    """

    def __init__(self, keys=()):
        self.version, self.keys = len(keys), list(keys)
        self.loads, self.replaced, self.error, self.write_error = 0, 0, None, None
        self.loading = self.loaded = self.replacing = None

    def load(self):
        self.loads += 1
        if self.loading is not None:
            self.loading()
        if self.error is not None:
            raise self.error
        answer = self.version, list(self.keys)
        if self.loaded is not None:
            self.loaded()
        return answer

    def replace(self, version, keys):
        if self.replacing is not None:
            replacing, self.replacing = self.replacing, None
            replacing()
        if self.write_error is not None:
            raise self.write_error
        if version != self.version:
            return False
        self.version, self.keys = version + 1, list(keys)
        self.replaced += 1
        return True

    def states(self):
        """Return what is stored: ids by their state."""
        found = {}
        for key in self.keys:
            found.setdefault(key.state, []).append(key.kid)
        return found


def stored(
    state="current", *, algorithm="ES256", sealer=None, created_at=NOW, published_until=None
):
    """Make a key as a store would hold it."""
    key = _jose.generate_key(algorithm)
    pem = _jose.to_pem(key)
    material = pem if sealer is None else sealer.seal(pem)
    return StoredKey(key.kid, algorithm, state, material, int(created_at), published_until)
