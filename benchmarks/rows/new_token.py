"""A token nobody has asked about, against an endpoint that answers at once."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.parts import client_for, new_token, session_call
from benchmarks.upstream import running
from tokenward import IntrospectionVerifier

TOPIC = "new-token"
BESIDE = "beside the peers"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Compare with ``requests.Session().post``, the recipe that most people write."""
    with running() as upstream, requests.Session() as session:
        url = upstream.url()
        verifier = IntrospectionVerifier(client_for(url), audience="bench")
        default_session = session_call(session, url)
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)

        def floor() -> object:
            connection.request(
                "POST",
                f"{parts.path}?{parts.query}",
                urlencode({"token": new_token()}),
                {"Content-Type": "application/x-www-form-urlencoded"},
            )
            return connection.getresponse().read()

        taken = interleaved(
            {
                "tokenward": lambda: verifier.verify(new_token()),
                "session": lambda: default_session(new_token()),
                "floor": floor,
            },
            number=20,
            rounds=effort.rounds(75),
        )
        verifier.close()
        connection.close()
    return [
        Result(
            "introspection of a new token",
            taken.over("tokenward", "session"),
            "x requests.Session.post",
            0.6,
            detail=(
                f"{micro(taken['tokenward'])} over {micro(taken['session'])}; "
                f"http.client alone {micro(taken['floor'])}"
            ),
            topic=TOPIC,
            spread=taken.spread("tokenward", "session"),
        ),
        *measured(
            "introspection of a new token: peers",
            "introspection_peers",
            "new_token",
            f"--rounds={effort.rounds(31)}",
            made=made,
        ),
    ]
