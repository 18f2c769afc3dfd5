"""What answers under faults come to: timelines, counts, and how long it took to recover."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from benchmarks.findings import Mark, Result, Timeline
from benchmarks.machine.faults import GRACE, MONGO, OUTAGE, ROTATED, SLOW, WORKER
from benchmarks.machine.percentiles import percentile

if TYPE_CHECKING:
    from benchmarks.machine.faults import Happening, Told
    from benchmarks.machine.load import Answer

_IN_USE = "token in use, p99"
STATUSES = ("200", "401", "503", "500 and others", "reset")

_NAMED = 10
"""Answers that are told one by one; of more there is the count."""

_AFTERWARDS = GRACE
"""Seconds after a worker's end in which its connections may still turn out to be gone."""


def findings(told: Told, *, width: float) -> list[Result | Timeline]:
    """Return everything that is to be shown.

    Args:
        told: What happened.
        width: Seconds that are counted together in a timeline.
    """
    return [
        answers_over_time(told, width=width),
        latency_over_time(told, width=width),
        *verdicts(told),
        *recoveries(told),
        *questions(told),
    ]


def answers_over_time(told: Told, *, width: float) -> Timeline:
    """Return the answers a second, by status; each counts when its request was sent."""
    counts = [Counter(map(status, part)) for part in _parts(told, width)]
    return Timeline(
        "machine-faults",
        _title(told),
        "answers a second, both applications",
        [number * width for number in range(len(counts))],
        {name: [count[name] / width for count in counts] for name in STATUSES},
        marks=marks(told),
        stacked=True,
        detail="Requests of tokens in use, new tokens, forged, expired and revoked ones, and of a "
        "view that asks nobody, at a steady rate; each counts when it was sent.",
    )


def latency_over_time(told: Told, *, width: float) -> Timeline:
    """Return the p99 of tokens in use and of new ones."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for part in _parts(told, width):
        for kind, name in (("hit", _IN_USE), ("cold", "new token, slowest")):
            took = [answer.seconds for answer in part if answer.kind == kind]
            # Where none was sent, all connections were waiting: what they waited for goes on.
            before = kinds[name][-1] if kinds[name] else 0.0
            kinds[name].append(percentile(took, 0.99) * 1e3 if took else before)
    length = len(next(iter(kinds.values()), []))
    seconds = [number * width for number in range(length)]
    return Timeline(
        "machine-recovery",
        _latency_title(told, width, seconds, kinds[_IN_USE]),
        "milliseconds until the answer",
        seconds,
        dict(kinds),
        marks=marks(told),
        detail="Whatever the answer was; each counts when its request was sent. Three requests at "
        "most wait for the auth service, so that each process has a thread left for tokens in use.",
    )


def verdicts(told: Told) -> list[Result]:
    """Return what must not happen, and how often it did."""
    by_verdict: dict[str, list[Answer]] = defaultdict(list)
    for answer in told.answers:
        by_verdict[answer.verdict].append(answer)
    away = [one for one in told.happenings if one.name in {OUTAGE, SLOW, MONGO}]
    during = [
        answer
        for answer in told.answers
        if answer.kind == "hit" and any(one.start <= answer.start <= one.end for one in away)
    ]
    missed = [answer for answer in during if answer.verdict != "right"]
    resets = by_verdict["reset"]
    others = [answer for answer in resets if not _by_worker(told, answer)]
    among = f"of {len(told.answers):,} answers"
    return [
        _none(
            "500s, or any answer that is none of 200, 401 and 503",
            by_verdict["failed"],
            told,
            among,
        ),
        _none(
            "wrong admissions: bad, expired, revoked, somebody else's",
            by_verdict["wrong"],
            told,
            among,
        ),
        _none("good tokens refused", by_verdict["refused"], told, among),
        _none(
            "tokens in use not answered while the authorization server, or its store, was away",
            missed,
            told,
            f"of {len(during):,} answers",
        ),
        _none(
            "connections reset, but by the end of their worker",
            others,
            told,
            f"by their worker's end: {len(resets) - len(others)}",
        ),
        Result(
            "under faults: 503 with Retry-After",
            len(by_verdict["unavailable"]),
            "answers",
            None,
            detail=f"{among}; by status {dict(sorted(Counter(map(status, told.answers)).items()))}",
        ),
    ]


def recoveries(told: Told) -> list[Result]:
    """Return how long after each fault a token that nobody has seen was first let in."""
    found = []
    for happening in told.happenings:
        kind = "new-key" if happening.name == ROTATED else "cold"
        since = happening.start if happening.name in {ROTATED, WORKER} else happening.end
        took = [
            _first_right(told.answers, f"{app}-", kind, since)
            for app in sorted({answer.stream.partition("-")[0] for answer in told.answers})
        ]
        lasted = happening.end - happening.start
        known = [seconds for seconds in took if seconds is not None]
        recovered = len(known) == len(took)
        found.append(
            Result(
                f"recovery after {happening.name}",
                max(known, default=0.0) if recovered else None,
                "s until a new token is let in",
                None,
                detail=f"it lasted {lasted:.1f} s; the slower of the applications"
                if recovered
                else "no new token was let in before the measurement ended",
            )
        )
    return found


def questions(told: Told) -> list[Result]:
    """Return what the auth service was asked because of each fault, and after it.

    Whoever loses Redis may have missed a revocation, and so asks about every token anew; a new
    worker finds in Redis what its predecessor knew.
    """
    ends = [*(one.start for one in told.happenings[1:]), float("inf")]
    found = []
    for happening, end in zip(told.happenings, ends, strict=True):
        new = sum(
            answer.kind in {"cold", "new-key", "bad"} and happening.start <= answer.start < end
            for answer in told.answers
        )
        found.append(
            Result(
                f"questions from {happening.name} to the next fault",
                told.asked.get(happening.name),
                "questions",
                None,
                detail=f"{new} requests with tokens that nobody had seen",
            )
        )
    return found


def marks(told: Told) -> Sequence[Mark]:
    """Return the faults in seconds since the load began."""
    return [
        Mark(one.start - told.started, one.end - told.started, one.name) for one in told.happenings
    ]


def status(answer: Answer) -> str:
    """Return which of `STATUSES` an answer is."""
    if answer.verdict == "reset":
        return "reset"
    return str(answer.status) if answer.status in {200, 401, 503} else "500 and others"


def _parts(told: Told, width: float) -> list[list[Answer]]:
    """Return the answers by the time when they were sent."""
    parts: dict[int, list[Answer]] = defaultdict(list)
    for answer in told.answers:
        parts[max(0, int((answer.start - told.started) / width))].append(answer)
    # The last part is not a whole one.
    return [parts[number] for number in range(max(parts, default=0))]


def _by_worker(told: Told, answer: Answer) -> bool:
    ended = _of(told, WORKER)
    if ended is None:
        return False
    # A request may have been sent before, and was reset then.
    return ended.start <= answer.start + answer.seconds and answer.start <= ended.end + _AFTERWARDS


def _first_right(answers: Iterable[Answer], stream: str, kind: str, since: float) -> float | None:
    ends = [
        answer.start + answer.seconds - since
        for answer in answers
        if answer.stream.startswith(stream)
        and answer.kind == kind
        and answer.verdict == "right"
        and answer.start >= since
    ]
    return min(ends, default=None)


def _of(told: Told, name: str) -> Happening | None:
    return next((one for one in told.happenings if one.name == name), None)


def _none(row: str, answers: Sequence[Answer], told: Told, among: str) -> Result:
    detail = "; ".join([among, *_listed(told, answers)])
    return Result(f"under faults: {row}", len(answers), "answers", 0, detail=detail)


def _listed(told: Told, answers: Sequence[Answer]) -> list[str]:
    """Return which answers these are, the first ones by one."""
    first = sorted(answers)[:_NAMED]
    said = [
        f"{one.kind} of {one.stream} at {one.start - told.started:.1f} s: "
        + (str(one.status) if one.status else "no answer")
        for one in first
    ]
    more = len(answers) - len(first)
    return [*said, f"and {more:,} more"] if more else said


def _latency_title(
    told: Told, width: float, seconds: Sequence[float], took: Sequence[float]
) -> str:
    """Return what tokens in use wait in a usual second, and in the worst one."""
    quiet = [
        value
        for at, value in zip(seconds, took, strict=True)
        if not any(one.start < at + width and at < one.end for one in marks(told))
    ]
    if not quiet:
        return "Milliseconds until the answer: of tokens in use, and of new ones"
    slowest = max(range(len(took)), key=took.__getitem__)
    return (
        f"Tokens in use, p99 of each {width:g} s: {statistics.median(quiet):,.3g} ms while nothing "
        f"is broken, {took[slowest]:,.3g} ms at worst, {seconds[slowest]:.0f} s after the start"
    )


def _title(told: Told) -> str:
    worst = sum(answer.verdict in {"failed", "wrong"} for answer in told.answers)
    if worst:
        return f"{worst} wrong answers among {len(told.answers):,}, whatever is taken away"
    return "No 500 and no wrong admission, whatever is taken away"
