"""Token introspection (RFC 7662): ask the authorization server, and remember the answer.

`IntrospectionClient` sends a token and returns what the server says about it.
`IntrospectionVerifier` judges: policy, caches, and three outcomes that are never mixed up. The
server said yes; the server said no; the server could not be asked.
"""

from __future__ import annotations

from typing import Any

from tokenward.introspection.client import IntrospectionClient
from tokenward.introspection.verifier import IntrospectionVerifier

__all__ = ["IntrospectionClient", "IntrospectionVerifier", "introspect_token"]


def __getattr__(name: str) -> Any:
    if name == "introspect_token":
        # The seed's function asks the *configured* endpoint, which is known further up; by name,
        # so that this module does not depend on it.
        from importlib import import_module  # noqa: PLC0415 - only when it is asked for

        return import_module("tokenward.app").introspect_configured
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
