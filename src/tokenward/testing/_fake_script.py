"""What came in at a `FakeAuthorizationServer`, and which of it is to fail."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tokenward.testing._loopback import Answer, RecordedRequest


@dataclass(slots=True)
class Failure:
    """The next ``times`` requests are answered with ``status``, or as usual, after ``delay``."""

    status: int | None
    times: int
    delay: float
    headers: Mapping[str, str]
    body: bytes


class Script:
    """Remembers requests, and hands out the failures that a test has asked for."""

    def __init__(self) -> None:
        self._failures: dict[str, list[Failure]] = {}
        self._requests: list[RecordedRequest] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def add(self, path: str, failure: Failure) -> None:
        """Let requests to a path, or to a URL's, fail after those that already will."""
        with self._lock:
            self._failures.setdefault(urlsplit(path).path, []).append(failure)

    def requests(self, path: str | None) -> list[RecordedRequest]:
        """Return the requests so far, in order; with a path or URL, those to it."""
        wanted = None if path is None else urlsplit(path).path
        with self._lock:
            return [r for r in self._requests if wanted is None or r.path == wanted]

    def play(self, request: RecordedRequest) -> Answer | None:
        """Record a request; return how it fails, when that is due."""
        with self._lock:
            self._requests.append(request)
            failure = self._next_failure(request.path)
        if failure is None:
            return None
        self.stopping.wait(failure.delay)
        if failure.status is None:
            return None
        return Answer(failure.status, failure.body, failure.headers)

    def _next_failure(self, path: str) -> Failure | None:
        queue = self._failures.get(path, [])
        while queue:
            if queue[0].times > 0:
                queue[0].times -= 1
                return queue[0]
            queue.pop(0)
        return None
