"""A protected view of Django REST framework on a hit, over the same view without protection."""

from __future__ import annotations

import time

from benchmarks.django_site import OURS, map_users, site
from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.parts import bearer_call, new_token


def measure(effort: Effort) -> list[Result]:
    """Call the WSGI application itself, with a stateless user."""
    app, token = site(OURS), new_token()
    map_users("stateless")
    taken = interleaved(
        {
            "without": bearer_call(site(), "/drf/plain", token),
            "plain": bearer_call(app, "/drf/plain", token),
            "protected": bearer_call(app, "/drf/protected", token),
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
                f"{micro(taken['protected'])} over {micro(taken['plain'])}; "
                f"{taken.over('protected', 'without'):.3g} x the plain view of a project without "
                "the middleware"
            ),
        )
    ]
