"""The state of issued tokens: what every store must be able to do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.protocols import Clock

MAX_ROTATIONS = 10_000
"""So often a refresh token of one family is exchanged; then its family is over.

What was used up is remembered for as long as the family lasts, and this bounds it.
"""


class Rotation(StrEnum):
    """What became of a refresh token that was to be exchanged."""

    ROTATED = "ROTATED"
    """It was the family's current one; the new one is, from now on."""
    REUSED = "REUSED"
    """It had been exchanged before: somebody else has it. The family is over."""
    UNKNOWN = "UNKNOWN"
    """No family that goes on has, or had, it."""


@dataclass(frozen=True, slots=True)
class Family:
    """A session: what one login has led to (RFC 9700, section 4.14.2).

    Attributes:
        id: What access tokens carry as ``sid``; random.
        subject: The user's id.
        client_id: The client that its refresh tokens are bound to.
        scopes: What was granted at the login; a refresh may ask for less, never for more.
        version: The user's ``token_version`` at the login.
        created_at: Epoch seconds of the login.
        used_at: Epoch seconds of the last rotation; of the login, before the first.
        expires_at: Epoch seconds from which on the current refresh token is refused.
        ended: Whether it was ended before that.
    """

    id: str
    subject: str
    client_id: str
    scopes: tuple[str, ...]
    version: int
    created_at: int
    used_at: int
    expires_at: int
    ended: bool = False


class TokenRepository(ABC):
    """Where the state of issued tokens is kept: digests, never a token.

    A digest is of 16 to 64 bytes. What has expired by the clock counts as not there, whether it
    was purged or not; revocations alone stay until they are purged.
    """

    _clock: Clock = staticmethod(time.time)

    def go_by(self, clock: Clock) -> None:
        """Tell the time by ``clock``, as the service that uses this does."""
        self._clock = clock

    @abstractmethod
    def revoke(self, jti: str, expires_at: float) -> None:
        """Revoke an access token; the later ``expires_at`` of two calls stands.

        Args:
            jti: The token's id, 1 to 255 characters.
            expires_at: Epoch seconds from which on nobody takes the token anyway: its ``exp``
                plus the leeway of those who verify it. `purge_expired` forgets it then.

        Raises:
            InvalidRequest: An argument is not what is described here.
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def is_revoked(self, jti: str) -> bool:
        """Tell whether ``jti`` was revoked and is not purged yet.

        Raises:
            AuthServiceUnavailable: The store is down; never "not revoked".
        """

    @abstractmethod
    def purge_expired(self, now: float) -> int:
        """Forget what expired at or before ``now``, in epoch seconds; return how many.

        Of all kinds; what was used up in a family goes with it and is not counted.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """

    # --- refresh families

    @abstractmethod
    def start_family(self, family: Family, digest: bytes) -> None:
        """Store a new family with the digest of its first refresh token.

        Raises:
            InvalidRequest: An argument is not what a store can hold.
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def find_family(self, digest: bytes) -> tuple[Family, bool] | None:
        """Return the family of a refresh token, and whether that token is its current one.

        ``False`` with it: the token was exchanged before. Families that were ended are returned
        too; those that have expired are not.

        Raises:
            AuthServiceUnavailable: The store is down.
        """

    @abstractmethod
    def rotate(self, digest: bytes, new_digest: bytes, expires_at: float) -> Rotation:
        """Exchange a refresh token, in one atomic step: of many who try, one succeeds.

        Args:
            digest: Of the token that was presented.
            new_digest: Of the one that takes its place.
            expires_at: Epoch seconds from which on the new one is refused.

        Returns:
            ``ROTATED``; ``REUSED`` when the token was used up before, and then the family has
            ended; ``UNKNOWN`` when no family has it, or its family has ended or expired. A family
            that was rotated `MAX_ROTATIONS` times ends instead: ``UNKNOWN``.

        Raises:
            InvalidRequest: ``new_digest`` or ``expires_at`` is not what a store can hold, or
                another token has that digest.
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def end_family(self, family_id: str) -> bool:
        """End a family; tell whether it went on until now.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def end_all(self, subject: str) -> int:
        """End every family of a user; return how many went on until now.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def family_active(self, family_id: str) -> bool:
        """Tell whether a family is there, was not ended and has not expired.

        Raises:
            AuthServiceUnavailable: The store is down; never "active".
        """

    @abstractmethod
    def families(self, subject: str) -> list[Family]:
        """Return the families of a user that go on, in the order of their logins.

        Raises:
            AuthServiceUnavailable: The store is down.
        """

    def is_over(self, jti: str, sid: str | None) -> bool:
        """Tell whether an access token is over: it was revoked, or its family does not go on.

        A store may answer both with one query.

        Args:
            jti: The token's id.
            sid: The id of its family; ``None``: it has none.

        Raises:
            AuthServiceUnavailable: The store is down; never "not over".
        """
        return self.is_revoked(jti) or (sid is not None and not self.family_active(sid))

    # --- what is good for one use

    @abstractmethod
    def use_once(self, key: str, expires_at: float) -> bool:
        """Use up ``key`` until ``expires_at``; tell whether it was unused until now.

        For the ``jti`` of client assertions (RFC 7523, section 3). Of many who try at once one
        is told True.

        Args:
            key: 1 to 512 printable characters.
            expires_at: Epoch seconds from which on nobody takes it anyway.

        Raises:
            InvalidRequest: An argument is not what is described here.
            AuthServiceUnavailable: The store is busy or down; never "unused".
        """

    @abstractmethod
    def put_one_time(self, digest: bytes, purpose: str, subject: str, expires_at: float) -> None:
        """Store the digest of a token that is good once and for one purpose.

        Args:
            digest: Of the token.
            purpose: 1 to 64 printable characters.
            subject: What `take_one_time` returns: 1 to 512 printable characters.
            expires_at: Epoch seconds from which on it is refused.

        Raises:
            InvalidRequest: An argument is not what is described here.
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def take_one_time(self, digest: bytes, purpose: str) -> str | None:
        """Use up a one-time token; return its subject.

        Of many who try at once one gets it. A token of another purpose stays as it is.

        Returns:
            The subject; ``None``: unknown, used up, expired, or for another purpose.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """
