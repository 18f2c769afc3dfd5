"""`LocalVerifier`: our own tokens, with the stores that know what became of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tokenward import _jose
from tokenward._log import OncePerMinute
from tokenward.cache import Entry, LookupCache
from tokenward.claims import ClaimsPolicy
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    InvalidClaim,
    TokenRevoked,
    UserNotFound,
)
from tokenward.tokens.access_token import REQUIRED, TYPE, check_signature

if TYPE_CHECKING:
    from tokenward._jose import KeySet
    from tokenward.keys import KeyRing
    from tokenward.principal import Principal
    from tokenward.protocols import Clock
    from tokenward.repositories.base import TokenRepository, UserRepository
    from tokenward.schemas import User

_MAX_CACHED = 10_000
_PATIENCE = 5.0

_logger = logging.getLogger("tokenward.tokens")
_seldom = OncePerMinute(_logger)

T = TypeVar("T")


class _Verified(NamedTuple):
    """A token whose signature is good, and the keys that said so."""

    key_set: KeySet
    principal: Principal


class LocalVerifier:
    """Verifies tokens that we issued ourselves; thread-safe.

    That a signature is good is remembered for as long as the key is in the ring. Everything else
    is looked at every time: the times; whether the token was revoked or its session (``sid``) does
    not go on; and whether the user is there, active and not past this token (``ver``). The second
    and the third are one indexed query each.

    A token whose ``sub`` is its ``client_id`` is a program's own (RFC 9068, section 2.2) and has no
    user. Nothing else makes it one: what a token says of itself beside these two may be what a
    user chose, such as a name.

    Args:
        keys: The ring that signs.
        issuer: See `ClaimsPolicy`; ``None`` accepts any.
        audience: See `ClaimsPolicy`; ``None`` accepts any.
        users: Who there is; ``None``: the user is not looked up.
        tokens: What was revoked or ended; ``None``: neither is looked up.
        leeway: See `ClaimsPolicy`.
        roles_claim: See `ClaimsPolicy`; for tokens without a user row. Others have the row's roles.
        check: See `ClaimsPolicy`.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        issuer: str | Sequence[str] | None,
        audience: str | Sequence[str] | None,
        users: UserRepository | None,
        tokens: TokenRepository | None,
        leeway: float = 30,
        roles_claim: str | Sequence[str] = "roles",
        check: Callable[[Mapping[str, Any]], None] | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._policy = ClaimsPolicy(
            audience=audience,
            issuer=issuer,
            leeway=leeway,
            required=REQUIRED,
            token_types=(TYPE,),
            roles_claim=roles_claim,
            check=check,
        )
        self.issuer = issuer if isinstance(issuer, str) else ""
        stores = (users, tokens)
        self.thread_sensitive = any(getattr(one, "thread_sensitive", False) for one in stores)
        self._keys = keys
        self._users = users
        self._tokens = tokens
        self._clock = clock
        self._cache: LookupCache[_Verified] = LookupCache(max_entries=_MAX_CACHED, clock=clock)

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Return who ``token`` speaks for.

        Args:
            token: The token.
            live: Makes no difference: the stores are always asked.

        Raises:
            TokenRevoked: It was revoked, its session has ended, or the user's tokens have.
            UserNotFound: The user is gone or not active.
            InvalidToken: It is refused for another reason.
            AuthServiceUnavailable: A store cannot be asked.
        """
        del live
        principal = self._checked(token)
        if self._tokens is not None:
            claims = principal.claims
            if _ask(self._tokens.is_over, claims["jti"], claims.get("sid")):
                raise TokenRevoked("the token was revoked, or its session has ended")
        if self._users is None or principal.kind != "user":
            return principal
        user = _ask(self._users.get_by_id, principal.subject)
        if user is None:
            raise UserNotFound("no user has this sub any more")
        return _for_user(principal, user)

    def cached(self, _token: str, /) -> Principal | None:
        """Return ``None``: nothing is decided without the stores."""
        return None

    def _checked(self, token: object) -> Principal:
        key_set = self._keys.key_set
        digest = _digest(token)
        found = self._cache.cached(digest)
        if found is None or found.key_set is not key_set:
            # live: an answer under way may come from keys that have left the ring since.
            load = partial(self._load, token, key_set)
            return self._cache.look_up(digest, load, patience=_PATIENCE, live=True).principal
        self._policy.check_claims(found.principal.claims, now=self._clock())
        return found.principal

    def _load(self, token: object, key_set: KeySet) -> Entry[_Verified]:
        started = self._clock()
        claims = check_signature(token, key_set, self._policy).claims
        self._policy.check_claims(claims, now=started)
        for name in ("jti", "sid"):
            value = claims.get(name)
            if value is not None and not isinstance(value, str):
                hint = f"{name} is not a string"
                raise InvalidClaim(name, "a string", value, hint, reason="malformed")
        principal = self._policy.principal(claims, issuer=self.issuer)
        is_own = principal.subject == claims.get("client_id")
        principal = replace(principal, kind="client" if is_own else "user")
        ends = (principal.expires_at or 0) + self._policy.leeway
        return Entry(_Verified(key_set, principal), stored=started, ends=ends)


def _digest(token: object) -> bytes:
    if isinstance(token, str) and len(token) <= _jose.MAX_TOKEN_BYTES:
        return sha256(token.encode("utf-8", "surrogatepass")).digest()
    # No token has this digest; the parser says what is wrong with it.
    return b""


def _for_user(principal: Principal, user: User) -> Principal:
    if not user.is_active:
        raise UserNotFound("the user is not active", reason="user_inactive")
    version = principal.claims.get("ver", 0)
    if type(version) is not int or version != user.token_version:
        hint = "the user's tokens were ended (password, roles or state changed); log in again"
        raise TokenRevoked(hint)
    return replace(
        principal,
        username=user.username,
        email=user.email,
        email_verified=user.email_verified,
        roles=frozenset(user.roles),
        user=user.public(),
    )


def _ask(question: Callable[..., T], *about: str | None) -> T:
    try:
        return question(*about)
    except AuthError:
        raise
    except Exception as error:  # noqa: BLE001 - a store of your own may raise anything
        name = type(error).__name__
        _seldom.log(logging.ERROR, ("store", name), "A store raised %s.", name)
        hint = f"a store raised {name} instead of AuthServiceUnavailable"
        raise AuthServiceUnavailable(hint, reason="store") from None
