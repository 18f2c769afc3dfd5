"""A protected view of Django REST framework on a hit, over the same view without protection."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.django_site import OURS, map_users, site
from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.parts import bearer_call, canned_verifier, new_token

TOPIC = "drf-view"
SAME = "over the plain view of the same project"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Call the WSGI application itself, with a stateless user."""
    app, token, verifier = site(OURS), new_token(), canned_verifier()
    map_users("stateless")
    taken = interleaved(
        {
            "without": bearer_call(site(), "/drf/plain", token),
            "plain": bearer_call(app, "/drf/plain", token),
            "protected": bearer_call(app, "/drf/protected", token),
            "hit": lambda: verifier.verify(token),
        },
        number=10,
        rounds=effort.rounds(1_001),
        clock=time.thread_time,
    )
    return [
        Result(
            "DRF, protected view on a hit",
            taken.over("protected", "plain"),
            "x plain view",
            1.15,
            detail=(
                f"{micro(taken['protected'])} over {micro(taken['plain'])}, of which the cached "
                f"verification {micro(taken['hit'])}; "
                f"{taken.over('protected', 'without'):.3g} x the plain view of a project without "
                "the middleware"
            ),
            topic=TOPIC,
            spread=taken.spread("protected", "plain"),
            case=SAME,
        ),
        *measured(
            "DRF: peers",
            "django_peers",
            "drf",
            f"--rounds={effort.rounds(201)}",
            made=made,
        ),
    ]
