"""The introspection endpoints of others behind one worker, over a view that looks at nothing."""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import metadata

from benchmarks.harness import Result, interleaved, micro
from benchmarks.peers import tell
from benchmarks.peers.issuing_apps import FILE, prepare_authlib, prepare_toolkit
from benchmarks.served import poster, served

PEERS = (
    ("django-oauth-toolkit", "toolkit", prepare_toolkit),
    ("Authlib", "authlib", prepare_authlib),
)


def main() -> None:
    """Time each of them, and print a line of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    rounds = parser.parse_args().rounds
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
        tell(
            Result(
                f"{package} {metadata.version(package)}, SQLite: introspection, one worker",
                taken.over("peer", "bare"),
                "x a bare view",
                None,
                detail=f"{1 / taken['peer']:,.0f} a second; {micro(taken['peer'])} "
                f"over {micro(taken['bare'])}",
            )
        )


if __name__ == "__main__":
    main()
