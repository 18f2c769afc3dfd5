"""What stands behind repositories that belong together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.repositories.base.counters import CounterRepository
    from tokenward.repositories.base.keys import KeyRepository
    from tokenward.repositories.base.tokens import TokenRepository
    from tokenward.repositories.base.users import UserRepository

Kind = Literal["users", "families", "revocations", "one_time_tokens", "used_once"]
KINDS: tuple[Kind, ...] = ("users", "families", "revocations", "one_time_tokens", "used_once")
"""What a store holds beside signing keys, in the order in which it is copied."""

Record = dict[str, Any]
"""One thing of a store as JSON has it: the same in every store. ``id`` is unique in its kind.

.. code-block:: text

    users            id, username, username_key, email, email_key, hashed_password, is_active,
                     email_verified, roles, token_version, created_at, updated_at
    families         id, subject, client_id, scopes, version, created_at, used_at, expires_at,
                     ended, current, used                      (digests in lower-case hexadecimal)
    revocations      id (the jti), expires_at
    one_time_tokens  id (the digest in hexadecimal), purpose, subject, expires_at
    used_once        id (the key), expires_at

Users come in the order of their registration, families in the order of their logins, everything
else by ``id``.
"""


class Store(Protocol):
    """What stands behind repositories that belong together."""

    def ping(self) -> None:
        """Raise `AuthServiceUnavailable` unless the store answers."""
        ...

    def close(self) -> None:
        """Close what is open; using a repository again opens it anew."""
        ...


@runtime_checkable
class Portable(Protocol):
    """A store whose contents can be carried into another; see `Record`."""

    def records(
        self, kind: Kind, *, after: str | None = None, limit: int = 500
    ) -> tuple[list[Record], str | None]:
        """Return records, and where to go on: the next call's ``after``; ``None``: that is all.

        What has expired may be among them.

        Raises:
            InvalidRequest: There is no such kind, ``after`` is not what the call before returned,
                or ``limit`` is not within 1..10,000.
            AuthServiceUnavailable: The store is down.
        """
        ...

    def put(self, kind: Kind, records: Sequence[Record]) -> None:
        """Store records as they are, in their order, in one step.

        One whose ``id`` is there already takes its place, with the place in the order that the
        other had; so what was interrupted can be done again from its beginning.

        Raises:
            InvalidRequest: What was given are no such records, or another family has one of the
                tokens; nothing was stored.
            UserAlreadyExists: Another user has one of the names or addresses; nothing was stored.
            AuthServiceUnavailable: The store is busy or down.
        """
        ...

    def tally(self, kind: Kind) -> int:
        """Return how many records there are.

        Raises:
            AuthServiceUnavailable: The store is down.
        """
        ...


@dataclass(frozen=True, slots=True)
class Repositories:
    """Users, tokens and keys of one service, and what counts its login attempts."""

    users: UserRepository
    tokens: TokenRepository
    keys: KeyRepository
    counters: CounterRepository | None = None
    store: Store | None = field(default=None, repr=False)

    def ping(self) -> None:
        """Ask the store for a sign of life.

        Raises:
            AuthServiceUnavailable: It gives none.
        """
        if self.store is not None:
            self.store.ping()

    def close(self) -> None:
        """Close what the store has open; using a repository again opens it anew."""
        if self.store is not None:
            self.store.close()
