"""Opening a connection before a deadline, name resolution included."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from tokenward import _fork
from tokenward._http.sockets import BoundSocket, Exchange, expired
from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = tuple[Any, ...]


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: list[tuple[int, Address]] = []
        self.error: str = ""


class Resolver:
    """Resolves names on a thread of its own, since ``getaddrinfo`` knows no deadline.

    A name that is being looked up is not looked up a second time, so a resolver that hangs holds
    one thread for each configured server and no more.
    """

    def __init__(self) -> None:
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Forget the look-ups of the parent's threads."""
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}

    def resolve(self, host: str, port: int, *, deadline: float) -> list[tuple[int, Address]]:
        """Return (family, address) pairs.

        Raises:
            AuthServiceUnavailable: The name has no address (``connect_failed``), or none was
                found in time (``deadline``).
        """
        with contextlib.suppress(OSError):
            return _getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
        with self._lock:
            lookup = self._running.get((host, port))
            if lookup is None:
                lookup = _Lookup()
                thread = threading.Thread(
                    target=self._run, args=(host, port, lookup), name="tokenward-dns", daemon=True
                )
                thread.start()
                self._running[host, port] = lookup
        if not lookup.done.wait(max(0.0, deadline - time.monotonic())):
            raise expired()
        if lookup.error:
            raise AuthServiceUnavailable(
                f"{shown(host)} has no address ({lookup.error}); check the name and the resolver",
                reason="connect_failed",
            )
        return lookup.addresses

    def _run(self, host: str, port: int, lookup: _Lookup) -> None:
        try:
            lookup.addresses = _getaddrinfo(host, port)
        except (OSError, UnicodeError) as error:
            lookup.error = type(error).__name__ + ": " + shown(str(error))
        finally:
            with self._lock:
                self._running.pop((host, port), None)
            lookup.done.set()


resolver = Resolver()
"""One for the process: it holds nothing but what is under way."""


def _getaddrinfo(host: str, port: int, *, flags: int = 0) -> list[tuple[int, Address]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def connect(
    addresses: Iterable[tuple[int, Address]],
    exchange: Exchange,
    *,
    options: Iterable[tuple[int, int, int | bytes]] = (),
) -> BoundSocket:
    """Connect to the first address that accepts.

    Args:
        addresses: (family, address) pairs.
        exchange: Each address gets its ``connect_timeout``, all together what is left.
        options: ``setsockopt`` arguments, set before connecting.

    Raises:
        AuthServiceUnavailable: No address accepts (``connect_failed``), or the deadline has
            passed (``deadline``).
    """
    reason = "there is no address"
    for family, address in addresses:
        timeout = min(exchange.connect_timeout, exchange.remaining())
        try:
            sock = BoundSocket(family, socket.SOCK_STREAM)
        except OSError as error:
            reason = shown(str(error))
            continue
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(timeout)
            sock.connect(address)
        except TimeoutError:
            sock.close()
            exchange.remaining()
            reason = f"no connection within {timeout:.1f} s"
        except OSError as error:
            sock.close()
            reason = shown(error.strerror or str(error))
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise AuthServiceUnavailable(
        f"cannot connect: {reason}; check that the server runs and can be reached from here",
        reason="connect_failed",
    )
