"""The only speaker of HTTP: pool, deadline, caps, URL rules, circuit breaker, bulkhead.

`RequestsTransport` serves introspection, metadata, keys, identity and client assertions alike.
"""

from __future__ import annotations

from tokenward._http.answer import (
    JSON,
    epoch_of,
    is_odd_json,
    json_object,
    max_age_of,
    media_type,
    report_unreadable,
    retry_after_of,
    retry_in,
)
from tokenward._http.options import count, seconds
from tokenward._http.transport import RequestsTransport, apart
from tokenward._http.urls import check_named_url, check_url, is_loopback

__all__ = [
    "JSON",
    "RequestsTransport",
    "apart",
    "check_named_url",
    "check_url",
    "count",
    "epoch_of",
    "is_loopback",
    "is_odd_json",
    "json_object",
    "max_age_of",
    "media_type",
    "report_unreadable",
    "retry_after_of",
    "retry_in",
    "seconds",
]
