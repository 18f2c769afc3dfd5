"""Sockets that obey one deadline and one byte count, whoever reads from them.

``http.client`` and ``urllib3`` know timeouts between two reads only: a server that sends one byte a
second satisfies every one of them. So the bound sits in the socket itself. Each wait is cut to what
is left until the deadline of the `Exchange` that runs on this thread, and each byte read is counted
before anything parses it.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_running = threading.local()


class Exchange:
    """One request and its answer on this thread, as a context manager.

    Args:
        deadline: When to give up, on the ``time.monotonic()`` scale.
        connect_timeout: Seconds for connecting to one address.
        max_bytes: How much is read, headers included.

    Attributes:
        fresh: Use no connection that was used before.
        reused: A connection that was used before carries this exchange.
        received: Bytes read so far.
    """

    def __init__(self, *, deadline: float, connect_timeout: float, max_bytes: int) -> None:
        self.deadline = deadline
        self.connect_timeout = connect_timeout
        self.max_bytes = max_bytes
        self.fresh = False
        self.reused = False
        self.received = 0

    def __enter__(self) -> Self:
        # A signal handler or a finalizer may send a request in the middle of ours.
        self._outer = getattr(_running, "exchange", None)
        _running.exchange = self
        self.reused = False
        self.received = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _running.exchange = self._outer

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            AuthServiceUnavailable: None are (``deadline``).
        """
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise expired()
        return seconds

    def count(self, size: int) -> None:
        """Count ``size`` bytes that were read.

        Raises:
            AuthServiceUnavailable: They are too many (``too_large``).
        """
        self.received += size
        if self.received > self.max_bytes:
            raise AuthServiceUnavailable(
                f"the answer is larger than {self.max_bytes} bytes with its headers",
                reason="too_large",
            )


def current() -> Exchange:
    """Return the exchange that runs on this thread."""
    exchange: Exchange = _running.exchange
    return exchange


def expired() -> AuthServiceUnavailable:
    """Return the error for a deadline that has passed."""
    return AuthServiceUnavailable(
        "no complete answer before the deadline; look at the server, or raise the timeout",
        reason="deadline",
    )


class _Reader(io.BufferedReader):
    """Tells its socket, when closed, whether it had read on beyond the answer."""

    def __init__(self, raw: io.RawIOBase, owner: _Bound) -> None:
        super().__init__(raw)
        self._owner = owner

    def close(self) -> None:
        if not self.closed:
            self._owner.has_surplus = self._owner.has_surplus or self._holds_bytes()
        super().close()

    def _holds_bytes(self) -> bool:
        # peek() reads only when nothing is buffered, and a dry socket then gives it nothing.
        self._owner.dry = True
        try:
            return bool(self.peek())
        except (OSError, ValueError):
            return True
        finally:
            self._owner.dry = False


class _Bound(socket.socket):
    """What plain and TLS sockets share; mixed in before the class that does the work."""

    has_surplus = False
    dry = False

    def _within_deadline(self, operation: Callable[..., Any], *args: Any) -> Any:
        self.settimeout(current().remaining())
        try:
            return operation(*args)
        except TimeoutError:
            raise expired() from None

    def recv_into(self, *args: Any) -> int:
        if self.dry:
            return 0
        size: int = self._within_deadline(super().recv_into, *args)
        current().count(size)
        return size

    def send(self, *args: Any, **kwargs: Any) -> int:
        # gevent's sendall() calls this, with a timeout of its own.
        sent: int = self._within_deadline(partial(super().send, *args, **kwargs))
        return sent

    def sendall(self, *args: Any) -> None:
        self._within_deadline(super().sendall, *args)

    def makefile(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode != "rb":
            return super().makefile(mode, *args, **kwargs)  # type: ignore[call-overload]
        return _Reader(super().makefile("rb", buffering=0), self)

    def is_clean(self) -> bool:
        """Tell whether nothing was read beyond the answers so far."""
        return not self.has_surplus


class BoundSocket(_Bound):
    """A plain socket that obeys the current `Exchange`."""


class BoundTLSSocket(_Bound, ssl.SSLSocket):
    """A TLS socket that obeys the current `Exchange`; made by ``SSLContext.sslsocket_class``."""

    def do_handshake(self, *args: Any) -> None:
        try:
            self._within_deadline(super().do_handshake, *args)
        except AuthServiceUnavailable:
            # SSLSocket closes itself after an OSError only.
            self.close()
            raise

    def is_clean(self) -> bool:
        return super().is_clean() and not self.pending()
