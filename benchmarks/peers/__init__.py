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

from benchmarks.findings import Result
from benchmarks.harness import Taken, interleaved, micro
from benchmarks.parts import TOKEN_CHARACTERS

Call = Callable[[], object]

BARE = "over the plain view of a project that protects nothing"


@dataclass(frozen=True, slots=True)
class Peer:
    """A view that somebody else protects.

    Attributes:
        framework: What the view is written with.
        package: Who; a distribution.
        does: What it does for each request, in a few words.
        call: Calls its view.
        plain: Calls the same view without protection, in a project that protects nothing.
        tokenward: Calls the same view, protected by tokenward.
        waits: Whether it does something over a network.
        case: What tokenward does beside it, and what both are compared with.
    """

    framework: str
    package: str
    does: str
    call: Call
    plain: Call
    tokenward: Call
    waits: bool = False
    case: str = BARE


def run(peers: Iterable[Peer], rounds: int) -> None:
    """Time the peers, and print a line of each; of tokenward, one for each case.

    Args:
        peers: Each is timed as it is yielded.
        rounds: How often.
    """
    told: set[tuple[str, str]] = set()
    for peer in peers:
        print(f"      {peer.package}: {peer.does} ...", file=sys.stderr, flush=True)
        taken = interleaved(
            {"plain": peer.plain, "tokenward": peer.tokenward, "peer": peer.call},
            number=10,
            rounds=rounds,
            clock=time.perf_counter if peer.waits else time.thread_time,
        )
        who = f"{peer.package} {metadata.version(peer.package)}"
        beside = f"tokenward beside it {taken.over('tokenward', 'plain'):.3g} x"
        peers_own = Result(
            f"{peer.framework}, {who}: {peer.does}",
            taken.over("peer", "plain"),
            "x plain view",
            None,
            detail=f"{micro(taken['peer'])} over {micro(taken['plain'])}; {beside}",
            by=f"{who}, {peer.does}",
            topic=f"{peer.framework.lower()}-view",
            spread=taken.spread("peer", "plain"),
            case=peer.case,
        )
        if (peer.framework, peer.case) not in told:
            # One bar of ours in each panel: the one beside its first peer.
            told.add((peer.framework, peer.case))
            tell(_ours(peer, taken))
        tell(peers_own)


def _ours(peer: Peer, taken: Taken) -> Result:
    return Result(
        f"{peer.framework}, {peer.case}",
        taken.over("tokenward", "plain"),
        "x plain view",
        None,
        detail=f"{micro(taken['tokenward'])} over {micro(taken['plain'])}; a cached introspection",
        topic=f"{peer.framework.lower()}-view",
        spread=taken.spread("tokenward", "plain"),
        case=peer.case,
    )


def rounds_asked_for(*, choices: Iterable[str] = ()) -> tuple[str, int]:
    """Return what the command line says: the row, if there are several, and the rounds."""
    parser = argparse.ArgumentParser()
    choices = list(choices)
    if choices:
        parser.add_argument("row", choices=choices)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    return getattr(options, "row", ""), options.rounds


def tell(result: Result) -> None:
    """Print a result for `benchmarks.environment.measured` to read."""
    print(json.dumps(asdict(result)), flush=True)


def padded(mint: Callable[[str], str]) -> str:
    """Return a token as long as all the others here, by a claim that says nothing.

    Args:
        mint: Makes a token with this claim; three characters of it are four of the token.
    """
    return mint("x" * ((TOKEN_CHARACTERS - len(mint(""))) * 3 // 4))
