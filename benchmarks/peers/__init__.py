"""What others charge; each module runs in the environment of the peers.

``python -m benchmarks.peers.NAME …`` prints one line of JSON a result. Of a view, the plain one,
the one that tokenward protects and the one that the peer protects answer the same; they are timed
in turn, in one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata

from benchmarks.harness import Result, interleaved, micro
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
        version = metadata.version(peer.package)
        tell(
            Result(
                f"{peer.framework}, {peer.package} {version}: {peer.does}",
                taken.over("peer", "plain"),
                "x plain view",
                None,
                detail=(
                    f"{micro(taken['peer'])} over {micro(taken['plain'])}; "
                    f"tokenward beside it {taken.over('tokenward', 'plain'):.3g} x"
                ),
            )
        )


def tell(result: Result) -> None:
    """Print a result for `benchmarks.environment.measured` to read."""
    print(json.dumps(asdict(result)), flush=True)


def padded(mint: Callable[[str], str]) -> str:
    """Return a token as long as all the others here, by a claim that says nothing.

    Args:
        mint: Makes a token with this claim; three characters of it are four of the token.
    """
    return mint("x" * ((TOKEN_CHARACTERS - len(mint(""))) * 3 // 4))
