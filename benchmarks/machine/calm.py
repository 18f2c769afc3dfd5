"""The machine while nothing is broken: how much it does, how long it takes, whom it asks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.machine.asking import Ask
from benchmarks.machine.load import Answer, Load, Stream
from benchmarks.machine.stack import PLAIN, PROTECTED

if TYPE_CHECKING:
    from benchmarks.machine.programs import Server
    from benchmarks.machine.stack import Stack

CONNECTIONS = 8
"""As many as an application has threads: 2 workers of 4."""

HITS = 50
"""Tokens that come again and again."""

NEW = ("cold", "bad")
"""Kinds of requests that nobody can answer without asking."""

KINDS = ("plain", "hit", "1 % bad", "cold")
_ASKED = "/introspect"
_PATIENCE = 2.0
_WARMING = 20


@dataclass(slots=True)
class Round:
    """What came of one kind of load on one application.

    Attributes:
        answers: All of them.
        asked: Questions that reached the auth service meanwhile.
    """

    answers: Sequence[Answer]
    asked: int

    @property
    def throughput(self) -> float:
        """Answers a second."""
        took = max(a.start + a.seconds for a in self.answers) - min(a.start for a in self.answers)
        return len(self.answers) / took

    @property
    def new(self) -> int:
        """How many answers nobody could give without asking."""
        return sum(answer.kind in NEW for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Who asks: tokens that come again, tokens that come once, and forgeries.

    Attributes:
        stack: Where they are good.
        hits: Those that come again.
    """

    stack: Stack
    hits: Sequence[Ask]
    forged: Iterator[Ask] = field(repr=False)

    @classmethod
    def of(cls, stack: Stack, *, hits: int = HITS) -> Tokens:
        """Sign in those that come again."""
        tokens = stack.sign_in(hits)
        return cls(stack, good(stack, tokens, "hit"), forged(tokens[0]))

    def bad(self, count: int) -> list[Ask]:
        """Return so many tokens that nobody has issued, each seen for the first time."""
        return [next(self.forged) for _ in range(count)]

    def cold(self, count: int) -> list[Ask]:
        """Sign in so many, whose tokens no application has seen."""
        return good(self.stack, self.stack.sign_in(count), "cold")


def good(stack: Stack, tokens: Sequence[str], kind: str) -> list[Ask]:
    """Return requests for the protected view, which must name whose token it is."""
    return [Ask(kind, PROTECTED, token, stack.names[token]) for token in tokens]


def forged(token: str) -> Iterator[Ask]:
    """Yield tokens that look like ``token`` and are none, no two alike."""
    number = 0
    while True:
        number += 1
        yield Ask("bad", PROTECTED, f"{token[:-12]}{number:012}")


def measured(
    stack: Stack,
    tokens: Tokens,
    *,
    seconds: float,
    rounds: int,
    cold: int,
    kinds: Collection[str] = KINDS,
) -> Mapping[tuple[str, str], list[Round]]:
    """Put each kind of load on each application in turn, round after round.

    Args:
        stack: The machine.
        tokens: Who asks.
        seconds: For each; tokens that come once take as long as they take.
        rounds: Of all.
        cold: Tokens that come once, a round.
        kinds: Of `KINDS`, in their order; how many are forged goes by the hits before them.

    Returns:
        The rounds by application and kind.
    """
    found: dict[tuple[str, str], list[Round]] = defaultdict(list)
    for server in stack.apps.values():
        _warmed_up(stack, server, tokens)
    for _ in range(rounds):
        new = tokens.cold(cold)
        for name, server in stack.apps.items():
            for kind in kinds:
                if kind == "plain":
                    streams = [_stream(server, [Ask("plain", PLAIN)])]
                elif kind == "cold":
                    streams = [_stream(server, new, once=True)]
                else:
                    streams = [_stream(server, tokens.hits)]
                if kind == "1 % bad":
                    rate = max(1.0, found[name, "hit"][-1].throughput / 100)
                    streams.append(_forged(server, tokens, rate, seconds))
                lasting = None if kind == "cold" else seconds
                found[name, kind].append(loaded(stack, streams, lasting))
    return found


def loaded(stack: Stack, streams: Sequence[Stream], seconds: float | None) -> Round:
    """Put load on the machine and count what the auth service is asked meanwhile.

    Args:
        stack: The machine.
        streams: The load.
        seconds: For how long; ``None``: until all was asked once.
    """
    before = stack.upstream_calls()
    with Load(stack.folder, streams, 600 if seconds is None else seconds) as load:
        answers = load.answers()
        while seconds is None and len(answers) < sum(len(stream.asks) for stream in streams):
            time.sleep(0.02)
            answers += load.answers()
        if seconds is not None:
            load.wait()
    answers += load.answers()
    # gunicorn writes of a request a moment after it was answered.
    new = sum(answer.kind in NEW for answer in answers)
    deadline = time.monotonic() + _PATIENCE
    while (asked := (stack.upstream_calls() - before)[_ASKED]) < new:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return Round(answers, asked)


def _warmed_up(stack: Stack, server: Server, tokens: Tokens) -> None:
    """Have every process hear of the tokens in use, until nobody is asked about them any more."""
    quiet = 0
    for _ in range(_WARMING):
        asked = loaded(stack, [_stream(server, tokens.hits, once=True)], None).asked
        quiet = 0 if asked else quiet + 1
        if quiet == 2:
            return


def _stream(server: Server, asks: Sequence[Ask], *, once: bool = False) -> Stream:
    return Stream("load", server.port, asks, connections=CONNECTIONS, once=once)


def _forged(server: Server, tokens: Tokens, rate: float, seconds: float) -> Stream:
    asks = tokens.bad(int(2 * rate * seconds) + 1)
    return Stream("forged", server.port, asks, rate=rate, connections=1, once=True)
