"""A protected Flask view on a hit, over the same view without protection."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.parts import canned_verifier, new_token
from tokenward import Authenticator, Credential
from tokenward.authenticator import authorization
from tokenward.flask import Tokenward, current_principal, login_required


def measure(effort: Effort) -> list[Result]:
    """Call the WSGI application itself: no client, no socket, nothing that is not the app."""
    app = Flask("bench")
    Tokenward().init_app(
        app,
        authenticator=Authenticator(Credential(authorization(), canned_verifier(), ambient=False)),
    )

    @app.get("/plain")
    def plain() -> dict[str, str]:
        return {"for": "anybody"}

    @app.get("/protected")
    @login_required
    def protected() -> dict[str, str]:
        return {"for": "anybody"}

    @app.get("/personal")
    @login_required
    def personal() -> dict[str, str]:
        return {"for": current_principal.subject}

    token = new_token()
    taken = interleaved(
        {name: _call(app, f"/{name}", token) for name in ("plain", "protected", "personal")},
        number=50,
        rounds=effort.rounds(201),
    )
    return [
        Result(
            "Flask, protected view on a hit",
            taken["protected"] / taken["plain"],
            "x plain view",
            1.2,
            detail=(
                f"{micro(taken['protected'])} over {micro(taken['plain'])}; "
                f"{micro(taken['personal'])} when the view reads current_principal"
            ),
        )
    ]


def _call(app: Flask, path: str, token: str) -> Callable[[], object]:
    statuses: list[str] = []

    def start_response(status: str, _headers: object, _exc_info: object = None) -> Any:
        statuses.append(status)

    def call() -> object:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        statuses.clear()
        body: Iterable[bytes] = app(environ, start_response)
        content = b"".join(body)
        if statuses != ["200 OK"]:
            raise RuntimeError(f"{path} answered {statuses}")
        return content

    return call
