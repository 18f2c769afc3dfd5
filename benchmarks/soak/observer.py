"""What one process of an application counts about itself: asked for, and subtracted, from outside.

Three hands count: tokenward (`CacheStats`, and events as Prometheus metrics), and a WSGI wrapper
around the application that knows nothing of tokenward.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import prometheus_client

from tokenward.introspection import IntrospectionVerifier
from tokenward.observe import PrometheusMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client import CollectorRegistry

    from tokenward.protocols import Event

FIGURES = "/soak/figures"
"""Where a worker says what it counted."""

SIGNED_HEADER = "X-Access-Token"
"""Where tokens are presented that are verified by the issuer's keys; others in Authorization."""

ENTRIES = "entries"
"""Of the figures, the one that goes up and down: entries of all caches now."""

_HEALTH = "/health"
_PLACES = {
    "introspection": "HTTP_AUTHORIZATION",
    "jwks": "HTTP_" + SIGNED_HEADER.upper().replace("-", "_"),
}
_UNREAD = "400"


class Observer(PrometheusMetrics):
    """Prometheus's metrics, which also know whom they watch.

    Args:
        registry: See `PrometheusMetrics`.

    Attributes:
        verifiers: Those that report here.
        ahead: How often an answer was found in the shared cache, and the server asked all the
            same, because the answer was about to end.
    """

    def __init__(self, registry: CollectorRegistry = prometheus_client.REGISTRY) -> None:
        super().__init__(registry)
        self._collected = registry
        self.verifiers: list[Any] = []
        self.ahead = 0
        self._counting = threading.Lock()
        self._here = threading.local()

    def watch(self, verifier: Any) -> None:
        """See `PrometheusMetrics.watch`."""
        super().watch(verifier)
        self.verifiers.append(verifier)

    def __call__(self, event: Event) -> None:
        """Count the event; those of one verification come one after the other on their thread."""
        super().__call__(event)
        if event.kind == "upstream" and getattr(self._here, "shared", False):
            with self._counting:
                self.ahead += 1
        if event.kind in ("verify", "upstream"):
            self._here.shared = False
        elif event.outcome == "shared.hit":
            self._here.shared = True

    def figures(self) -> Counter[str]:
        """Return every count of every verifier, and every count of the metrics, by name."""
        found = Counter({"introspection.ahead": self.ahead})
        for verifier in self.verifiers:
            kind = "introspection" if isinstance(verifier, IntrospectionVerifier) else "jwks"
            for name, count in asdict(verifier.stats()).items():
                found[f"{kind}.{name}"] += count
        for metric in self._collected.collect():
            for sample in metric.samples:
                if sample.name in ("tokenward_verify_total", "tokenward_upstream_seconds_count"):
                    found[sample.name] += int(sample.value)
                elif sample.name == "tokenward_cache_total":
                    labels = sample.labels
                    name = f"{sample.name}.{labels['level']}.{labels['event']}"
                    found[name] += int(sample.value)
        return found


class Counted:
    """Counts the requests that go through it, and tells; a WSGI application around another.

    What was counted before its first request, in its parent, is not the process's own.

    Args:
        application: The other one.
        figures: What else is told.
        pid: Tells the process.
    """

    def __init__(
        self,
        application: WSGIApplication,
        figures: Callable[[], Counter[str]],
        *,
        pid: Callable[[], int] = os.getpid,
    ) -> None:
        self._application = application
        self._figures = figures
        self._pid = pid
        self._of: int | None = None
        self._counts: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Count the request by its answer, and by where it bears a token."""
        self._begin()
        path = environ.get("PATH_INFO", "")
        if path == FIGURES:
            body = json.dumps(self.told()).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            start_response("200 OK", headers)
            return [body]

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self._count(environ, status.partition(" ")[0])
            return start_response(status, headers, *more)

        # Whoever waits for the server to start asks for its health, and is not part of the load.
        watched = path.startswith(_HEALTH)
        return self._application(environ, start_response if watched else start)

    def told(self) -> dict[str, Any]:
        """Return the process, and every figure since it began."""
        with self._lock:
            mine = Counter(self._counts)
        now = self._figures()
        figures = mine | {name: count - self._before[name] for name, count in now.items()}
        figures[ENTRIES] = sum(c for name, c in now.items() if name.endswith(f".{ENTRIES}"))
        return {"pid": self._pid(), "figures": figures}

    def _begin(self) -> None:
        with self._lock:
            if self._of != self._pid():
                self._of, self._counts, self._before = self._pid(), Counter(), self._figures()

    def _count(self, environ: WSGIEnvironment, status: str) -> None:
        with self._lock:
            self._counts[f"status.{status}"] += 1
            for kind, header in _PLACES.items():
                if header in environ:
                    self._counts[f"{kind}.borne"] += 1
                    self._counts[f"{kind}.unread"] += status == _UNREAD
