"""`RequestsTransport`: one HTTP request, its whole answer, before a deadline, or an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import urlsplit

from tokenward import _fork
from tokenward._chance import between
from tokenward._http.adapter import Connections
from tokenward._http.answer import MAX_RETRY_AFTER, read_body, retry_after_of
from tokenward._http.breaker import Breaker
from tokenward._http.bulkhead import Bulkhead
from tokenward._http.failures import explained
from tokenward._http.options import checked_proxies, count, seconds
from tokenward._http.prepare import prepared
from tokenward._http.sockets import Exchange, expired
from tokenward._http.tls import TLSContexts
from tokenward._http.urls import check_url
from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.protocols import Request, Response

if TYPE_CHECKING:
    from requests import PreparedRequest

    from tokenward._http.breaker import Permit
    from tokenward.protocols import Transport

MAX_HEADER_BYTES = 65_536
"""How much an answer may have on top of its body: headers, interim answers, chunk sizes."""

_MAX_ORIGINS = 1_024
# One issuer's documents are at one or two servers.
_MAX_ORIGINS_APART = 16
_RETRIED = frozenset({"connect_failed", "truncated"})
# `too_large` is not among them: how much a server says of a token is its sender's to choose.
_COUNTED = frozenset(
    {"connect_failed", "deadline", "tls", "truncated", "bad_encoding", "bad_response"}
)


class RequestsTransport:
    """Sends requests over kept connections; thread-safe, fork-safe, never pickled.

    No redirect is followed, no cookie kept, and neither ``.netrc`` nor the environment is read.
    A connection that fails before a byte of the answer came, having been used before, is replaced
    once without counting as a retry. A server (scheme, host, port) that keeps failing is left
    alone: see `Breaker`.

    Args:
        connect_timeout: Seconds for connecting to one address.
        retries: Further attempts when a connection fails; never on a status.
        verify_tls: ``True`` for certifi's authorities, the path of a CA bundle, or ``False``, which
            serves loopback only.
        proxies: ``http://`` proxies by scheme or host, as in requests, for https requests.
        max_response_bytes: The largest body that is read, before and after decoding.
        pool_size: How many calls to one server run at once; others wait for a place, for half of
            their time at most: see `Bulkhead`.
        breaker_failures: Failures in a row after which a server is left alone.
        breaker_seconds: How long.
        breaks_on_429: Whether a 429 is such a failure too. It is not where the server throttles
            by what people send: one who guesses passwords would shut the others out.

    Raises:
        ConfigurationError: An argument makes no sense.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 2.0,
        retries: int = 1,
        verify_tls: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        max_response_bytes: int = 65_536,
        pool_size: int = 10,
        breaker_failures: int = 5,
        breaker_seconds: float = 2.0,
        breaks_on_429: bool = True,
    ) -> None:
        self._connect_timeout = seconds("connect_timeout", connect_timeout)
        self._retries = count("retries", retries, least=0)
        self._verified = verify_tls is not False
        self._max_response_bytes = count("max_response_bytes", max_response_bytes)
        self._pool_size = count("pool_size", pool_size)
        self._breaker_failures = count("breaker_failures", breaker_failures)
        self._breaker_seconds = seconds("breaker_seconds", breaker_seconds)
        self._breaks_on_429 = breaks_on_429
        self._connections = Connections(
            TLSContexts(verify_tls),
            proxies=checked_proxies(proxies or {}),
            pool_size=self._pool_size,
        )
        self._max_origins = _MAX_ORIGINS
        self._start()

    def _start(self) -> None:
        self._servers: dict[str, Bulkhead] = {}
        self._lock = threading.Lock()
        self._last = threading.local()
        _fork.register(self)

    def apart(self) -> Self:
        """Return a transport over the same connections, with places and breakers of its own.

        For the servers that somebody else names: whoever lets us ask another one's server for what
        is not there must not have it left alone for everybody. Closing either closes the idle
        connections of both.
        """
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._max_origins = _MAX_ORIGINS_APART
        made._start()
        return made

    def after_fork(self) -> None:
        """Leave the parent's locks and calls under way to the parent."""
        self._lock = threading.Lock()
        self._last = threading.local()
        for origin, server in self._servers.items():
            server.breaker.after_fork()
            self._servers[origin] = Bulkhead(server.breaker, places=self._pool_size)

    def __reduce__(self) -> NoReturn:
        msg = "a transport holds sockets and locks: make one in each process"
        raise TypeError(msg)

    def close(self) -> None:
        """Close idle connections; sending again opens new ones."""
        self._connections.adapter.close()

    def send(self, request: Request, *, deadline: float) -> Response:
        """Send ``request`` and read the whole answer.

        Args:
            request: What to send.
            deadline: When to give up, on the ``time.monotonic()`` scale; it covers waiting for a
                place, the name's resolution, connecting, TLS, headers, body and retries.

        Returns:
            The answer, whatever its status.

        Raises:
            AuthServiceUnavailable: With the reason ``connect_failed``, ``tls``, ``deadline``,
                ``truncated``, ``too_large``, ``bad_encoding``, ``bad_response``, ``busy``,
                ``circuit_open``, ``bad_url`` or ``bad_request``. Nothing else is raised.
        """
        try:
            return self._send(request, deadline)
        except Exception as error:  # noqa: BLE001 - the seam promises this one exception
            failure = explained(error)
        # Raised out here and bare: the frames of the libraries hold the token and our secret.
        url = shown(str(request.url).partition("?")[0])
        failure.hint = f"{request.method} {url}: {failure.hint}"
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    def report_unreadable(self, url: str) -> None:
        """Count the last answer this thread got from ``url`` as a failure of the server.

        For an answer of status 200 whose content is not what the protocol demands.
        """
        permit: Permit | None = getattr(self._last, "permit", None)
        server = self._servers.get(_origin(url, verified=self._verified))
        if permit is not None and server is not None and permit.breaker is server.breaker:
            permit.fail()

    def circuit_open(self, url: str) -> bool:
        """Tell whether the server of ``url`` is left alone at the moment; see `Breaker`."""
        server = self._servers.get(_origin(url, verified=self._verified))
        return server is not None and server.breaker.is_open

    def hangs(self, url: str) -> bool:
        """Tell whether nobody should wait for a call to the server of ``url`` that others make.

        It is left alone, or the last call ran out of time: whoever makes the next one may wait for
        its deadline, and one thread that waits is enough.
        """
        server = self._servers.get(_origin(url, verified=self._verified))
        return server is not None and server.breaker.hangs

    def _send(self, request: Request, deadline: float) -> Response:
        server = self._server(_origin(request.url, verified=self._verified))
        waited = server.enter(deadline)
        try:
            if deadline <= time.monotonic():
                raise expired()
            permit = server.breaker.enter()
            try:
                return self._counted(permit, request, deadline, waited=waited)
            finally:
                permit.leave()
        finally:
            server.leave()

    def _counted(
        self, permit: Permit, request: Request, deadline: float, *, waited: bool
    ) -> Response:
        try:
            response = self._try(request, deadline)
        except AuthServiceUnavailable as failure:
            # A server that answers slowly is not to blame for what was lost on waiting for a place.
            timed_out = failure.reason == "deadline"
            its_fault = permit.is_trial or not (waited and timed_out)
            if failure.reason in _COUNTED and its_fault:
                permit.fail(timed_out=timed_out)
            raise
        if response.status >= 500 or (response.status == 429 and self._breaks_on_429):
            permit.fail(min(retry_after_of(response) or 0, MAX_RETRY_AFTER))
        else:
            permit.succeed()
        self._last.permit = permit
        return response

    def _try(self, request: Request, deadline: float) -> Response:
        ready = prepared(request)
        exchange = Exchange(
            deadline=deadline,
            connect_timeout=self._connect_timeout,
            max_bytes=self._max_response_bytes + MAX_HEADER_BYTES,
        )
        left = self._retries
        while True:
            with exchange:
                try:
                    return self._once(ready, request.cert)
                except Exception as error:  # noqa: BLE001 - translated whole
                    failure = explained(error, received=exchange.received)
            if failure.reason not in _RETRIED:
                raise failure
            if exchange.reused and not exchange.received:
                # A kept connection that the server had closed meanwhile says nothing about it.
                exchange.fresh = True
                ready = _anew(request, ready)
                continue
            pause = between(0.01, 0.1)
            if left == 0 or time.monotonic() + pause >= deadline:
                raise failure
            left -= 1
            time.sleep(pause)
            ready = _anew(request, ready)

    def _once(self, ready: PreparedRequest, cert: tuple[str, str] | None) -> Response:
        answer = self._connections.adapter.send(ready, stream=True, cert=cert)
        raw = answer.raw
        body = read_body(raw, max_bytes=self._max_response_bytes)
        if answer.status_code < 200:
            raise AuthServiceUnavailable(
                f"the answer has the interim status {answer.status_code}", reason="bad_response"
            )
        return Response(answer.status_code, answer.headers, body)

    def _server(self, origin: str) -> Bulkhead:
        server = self._servers.get(origin)
        if server is None:
            breaker = Breaker(
                origin,
                failures=self._breaker_failures,
                seconds=self._breaker_seconds,
                clock=time.monotonic,
            )
            with self._lock:
                if len(self._servers) >= self._max_origins:
                    self._servers.clear()
                server = self._servers.setdefault(origin, Bulkhead(breaker, places=self._pool_size))
        return server


def apart(transport: Transport) -> Transport:
    """Return `RequestsTransport.apart` of a transport that has it, or else the transport."""
    method: Callable[[], Transport] | None = getattr(transport, "apart", None)
    return method() if callable(method) else transport


def _anew(request: Request, ready: PreparedRequest) -> PreparedRequest:
    return ready if request.again is None else prepared(request.again())


@lru_cache(maxsize=_MAX_ORIGINS)
def _origin(url: str, *, verified: bool) -> str:
    try:
        parts = urlsplit(check_url(url, what="the URL of a request", verify_tls=verified))
    except ConfigurationError as error:
        raise AuthServiceUnavailable(str(error), reason="bad_url") from None
    return f"{parts.scheme}://{parts.netloc.lower()}"
