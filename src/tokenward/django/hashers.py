"""Passwords in the ``password`` column of Django's users: ours and Django's, readable for both.

A hash of ours is stored as ``tokenward$`` and what `tokenward.passwords` makes. Which kind is made
says the first entry of ``settings.PASSWORD_HASHERS``, as everywhere in Django.

.. code-block:: python

    PASSWORD_HASHERS = [
        "tokenward.django.hashers.TokenwardPasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",  # what there is from before
    ]
"""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any, ClassVar

from django.contrib.auth.hashers import (
    BasePasswordHasher,
    get_hashers,
    identify_hasher,
    is_password_usable,
    make_password,
)
from django.utils.translation import gettext_noop

from tokenward._log import OncePerMinute
from tokenward.errors import ConfigurationError, InvalidRequest
from tokenward.passwords import DEFAULT_COST, PasswordHasher, _gate, check_password

ALGORITHM = "tokenward"

_PREFIX = f"{ALGORITHM}$"
_COST = re.compile(r"\$2[aby]\$(\d\d)\$")

_seldom = OncePerMinute(logging.getLogger("tokenward.django.hashers"))


class TokenwardPasswordHasher(BasePasswordHasher):
    """For ``settings.PASSWORD_HASHERS``: lets Django read and make the auth service's hashes.

    What the service would refuse as a password (nothing, or more than 1,024 bytes) opens no
    account here either: its hash is one that no password has.
    """

    algorithm = ALGORITHM
    cost: ClassVar[int] = DEFAULT_COST

    def encode(self, password: str, salt: str) -> str:
        """Return a hash under a salt of its own."""
        del salt
        try:
            return _PREFIX + self._hasher().hash(_text(password))
        except InvalidRequest:
            return _PREFIX + self._hasher().hash(secrets.token_urlsafe())

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether the hash is of this password."""
        try:
            return self._hasher().verify(_text(password), encoded.removeprefix(_PREFIX))
        except InvalidRequest:
            # Django makes a hash of it when there is no such user.
            return self._hasher().verify(secrets.token_urlsafe(), None)

    def must_update(self, encoded: str) -> bool:
        """Tell whether the hash is in a foreign form or below this cost."""
        return self._hasher().needs_rehash(encoded.removeprefix(_PREFIX))

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Do nothing: `verify` has done the missing work."""

    def decode(self, encoded: str) -> dict[str, Any]:
        """Return what can be known of a hash without knowing the hash."""
        cost = _COST.search(encoded)
        return {"algorithm": ALGORITHM, "cost": int(cost[1]) if cost else None}

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        """Return what the admin shows: nothing of salt or hash."""
        decoded = self.decode(encoded)
        return {
            gettext_noop("algorithm"): decoded["algorithm"],
            gettext_noop("work factor"): decoded["cost"],
        }

    def _hasher(self) -> PasswordHasher:
        return PasswordHasher(cost=self.cost)


class ColumnPasswordHasher(PasswordHasher):
    """Hashes as ``settings.PASSWORD_HASHERS`` says, and verifies whatever it names.

    Under hashes of ours and of Django's side by side, a refusal does the work of one of each, so
    that the time taken does not tell who has which, or whether there is anybody at all.

    Args:
        cost: See `tokenward.passwords.PasswordHasher`; for hashes of ours.

    Raises:
        ConfigurationError: ``cost`` is out of bounds, or Django cannot load a hasher.
    """

    def __init__(self, *, cost: int = DEFAULT_COST) -> None:
        super().__init__(cost=cost)
        try:
            loaded = get_hashers()
        except Exception as error:
            raise ConfigurationError(
                f"A class in settings.PASSWORD_HASHERS cannot be loaded: {error}"
            ) from error
        if not loaded:
            raise ConfigurationError("settings.PASSWORD_HASHERS is empty; name a hasher in it.")

    def hash(self, password: str) -> str:
        """See `PasswordHasher.hash`; the preferred kind."""
        if _is_ours(get_hashers()[0]):
            return super().hash(password)
        check_password(password)
        with _gate.entered():
            return make_password(password)

    def verify(self, plain_password: str, hashed_password: str | None) -> bool:
        """See `PasswordHasher.verify`."""
        check_password(plain_password)
        listed = get_hashers()
        foreign = next((hasher for hasher in listed if not _is_ours(hasher)), None)
        of_ours = hashed_password is not None and hashed_password.startswith("$")
        if of_ours and super().verify(plain_password, hashed_password):
            return True
        if hashed_password is not None and not of_ours:
            if self._verify_foreign(plain_password, hashed_password, foreign):
                return True
        elif foreign is not None:
            self._work_foreign(plain_password, foreign)
        if not of_ours and any(map(_is_ours, listed)):
            super().verify(plain_password, None)
        return False

    def needs_rehash(self, hashed_password: str) -> bool:
        """Tell whether Django's preferred hasher would make another hash."""
        if _is_ours(get_hashers()[0]):
            return super().needs_rehash(hashed_password)
        return hashed_password.startswith("$") or is_outdated(hashed_password)

    def _verify_foreign(
        self, password: str, encoded: str, foreign: BasePasswordHasher | None
    ) -> bool:
        with _gate.entered():
            try:
                hasher = identify_hasher(encoded)
                verified = hasher.verify(password, encoded)
                if not verified and hasher.must_update(encoded):
                    hasher.harden_runtime(password, encoded)
            except Exception as error:  # noqa: BLE001 - Django's hashers meet garbage with anything
                # The text may quote the hash.
                why = type(error).__name__
                message = "A stored password hash cannot be read (%s): see PASSWORD_HASHERS"
                _seldom.log(logging.WARNING, ("unreadable", why), message, why)
            else:
                return verified
        if foreign is not None:
            self._work_foreign(password, foreign)
        return False

    def _work_foreign(self, password: str, hasher: BasePasswordHasher) -> None:
        with _gate.entered():
            try:
                hasher.encode(password, hasher.salt())
            except Exception as error:  # noqa: BLE001 - its library is missing, say
                why = type(error).__name__
                message = "A hasher in PASSWORD_HASHERS cannot be used: %s (%s)"
                _seldom.log(logging.WARNING, ("unusable", why), message, hasher.algorithm, why)


def column_of(hashed_password: str | None) -> str:
    """Return what the ``password`` column holds for a hash; ``None``: what no password opens."""
    if hashed_password is None:
        return make_password(None)
    return _PREFIX + hashed_password if hashed_password.startswith("$") else hashed_password


def hash_in(encoded: str | None) -> str | None:
    """Return the hash that the ``password`` column holds, if there is one."""
    if not encoded or not is_password_usable(encoded):
        return None
    return encoded.removeprefix(_PREFIX)


def is_outdated(encoded: str) -> bool:
    """Tell whether Django would make another hash of the password when its owner logs in."""
    try:
        preferred = get_hashers()[0]
        if identify_hasher(encoded).algorithm != preferred.algorithm:
            return True
        return preferred.must_update(encoded)
    except Exception:  # noqa: BLE001 - what cannot be read was not made anew at a login either
        return False


def _text(password: str | bytes) -> str:
    # Django takes either, and means the same.
    return password if isinstance(password, str) else password.decode("utf-8", "surrogateescape")


def _is_ours(hasher: BasePasswordHasher) -> bool:
    return hasher.algorithm == ALGORITHM
