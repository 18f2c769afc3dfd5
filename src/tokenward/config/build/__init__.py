"""From `Settings` to parts: the only place that picks implementations."""

from __future__ import annotations

from tokenward.config.build.authenticator import NOBODY, build_authenticator
from tokenward.config.build.service import build_service, service_on, throttle_of
from tokenward.config.build.shared import Shared, build_shared, redis_of
from tokenward.config.build.store import initialize_store, open_keys, open_store, sealer_of
from tokenward.config.build.verifiers import build_verifier

__all__ = [
    "NOBODY",
    "Shared",
    "build_authenticator",
    "build_service",
    "build_shared",
    "build_verifier",
    "initialize_store",
    "open_keys",
    "open_store",
    "redis_of",
    "sealer_of",
    "service_on",
    "throttle_of",
]
