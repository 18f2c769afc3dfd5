"""What the verifiers and the service of one configuration share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from inspect import isclass, iscoroutinefunction
from typing import TYPE_CHECKING

from tokenward.config.build.imported import imported
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config.settings import Settings, SharedCacheSection
    from tokenward.observe import PrometheusMetrics
    from tokenward.protocols import OnEvent, RevocationBus, SharedCache
    from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache


@dataclass(frozen=True, slots=True)
class Shared:
    """What is made once and handed to every verifier and to the service.

    Attributes:
        shared_cache: Where processes share answers.
        revocation_bus: What tells every process that a token is revoked.
        on_event: Receives events.
        metrics: Those of the receivers that count the entries of verifiers.
    """

    shared_cache: SharedCache | None = None
    revocation_bus: RevocationBus | None = None
    on_event: OnEvent | None = None
    metrics: tuple[PrometheusMetrics, ...] = ()


def build_shared(settings: Settings) -> Shared:
    """Return what ``settings.shared_cache`` and ``settings.on_event`` describe.

    Nothing is reached for: a Redis that is down stops nobody.

    Raises:
        ConfigurationError: An extra is not installed, or an observer cannot be imported or called.
    """
    answers: SharedCache | None = None
    bus: RevocationBus | None = None
    if settings.shared_cache is not None:
        answers, bus = redis_of(settings.shared_cache)
    if not settings.on_event:
        return Shared(answers, bus)
    # Nobody pays for observers who has none.
    from tokenward.observe import PrometheusMetrics, fan_out  # noqa: PLC0415

    observers = [_observer(name) for name in settings.on_event]
    on_event = observers[0] if len(observers) == 1 else fan_out(*observers)
    metrics = tuple(found for found in observers if isinstance(found, PrometheusMetrics))
    return Shared(answers, bus, on_event, metrics)


def redis_of(section: SharedCacheSection) -> tuple[RedisSharedCache, RedisRevocationBus]:
    """Return the two that ``shared_cache`` describes; neither is connected yet.

    Raises:
        ConfigurationError: The URL means nothing, or the extra ``redis`` is not installed.
    """
    # Most configurations have no use for it, and it brings cryptography and a driver.
    from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache  # noqa: PLC0415

    url = section.url.get_secret_value()
    secrets = [secret.get_secret_value() for secret in section.secrets]
    try:
        return (
            RedisSharedCache(url, secrets=secrets, timeout=section.timeout),
            RedisRevocationBus(url, secrets=secrets, timeout=section.timeout),
        )
    except ConfigurationError as error:
        msg = f"shared_cache: {error}"
    raise ConfigurationError(msg)


def _observer(name: str) -> OnEvent:
    if ":" in name:
        return _imported(name)
    from tokenward.observe import log_events  # noqa: PLC0415 - as above

    if name == "log":
        return log_events()
    try:
        return _prometheus()
    except ConfigurationError as error:
        msg = f"on_event: {error}"
    raise ConfigurationError(msg)


@cache
def _prometheus() -> PrometheusMetrics:
    # One for the process: prometheus_client's registry takes each metric once.
    from tokenward.observe import PrometheusMetrics  # noqa: PLC0415 - as above

    return PrometheusMetrics()


def _imported(path: str) -> OnEvent:
    advice = "write MODULE:NAME of a function of one Event"
    found = imported(path, setting="on_event", advice=advice)
    if callable(found) and not isclass(found) and not iscoroutinefunction(found):
        observer: OnEvent = found
        return observer
    kind = "a class" if isclass(found) else "async" if callable(found) else "no function"
    msg = f"on_event: {path!r} is {kind}; {advice}, or of an object that is called with one"
    raise ConfigurationError(msg)
