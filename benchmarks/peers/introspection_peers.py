"""What others need for a token that is introspected, beside tokenward in the same process."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import requests

from benchmarks.crowd import CASES, COLD, DEADLINE, one_cold_token, throughput
from benchmarks.findings import OURS, Result
from benchmarks.flood import ENTRIES, TOKENS, WEIGHT, flood
from benchmarks.flood import TOPIC as MEMORY
from benchmarks.harness import Taken, interleaved
from benchmarks.parts import (
    canned_verifier,
    client_for,
    floor_of,
    new_token,
    session_call,
)
from benchmarks.peers import beside, rounds_asked_for, tell
from benchmarks.peers.introspection import (
    Ask,
    AuthlibIntrospection,
    answered_at_once,
    by_hand,
    closing,
    in_a_kept_loop,
    in_a_loop_for_all,
    in_a_loop_of_its_own,
    swarmauri,
    toolkit,
    with_a_client_of_its_own,
)
from benchmarks.rows.cached_verify import ASKED, KEPT, STORED
from benchmarks.rows.cached_verify import TOPIC as CACHED
from benchmarks.rows.new_token import BESIDE
from benchmarks.rows.new_token import TOPIC as NEW
from benchmarks.rows.threads import FLOOR
from benchmarks.rows.threads import KEPT as KEPT_BY_THREADS
from benchmarks.upstream import running
from tokenward import IntrospectionVerifier

SWARMAURI = f"swarmauri {metadata.version('swarmauri_tokens_introspection')}"
AUTHLIB = f"Authlib {metadata.version('Authlib')}"
TOOLKIT = f"django-oauth-toolkit {metadata.version('django-oauth-toolkit')}"
SESSION = f"requests.Session {metadata.version('requests')}"

_CALLS = 50_000
"""How often eight threads together, or one, have a hit in a round."""


def cached_verify(rounds: int) -> Iterator[Result]:
    """Compare hits, and what those who keep nothing do instead of one, with the same floor."""
    header = f"Bearer {new_token()}"
    verifier, floor = canned_verifier(), floor_of(header)
    both: dict[str, Ask] = {"floor": lambda _token: floor(), OURS: verifier.verify}
    with running() as upstream, requests.Session() as session:
        url = upstream.url()
        kept: dict[str, Ask] = {
            f"{SWARMAURI}, stepped by hand": by_hand(answered_at_once(swarmauri(url))),
            f"{SWARMAURI}, in a kept loop": in_a_kept_loop(answered_at_once(swarmauri(url))),
        }
        stored: dict[str, Ask] = {
            f"{SWARMAURI}, by asyncio.run": in_a_loop_of_its_own(answered_at_once(swarmauri(url))),
            f"{TOOLKIT}, from its table": toolkit(url),
        }
        asking: dict[str, Ask] = {
            f"{AUTHLIB}, asks every time": AuthlibIntrospection(url).verify,
            f"{SESSION}, asks every time": session_call(session, url),
        }
        # Apart: after what takes long, the quick ones find the processor's caches empty.
        for peers, case, number in ((kept, KEPT, 1_000), (stored, STORED, 20), (asking, ASKED, 20)):
            taken = _timed(
                both | peers,
                lambda: header[7:],
                number=number,
                rounds=rounds,
                clock=time.perf_counter if peers is asking else time.thread_time,
            )
            names, drawn = (OURS, *peers), {"topic": CACHED, "case": case}
            yield from beside("cached verify", taken, names, floor="floor", unit="x floor", **drawn)


def threads(rounds: int) -> Iterator[Result]:
    """Compare eight threads with one."""
    ask, token = by_hand(answered_at_once(swarmauri("http://127.0.0.1:1/"))), new_token()
    verifier, header = canned_verifier(), f"Bearer {token}"
    verifier.verify(token)
    ask(token)
    calls = {
        OURS: lambda: verifier.verify(header[7:]),
        f"{SWARMAURI}, stepped by hand": lambda: ask(header[7:]),
        FLOOR: floor_of(header),
    }
    found = throughput(calls, rounds=rounds, case=KEPT_BY_THREADS, calls=_CALLS, floor=FLOOR)
    yield from found.values()


def new_tokens(rounds: int) -> Iterator[Result]:
    """Compare questions about tokens that nobody knows, to an endpoint that answers at once."""
    with running() as upstream, requests.Session() as session:
        url = upstream.url()
        peers: dict[str, Ask] = {
            f"{SWARMAURI}, in a kept loop": in_a_kept_loop(swarmauri(url)),
            f"{SWARMAURI}, by asyncio.run": with_a_client_of_its_own(url),
            AUTHLIB: AuthlibIntrospection(url).verify,
            TOOLKIT: toolkit(url),
        }
        verifier = IntrospectionVerifier(client_for(url), audience="bench")
        calls: dict[str, Ask] = {OURS: verifier.verify, SESSION: session_call(session, url)}
        taken = _timed(calls | peers, new_token, number=5, rounds=rounds, clock=time.perf_counter)
        verifier.close()
    row, unit = "introspection of a new token", "x requests.Session.post"
    drawn = {"topic": NEW, "case": BESIDE}
    yield from beside(row, taken, [*calls, *peers], floor=SESSION, unit=unit, **drawn)


def cold_token(rounds: int) -> Iterator[Result]:
    """Let 32 threads ask about one token."""
    # It is told of in the table, and would be told of 32 times here.
    logging.disable()
    with (
        running() as upstream,
        requests.Session() as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        database = str(Path(folder, "toolkit.db"))
        makers: Mapping[str, Callable[[str], Ask]] = {
            SWARMAURI: lambda url: in_a_loop_for_all(swarmauri(url, timeout=DEADLINE)),
            AUTHLIB: lambda url: AuthlibIntrospection(url, timeout=DEADLINE).verify,
            SESSION: lambda url: session_call(session, url, timeout=DEADLINE),
            TOOLKIT: lambda url: closing(toolkit(url, database)),
        }
        for case in CASES:
            for name, make in makers.items():
                if name == TOOLKIT and case.bound == DEADLINE:
                    row = f"32 threads, one cold token, upstream {case.name}: {name}"
                    why = "it sets no deadline, and waits for as long as the endpoint does"
                    drawn: dict[str, Any] = {
                        "by": name,
                        "topic": COLD,
                        "case": f"upstream {case.name}",
                    }
                    yield Result(f"{row}: calls", None, "calls", None, detail=why, **drawn)
                    last = f"{row}: the last answer"
                    yield Result(last, None, "x deadline", None, detail=why, **drawn)
                else:
                    yield from one_cold_token(upstream, case, make, rounds=rounds, by=name)


def many_tokens(_rounds: int) -> Iterator[Result]:
    """Let 200,000 tokens pass."""
    yield from _many_tokens(ENTRIES, TOKENS)
    yield _in_a_table(2_000)


def some_tokens(_rounds: int) -> Iterator[Result]:
    """Let some tokens pass: whether it runs at all."""
    yield from _many_tokens(ENTRIES // 20, TOKENS // 80)
    yield _in_a_table(200)


def _many_tokens(entries: int, tokens: int) -> list[Result]:
    service = answered_at_once(swarmauri("http://127.0.0.1:1/"))
    return flood(
        "tokens",
        by_hand(service),
        held=lambda: len(service._cache),  # noqa: SLF001
        by=SWARMAURI,
        entries=entries,
        tokens=tokens,
    )


def _in_a_table(tokens: int) -> Result:
    """Weigh what django-oauth-toolkit keeps: a row for each token, on the disk."""
    with running() as upstream, tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "toolkit.db")
        ask = toolkit(upstream.url(), str(database))
        ask(new_token())
        before = database.stat().st_size
        for _ in range(tokens):
            ask(new_token())
        grown = database.stat().st_size - before
    return Result(
        f"{tokens:,} tokens: an entry: {TOOLKIT}",
        grown / tokens / 1024,
        "KiB",
        None,
        detail=f"{grown / 2**20:.1f} MiB of its table in SQLite for {tokens:,} tokens",
        by=f"{TOOLKIT}, in its table",
        topic=MEMORY,
        case=WEIGHT,
    )


ROWS = {
    "cached_verify": cached_verify,
    "threads": threads,
    "new_token": new_tokens,
    "cold_token": cold_token,
    "many_tokens": many_tokens,
    "some_tokens": some_tokens,
}


def _timed(
    calls: Mapping[str, Ask],
    token: Callable[[], str],
    *,
    number: int,
    rounds: int,
    clock: Callable[[], float],
) -> Taken:
    candidates = {name: lambda ask=ask: ask(token()) for name, ask in calls.items()}
    return interleaved(candidates, number=number, rounds=rounds, clock=clock)


def main() -> None:
    """Measure one row."""
    row, rounds = rounds_asked_for(choices=ROWS)
    for result in ROWS[row](rounds):
        tell(result)


if __name__ == "__main__":
    main()
