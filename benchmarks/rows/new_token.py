"""A token nobody has asked about, against an endpoint that answers at once."""

from __future__ import annotations

import http.client
from urllib.parse import urlencode, urlsplit

import requests

from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.parts import CREDENTIALS, client_for, new_token
from benchmarks.upstream import running
from tokenward import IntrospectionVerifier


def measure(effort: Effort) -> list[Result]:
    """Compare with ``requests.Session().post``, the recipe that most people write."""
    with running() as upstream, requests.Session() as session:
        url = upstream.url()
        verifier = IntrospectionVerifier(client_for(url), audience="bench")
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)

        def tokenward() -> object:
            return verifier.verify(new_token())

        def default_session() -> object:
            form = {"token": new_token(), "token_type_hint": "access_token"}
            return session.post(url, data=form, auth=CREDENTIALS, timeout=5).json()["active"]

        def floor() -> object:
            connection.request(
                "POST",
                f"{parts.path}?{parts.query}",
                urlencode({"token": new_token()}),
                {"Content-Type": "application/x-www-form-urlencoded"},
            )
            return connection.getresponse().read()

        taken = interleaved(
            {"tokenward": tokenward, "session": default_session, "floor": floor},
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
        )
    ]
