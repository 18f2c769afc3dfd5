"""Tokens that are good once: digest at rest, one purpose, short."""

from __future__ import annotations

import math
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from tokenward._secrets import digest_of_random_token, random_token
from tokenward.errors import AuthServiceUnavailable, InvalidRequest, InvalidToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward.protocols import Clock
    from tokenward.repositories import TokenRepository, UserRepository
    from tokenward.schemas import User

Purpose = Literal["verify_email", "reset_password"]

LIFETIMES: Final[dict[Purpose, int]] = {"verify_email": 86_400, "reset_password": 3_600}
"""For how many seconds a token of each purpose is good."""


class OneTimeTokens:
    """Tokens that prove, once, that whoever has one reads what is sent to a user's address.

    One is bound to the account as it was when the token was made: to the address, and when it
    resets a password to ``token_version`` too, so that any change of the password, the roles or
    the state ends it.

    Args:
        tokens: Where their digests are kept.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, tokens: TokenRepository, *, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    def make(self, purpose: Purpose, user: User) -> str:
        """Return a new token for ``user``, who has an address.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """
        token, digest = random_token()
        end = math.floor(self._clock()) + LIFETIMES[purpose]
        self._tokens.put_one_time(digest, purpose, f"{end} {_bound_to(purpose, user)}", end)
        return token

    def use(
        self,
        token: str,
        purpose: Purpose,
        users: UserRepository,
        then: Callable[[User], None],
    ) -> None:
        """Use up a token and do what it is for.

        Args:
            token: Anything.
            purpose: What it must be for.
            users: Who there is.
            then: Is given the user. When it raises `AuthServiceUnavailable` or `InvalidRequest`,
                the token is put back, good until the end that it was made with. `InvalidToken`:
                the account has changed or gone meanwhile.

        Raises:
            InvalidRequest: It is none, was used up, has expired, is for another purpose, or the
                account is not any more what the token was made for; or ``then`` says so.
            AuthServiceUnavailable: A store or the hashing is busy or down. The token is put back,
                unless its store went down after it was taken: then it is used up.
        """
        digest = digest_of_random_token(token)
        kept = None if digest is None else self._tokens.take_one_time(digest, purpose)
        if digest is None or kept is None:
            raise _refused()
        end, _, bound = kept.partition(" ")
        try:
            user = users.get_by_id(bound.split(" ", 2)[-1])
            is_good = user is not None and user.is_active and bound == _bound_to(purpose, user)
            if user is not None and is_good:
                then(user)
        except InvalidToken:
            is_good = False
        except (AuthServiceUnavailable, InvalidRequest):
            # Whoever is told to try again can do so, where the store still takes it: good once
            # comes before good again. Should a password have been set after all, the account has
            # moved on, and the token is refused.
            with suppress(Exception):
                self._tokens.put_one_time(digest, purpose, kept, int(end))
            raise
        if not is_good:
            raise _refused()


def _bound_to(purpose: Purpose, user: User) -> str:
    address = sha256((user.email or "").encode("utf-8", "surrogatepass")).hexdigest()
    version = user.token_version if purpose == "reset_password" else "any"
    return f"{version} {address} {user.id}"


def _refused() -> InvalidRequest:
    text = "is not valid any more; ask for a new one"
    return InvalidRequest({"token": text}, reason="one_time_token")
