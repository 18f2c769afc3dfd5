"""The options of `IntrospectionClient`, as `from_issuer` passes them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from tokenward.protocols import Clock, Transport


class ClientOptions(TypedDict, total=False):
    """Every argument of `IntrospectionClient` that has a default, but for the issuer."""

    token_type_hint: str | None
    signed_response_alg: str | Sequence[str] | None
    jwks_uri: str | None
    timeout: float
    connect_timeout: float
    retries: int
    verify_tls: bool | str
    proxies: Mapping[str, str] | None
    max_response_bytes: int
    pool_size: int
    breaker_failures: int
    breaker_seconds: float
    transport: Transport | None
    clock: Clock
