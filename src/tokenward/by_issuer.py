"""`ByIssuer`: several issuers behind one place in the request."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, overload

from tokenward import _jose
from tokenward._log import OncePerMinute, shown
from tokenward._spellings import digest_of
from tokenward.cache import Entry, LookupCache
from tokenward.claims.hints import of_issuer
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
)
from tokenward.protocols import serves_live, thread_sensitive, warm_up

if TYPE_CHECKING:
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, Headers, TokenVerifier

MAX_ISSUER_CHARACTERS = 2_048
MAX_REMEMBERED = 10_000
"""Tokens whose issuer is known without parsing them again."""

_logger = logging.getLogger("tokenward.by_issuer")
_seldom = OncePerMinute(_logger)

_COMPARED = 20
"""Issuers that an unknown one is compared with, to say how it differs."""

_PATIENCE = 5.0
"""Seconds to wait for another thread's question to the same callable."""

# Three segments, the first of which begins a JSON object in base64url.
_meant_as_jwt = re.compile(r"e[w-z0-9_-][^.]*\.[^.]*\.[^.]*").fullmatch


class Unreserved:
    """A verifier that may name any issuer, but none that has a verifier of its own elsewhere.

    Whoever answers for opaque tokens says whose they are, and where nobody configured an issuer,
    that may be anybody's name: two servers could make the same identity.

    Args:
        verifier: Decides.
        reserved: The issuers that speak for themselves.
    """

    __slots__ = ("_absent", "_cached", "_reserved", "absent_detail", "issuer", "verifier")

    def __init__(self, verifier: TokenVerifier, reserved: frozenset[str]) -> None:
        self.verifier = verifier
        self.issuer: str | None = getattr(verifier, "issuer", None)
        self.absent_detail: str | None = getattr(verifier, "absent_detail", None)
        self._reserved = reserved
        self._cached = getattr(verifier, "cached", None)
        self._absent = getattr(verifier, "absent", None)

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Have the verifier decide; see `TokenVerifier.verify`."""
        return self._checked(self.verifier.verify(token, live=live))

    def cached(self, token: str, /) -> Principal | None:
        """Return the verifier's cached decision; see `CachingVerifier.cached`."""
        principal: Principal | None = None if self._cached is None else self._cached(token)
        return None if principal is None else self._checked(principal)

    def absent(
        self, headers: Headers, peer: str | None, /, *, live: bool = False
    ) -> Principal | None:
        """Return who sends a request that presents nothing, if the verifier knows it."""
        ask = self._absent
        principal: Principal | None = None if ask is None else ask(headers, peer, live=live)
        return None if principal is None else self._checked(principal)

    def warm_up(self) -> bool:
        """Have the verifier fetch what it needs; tell whether it has it."""
        return warm_up(self.verifier)

    @property
    def serves_live(self) -> bool:
        """Whether the verifier can ask its issuer."""
        return serves_live(self.verifier)

    @property
    def thread_sensitive(self) -> bool:
        """Whether the verifier reads Django's database."""
        return thread_sensitive(self.verifier)

    def _checked(self, principal: Principal) -> Principal:
        if principal.issuer in self._reserved:
            raise _not_its_own(principal.issuer)
        return principal


class ByIssuer:
    """Hands each token to the verifier of its issuer: routing, never trying; thread-safe.

    The ``iss`` that routes is unverified, and read as strictly as any token. It is looked up in
    your registry and used for nothing else; the verifier it leads to checks it again. Nobody
    speaks for another: a verifier that names an issuer which has a verifier of its own is not
    believed.

    Args:
        verifiers: The verifier of each issuer; or a function that returns it, or ``None`` for an
            issuer that is not yours.
        otherwise: Takes what is not a JWT. A JWT of an issuer that is not registered is refused
            and sent to nobody.
        ttl: Seconds for which the function's answer is kept; in that time it is asked once an
            issuer, by however many threads.
        max_verifiers: Bound of the issuers known by the function's answers, and of those known
            not to be yours: made-up issuers cannot push out real ones.
        max_token_bytes: Longer tokens are refused unread; the largest that a verifier takes.
        clock: Seconds since the epoch.

    Attributes:
        otherwise: As given.

    Raises:
        ConfigurationError: Nothing is registered, something that is no verifier is, or a bound is
            not positive.
    """

    def __init__(
        self,
        verifiers: Mapping[str, TokenVerifier] | Callable[[str], TokenVerifier | None],
        *,
        otherwise: TokenVerifier | None = None,
        ttl: float = 300,
        max_verifiers: int = 1_000,
        max_token_bytes: int = _jose.MAX_TOKEN_BYTES,
        clock: Clock = time.time,
    ) -> None:
        if ttl <= 0 or max_verifiers <= 0 or max_token_bytes <= 0:
            raise ConfigurationError(
                "ByIssuer's ttl, max_verifiers and max_token_bytes must be positive."
            )
        if otherwise is not None:
            _check_verifier(otherwise, "otherwise")
        self.otherwise = otherwise
        self._max_token_bytes = max_token_bytes
        self._registered: dict[str, TokenVerifier] = {}
        self._ask: Callable[[str], TokenVerifier | None] | None = None
        if isinstance(verifiers, Mapping):
            for issuer, verifier in verifiers.items():
                _check_issuer(issuer)
                _check_verifier(verifier, f"the verifier of {issuer}")
            self._registered.update(verifiers)
            if not verifiers and otherwise is None:
                raise ConfigurationError("ByIssuer has no issuer to route to; register one.")
        elif callable(verifiers):
            self._ask = verifiers
        else:
            raise ConfigurationError(
                "ByIssuer takes a mapping of issuers to verifiers, or a function of an issuer."
            )
        # What a token says never changes, so a digest leads to its issuer for good.
        self._issuers: dict[bytes, str] = {}
        self._ttl = ttl
        self._clock = clock
        self._asked: LookupCache[TokenVerifier] = LookupCache(
            max_entries=max_verifiers, clock=clock
        )

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Have the verifier of the token's issuer decide.

        Args:
            token: The token, without a scheme.
            live: Take no cached decision; ask the issuer.

        Raises:
            InvalidToken: The issuer is not registered, or its verifier refuses.
            AuthServiceUnavailable: Nobody could decide.
        """
        digest = _digest(token)
        issuer = known = self._issuers.get(digest)
        if issuer is None:
            issuer = self._issuer_of(token)
        verifier = self._verifier_at(issuer)
        principal = verifier.verify(token, live=live)
        if principal.issuer != issuer and self._is_anothers(principal.issuer, verifier):
            raise _not_its_own(principal.issuer)
        if known is None and issuer is not None:
            # Only now: tokens that nobody accepts cannot push out those that are in use.
            self._remember(digest, issuer)
        return principal

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where I/O or the function would be needed.

        Raises:
            InvalidToken: The issuer is not registered, or the cached decision is a refusal.
        """
        issuer = self._issuers.get(_digest(token)) or self._issuer_of(token)
        verifier = self._verifier_at(issuer, may_ask=False)
        cached = getattr(verifier, "cached", None)
        principal: Principal | None = None if cached is None else cached(token)
        if principal is not None and principal.issuer != issuer:
            anothers = self._is_anothers(principal.issuer, verifier, may_ask=False)
            if anothers:
                raise _not_its_own(principal.issuer)
            if anothers is None:
                return None
        return principal

    @property
    def serves_live(self) -> bool:
        """Whether every verifier that is registered here can ask its issuer."""
        return all(serves_live(verifier) for verifier in self._all())

    @property
    def thread_sensitive(self) -> bool:
        """Whether a verifier that is registered here reads Django's database."""
        return any(thread_sensitive(verifier) for verifier in self._all())

    @property
    def absent_detail(self) -> str | None:
        """What one of the registered verifiers has those told who present nothing, if one does."""
        told = (getattr(verifier, "absent_detail", None) for verifier in self._all())
        return next((detail for detail in told if detail is not None), None)

    def absent(
        self, headers: Headers, peer: str | None, /, *, live: bool = False
    ) -> Principal | None:
        """Return who sends a request that presents nothing, if a registered verifier knows it."""
        for verifier in self._all():
            ask = getattr(verifier, "absent", None)
            principal: Principal | None = None if ask is None else ask(headers, peer, live=live)
            if principal is not None:
                return principal
        return None

    def warm_up(self) -> bool:
        """Have every registered verifier fetch what it needs; tell whether all have it.

        Those that a function would name are not known yet. Never raises.
        """
        warmed = [warm_up(verifier) for verifier in self._all()]
        return all(warmed)

    def verifier_for(self, token: str) -> TokenVerifier:
        """Return the verifier that decides about ``token``.

        Raises:
            InvalidToken: The issuer is not registered.
            AuthServiceUnavailable: The function given for the verifiers failed.
        """
        return self._verifier_at(self._issuer_of(token))

    def _all(self) -> list[TokenVerifier]:
        # Those that a function would name are not known before it is asked.
        otherwise = [] if self.otherwise is None else [self.otherwise]
        return [*self._registered.values(), *otherwise]

    def _is_anothers(
        self, issuer: str, verifier: TokenVerifier | None, *, may_ask: bool = True
    ) -> bool | None:
        """Tell whether an issuer has another verifier; ``None`` where that would have to be asked.

        Whoever is asked about tokens may name any issuer. One that has a verifier of its own speaks
        for itself, or two servers could make the same identity.
        """
        # Most are nobody's. An error would say so too, but cost more than the rest of a hit.
        if not issuer or (self._ask is None and issuer not in self._registered):
            return False
        try:
            owner = self._registered_for(issuer, may_ask=may_ask)
        except InvalidToken:
            return False
        return None if owner is None else owner is not verifier

    def _issuer_of(self, token: str) -> str | None:
        # None: no JWT, so nobody's in particular.
        try:
            # Of any algorithm: whoever the token is for knows what they accept.
            parsed = _jose.parse(token, max_bytes=self._max_token_bytes, algorithms=None)
            issuer = parsed.claims.get("iss")
        except InvalidToken:
            # What means to be a JWT and is none is no opaque token either.
            if self.otherwise is None or _meant_as_jwt(str(token)):
                raise
            return None
        if not isinstance(issuer, str) or len(issuer) > MAX_ISSUER_CHARACTERS:
            raise self._unknown(issuer)
        return issuer

    def _remember(self, digest: bytes, issuer: str) -> None:
        if len(self._issuers) >= MAX_REMEMBERED:
            self._issuers.clear()
        # Interned: thousands of tokens share a few names.
        self._issuers[digest] = sys.intern(issuer)

    @overload
    def _verifier_at(self, issuer: str | None) -> TokenVerifier: ...
    @overload
    def _verifier_at(self, issuer: str | None, *, may_ask: bool) -> TokenVerifier | None: ...
    def _verifier_at(self, issuer: str | None, *, may_ask: bool = True) -> TokenVerifier | None:
        if issuer is None:
            return self.otherwise
        return self._registered_for(issuer, may_ask=may_ask)

    def _registered_for(self, issuer: str, *, may_ask: bool) -> TokenVerifier | None:
        verifier = self._registered.get(issuer)
        if verifier is not None:
            return verifier
        if self._ask is None:
            raise self._unknown(issuer)
        key = issuer.encode()
        verifier = self._asked.cached(key)
        if verifier is None and may_ask:
            load = partial(self._load, self._ask, issuer)
            verifier = self._asked.look_up(key, load, patience=_PATIENCE)
        return verifier

    def _load(
        self, ask: Callable[[str], TokenVerifier | None], issuer: str
    ) -> Entry[TokenVerifier]:
        started = self._clock()
        ends = started + self._ttl
        verifier = self._answer(ask, issuer)
        if verifier is None:
            return Entry(None, stored=started, ends=ends, refusal=self._unknown(issuer))
        return Entry(verifier, stored=started, ends=ends)

    @staticmethod
    def _answer(ask: Callable[[str], TokenVerifier | None], issuer: str) -> TokenVerifier | None:
        try:
            verifier = ask(issuer)
            if verifier is None or callable(getattr(verifier, "verify", None)):
                return verifier
            why = f"returned {type(verifier).__name__}, which is no verifier"
        except AuthError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody could decide
            # Its text may hold the address and the password of a database.
            why = f"failed with {type(error).__name__}"
        _seldom.log(logging.ERROR, (why,), "the function given to ByIssuer %s", why)
        hint = f"the function given to ByIssuer {why}"
        raise AuthServiceUnavailable(hint, reason="issuer_lookup_failed")

    def _unknown(self, issuer: object) -> InvalidToken:
        # Compared with a few only: whoever makes issuers up must not make us work.
        known = list(self._registered) if len(self._registered) <= _COMPARED else []
        advice = of_issuer(known, issuer)
        hint = f"the token says its issuer is {shown(issuer)}, which is not registered"
        return InvalidToken(f"{hint}; {advice}" if advice else hint, reason="unknown_issuer")


def _digest(token: str) -> bytes:
    try:
        return digest_of(token)
    except InvalidToken:
        return b""  # no token has this digest; the parser says what is wrong with it


def _not_its_own(issuer: str) -> InvalidToken:
    hint = (
        f"whoever verified the token says that its issuer is {shown(issuer)}, which has a verifier "
        "of its own"
    )
    return InvalidToken(hint, reason="unknown_issuer")


def _check_issuer(issuer: object) -> None:
    if not isinstance(issuer, str) or not issuer:
        raise ConfigurationError(
            f"ByIssuer: {issuer!r} is no issuer; write the 'iss' of its tokens, a string."
        )


def _check_verifier(verifier: object, what: str) -> None:
    if not callable(getattr(verifier, "verify", None)):
        raise ConfigurationError(
            f"ByIssuer: {what} has no method verify(token, *, live=False); give a verifier."
        )
