"""What may happen to the machine, and what is done to it while the load goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.machine.asking import Ask
from benchmarks.machine.calm import good
from benchmarks.machine.files import BRIEF
from benchmarks.machine.load import Answer, Load, Stream
from benchmarks.machine.programs import Unavailable
from benchmarks.machine.stack import PLAIN, PROTECTED

if TYPE_CHECKING:
    from benchmarks.machine.calm import Tokens
    from benchmarks.machine.programs import Program
    from benchmarks.machine.stack import Stack

OUTAGE = "authorization server killed"
SLOW = "authorization server slow"
ROTATED = "signing keys rotated"
REDIS = "Redis killed"
MONGO = "MongoDB server restarted"
WORKER = "a worker killed"

HIT, COLD, OPEN, BAD, ENDED = 40.0, 4.0, 10.0, 1.0, 4.0
"""Requests a second, of each application."""

NEW_KEY = 5
"""Tokens under the new key."""

GRACE = 2.5
"""Seconds after which a revoked token must be refused everywhere.

The applications subscribe anew to a Redis that was away after 2 seconds at most.
"""

_AWAITED = 2 * GRACE
"""Seconds of calm after which whatever was revoked is asked about: a busy machine is slower."""

_BRIEFLY = 1.5
"""Seconds after which a token of `BRIEF` has certainly ended."""

_STARTING = 3.0
"""Seconds that a server may take until it answers; there are tokens enough for that time too."""

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long everything takes, in seconds.

    Attributes:
        calm: Before each fault, and after the last; where a revocation is awaited meanwhile, twice
            `GRACE` at least.
        away: For how long a server is away, or slow.
        slow: How long each answer takes then.
    """

    calm: float
    away: float
    slow: float


@dataclass(frozen=True, slots=True)
class Happening:
    """A fault.

    Attributes:
        name: Which.
        start: When it was brought about, in seconds of ``time.monotonic``.
        end: When what was broken could be used again.
    """

    name: str
    start: float
    end: float


@dataclass(slots=True)
class Told:
    """What happened.

    Attributes:
        answers: All of them, as they came in.
        happenings: The faults, in their order.
        started: When the load began, in seconds of ``time.monotonic``.
        asked: Questions that reached the auth service from the start of each fault until the next
            one's, by its name.
    """

    started: float
    answers: list[Answer] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)


class Drill:
    """Load on both applications, and faults meanwhile, one after the other.

    Args:
        stack: The machine.
        tokens: Who asks.
        pace: How long everything takes.
    """

    def __init__(self, stack: Stack, tokens: Tokens, pace: Pace) -> None:
        self._stack = stack
        self._pace = pace
        self._load: Load
        expired, ended = stack.sign_in(5, client=BRIEF), time.monotonic() + _BRIEFLY
        # In use until they are revoked: one while all is well, one while Redis is away.
        self._in_use = stack.sign_in(2)
        self._revoked: list[str] = []
        self._hits = [*tokens.hits, *good(stack, self._in_use, "hit")]
        longer = 2 * max(0.0, _AWAITED - pace.calm)  # after each of the two revocations
        lasts = max(pace.away, pace.slow) + pace.calm + _STARTING
        total = 2 * pace.calm + longer + len(self.faults) * lasts
        self._cold = tokens.cold(int(COLD * total))
        self._forged = tokens.bad(int(BAD * total))
        revoked = stack.sign_in(5)
        for token in revoked:
            stack.revoke(token)
        time.sleep(max(0.0, ended - time.monotonic()))
        self._ended = [*_must_be_refused(expired, "expired"), *_must_be_refused(revoked, "revoked")]

    @property
    def faults(self) -> dict[str, Callable[[], None]]:
        """What brings each about, and returns when it is over."""
        stack, away = self._stack, self._pace.away
        faults: dict[str, Callable[[], None]] = {
            OUTAGE: partial(self._without, stack.auth, away),
            SLOW: self._slow,
            ROTATED: self._rotate,
        }
        if stack.mongo is not None:
            faults[MONGO] = partial(self._without, stack.mongo, away / 3)
        # Redis comes last: processes that lose it ask about every token anew, and leave it alone
        # for a while when it is back.
        return faults | {
            WORKER: self._kill_workers,
            REDIS: partial(self._without, stack.redis, away, meanwhile=self._revoke),
        }

    def run(self) -> Told:
        """Bring about each fault in turn, with calm in between."""
        with Load(self._stack.folder, self._streams(), 3600) as self._load:
            told = Told(time.monotonic())
            time.sleep(self._pace.calm / 2)
            self._revoke()
            time.sleep(self._pace.calm / 2)
            for name, bring_about in self.faults.items():
                start, before = time.monotonic(), self._stack.upstream_calls()
                bring_about()
                told.happenings.append(Happening(name, start, time.monotonic()))
                time.sleep(max(self._pace.calm, _AWAITED if self._revoked else 0.0))
                told.asked[name] = (self._stack.upstream_calls() - before)["/introspect"]
                # Whatever was revoked before the calm is refused from here on.
                self._feed("ended", _must_be_refused(self._revoked, "revoked"))
                self._revoked.clear()
                told.answers += self._load.answers()
            time.sleep(self._pace.calm)
        told.answers += self._load.answers()
        return told

    def _streams(self) -> Sequence[Stream]:
        made = []
        for name, server in self._stack.apps.items():
            stream = partial(Stream, port=server.port)
            plain = [Ask("plain", PLAIN)]
            made += [
                stream(f"{name}-plain", asks=plain, rate=OPEN),
                stream(f"{name}-hit", asks=self._hits, rate=HIT, connections=3),
                # One connection each: three requests at most wait for an auth service that does not
                # answer, and each process has four threads.
                stream(f"{name}-cold", asks=self._cold, rate=COLD, connections=1, once=True),
                stream(f"{name}-bad", asks=self._forged, rate=BAD, connections=1, once=True),
                stream(f"{name}-ended", asks=self._ended, rate=ENDED, connections=1),
                stream(f"{name}-new", once=True, connections=1),
            ]
        return made

    def _feed(self, stream: str, asks: Sequence[Ask]) -> None:
        for name in self._stack.apps:
            self._load.feed(f"{name}-{stream}", asks)

    def _without(
        self,
        program: Program,
        seconds: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        program.kill()
        time.sleep(seconds / 2)
        meanwhile()
        time.sleep(seconds / 2)
        program.start()

    def _revoke(self) -> None:
        token = self._in_use.pop()
        self._load.withdraw(token)
        self._stack.revoke(token)
        self._revoked.append(token)

    def _kill_workers(self) -> None:
        for server in self._stack.apps.values():
            before = set(server.workers())
            server.kill_worker()
            deadline = time.monotonic() + _PATIENCE
            while len(server.workers()) < len(before) or set(server.workers()) == before:
                if time.monotonic() > deadline:
                    raise Unavailable(f"{server.name} does not replace a worker")
                time.sleep(0.05)

    def _slow(self) -> None:
        self._stack.auth.slow(self._pace.slow)
        time.sleep(max(self._pace.away, self._pace.slow))
        self._stack.auth.slow(0)

    def _rotate(self) -> None:
        self._stack.rotate_keys()
        self._feed("new", good(self._stack, self._stack.sign_in(NEW_KEY), "new-key"))


def _must_be_refused(tokens: Sequence[str], kind: str) -> list[Ask]:
    return [Ask(kind, PROTECTED, token) for token in tokens]
