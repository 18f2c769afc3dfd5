"""The introspection endpoints of others behind one worker, over a view that looks at nothing."""

from __future__ import annotations

import sys
import tempfile
from importlib import metadata

from benchmarks.findings import Result
from benchmarks.harness import interleaved, micro
from benchmarks.peers import rounds_asked_for, tell
from benchmarks.peers.issuing_apps import FILE, prepare_authlib, prepare_toolkit
from benchmarks.rows.issuing import INTROSPECTION, TOPIC
from benchmarks.served import poster, served

PEERS = (
    ("django-oauth-toolkit", "toolkit", prepare_toolkit),
    ("Authlib", "authlib", prepare_authlib),
)


def main() -> None:
    """Time each of them, and print a line of it."""
    _row, rounds = rounds_asked_for()
    for package, name, prepare in PEERS:
        print(f"      {package}: an introspection ...", file=sys.stderr, flush=True)
        with tempfile.NamedTemporaryFile(suffix=".db") as file:
            form = {"token": prepare(file.name)}
            with (
                served("benchmarks.issuer_app:bare") as plain,
                served(
                    f"benchmarks.peers.issuing_apps:{name}()", environ={FILE: file.name}
                ) as theirs,
            ):
                taken = interleaved(
                    {
                        "bare": poster(plain, "/introspect", form),
                        "peer": poster(theirs, "/introspect/", form),
                    },
                    number=20,
                    rounds=rounds,
                )
        who = f"{package} {metadata.version(package)}, SQLite"
        tell(
            Result(
                f"{who}: introspection, one worker",
                taken.over("peer", "bare"),
                "x a bare view",
                None,
                detail=f"{1 / taken['peer']:,.0f} a second; {micro(taken['peer'])} "
                f"over {micro(taken['bare'])}",
                by=who,
                topic=TOPIC,
                spread=taken.spread("peer", "bare"),
                case=INTROSPECTION,
            )
        )


if __name__ == "__main__":
    main()
