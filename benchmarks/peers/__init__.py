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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from benchmarks.findings import OURS, Result
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
        anew: What it verifies each time, and calls the view that tokenward protects so too, with
            ``cache_entries=0``; ``None``: it verifies no signature.
        waits: Whether it does something over a network.
        case: What tokenward does beside it, and what both are compared with.
    """

    framework: str
    package: str
    does: str
    call: Call
    plain: Call
    tokenward: Call
    anew: tuple[str, Call] | None = None
    waits: bool = False
    case: str = BARE


def run(peers: Iterable[Peer], rounds: int) -> None:
    """Time the peers, and print a line of each; of tokenward, one for each case.

    Args:
        peers: Each is timed as it is yielded.
        rounds: How often.
    """
    told: set[tuple[str, str, str]] = set()
    for peer in peers:
        print(f"      {peer.package}: {peer.does} ...", file=sys.stderr, flush=True)
        ours = {OURS: peer.tokenward}
        if peer.anew is not None:
            does, call = peer.anew
            ours[f"{OURS}, {does} each time"] = call
        taken = interleaved(
            {"plain": peer.plain, "peer": peer.call} | ours,
            number=10,
            rounds=rounds,
            clock=time.perf_counter if peer.waits else time.thread_time,
        )
        who = f"{peer.package} {metadata.version(peer.package)}"
        beside = "; ".join(f"{name} beside it {taken.over(name, 'plain'):.3g} x" for name in ours)
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
        for name in ours:
            if (peer.framework, peer.case, name) not in told:
                # One bar of each of ours in a panel: the one beside its first peer.
                told.add((peer.framework, peer.case, name))
                tell(_ours(peer, name, taken))
        tell(peers_own)


def beside(
    row: str, taken: Taken, names: Sequence[str], *, floor: str, unit: str, **drawn: Any
) -> Iterator[Result]:
    """Yield the figures of those who took turns, ours among them: one panel of a plot.

    Args:
        row: What was measured.
        taken: What each took.
        names: Whose figures; each is called so.
        floor: The candidate that all are compared with.
        unit: What a figure is of.
        drawn: ``topic`` and ``case`` of the results.
    """
    first = next(name for name in names if name != OURS)
    for name in names:
        yield Result(
            f"{row}: {name}" + (f", beside {first}" if name == OURS else ""),
            taken.over(name, floor),
            unit,
            None,
            detail=f"{micro(taken[name])} over {micro(taken[floor])}",
            by=name,
            spread=taken.spread(name, floor) if name != floor else None,
            **drawn,
        )


def _ours(peer: Peer, name: str, taken: Taken) -> Result:
    cached = name == OURS
    does = "a cached introspection" if cached else "cache_entries=0"
    return Result(
        f"{peer.framework}, {peer.case}" + ("" if cached else f": {name}"),
        taken.over(name, "plain"),
        "x plain view",
        None,
        detail=f"{micro(taken[name])} over {micro(taken['plain'])}; {does}",
        by=name,
        topic=f"{peer.framework.lower()}-view",
        spread=taken.spread(name, "plain"),
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
