"""A token that was verified before, cut fresh from the header, its expiry checked again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.environment import interpreter, measured
from benchmarks.findings import OURS, Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.parts import CannedTransport, canned_verifier, floor_of, new_token
from benchmarks.signed import pinned_verifier, signer

TOPIC = "cached-verify"
HITS = "hits, over the floor of the same rounds"
SIGNED = "a signed token (RS256), beside who verifies it anew"
KEPT = "an introspected token, beside who keeps answers in memory"
STORED = "an introspected token, beside who starts a loop or reads a table"
ASKED = "an introspected token, beside who asks every time (wall clock)"

TTL = 36_000.0
"""Seconds; the last tenth of them must be longer than a measurement."""

DUE = 0.95 * TTL
"""Seconds after which an answer is in the last tenth of its life."""


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Compare with the least that any cache must do: hash, look up, compare the expiry."""
    header = f"Bearer {new_token()}"
    verifier, observed = canned_verifier(), canned_verifier(on_event=lambda _event: None)
    verifier.verify(header[7:])
    observed.verify(header[7:])
    by = signer("RS256")
    signed, jwks_verifier = f"Bearer {by.token()}", pinned_verifier(by)
    jwks_verifier.verify(signed[7:])
    with _aged(header, 0) as fresh, _aged(header, DUE) as due:
        taken = interleaved(
            {
                "floor": floor_of(header),
                "cached": lambda: verifier.verify(header[7:]),
                "signed": lambda: jwks_verifier.verify(signed[7:]),
                "observed": lambda: observed.verify(header[7:]),
                "fresh": fresh,
                "due": due,
            },
            number=2_000,
            rounds=effort.rounds(101),
            clock=time.thread_time,
        )
    return [
        Result(
            "cached verify",
            taken.over("cached", "floor"),
            "x floor",
            1.3,
            detail=f"{micro(taken['cached'])} over {micro(taken['floor'])}, on_event unset",
            by=f"{OURS}, introspected",
            topic=TOPIC,
            spread=taken.spread("cached", "floor"),
            case=HITS,
        ),
        Result(
            "cached verify, a signed token",
            taken.over("signed", "floor"),
            "x floor",
            1.3,
            detail=f"{micro(taken['signed'])} over {micro(taken['floor'])}, RS256 the first time",
            by=f"{OURS}, signed (RS256)",
            topic=TOPIC,
            spread=taken.spread("signed", "floor"),
            case=HITS,
        ),
        Result(
            "cached verify, on_event set",
            taken.over("observed", "cached"),
            "x on_event unset",
            None,
            detail=f"{micro(taken['observed'])} over {micro(taken['cached'])}; two events a call",
            spread=taken.spread("observed", "cached"),
        ),
        Result(
            "cached verify, while one request asks ahead of the end",
            taken.over("due", "fresh"),
            "x a fresh hit",
            None,
            detail=f"{micro(taken['due'])} over {micro(taken['fresh'])}",
            spread=taken.spread("due", "fresh"),
        ),
        *measured(
            "cached verify, a signed token: peers",
            "jwks_peers",
            "cached_verify",
            f"--rounds={effort.rounds(31)}",
            made=made,
        ),
        *measured(
            "cached verify: peers",
            "introspection_peers",
            "cached_verify",
            f"--rounds={effort.rounds(31)}",
            made=made,
        ),
    ]


@contextlib.contextmanager
def _aged(header: str, seconds: float) -> Iterator[Callable[[], object]]:
    """Give a call for an answer of this age; another thread, if one must, asks meanwhile."""
    may_answer, age = threading.Event(), 0.0
    transport = CannedTransport(may_answer)
    verifier = canned_verifier(transport=transport, ttl=TTL, clock=lambda: time.time() + age)

    def call() -> object:
        return verifier.verify(header[7:])

    may_answer.set()
    call()
    call()  # nobody asks again about what nobody used
    may_answer.clear()
    age = seconds
    asking = threading.Thread(target=call)
    asking.start()
    try:
        while asking.is_alive() and verifier.stats().upstream_calls < 2:
            time.sleep(0.001)
        if asking.is_alive() != (seconds > 0):
            raise RuntimeError("one request asks about an answer that is due, and about no other")
        yield call
    finally:
        may_answer.set()
        asking.join()
