"""The requests adapter whose connections obey an `Exchange`.

Calls go through ``requests.adapters.HTTPAdapter.send``, so that libraries that replace it in tests
keep working. What a ``Session`` adds (redirects, cookies, ``.netrc``, proxies and CA bundles from
the environment) never takes part.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests import Response as Answer
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from tokenward import _fork
from tokenward._http.connect import connect, resolver
from tokenward._http.sockets import BoundSocket, current

if TYPE_CHECKING:
    from ssl import SSLContext

    from requests import PreparedRequest
    from urllib3 import PoolManager

    from tokenward._http.tls import TLSContexts

_MAX_IDLE_SECONDS = 60.0
"""A connection that rested longer is not used again: something in between may have dropped it."""
_MAX_REMEMBERED = 64


class _BoundConnection(HTTPConnection):
    idle_since = 0.0
    _held: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send headers and body together: one system call, one packet, one TLS record."""
        held: list[bytes] = []
        self._held = held
        try:
            super().request(*args, **kwargs)
        finally:
            self._held = None
        self.send(b"".join(held))

    def send(self, data: Any) -> None:
        """Send ``data``, or hold it until the request is complete."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def _new_conn(self) -> BoundSocket:
        exchange = current()
        addresses = resolver.resolve(self._dns_host, self.port, deadline=exchange.deadline)
        return connect(addresses, exchange, options=self.socket_options or ())


class _BoundTLSConnection(_BoundConnection, HTTPSConnection):
    pass


class _Idle:
    """A last-in-first-out queue without a lock, which a fork could leave locked for ever."""

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self._items: list[Any] = []

    def put(self, item: Any, block: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - queue.Queue
        if len(self._items) >= self.maxsize:
            raise queue.Full
        self._items.append(item)

    def get(self, block: bool = False, timeout: float | None = None) -> Any:  # noqa: ARG002, FBT001, FBT002 - the same
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._items)


class _BoundPool(HTTPConnectionPool):
    QueueCls = _Idle  # type: ignore[assignment] # declared with a type variable nobody binds
    ConnectionCls = _BoundConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        exchange = current()
        if conn.sock is not None and (
            exchange.fresh or time.monotonic() - conn.idle_since > _MAX_IDLE_SECONDS
        ):
            conn.close()
        exchange.reused = conn.sock is not None
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and conn.sock is not None:
            if not conn.sock.is_clean():
                conn.close()
            conn.idle_since = time.monotonic()
            if self.pool is not None and self.pool.qsize() >= self.pool.maxsize:
                # Several transports keep their connections here; urllib3 would warn of each.
                conn.close()
                return
        super()._put_conn(conn)


class _BoundTLSPool(_BoundPool, HTTPSConnectionPool):
    ConnectionCls = _BoundTLSConnection

    def _validate_conn(self, conn: Any) -> None:
        # Without urllib3's warning for unverified connections: those are to loopback, by choice.
        if conn.sock is None:
            conn.connect()


_POOLS = {"http": _BoundPool, "https": _BoundTLSPool}


class BoundAdapter(HTTPAdapter):
    """Keeps connections per server, client certificate and proxy.

    Args:
        contexts: The TLS contexts.
        proxies: As in requests; used for https only.
        pool_size: How many idle connections per server are kept.
    """

    def __init__(
        self, contexts: TLSContexts, *, proxies: Mapping[str, str], pool_size: int
    ) -> None:
        self._contexts = contexts
        self._proxies = dict(proxies)
        # Finding a pool by its key costs urllib3 a tenth of a whole call.
        self._pools: dict[tuple[str, SSLContext | None], HTTPConnectionPool] = {}
        super().__init__(pool_maxsize=pool_size)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> PoolManager:
        """Return the manager of the connections through ``proxy``."""
        manager: PoolManager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: Any,  # noqa: ARG002 - the contexts decide
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - fixed at the start
        cert: Any = None,
    ) -> HTTPConnectionPool:
        """Return the pool for ``request``."""
        url = str(request.url)
        # http is for loopback: it needs no certificate, and no proxy may see it.
        context = self._contexts.get(cert) if url[:6].lower() == "https:" else None
        pool = self._pools.get((url, context))
        if pool is None or pool.pool is None:  # some releases close the one not used for longest
            if len(self._pools) >= _MAX_REMEMBERED:
                self._pools.clear()
            pool = self._pools[url, context] = self._pool(url, context)
        return pool

    def _pool(self, url: str, context: SSLContext | None) -> HTTPConnectionPool:
        parts = urlsplit(url)
        proxy = select_proxy(url, self._proxies) if context is not None else None
        manager = self.poolmanager if proxy is None else self.proxy_manager_for(proxy)
        pool: HTTPConnectionPool = manager.connection_from_host(
            parts.hostname,
            parts.port,
            parts.scheme,
            pool_kwargs={} if context is None else {"ssl_context": context},
        )
        return pool

    def request_url(
        self,
        request: PreparedRequest,
        proxies: Mapping[str, str] | None,  # noqa: ARG002 - what goes through one is a tunnel
    ) -> str:
        """Return the path and query of ``request``."""
        return request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Answer:
        """Return the answer, without the cookies and the guesses that a ``Session`` is for."""
        answer = Answer()
        answer.request, answer.url, answer.raw = req, str(req.url), resp
        answer.status_code, answer.reason = resp.status, resp.reason
        answer.headers = CaseInsensitiveDict(resp.headers)
        return answer

    def close(self) -> None:
        """Close the idle connections; calls under way end as they will."""
        super().close()
        self._pools.clear()

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS context holds what is verified."""


class Connections:
    """The adapter of one process, which several transports may share.

    Args:
        contexts: See `BoundAdapter`.
        proxies: See `BoundAdapter`.
        pool_size: See `BoundAdapter`.

    Attributes:
        adapter: Another one after a fork: the parent's connections are left to the parent.
    """

    def __init__(
        self, contexts: TLSContexts, *, proxies: Mapping[str, str], pool_size: int
    ) -> None:
        self._contexts = contexts
        self._proxies = proxies
        self._pool_size = pool_size
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Begin anew, without a connection."""
        self.adapter = BoundAdapter(
            self._contexts, proxies=self._proxies, pool_size=self._pool_size
        )
