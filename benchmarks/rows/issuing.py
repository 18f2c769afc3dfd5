"""The auth service behind one worker: what it answers with, over a view that looks at nothing."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.environment import interpreter, measured
from benchmarks.findings import OURS, Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.issuer_app import PASSWORD, STORE, prepared
from benchmarks.mongo import Unavailable, running
from benchmarks.served import getter, poster, sender, served

TOPIC = "issuing"
BESIDE = "an introspection, beside the servers of others"
BUSY = "an introspection while eight people log in without a pause"

_OVER = "over {}"
_LOGINS = 8
_NINETY_NINTH = 0.99


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Time introspections and ``/me``, alone and while people log in."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        results += _over("SQLite", f"sqlite:///{folder}/bench.db", effort)
    try:
        with running() as server:
            results += _over("MongoDB", server(), effort)
    except Unavailable as why:
        results.append(
            Result(
                "MongoDB",
                None,
                "",
                None,
                detail=f"not measured: {why}",
                topic=TOPIC,
                case=_OVER.format("MongoDB"),
            )
        )
    rounds = f"--rounds={effort.rounds(31)}"
    return results + list(measured("servers of others", "issuing_peers", rounds, made=made))


def _over(store: str, url: str, effort: Effort) -> Iterator[Result]:
    token = prepared(url)
    environ = {STORE: url}
    with (
        served("benchmarks.issuer_app:bare") as plain,
        served("benchmarks.issuer_app:issuer()", environ=environ) as ours,
        served("benchmarks.issuer_app:issuer()", environ=environ, threads=16) as busy,
    ):
        form = {"token": token}
        taken = interleaved(
            {
                "bare": poster(plain, "/introspect", form),
                "introspect": poster(ours, "/introspect", form),
                "me": getter(ours, "/me", token),
            },
            number=20,
            rounds=effort.rounds(31),
        )
        for name, what in (("introspect", "an introspection"), ("me", "/me")):
            yield Result(
                f"{store}: /{name}, one worker",
                taken.over(name, "bare"),
                "x a bare view",
                None,
                detail=f"{1 / taken[name]:,.0f} a second; {micro(taken[name])} "
                f"over {micro(taken['bare'])}",
                by=f"{OURS}, {what}",
                topic=TOPIC,
                spread=taken.spread(name, "bare"),
                case=_OVER.format(store),
            )
        ask, number = poster(busy, "/introspect", form), effort.rounds(400)
        quiet = _ninety_ninth(ask, number)
        with _logging_in(busy) as logins:
            loud = _ninety_ninth(ask, number)
        yield Result(
            f"{store}: /introspect while {_LOGINS} people log in without a pause",
            loud / quiet,
            "x its p99 before",
            None,
            detail=f"p99 {loud * 1e3:.1f} ms over {quiet * 1e3:.1f} ms; {logins()}",
            by=f"{OURS}, {store}",
            topic=TOPIC,
            case=BUSY,
        )


def _ninety_ninth(call: Callable[[], object], number: int) -> float:
    taken = []
    for _ in range(number):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[int(len(taken) * _NINETY_NINTH)]


@contextlib.contextmanager
def _logging_in(port: int) -> Iterator[Callable[[], str]]:
    document = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    done, turned_away, enough = [], [], threading.Event()

    def person() -> None:
        log_in = sender(port, "/login", document)
        while not enough.is_set():
            # Hashes are bounded, and whoever would wait too long for one is turned away.
            try:
                log_in()
            except RuntimeError:
                turned_away.append(1)
            else:
                done.append(1)

    people = [threading.Thread(target=person) for _ in range(_LOGINS)]
    for one in people:
        one.start()
    try:
        time.sleep(0.5)
        yield lambda: f"{len(done)} logins, {len(turned_away)} turned away"
    finally:
        enough.set()
        for one in people:
            one.join()
