"""``tokenward serve``: the auth service on waitress, and its orderly end."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from tokenward._log import shown
from tokenward.bearer import error_response
from tokenward.cli.malformed import Channel
from tokenward.commands.setup import service_section
from tokenward.commands.store import of_plain_keys
from tokenward.config import build_service
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.passwords import limit_hashing
from tokenward.wsgi import auth_service_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tokenward.commands import Output
    from tokenward.config import Settings

DRAIN_SECONDS = 10.0
"""How long requests in flight may take once the server is to stop."""

_QUIET_SECONDS = 0.25
_READY_PATH = "/health/ready"
# Larger bodies than an endpoint reads get its own answer, up to here.
_MAX_BODY_BYTES = 1_048_576
_MAX_HEADER_BYTES = 65_536
# Each takes a file descriptor, and 1,024 is what a process usually may have.
_MAX_CONNECTIONS = 500
_IDLE_SECONDS = 60


def serve(settings: Settings, *, bind: tuple[str, int], threads: int, output: Output) -> None:
    """Serve until SIGTERM or Ctrl-C, and then until what is in flight is answered.

    Args:
        settings: The configuration, with a ``service`` section; its store exists.
        bind: Host and port.
        threads: How many requests are answered at a time.
        output: Gets one line once requests are taken.

    Raises:
        ConfigurationError: The store is missing, or the address cannot be used.
        AuthServiceUnavailable: A SQLite store is busy.
    """
    section = service_section(settings)
    service = build_service(settings)
    application = auth_service_app(service)
    listener = listen(*bind)
    _log_to_stderr()
    _share_threads(threads)
    server = Server(application, listener, threads=threads)
    if not ipaddress.ip_address(server.host.partition("%")[0]).is_loopback:
        output.note(
            f"warning: {server.host} can be reached from elsewhere, and this server speaks no TLS: "
            "passwords and tokens travel in the clear unless a proxy in front of it does."
        )
    if section.in_memory:
        output.note("warning: service.store is memory://; users and keys end with this process.")
    if advice := of_plain_keys(section):
        output.note(f"warning: {advice}")
    with _stopping(server):
        output.say(f"Serving {section.issuer} at {server.url}")
        if not server.run():
            output.note(f"warning: requests were cut off after {DRAIN_SECONDS:.0f} s.")
        if not service.flush(DRAIN_SECONDS):
            output.note("warning: one-time tokens were not delivered.")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ConfigurationError: The address is taken, forbidden, or none of this machine's.
    """
    where = f"{shown(host)}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise ConfigurationError(f"--bind {where}: there is no such host.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        why = _WHY_NOT.get(error.errno or 0, error.strerror)
        raise ConfigurationError(f"--bind {where}: {why}.") from None
    return listener


_WHY_NOT = {
    errno.EADDRINUSE: "another program listens there; stop it, or name another port (0: any free)",
    errno.EACCES: "this user may not listen there; name a port of 1024 or more",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class Server:
    """The application on waitress.

    Args:
        application: What answers.
        listener: A listening socket; closed at the end.
        threads: How many requests are answered at a time.
        drain_seconds: How long requests in flight may take after `stop`.
    """

    def __init__(
        self,
        application: WSGIApplication,
        listener: socket.socket,
        *,
        threads: int,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self.host, self._port = listener.getsockname()[:2]
        self._application = application
        self._drain_seconds = drain_seconds
        self._stopping = False
        self._sockets: dict[int, Any] = {}
        options: dict[str, Any] = {
            "sockets": [listener],
            "threads": threads,
            "ident": "tokenward",
            "asyncore_use_poll": True,
            "channel_timeout": _IDLE_SECONDS,
            "connection_limit": _MAX_CONNECTIONS,
            "log_socket_errors": False,
            "max_request_body_size": _MAX_BODY_BYTES,
            "max_request_header_size": _MAX_HEADER_BYTES,
            # Whom to believe about addresses is service.trusted_proxies' to say.
            "clear_untrusted_proxy_headers": False,
        }
        self._server = cast("Any", create_server(self._answer, map=self._sockets, **options))
        self._server.channel_class = Channel

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._port}"

    def run(self) -> bool:
        """Answer requests until `stop` is called, and then those in flight.

        New requests are still taken while others are in flight: whoever spreads the load needs a
        moment to see that this server is no longer ready.

        Returns:
            Whether every request in flight was answered in time.
        """
        while not self._stopping:
            self._turn(timeout=30)
        now = quiet_since = time.monotonic()
        deadline = now + self._drain_seconds
        while now < deadline and now < quiet_since + _QUIET_SECONDS:
            self._turn(timeout=0.05)
            now = time.monotonic()
            if self._in_flight():
                quiet_since = now
        drained = not self._in_flight()
        self._server.task_dispatcher.shutdown(timeout=1 if drained else 0)
        for open_socket in list(self._sockets.values()):
            open_socket.close()
        return drained

    def stop(self) -> None:
        """Have `run` come to its end; callable from any thread and from a signal handler."""
        self._stopping = True
        self._server.pull_trigger()

    def _turn(self, *, timeout: float) -> None:
        wasyncore.loop(timeout=timeout, use_poll=True, map=self._sockets, count=1)

    def _in_flight(self) -> bool:
        """Tell whether a request is being read, waits, is answered, or its answer is being sent."""
        return any(
            channel.request is not None or channel.requests or channel.total_outbufs_len
            for channel in list(self._sockets.values())
            if isinstance(channel, HTTPChannel)
        )

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._stopping and environ["PATH_INFO"].endswith(_READY_PATH):
            answer = error_response(AuthServiceUnavailable("stopping", reason="stopping"))
            start_response(f"{answer.status} Service Unavailable", list(answer.headers))
            return [answer.body]
        return self._application(environ, start_response)


@contextmanager
def _stopping(server: Server) -> Iterator[None]:
    """Have SIGTERM and Ctrl-C stop ``server``; once more, and it ends at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        server.stop()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _share_threads(threads: int) -> None:
    """Leave threads for other requests while people log in by the hundred."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for_hashing = max(1, threads - max(1, threads // 4))
    concurrent = min(cores or 1, for_hashing)
    limit_hashing(concurrent=concurrent, waiting=for_hashing - concurrent)


def _log_to_stderr() -> None:
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, force=True
    )
    # Requests that wait for a thread are what a queue is for.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
