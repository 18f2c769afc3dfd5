"""Password hashing.

A hash made here is ``$tw1`` followed by a bcrypt hash in its usual form, ``$2b$12$…``. What bcrypt
is given is the standard base64 of HMAC-SHA-256, under a fixed label, of the password in UTF-8
after NFC: bcrypt reads 72 bytes, and this way every byte of the password counts, NUL included.
The label keeps a list of plain SHA-256 digests stolen elsewhere from being tried against these
hashes; it is no secret. Plain ``$2a$``, ``$2b$`` and ``$2y$`` hashes verify as their makers did,
by the first 72 bytes of the password as it was typed.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import bcrypt

from tokenward import _fork
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidRequest

DEFAULT_COST = 12
MIN_COST = 4
MAX_COST = 16
MAX_BYTES = 1_024

_TAG = "$tw1"
_LABEL = b"tokenward password v1"
_BCRYPT_BYTES = 72
# Above the highest cost, one stored hash could keep a core busy for hours.
_STORED = re.compile(
    r"(?P<tag>\$tw1)?(?P<bcrypt>\$2[aby]\$(?P<cost>0[4-9]|1[0-6])\$[./A-Za-z0-9]{53})"
)


def hash_password(password: str, *, cost: int = DEFAULT_COST) -> str:
    """Hash a new password; see `PasswordHasher.hash`."""
    return PasswordHasher(cost=cost).hash(password)


def verify_password(
    plain_password: str, hashed_password: str | None, *, cost: int = DEFAULT_COST
) -> bool:
    """Tell whether the hash is of this password; see `PasswordHasher.verify`."""
    return PasswordHasher(cost=cost).verify(plain_password, hashed_password)


def needs_rehash(hashed_password: str, *, cost: int = DEFAULT_COST) -> bool:
    """Tell whether the hash is in a foreign form or not of ``cost``."""
    return PasswordHasher(cost=cost).needs_rehash(hashed_password)


def check_password(password: object) -> bytes:
    """Return the password's UTF-8 bytes.

    Raises:
        InvalidRequest: It is not a string of 1 to 1,024 UTF-8 bytes.
    """
    # Characters first: they bound the work of encoding.
    if isinstance(password, str) and 1 <= len(password) <= MAX_BYTES:
        try:
            encoded = password.encode("utf-8")
        except UnicodeEncodeError:
            encoded = b""
        if 1 <= len(encoded) <= MAX_BYTES:
            return encoded
    fields = {"password": f"must be a string of 1 to {MAX_BYTES} bytes in UTF-8"}
    raise InvalidRequest(fields, reason="invalid_password")


class PasswordHasher:
    """Hashes and verifies passwords at one bcrypt cost.

    No more hashes run at a time than the process has cores, and a short queue waits for them;
    beyond that it is `AuthServiceUnavailable`, so that a crowd at the login leaves the other
    threads of a server free. See `limit_hashing`.

    Args:
        cost: The binary logarithm of bcrypt's rounds, 4 to 16. 12 takes about 0.2 seconds.

    Raises:
        ConfigurationError: ``cost`` is out of bounds.
    """

    def __init__(self, *, cost: int = DEFAULT_COST) -> None:
        if type(cost) is not int or not MIN_COST <= cost <= MAX_COST:
            msg = (
                f"The bcrypt cost must be an integer of {MIN_COST} to {MAX_COST}, not {cost!r}; "
                f"{DEFAULT_COST} takes about 0.2 seconds, each step up doubles it."
            )
            raise ConfigurationError(msg)
        self.cost = cost

    def __repr__(self) -> str:
        return f"PasswordHasher(cost={self.cost})"

    def hash(self, password: str) -> str:
        """Hash a new password.

        Raises:
            InvalidRequest: The password is not a string of 1 to 1,024 UTF-8 bytes.
            AuthServiceUnavailable: Too many hashes are waiting already.
        """
        prehashed = _prehash(check_password(password))
        with _gate.entered():
            return _TAG + bcrypt.hashpw(prehashed, bcrypt.gensalt(self.cost)).decode("ascii")

    def verify(self, plain_password: str, hashed_password: str | None) -> bool:
        """Tell whether the hash is of this password.

        A refusal does the work of one hash at this cost whatever the hash is: absent, malformed,
        or made at a lower cost. One of a higher cost takes its own, longer, which tells that the
        account is there: so `needs_rehash` names it too, and the next login renews it.

        Args:
            plain_password: What was presented.
            hashed_password: What is stored; ``None``: nothing, so that the answer is no.

        Raises:
            InvalidRequest: The password is not a string of 1 to 1,024 UTF-8 bytes.
            AuthServiceUnavailable: Too many hashes are waiting already.
        """
        encoded = check_password(plain_password)
        stored = _STORED.fullmatch(hashed_password) if isinstance(hashed_password, str) else None
        with _gate.entered():
            if stored is None:
                _work(encoded, self.cost)
                return False
            given = _prehash(encoded) if stored["tag"] else encoded[:_BCRYPT_BYTES]
            try:
                verified = bcrypt.checkpw(given, stored["bcrypt"].encode("ascii"))
            except ValueError:  # a salt whose unused bits are set
                _work(encoded, self.cost)
                return False
            if not verified:
                # The missing work is 2**cost - 2**stored, and that is the sum of these.
                for cost in range(int(stored["cost"]), self.cost):
                    _work(encoded, cost)
            return verified

    def needs_rehash(self, hashed_password: str) -> bool:
        """Tell whether the hash is in a foreign form, or of another cost than this.

        A higher cost counts as well: refusals of such a hash take longer than those of an unknown
        name. Processes that check one store's passwords have one cost between them; with several,
        each renews what another made.
        """
        stored = _STORED.fullmatch(hashed_password)
        return stored is None or not stored["tag"] or int(stored["cost"]) != self.cost


def limit_hashing(
    *, concurrent: int | None = None, waiting: int | None = None, timeout: float = 10.0
) -> None:
    """Bound the hashing of this process; call it before the first hash.

    Args:
        concurrent: How many hashes run at a time; ``None``: as many as the process has cores.
        waiting: How many more wait; ``None``: twice as many as run. A server keeps answering
            other requests when it has more threads than both together.
        timeout: Seconds that one waits at most.

    Raises:
        ConfigurationError: A number is negative, or nothing could run.
    """
    concurrent = _cores() if concurrent is None else concurrent
    waiting = 2 * concurrent if waiting is None else waiting
    if concurrent < 1 or waiting < 0 or timeout < 0:
        msg = (
            "limit_hashing needs concurrent >= 1, waiting >= 0 and timeout >= 0, "
            f"not {concurrent!r}, {waiting!r} and {timeout!r}."
        )
        raise ConfigurationError(msg)
    _gate.resize(concurrent, waiting, timeout)


def _prehash(encoded: bytes) -> bytes:
    composed = unicodedata.normalize("NFC", encoded.decode("utf-8")).encode("utf-8")
    return base64.b64encode(hmac.digest(_LABEL, composed, "sha256"))


def _work(encoded: bytes, cost: int) -> None:
    bcrypt.hashpw(_prehash(encoded), bcrypt.gensalt(cost))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Gate:
    def __init__(self) -> None:
        _fork.register(self)

    def resize(self, concurrent: int, waiting: int, timeout: float) -> None:
        self._concurrent = concurrent
        self._waiting = waiting
        self._timeout = timeout
        self.after_fork()

    def after_fork(self) -> None:
        self._places = threading.BoundedSemaphore(self._concurrent + self._waiting)
        self._slots = threading.BoundedSemaphore(self._concurrent)

    @contextmanager
    def entered(self) -> Iterator[None]:
        # Bound here: what is taken is given back to the same one, whatever happens in between.
        places, slots = self._places, self._slots
        if not places.acquire(blocking=False):
            raise self._busy("every place in the queue for hashing is taken")
        try:
            if not slots.acquire(timeout=self._timeout):
                raise self._busy(f"waited {self._timeout} s for hashing")
            try:
                yield
            finally:
                slots.release()
        finally:
            places.release()

    def _busy(self, what: str) -> AuthServiceUnavailable:
        hint = (
            f"{what} ({self._concurrent} run, {self._waiting} wait): too many logins at a time, "
            "or too few cores for the bcrypt cost"
        )
        return AuthServiceUnavailable(hint, reason="hashing_busy")


_gate = _Gate()
limit_hashing()
