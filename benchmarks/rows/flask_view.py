"""A protected Flask view on a hit, over the same view without protection."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from flask import Flask, Response, after_this_request, request

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.parts import authenticator_of, bearer_call, canned_verifier, new_token
from tokenward.flask import Tokenward, current_principal, login_required

TOPIC = "flask-view"
SAME = "over the plain view of the same application"

_DAY = 86_400


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Call the WSGI application itself: no client, no socket, nothing that is not the app."""
    app, verifier = Flask("bench"), canned_verifier()
    Tokenward().init_app(app, authenticator=authenticator_of(verifier))

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
    good = {sha256(token.encode()).digest(): time.time() + _DAY}

    @app.get("/least")
    def least() -> dict[str, str] | tuple[str, int]:
        # What nobody can leave out: the token, whether it is known and good still, and Vary.
        after_this_request(_vary)
        presented = request.environ["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        if time.time() >= good.get(sha256(presented.encode()).digest(), 0):
            return "", 401
        return {"for": "anybody"}

    views = ("plain", "least", "protected", "personal")
    taken = interleaved(
        {name: bearer_call(app, f"/{name}", token) for name in views}
        | {"hit": lambda: verifier.verify(token)},
        number=10,
        rounds=effort.rounds(1_001),
        clock=time.thread_time,
    )
    return [
        Result(
            "Flask, protected view on a hit",
            taken.over("protected", "plain"),
            "x plain view",
            1.2,
            detail=(
                f"{micro(taken['protected'])} over {micro(taken['plain'])}, of which the cached "
                f"verification {micro(taken['hit'])}; "
                f"{taken.over('personal', 'plain'):.3g} x when the view reads current_principal"
            ),
            topic=TOPIC,
            spread=taken.spread("protected", "plain"),
            case=SAME,
        ),
        Result(
            "Flask, the least that protects a view",
            taken.over("least", "plain"),
            "x plain view",
            None,
            detail="header, sha256, a dict, expiry, Vary; no rules, no principal",
            by="the floor: by hand",
            topic=TOPIC,
            spread=taken.spread("least", "plain"),
            case=SAME,
        ),
        *measured(
            "Flask: peers",
            "flask_peers",
            f"--rounds={effort.rounds(201)}",
            made=made,
        ),
    ]


def _vary(response: Response) -> Response:
    response.headers.add("Vary", "Authorization")
    return response
