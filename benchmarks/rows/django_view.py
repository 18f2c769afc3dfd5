"""A protected Django view on a hit, over the same view without protection."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks.django_site import OURS, map_users, site
from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.parts import bearer_call, canned_verifier, new_token

TOPIC = "django-view"
SAME = "over the plain view of the same project"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Call the WSGI application itself, with a stateless user and with a mapped one."""
    app, token, verifier = site(OURS), new_token(), canned_verifier()
    views = {
        name: bearer_call(app, f"/{name}", token) for name in ("plain", "protected", "personal")
    }
    without = bearer_call(site(), "/plain", token)
    map_users("stateless")
    taken = interleaved(
        views | {"without": without, "hit": lambda: verifier.verify(token)},
        number=10,
        rounds=effort.rounds(1_001),
        clock=time.thread_time,
    )
    map_users("model")
    mapped = interleaved(
        {name: views[name] for name in ("plain", "personal")},
        number=10,
        rounds=effort.rounds(201),
        clock=time.thread_time,
    )
    queries = _queries(views["personal"])
    map_users("stateless")
    return [
        Result(
            "Django, protected view on a hit",
            taken.over("protected", "plain"),
            "x plain view",
            1.15,
            detail=(
                f"{micro(taken['protected'])} over {micro(taken['plain'])}, of which the cached "
                f"verification {micro(taken['hit'])}; "
                f"{taken.over('protected', 'without'):.3g} x the plain view of a project without "
                f"the middleware; {taken.over('personal', 'plain'):.3g} x when the view reads "
                f"request.user, {mapped.over('personal', 'plain'):.3g} x when that is a row "
                f"({queries}, {micro(mapped['personal'])})"
            ),
            topic=TOPIC,
            spread=taken.spread("protected", "plain"),
            case=SAME,
        ),
        *measured(
            "Django: peers",
            "django_peers",
            "django",
            f"--rounds={effort.rounds(201)}",
            made=made,
        ),
    ]


def _queries(call: Callable[[], object]) -> str:
    """Return how many queries a call makes, in words."""
    with CaptureQueriesContext(connection) as made:
        call()
    return f"{len(made)} {'query' if len(made) == 1 else 'queries'}"
