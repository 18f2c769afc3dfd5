"""Asking the team's domain for an `Identity`, and remembering it for a while."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tokenward._http import (
    JSON,
    is_odd_json,
    json_object,
    media_type,
    report_unreadable,
    retry_in,
)
from tokenward._log import OncePerMinute
from tokenward._spellings import digest_of
from tokenward.cache import Entry, LookupCache
from tokenward.cloudflare.people import Identity
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.metadata import MAX_DOCUMENT_BYTES
from tokenward.protocols import Request

if TYPE_CHECKING:
    from tokenward._events import Events
    from tokenward.cache import CacheStats
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, Response, Transport

IDENTITY_TTL: Final = 60.0
"""Seconds for which an identity is used. So long may a change of groups go unnoticed."""

REFUSAL_TTL: Final = 15.0
"""Seconds for which a token without a session is not asked about again."""

MAX_IDENTITIES: Final = 2_000

_REFRESH_AHEAD: Final = 10.0
# With these and an `err`, the team's domain says that it knows no such session. A page instead is
# somebody else's: of a team that does not exist, say, or of a firewall that stops this server.
_MAYBE_NO_SESSION: Final = frozenset({400, 403, 404})

_logger = logging.getLogger("tokenward.cloudflare")
_seldom = OncePerMinute(_logger)


class Identities:
    """The identities of those whose assertions were verified; thread-safe.

    Args:
        issuer: The team's domain as a URL: the only place that ever gets a token.
        transport: Sends the requests.
        timeout: Seconds for one of them.
        max_entries: How many are remembered; at most `MAX_IDENTITIES`.
        clock: Seconds since the epoch.
        events: Told of each request.

    Attributes:
        url: Where identities are asked for.
        upstream_calls: How often that was done.
        upstream_errors: How often it failed.
    """

    def __init__(
        self,
        issuer: str,
        *,
        transport: Transport,
        timeout: float,
        max_entries: int,
        clock: Clock,
        events: Events,
    ) -> None:
        self.url = f"{issuer}/cdn-cgi/access/get-identity"
        self._transport = transport
        self._timeout = timeout
        self._clock = clock
        self._events = events
        self._cache: LookupCache[Identity] = LookupCache(
            max_entries=min(max_entries, MAX_IDENTITIES), clock=clock
        )
        self.upstream_calls = 0
        self.upstream_errors = 0

    def get(self, token: str, who: Principal) -> Identity:
        """Return the identity behind a token.

        Args:
            token: It was verified: nothing else is ever sent anywhere.
            who: Whom it speaks for.

        Raises:
            InvalidToken: The session is over (``inactive``).
            AuthServiceUnavailable: The team's domain cannot say.
        """
        key = digest_of(token)
        known = self._cache.cached(key)
        if known is not None:
            return known
        load = partial(self._load, token, who)
        # Others may wait for this thread: not for an observer that blocks.
        with self._events.held():
            return self._cache.look_up(key, load, patience=self._timeout)

    def cached(self, token: str) -> Identity | None:
        """Return what is remembered of a token that was verified; ``None``: nothing.

        Raises:
            InvalidToken: It is remembered that the session is over.
        """
        return self._cache.cached(digest_of(token))

    def stats(self) -> CacheStats:
        """Return what the cache of identities did so far."""
        return self._cache.stats()

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def _load(self, token: str, who: Principal) -> Entry[Identity]:
        asked_at = self._clock()
        expires_at = asked_at + IDENTITY_TTL if who.expires_at is None else who.expires_at
        identity = self._counted(token, who)
        if identity is None:
            hint = (
                f"{self.url} knows no session for this token: the person has signed out, or the "
                "session was revoked"
            )
            refusal = InvalidToken(hint, reason="inactive")
            ends = min(asked_at + REFUSAL_TTL, expires_at)
            return Entry(None, stored=asked_at, ends=ends, refusal=refusal)
        return Entry(
            identity,
            stored=asked_at,
            ends=min(asked_at + IDENTITY_TTL, expires_at),
            fresh_until=asked_at + IDENTITY_TTL - _REFRESH_AHEAD,
        )

    def _counted(self, token: str, who: Principal) -> Identity | None:
        started, outcome = time.perf_counter(), "interrupted"
        self.upstream_calls += 1
        try:
            answer = self._read(self._asked(token))
            identity = None if answer is None else self._checked(answer, who)
            outcome = "ok"
        except AuthServiceUnavailable as error:
            outcome = error.reason
            key = (self.url, outcome)
            _seldom.log(logging.WARNING, key, "No identity from %s: %s", self.url, error.hint)
            raise
        finally:
            self.upstream_errors += outcome != "ok"
            self._events.emit("upstream", outcome, seconds=time.perf_counter() - started)
        return identity

    def _asked(self, token: str) -> Response:
        headers = {"Accept": JSON, "Cookie": f"CF_Authorization={token}"}
        request = Request("GET", self.url, headers=headers)
        return self._transport.send(request, deadline=time.monotonic() + self._timeout)

    def _read(self, response: Response) -> dict[str, Any] | None:
        """Return the members of the answer; ``None``: there is no such session."""
        status = response.status
        if status == 401 or (status in _MAYBE_NO_SESSION and _says_why(response)):
            return None
        if status != 200:
            hint = f"{self.url} answered {status}"
            if 300 <= status < 400:
                hint += "; redirects are not followed: check the team and its domain"
            if status == 404:
                hint += "; check the name of the team: there may be none of this name"
            raise AuthServiceUnavailable(
                hint, reason="bad_response", retry_after=retry_in(response)
            )
        if len(response.body) > MAX_DOCUMENT_BYTES:
            hint = f"{self.url} answered with more than {MAX_DOCUMENT_BYTES} bytes"
            raise AuthServiceUnavailable(hint, reason="too_large")
        try:
            answer = json_object(response)
        except AuthServiceUnavailable as error:
            what = error.hint
        else:
            return None if _is_error(answer) else answer
        # What people chose, a name say, is no fault of the server's.
        if media_type(response) != JSON or not is_odd_json(response.body):
            report_unreadable(self._transport, self.url)
        raise AuthServiceUnavailable(f"{self.url} answered 200 with {what}", reason="bad_response")

    def _checked(self, answer: dict[str, Any], who: Principal) -> Identity:
        try:
            identity = Identity.of(answer)
        except ValueError as error:
            raise AuthServiceUnavailable(str(error), reason="bad_response") from None
        if _is_another(identity, who):
            hint = f"{self.url} answered with the identity of somebody else"
            raise AuthServiceUnavailable(hint, reason="bad_response")
        return identity


def _says_why(response: Response) -> bool:
    try:
        return _is_error(json_object(response))
    except AuthServiceUnavailable:
        return False


def _is_error(answer: dict[str, Any]) -> bool:
    return isinstance(answer.get("err"), str) and answer["err"] != ""


def _is_another(identity: Identity, who: Principal) -> bool:
    """Tell whether an identity is of another person; by either name it may be the same."""
    if who.kind != "user":
        return False
    pairs = ((identity.user_uuid, who.subject), (identity.email, who.email))
    same = [a.casefold() == b.casefold() for a, b in pairs if a is not None and b is not None]
    return bool(same) and not any(same)
