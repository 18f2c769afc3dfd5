"""What others need for a token that is introspected, beside tokenward in the same process."""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import requests
from oauthlib.common import Request  # type: ignore[import-untyped]

from benchmarks.crowd import CASES, DEADLINE, one_cold_token, throughput
from benchmarks.django_site import set_up
from benchmarks.flood import flood
from benchmarks.harness import Result, Taken, interleaved, micro
from benchmarks.parts import (
    CREDENTIALS,
    canned_verifier,
    client_for,
    floor_of,
    new_token,
    session_call,
)
from benchmarks.peers import tell
from benchmarks.peers.introspection import (
    Ask,
    AuthlibIntrospection,
    answered_at_once,
    by_hand,
    in_a_kept_loop,
    in_a_loop_for_all,
    in_a_loop_of_its_own,
    swarmauri,
    with_a_client_of_its_own,
)
from benchmarks.upstream import running
from tokenward import IntrospectionVerifier

SWARMAURI = f"swarmauri {metadata.version('swarmauri_tokens_introspection')}"
AUTHLIB = f"Authlib {metadata.version('Authlib')}"
TOOLKIT = f"django-oauth-toolkit {metadata.version('django-oauth-toolkit')}"
SESSION = f"requests.Session {metadata.version('requests')}"


def cached_verify(rounds: int) -> Iterator[Result]:
    """Compare hits, and what those who keep nothing do instead of one, with the same floor."""
    header = f"Bearer {new_token()}"
    verifier, floor = canned_verifier(), floor_of(header)
    least: dict[str, Ask] = {"floor": lambda _token: floor()}
    with running() as upstream, requests.Session() as session:
        url = upstream.url()
        quick: dict[str, Ask] = {
            f"{SWARMAURI}, its coroutine stepped by hand": by_hand(
                answered_at_once(swarmauri(url))
            ),
            f"{SWARMAURI}, in a loop that is kept": in_a_kept_loop(
                answered_at_once(swarmauri(url))
            ),
        }
        slow: dict[str, Ask] = {
            f"{SWARMAURI}, by asyncio.run": in_a_loop_of_its_own(answered_at_once(swarmauri(url))),
            f"{TOOLKIT}, from its table": _toolkit(url),
            f"{AUTHLIB}, which asks every time": AuthlibIntrospection(url).verify,
            f"{SESSION}, which asks every time": session_call(session, url),
        }
        # Apart: after calls over a network, the quick ones find the processor's caches empty.
        ours: dict[str, Ask] = {"tokenward": verifier.verify}
        for peers, calls, number in (
            (quick, least | ours | quick, 1_000),
            (slow, least | slow, 20),
        ):
            taken = _timed(calls, lambda: header[7:], number=number, rounds=rounds)
            yield from _beside("cached verify", "floor", "x floor", peers, taken)


def threads(rounds: int) -> Iterator[Result]:
    """Compare eight threads with one."""
    ask, token = by_hand(answered_at_once(swarmauri("http://127.0.0.1:1/"))), new_token()
    ask(token)
    name = f"{SWARMAURI}, its coroutine stepped by hand"
    yield from throughput({name: lambda: ask(token)}, rounds=rounds).values()


def new_tokens(rounds: int) -> Iterator[Result]:
    """Compare questions about tokens that nobody knows, to an endpoint that answers at once."""
    with running() as upstream, requests.Session() as session:
        url = upstream.url()
        peers: dict[str, Ask] = {
            f"{SWARMAURI}, in a loop that is kept": in_a_kept_loop(swarmauri(url)),
            f"{SWARMAURI}, by asyncio.run": with_a_client_of_its_own(url),
            AUTHLIB: AuthlibIntrospection(url).verify,
            TOOLKIT: _toolkit(url),
        }
        verifier = IntrospectionVerifier(client_for(url), audience="bench")
        calls: dict[str, Ask] = {
            "session": session_call(session, url),
            "tokenward": verifier.verify,
        }
        taken = _timed(calls | peers, new_token, number=5, rounds=rounds)
        verifier.close()
    row, unit = "introspection of a new token", "x requests.Session.post"
    yield from _beside(row, "session", unit, peers, taken)


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
            TOOLKIT: lambda url: _closing(_toolkit(url, database)),
        }
        for case in CASES:
            for name, make in makers.items():
                if name == TOOLKIT and case.bound == DEADLINE:
                    row = f"32 threads, one cold token, upstream {case.name}: {name}"
                    why = "it sets no deadline, and waits for as long as the endpoint does"
                    yield Result(row, None, "", None, detail=why)
                else:
                    yield from one_cold_token(upstream, case, make, rounds=rounds, by=name)


def many_tokens(_rounds: int) -> Iterator[Result]:
    """Let 200,000 tokens pass."""
    service = answered_at_once(swarmauri("http://127.0.0.1:1/"))
    results = flood("tokens", by_hand(service), held=lambda: len(service._cache))  # noqa: SLF001
    for result in results:
        yield replace(result, row=f"{result.row}: {SWARMAURI}")


ROWS = {
    "cached_verify": cached_verify,
    "threads": threads,
    "new_token": new_tokens,
    "cold_token": cold_token,
    "many_tokens": many_tokens,
}


def _timed(
    calls: Mapping[str, Ask], token: Callable[[], str], *, number: int, rounds: int
) -> Taken:
    candidates = {name: lambda ask=ask: ask(token()) for name, ask in calls.items()}
    return interleaved(candidates, number=number, rounds=rounds)


def _beside(
    row: str, floor: str, unit: str, peers: Mapping[str, Ask], taken: Taken
) -> Iterator[Result]:
    ours = ""
    if "tokenward" in taken.rounds:
        ours = f"; tokenward beside it {taken.over('tokenward', floor):.3g} x"
    for name in peers:
        took = f"{micro(taken[name])} over {micro(taken[floor])}{ours}"
        yield Result(f"{row}: {name}", taken.over(name, floor), unit, None, detail=took)


def _toolkit(url: str, database: str = ":memory:") -> Ask:
    settings = {
        "RESOURCE_SERVER_INTROSPECTION_CREDENTIALS": CREDENTIALS,
        # It would look for the URL of the view in the audience.
        "RESOURCE_SERVER_TOKEN_RESOURCE_VALIDATOR": None,
    }
    set_up(apps=("oauth2_provider",), database=database, OAUTH2_PROVIDER=settings)
    from oauth2_provider.oauth2_validators import (  # type: ignore[import-not-found] # noqa: PLC0415
        OAuth2Validator,
    )
    from oauth2_provider.settings import (  # type: ignore[import-not-found] # noqa: PLC0415
        oauth2_settings,
    )

    oauth2_settings.RESOURCE_SERVER_INTROSPECTION_URL = url
    validator = OAuth2Validator()

    def ask(token: str) -> object:
        return validator.validate_bearer_token(token, ["orders:read"], Request("http://bench/"))

    return ask


def _closing(ask: Ask) -> Ask:
    from django.db import connection  # noqa: PLC0415 - needs Django's settings

    def once(token: str) -> object:
        try:
            return ask(token)
        finally:
            connection.close()  # the thread's own

    return once


def main() -> None:
    """Measure one row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for result in ROWS[options.row](options.rounds):
        tell(result)


if __name__ == "__main__":
    main()
