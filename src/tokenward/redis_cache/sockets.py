"""Sockets that obey one deadline and one byte count for each command, whoever reads from them."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, cast

from tokenward._http.connect import resolver

if TYPE_CHECKING:
    from tokenward._http.tls import TLSContexts
    from tokenward.redis_cache.address import Address

MAX_BYTES = 1_048_576
"""What is read for one command at most, whatever the server says that comes."""


class Bounded(socket.socket):
    """A plain socket, for one thread at a time.

    Attributes:
        deadline: When to give up, on the ``time.monotonic()`` scale.
        left: Bytes that may still be read.
    """

    deadline = 0.0
    left = 0
    _given_back = b""
    _watch_input: select.poll | None = None

    def allow(self, deadline: float) -> None:
        """Begin a command that ends at ``deadline``."""
        self.deadline = deadline
        self.left = MAX_BYTES

    def give_back(self, received: bytes) -> None:
        """Let the next one who reads find ``received`` first."""
        self._given_back = received

    def has_input(self) -> bool:
        """Tell whether something came, or the end, or what was given back is not read yet."""
        if self._given_back:
            return True
        if self._watch_input is None:
            self._watch_input = select.poll()
            self._watch_input.register(self, select.POLLIN)
        return bool(self._watch_input.poll(0))

    def shut(self) -> None:
        """Wake up the thread that reads: it finds the end."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def connect(self, *args: Any) -> None:
        """Do as any socket, before the deadline; so do the others."""
        self._limit_wait()
        super().connect(*args)

    def recv(self, *args: Any) -> bytes:
        """See `connect`."""
        if self._given_back:
            return self._taken_back(*args)
        self._limit_wait()
        received = super().recv(*args)
        self._count_bytes(len(received))
        return received

    def recv_into(self, *args: Any) -> int:
        """See `connect`."""
        if self._given_back:
            received = self._taken_back(len(args[0]))
            memoryview(args[0])[: len(received)] = received
            return len(received)
        self._limit_wait()
        size = super().recv_into(*args)
        self._count_bytes(size)
        return size

    def sendall(self, *args: Any) -> None:
        """See `connect`."""
        self._limit_wait()
        super().sendall(*args)

    def _taken_back(self, size: int, *_flags: int) -> bytes:
        received, self._given_back = self._given_back[:size], self._given_back[size:]
        return received

    def _limit_wait(self) -> None:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline has passed")
        self.settimeout(seconds)

    def _count_bytes(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise OSError(errno.EMSGSIZE, f"more than {MAX_BYTES} bytes came")


class BoundedTLS(Bounded, ssl.SSLSocket):
    """A TLS socket likewise; made by ``SSLContext.sslsocket_class``."""

    def do_handshake(self, *args: Any) -> None:
        """See `Bounded.connect`."""
        self._limit_wait()
        super().do_handshake(*args)

    def has_input(self) -> bool:
        """See `Bounded.has_input`; what is decrypted already is in the kernel no more."""
        return self.pending() > 0 or super().has_input()


def connected(address: Address, deadline: float) -> Bounded:
    """Return a socket that is connected, and verified where it is TLS.

    Raises:
        OSError: Nobody accepts, or TLS fails.
        AuthServiceUnavailable: The name has no address, the deadline has passed, or the client
            certificate cannot be loaded.
    """
    if address.path is not None:
        return _connected(socket.AF_UNIX, address.path, deadline)
    failure = OSError("there is no address")
    for family, where in resolver.resolve(address.host, address.port, deadline=deadline):
        try:
            plain = _connected(family, where, deadline)
        except OSError as error:
            failure = error
        else:
            return plain if address.tls is None else _secured(plain, address, address.tls)
    raise failure


def _connected(family: int, where: Any, deadline: float) -> Bounded:
    sock = Bounded(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.allow(deadline)
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _secured(plain: Bounded, address: Address, contexts: TLSContexts) -> Bounded:
    sock: Bounded = plain
    try:
        context = contexts.get(address.cert)
        context.sslsocket_class = BoundedTLS
        wrapped = context.wrap_socket(
            plain, server_hostname=address.host, do_handshake_on_connect=False
        )
        sock = cast("BoundedTLS", wrapped)
        sock.allow(plain.deadline)
        wrapped.do_handshake()
    except BaseException:
        sock.close()
        raise
    return sock
