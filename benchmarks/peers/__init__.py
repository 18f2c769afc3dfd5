"""What others charge for a protected view; each module runs in the environment of the peers.

``python -m benchmarks.peers.NAME --rounds N`` prints one line of JSON a peer. The plain view, the
view that tokenward protects and the one that the peer protects answer the same; they are timed in
turn, in one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

from benchmarks.harness import interleaved
from benchmarks.parts import TOKEN_CHARACTERS

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peer:
    """A view that somebody else protects.

    Attributes:
        framework: What the view is written with.
        package: Who; a distribution.
        does: What it does for each request.
        call: Calls its view.
        plain: Calls the same view without protection, in a project that protects nothing.
        tokenward: Calls the same view, protected by tokenward.
        waits: Whether it does something over a network.
    """

    framework: str
    package: str
    does: str
    call: Call
    plain: Call
    tokenward: Call
    waits: bool = False


def run(peers: Iterable[Peer]) -> None:
    """Time the peers, and print a line of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    rounds = parser.parse_args().rounds
    for peer in peers:
        print(f"      {peer.package}: {peer.does} ...", file=sys.stderr, flush=True)
        taken = interleaved(
            {"plain": peer.plain, "tokenward": peer.tokenward, "peer": peer.call},
            number=10,
            rounds=rounds,
            clock=time.perf_counter if peer.waits else time.thread_time,
        )
        figures = {
            "framework": peer.framework,
            "name": peer.package,
            "version": metadata.version(peer.package),
            "does": peer.does,
            "plain": taken["plain"],
            "tokenward": taken["tokenward"],
            "peer": taken["peer"],
            "tokenward_ratio": taken.over("tokenward", "plain"),
            "ratio": taken.over("peer", "plain"),
        }
        print(json.dumps(figures), flush=True)


def padded(mint: Callable[[str], str]) -> str:
    """Return a token as long as all the others here, by a claim that says nothing.

    Args:
        mint: Makes a token with this claim; three characters of it are four of the token.
    """
    return mint("x" * ((TOKEN_CHARACTERS - len(mint(""))) * 3 // 4))
