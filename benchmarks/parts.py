"""Parts that several rows measure with."""

from __future__ import annotations

import json
import secrets

from benchmarks.upstream import ANSWER
from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Request, Response

TOKEN_CHARACTERS = 800
CREDENTIALS = ("bench", "a-secret-of-the-benchmark")


class CannedTransport:
    """Answers at once, without a socket."""

    def __init__(self) -> None:
        self._response = Response(
            200, {"content-type": "application/json"}, json.dumps(ANSWER).encode()
        )

    def send(self, request: Request, *, deadline: float) -> Response:
        """Return the answer."""
        del request, deadline
        return self._response

    def close(self) -> None:
        """Do nothing: nothing is open."""


def new_token() -> str:
    """Return a token of 800 characters that nobody has seen."""
    return secrets.token_urlsafe(TOKEN_CHARACTERS)[:TOKEN_CHARACTERS]


def client_for(url: str) -> IntrospectionClient:
    """Return a client as a user would make it."""
    return IntrospectionClient(url, client_auth=ClientSecretBasic(*CREDENTIALS))


def canned_verifier(*, max_entries: int = 10_000) -> IntrospectionVerifier:
    """Return a verifier whose issuer answers at once."""
    client = IntrospectionClient(
        "https://issuer.example/introspect",
        client_auth=ClientSecretBasic(*CREDENTIALS),
        transport=CannedTransport(),
    )
    return IntrospectionVerifier(client, audience="bench", max_entries=max_entries)
