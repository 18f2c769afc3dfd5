"""The introspection endpoints of others behind one worker, over a view that looks at nothing."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from importlib import metadata

from benchmarks.findings import OURS, Result
from benchmarks.harness import Taken, interleaved, micro
from benchmarks.issuer_app import STORE, prepared
from benchmarks.peers import rounds_asked_for, tell
from benchmarks.peers.issuing_apps import FILE, prepare_authlib, prepare_toolkit
from benchmarks.rows.issuing import BESIDE, TOPIC
from benchmarks.served import poster, served

PEERS = (
    ("django-oauth-toolkit", "toolkit", prepare_toolkit),
    ("Authlib", "authlib", prepare_authlib),
)


def main() -> None:
    """Time them all in turn, tokenward among them, and print a line of each."""
    _row, rounds = rounds_asked_for()
    print("      introspections by the servers of others ...", file=sys.stderr, flush=True)
    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory())
        store = f"sqlite:///{folder}/tokenward.db"
        form = {"token": prepared(store)}
        bare = running.enter_context(served("benchmarks.issuer_app:bare"))
        ours = running.enter_context(
            served("benchmarks.issuer_app:issuer()", environ={STORE: store})
        )
        calls = {
            "bare": poster(bare, "/introspect", form),
            f"{OURS}, SQLite": poster(ours, "/introspect", form),
        }
        for package, name, prepare in PEERS:
            database = f"{folder}/{name}.db"
            form = {"token": prepare(database)}
            application = f"benchmarks.peers.issuing_apps:{name}()"
            theirs = running.enter_context(served(application, environ={FILE: database}))
            who = f"{package} {metadata.version(package)}, SQLite"
            calls[who] = poster(theirs, "/introspect/", form)
        taken = interleaved(calls, number=20, rounds=rounds)
    for who in calls:
        if who != "bare":
            tell(_told(who, taken))


def _told(who: str, taken: Taken) -> Result:
    rate = f"{1 / taken[who]:,.0f} a second"
    return Result(
        f"{who}: introspection, one worker, beside the servers of others",
        taken.over(who, "bare"),
        "x a bare view",
        None,
        detail=f"{rate}; {micro(taken[who])} over {micro(taken['bare'])}",
        by=who,
        topic=TOPIC,
        spread=taken.spread(who, "bare"),
        case=BESIDE,
    )


if __name__ == "__main__":
    main()
