"""Events as Prometheus metrics."""

from __future__ import annotations

import math
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from tokenward import _fork
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from tokenward.cache import CacheStats
    from tokenward.protocols import Event

OUTCOMES = frozenset(
    (
        # what becomes of a token, or of a login
        *("ok", "unavailable", "interrupted", "malformed", "invalid_token", "inactive", "expired"),
        *(
            "revoked",
            "not_yet_valid",
            "issued_in_future",
            "invalid_time",
            "audience_mismatch",
            "client_mismatch",
        ),
        *("unknown_issuer", "wrong_type", "invalid_claim", "claim_missing", "check_failed"),
        *("no_subject", "sender_constrained", "unsupported_token_type", "user_not_found"),
        *("user_inactive", "user_unknown", "bad_signature", "algorithm", "unknown_key"),
        "client_unknown",
        *("ambiguous_key", "critical_header", "repeated_authorization", "token_in_query"),
        *("invalid_credentials", "invalid_request", "invalid_password", "too_many_attempts"),
        # why there is no answer
        *("connect_failed", "deadline", "tls", "truncated", "too_large", "bad_encoding"),
        *("bad_response", "unsigned_response", "busy", "circuit_open", "bad_url", "bad_request"),
        *("client_refused", "client_auth", "client_auth_unsupported", "algorithm_unsupported"),
        *("no_metadata", "issuer_mismatch", "endpoint_missing", "endpoint_refused"),
        *("no_usable_key", "no_signing_key", "issuer_lookup_failed", "hashing_busy"),
        *("store", "store_unavailable"),
        *("invalid_scope", "invalid_target", "invalid_grant", "unauthorized_client"),
        "unsupported_grant_type",
    )
)
"""The outcomes that become a label; any other, such as one of your own ``check``, is ``other``."""

_CACHE_EVENTS = frozenset(
    (
        *("process.hit", "process.negative_hit", "process.miss", "process.stale"),
        *("process.evicted", "shared.hit", "shared.miss", "shared.error"),
    )
)
_OTHER = "other"


class _Watched(Protocol):
    def stats(self) -> CacheStats: ...


class PrometheusMetrics:
    """Counts events for Prometheus; hand one object to every verifier and service as ``on_event``.

    =================================== ======================= ===================================
    metric                              labels                  counts
    =================================== ======================= ===================================
    ``tokenward_verify_total``          verifier, outcome       verdicts
    ``tokenward_upstream_seconds``      verifier, outcome       questions to servers: a histogram
    ``tokenward_cache_total``           verifier, level, event  uses of caches
    ``tokenward_cache_entries``                                 entries of the verifiers watched
    ``tokenward_jwks_age_seconds``      issuer                  age of their issuers' keys
    ``tokenward_breaker_open``                                  servers that are left alone now
    ``tokenward_login_total``           outcome                 logins at an `AuthService`
    =================================== ======================= ===================================

    Labels come from the configuration and from `OUTCOMES`, never from a token. With
    ``PROMETHEUS_MULTIPROC_DIR`` set, the gauges are sums over the processes that live, but for the
    age of keys: that is the greatest, each as of the process's last verdict.

    Args:
        registry: Where the metrics are registered; default: prometheus_client's own.

    Raises:
        ConfigurationError: ``tokenward[metrics]`` is not installed, the registry has these metrics
            already, or ``PROMETHEUS_MULTIPROC_DIR`` is no directory that can be written to.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 - an extra, and no small import
        except ImportError:
            msg = "PrometheusMetrics needs prometheus_client: pip install 'tokenward[metrics]'"
            raise ConfigurationError(msg) from None
        self._registry = prometheus_client.REGISTRY if registry is None else registry
        self._watched: weakref.WeakSet[_Watched] = weakref.WeakSet()
        self._aging: dict[str, weakref.ref[Any]] = {}
        # There a gauge cannot ask: it is read by another process.
        self._shares_files = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._open: set[str] = set()
        self._lock = threading.Lock()
        try:
            self._make(prometheus_client)
        except ValueError:
            msg = (
                "the registry has tokenward's metrics already: make one PrometheusMetrics and hand "
                "it to every verifier, or give each a registry of its own"
            )
            raise ConfigurationError(msg) from None
        except OSError as error:
            path = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
            msg = f"PROMETHEUS_MULTIPROC_DIR={path!r} cannot be written to: {error.strerror}"
            raise ConfigurationError(msg) from None
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace a lock that another thread may hold in the parent."""
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Count ``event``; kinds that are not known are left out."""
        verifier, outcome = event.verifier, event.outcome
        match event.kind:
            case "verify":
                self._verify.labels(verifier, _known(outcome)).inc()
                self._note_age(verifier)
            case "upstream":
                self._upstream.labels(verifier, _known(outcome)).observe(event.seconds)
                self._note_age(verifier)
            case "cache":
                level, _, what = (outcome if outcome in _CACHE_EVENTS else "other.other").partition(
                    "."
                )
                self._cache.labels(verifier, level, what).inc()
                if outcome in ("process.miss", "process.evicted"):
                    self._count_entries()
            case "breaker":
                self._count_open(verifier, is_open=outcome == "opened")
            case "login":
                self._login.labels(_known(outcome)).inc()

    def watch(self, verifier: _Watched) -> None:
        """Count the cache entries of ``verifier``, and show how old its keys are if it has some.

        Entries are counted when this process makes one, so that every process writes its own
        figure; a verifier that is gone counts no more.

        Args:
            verifier: What has ``stats()``; and ``keys_age()`` and ``issuer``, as `JWKSVerifier`.
        """
        with self._lock:
            self._watched.add(verifier)
        self._count_entries()
        if hasattr(verifier, "keys_age"):
            self._show_age(verifier)

    def __reduce__(self) -> NoReturn:
        msg = "PrometheusMetrics belongs to its process: make one in each"
        raise TypeError(msg)

    def _make(self, client: Any) -> None:
        registry = self._registry
        self._verify = client.Counter(
            "tokenward_verify_total",
            "Verdicts on tokens.",
            ["verifier", "outcome"],
            registry=registry,
        )
        self._upstream = client.Histogram(
            "tokenward_upstream_seconds",
            "Seconds that questions to a server took.",
            ["verifier", "outcome"],
            registry=registry,
        )
        self._cache = client.Counter(
            "tokenward_cache_total",
            "Uses of caches.",
            ["verifier", "level", "event"],
            registry=registry,
        )
        self._entries = client.Gauge(
            "tokenward_cache_entries",
            "Entries in the caches of the verifiers watched.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._age = client.Gauge(
            "tokenward_jwks_age_seconds",
            "Seconds since the keys in use were fetched.",
            ["issuer"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._breakers = client.Gauge(
            "tokenward_breaker_open",
            "Servers that are left alone because they kept failing.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._login = client.Counter(
            "tokenward_login_total", "Logins.", ["outcome"], registry=registry
        )

    def _show_age(self, verifier: Any) -> None:
        held = weakref.ref(verifier)
        with self._lock:
            self._aging[verifier.issuer] = held
        if not self._shares_files:
            self._age.labels(verifier.issuer).set_function(lambda: _age_of(held))

    def _note_age(self, name: str) -> None:
        held = self._aging.get(name) if self._shares_files else None
        age = math.nan if held is None else _age_of(held)
        if not math.isnan(age):
            self._age.labels(name).set(age)

    def _count_entries(self) -> None:
        with self._lock:
            watched = list(self._watched)
        if watched:
            self._entries.set(sum(verifier.stats().entries for verifier in watched))

    def _count_open(self, verifier: str, *, is_open: bool) -> None:
        with self._lock:
            (self._open.add if is_open else self._open.discard)(verifier)
            self._breakers.set(len(self._open))


def _age_of(held: weakref.ref[Any]) -> float:
    verifier = held()
    age = None if verifier is None else verifier.keys_age()
    return math.nan if age is None else float(age)


def _known(outcome: str) -> str:
    return outcome if outcome in OUTCOMES else _OTHER
