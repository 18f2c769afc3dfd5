"""The same fleet, simulated: real verifiers, a clock that is moved, and an issuer without a socket.

Each process is an `IntrospectionVerifier` of its own. What is compared with the model is therefore
what the package does, and not the model once more.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.parts import CREDENTIALS
from benchmarks.scaling.popularity import appearances, shares
from benchmarks.scaling.staleness import Staleness
from benchmarks.upstream import ANSWER
from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier, InvalidToken

if TYPE_CHECKING:
    from benchmarks.scaling.fleet import Fleet

SECRETS = ("scaling-Hs4-wQ9mT1xYd6Np",)
WARM_UP = 3.0
"""Times ``ttl`` that pass before anything is counted, at least."""

_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Observed:
    """What happened, a second, while it was counted, and the mean of entries; see `Prediction`."""

    calls: float
    refused_calls: float
    lookups: float
    round_trips: float
    commands: float
    entries: float
    staleness: Staleness | None = None


class Clock:
    """Seconds since the epoch, as somebody set them."""

    def __init__(self) -> None:
        self.now = 1_750_000_000.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


class Issuer(IntrospectionClient):
    """Knows which tokens are good; asked by calling, without a transport.

    Attributes:
        calls: Questions about good tokens, and about others.
        revoked: Tokens that were good.
    """

    def __init__(self) -> None:
        client_auth = ClientSecretBasic(*CREDENTIALS)
        super().__init__("https://issuer.example/introspect", client_auth=client_auth)
        self.calls = {True: 0, False: 0}
        self.revoked: set[str] = set()

    def introspect(self, token: str, *, token_type_hint: str | None = None) -> dict[str, Any]:
        """Answer, and count."""
        del token_type_hint
        is_good = token.startswith("good")
        self.calls[is_good] += 1
        return dict(ANSWER) if is_good and token not in self.revoked else {"active": False}


class SharedMemory:
    """A `SharedCache` in this process, in which a value can be seen once its answer has come.

    Args:
        clock: Seconds since the epoch.
        latency: Seconds that an answer takes.
    """

    def __init__(self, clock: Clock, latency: float) -> None:
        self.secrets = SECRETS
        self.trips = self.commands = 0
        self._clock = clock
        self._latency = latency
        self._values: dict[bytes, list[tuple[float, float, bytes]]] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `SharedCache`."""
        self.trips += 1
        self.commands += len(keys)
        return [self._find(key) for key in keys]

    def get(self, key: bytes, /) -> bytes | None:
        """See `SharedCache`."""
        return self.get_many([key])[0]

    def set(self, key: bytes, value: bytes, /, *, ttl: float) -> None:
        """See `SharedCache`."""
        self._count()
        now = self._clock()
        one = (now + self._latency, now + ttl, value)
        self._values[key] = [*self._values.get(key, [])[-3:], one]

    def delete(self, key: bytes, /) -> None:
        """See `SharedCache`."""
        self._count()
        self._values.pop(key, None)

    def _count(self) -> None:
        self.trips += 1
        self.commands += 1

    def _find(self, key: bytes) -> bytes | None:
        now = self._clock()
        seen = [v for since, until, v in self._values.get(key, ()) if since <= now < until]
        return seen[-1] if seen else None


def simulate(fleet: Fleet, *, requests: int, seed: int = 0, warm_up: float = WARM_UP) -> Observed:
    """Let requests come at random, and count after the caches have filled.

    Args:
        fleet: What to simulate.
        requests: How many are counted.
        seed: Of everything that is random.
        warm_up: Times ``ttl`` that pass before.
    """
    run = _Run(fleet, seed)
    run.go(int(fleet.ttl * warm_up * run.rate))
    before = run.counters()
    started = run.clock.now
    kept = run.go(requests)
    seconds = run.clock.now - started
    good, bad, misses, trips, commands = (
        (after - earlier) / seconds for after, earlier in zip(run.counters(), before, strict=True)
    )
    return Observed(good, bad, misses, trips, commands, sum(kept) / len(kept))


def simulate_revocations(fleet: Fleet, *, samples: int, seed: int = 0) -> Staleness:
    """Revoke every token at a random moment, and return for how long it was accepted after it.

    Args:
        fleet: What to simulate; each run takes all of its tokens.
        samples: How many revocations there are at least.
        seed: Of everything that is random.
    """
    waits: list[float] = []
    for number in itertools.count():
        if len(waits) >= samples:
            break
        waits += _Run(fleet, seed + number).revocations()
    waits.sort()
    return Staleness(
        sum(waits) / len(waits), waits[min(len(waits) - 1, int(0.99 * len(waits)))], waits[-1]
    )


class _Run:
    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.clock = Clock()
        self.issuer = Issuer()
        self.rate = fleet.rate + fleet.refused_rate
        self._fleet = fleet
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._new = itertools.count()
        self._shared = SharedMemory(self.clock, fleet.latency) if fleet.shared else None
        self._good = [f"good-{number}" for number in range(fleet.tokens)]
        self._weights = list(itertools.accumulate(shares(fleet.tokens, fleet.zipf)))
        self.verifiers = [self._verifier() for _ in range(fleet.everywhere)]
        self._from = [self._appearances(process) for process in range(fleet.everywhere)]

    def _verifier(self) -> IntrospectionVerifier:
        return IntrospectionVerifier(
            self.issuer,
            audience="bench",
            ttl=self._fleet.ttl,
            negative_ttl=self._fleet.negative_ttl,
            max_entries=self._fleet.max_entries,
            shared_cache=self._shared,
            clock=self.clock,
        )

    def _appearances(self, process: int) -> dict[str, float]:
        fleet = self._fleet
        after = appearances(fleet.tokens, fleet.ttl, process=process, shared=fleet.shared)
        return {
            token: self.clock.now + seconds
            for token, seconds in zip(self._good, after, strict=True)
        }

    def counters(self) -> tuple[float, ...]:
        misses = sum(one.stats().misses for one in self.verifiers)
        shared = self._shared
        trips, commands = (0, 0) if shared is None else (shared.trips, shared.commands)
        return (self.issuer.calls[True], self.issuer.calls[False], misses, trips, commands)

    def go(self, requests: int) -> list[float]:
        """Let so many requests come; return the entries of a process, now and then meanwhile."""
        kept = []
        for _ in range(0, requests, _BATCH):
            for token in self._tokens():
                self._present(token)
            kept.append(sum(one.stats().entries for one in self.verifiers) / len(self.verifiers))
        return kept

    def revocations(self) -> list[float]:
        """Revoke every token at a moment of its own; return the seconds to its last acceptance."""
        fleet = self._fleet
        began = self.clock.now + WARM_UP * fleet.ttl
        moments: Mapping[str, float] = {
            token: began + self._random.random() * fleet.ttl for token in self._good
        }
        last = dict(moments)
        while self.clock.now < began + 2 * fleet.ttl:
            for token in self._tokens():
                if self.clock.now >= moments.get(token, self.clock.now + 1):
                    self.issuer.revoked.add(token)
                if self._present(token) and token in self.issuer.revoked:
                    last[token] = self.clock.now
        return [last[token] - moments[token] for token in self._good]

    def _tokens(self) -> list[str]:
        pick = self._random
        drawn = pick.choices(self._good, cum_weights=self._weights, k=_BATCH)
        refused = self._fleet.refused_rate / self.rate
        if refused == 0:
            return drawn
        return [self._bad() if pick.random() < refused else token for token in drawn]

    def _bad(self) -> str:
        known = self._fleet.refused_tokens
        number = self._random.randrange(known) if known else next(self._new)
        return f"bad-{number}"

    def _present(self, token: str) -> bool:
        self.clock.now += self._random.expovariate(self.rate)
        process = self._random.randrange(len(self.verifiers))
        if self.clock.now < self._from[process].get(token, 0.0):
            return False
        try:
            self.verifiers[process].verify(token)
        except InvalidToken:
            return False
        return True
