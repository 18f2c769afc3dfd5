"""One process of a fleet: ``python -m benchmarks.scaling.worker``.

`benchmarks.scaling.real` runs it. It reads a `Job` a line, as JSON, says ``ready``, waits for the
line that says when to begin, and answers with what it counted, until its standard input ends.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.parts import TOKEN_CHARACTERS, client_for
from benchmarks.scaling.popularity import appearances, shares
from benchmarks.scaling.simulation import SECRETS
from tokenward import IntrospectionVerifier, InvalidToken
from tokenward.redis_cache import RedisSharedCache


@dataclass(frozen=True, slots=True)
class Job:
    """What a process does.

    Attributes:
        url: The introspection endpoint.
        redis: The shared cache's; ``None``: there is none.
        rate: Requests a second that it gets.
        tokens: Distinct ones.
        zipf: See `Fleet`.
        ttl: See `Fleet`.
        max_entries: See `Fleet`.
        warm_up: Seconds before anything is counted.
        seconds: Seconds for which is counted.
        seed: Of its requests.
    """

    url: str
    redis: str | None
    rate: float
    tokens: int
    zipf: float
    ttl: float
    max_entries: int
    warm_up: float
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What a process counted.

    Attributes:
        requests: It was sent.
        misses: Its own cache did not answer.
        calls: It put to the endpoint.
        shared_hits: The shared cache answered.
        all_calls: It put to the endpoint, the warm-up included.
        late: The longest that a request came after its time, in seconds.
        refused: Requests whose token was not active.
        accepted: When each token was last accepted, in seconds of ``time.monotonic``; of those that
            were.
    """

    requests: int
    misses: int
    calls: int
    shared_hits: int
    all_calls: int
    late: float
    refused: int = 0
    accepted: Mapping[str, float] = field(default_factory=dict)


def token(number: int) -> str:
    """Return the same token in every process."""
    return f"{number:0{TOKEN_CHARACTERS}}"


def work(job: Job, begin: float) -> Counted:
    """Send the requests of ``job``, the first at ``begin`` on the ``time.monotonic()`` scale."""
    cache = None if job.redis is None else RedisSharedCache(job.redis, secrets=SECRETS)
    verifier = IntrospectionVerifier(
        client_for(job.url),
        audience="bench",
        ttl=job.ttl,
        max_entries=job.max_entries,
        shared_cache=cache,
    )
    pick = random.Random(job.seed)  # noqa: S311 - no secret
    numbers = range(job.tokens)
    weights = list(itertools.accumulate(shares(job.tokens, job.zipf)))
    tokens = [token(number) for number in numbers]
    shared = cache is not None
    first = appearances(job.tokens, job.ttl, process=job.seed, shared=shared)
    at, counted_from = begin, begin + job.warm_up
    before, requests, refused, late = None, 0, 0, 0.0
    accepted: dict[str, float] = {}
    while at < counted_from + job.seconds:
        (number,) = pick.choices(numbers, cum_weights=weights)
        if before is None and at >= counted_from:
            before, requests = verifier.stats(), 0
        pause = at - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        late = max(late, -pause)
        if at >= begin + first[number]:
            presented = time.monotonic()
            try:
                verifier.verify(tokens[number])
                accepted[str(number)] = presented
            except InvalidToken:
                refused += 1
            requests += 1
        at += pick.expovariate(job.rate)
    after = verifier.stats()
    before = before or after
    verifier.close()
    if cache is not None:
        cache.close()
    return Counted(
        requests=requests,
        misses=after.misses - before.misses,
        calls=after.upstream_calls - before.upstream_calls,
        shared_hits=after.shared_hits - before.shared_hits,
        all_calls=after.upstream_calls,
        late=late,
        refused=refused,
        accepted=accepted,
    )


def main() -> None:
    """Do one job after the other."""
    for line in sys.stdin:
        job = Job(**json.loads(line))
        print("ready", flush=True)
        print(json.dumps(asdict(work(job, float(sys.stdin.readline())))), flush=True)


if __name__ == "__main__":
    main()
