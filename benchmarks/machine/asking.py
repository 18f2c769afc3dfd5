"""One request of the load: what is sent, and what the answer is worth."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

Verdict = Literal["right", "wrong", "refused", "unavailable", "failed", "reset"]
"""``right``: as it must be while nothing is broken.

``wrong``: a wrong admission, that is 200 for a token that must be refused, or in somebody else's
name. ``refused``: a good token was. ``unavailable``: 503 with ``Retry-After``. ``failed``: anything
else that was answered, such as 500. ``reset``: nothing was, as the connection ended.
"""

_PATIENCE = 30.0
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request.

    Attributes:
        kind: What it is counted as: ``plain``, ``hit``, ``cold``, ``bad``, ``revoked``.
        path: What is asked for.
        token: What it bears; ``None``: nothing, and anybody is let in.
        name: Whom the answer must name; ``None`` beside a token: it must be refused.
    """

    kind: str
    path: str
    token: str | None = None
    name: str | None = None

    def sent(self, host: str) -> bytes:
        """Return it as it goes over the wire."""
        bearer = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n".encode()

    def judged(self, reply: Reply) -> Verdict:
        """Return what an answer to it is worth."""
        must_be_refused = self.token is not None and self.name is None
        if reply.status == 503 and "retry-after" in reply.headers:
            return "unavailable"
        if reply.status == 200:
            if must_be_refused or (self.name is not None and _named(reply.body) != self.name):
                return "wrong"
            return "right"
        if reply.status == 401 and self.token is not None:
            return "right" if must_be_refused else "refused"
        return "failed"


class Reply(NamedTuple):
    """An answer; the names of its headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A kept connection of a client that does no more than it must; a context manager.

    Args:
        host: Whom to ask.
        port: Where.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Reply:
        """Send a request and return the answer.

        Raises:
            OSError: The connection ended, or nothing came for 30 seconds.
        """
        self._socket.sendall(request)
        while _END not in self._rest:
            self._read()
        head, self._rest = self._rest.split(_END, 1)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        # All that is asked here says how long it is.
        length = int(headers["content-length"])
        while len(self._rest) < length:
            self._read()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Reply(int(status.split(" ", 2)[1]), headers, body)

    def _read(self) -> None:
        more = self._socket.recv(65_536)
        if not more:
            raise ConnectionResetError
        self._rest += more


def _named(body: bytes) -> Any:
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(body).get("username")
    return None
