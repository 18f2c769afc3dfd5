"""What a soak found: plots, figures beside their bars, and sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.findings import Finding, Result, Timeline
from benchmarks.soak.judging import BOUNDS, SHORTEST, Judgement, judge, warm_from
from benchmarks.soak.ledger import KINDS, equations
from benchmarks.soak.sampling import BYTES, DESCRIPTORS, MEMORY, ROWS, THREADS, Reading
from benchmarks.soak.watching import REVOCATIONS

if TYPE_CHECKING:
    from benchmarks.soak.running import Record

PREFIX = "soak"

_SHOWN = 300


def duration(seconds: float) -> str:
    """Return seconds as whole minutes, to read, or as they are if these are too few."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 2 * 60 else f"{seconds:.0f} seconds"


def judgements(record: Record) -> list[Judgement]:
    """Return what became of every measure of every process and of the store."""
    # Only then is as much forgotten as comes.
    late = {REVOCATIONS: record.terms.revocation_lifetime}
    return judge(record.readings, warm=warm_from(record.seconds, record.entries), late=late)


def findings(record: Record) -> list[Finding]:
    """Return what was found: the figures, then the plots."""
    return [*_results(record), *_timelines(record)]


def _results(record: Record) -> Iterator[Result]:
    yield from _growths(record)
    found = equations(record.counts)
    failed = [equation for equation in found if not equation.holds]
    yield _count(
        f"counters that do not agree, of {len(found)}",
        len(failed),
        "; ".join(e.sentence() for e in failed) or "; ".join(_totals(record)),
    )
    yield _count("wrong answers", sum(record.wrong.values()), _listed(record.wrong))
    errors = {
        f"{name}, {status}": count
        for name, answers in record.counts.answered.items()
        for status, count in answers.items()
        if status >= "500"
    }
    yield _count("answers of 500 and more", sum(errors.values()), _listed(errors))
    yield _count("requests without an answer", sum(record.lost.values()), _listed(record.lost))
    # Redis is restarted on purpose in a long run; the roster names its processes, too.
    workers = [name for name in record.replaced if " worker " in name]
    yield _count("workers replaced", len(workers), ", ".join(workers))
    held = {name: max(count for _, count in series) for name, series in record.entries.items()}
    yield Result(
        f"{PREFIX}: entries in the caches of a worker",
        max(held.values(), default=0),
        "entries",
        # Of each verifier one for acceptances, one for refusals.
        2 * len(KINDS) * record.terms.max_entries,
        detail=_listed(held),
    )


def _growths(record: Record) -> Iterator[Result]:
    by_measure = defaultdict(list)
    for judgement in judgements(record):
        by_measure[judgement.measure].append(judgement)
    for measure, bound in BOUNDS.items():
        row, unit = f"{PREFIX}: growth of {measure}", f"{bound.unit} an hour"
        found = sorted(by_measure[measure], key=lambda j: j.growth / j.bar, reverse=True)
        if record.seconds < SHORTEST or not found:
            why = f"{duration(record.seconds)} are too short to tell; this was only a try"
            yield Result(row, None, unit, None, detail=why)
        else:
            worst = found[0]
            sentences = [j.sentence() for j in found if not j.flat] or [worst.sentence()]
            detail = f"{'; '.join(sentences)}; the bar: {bound.reason}"
            yield Result(row, worst.growth, unit, worst.bar, detail=detail)


def _count(row: str, figure: int, detail: str) -> Result:
    return Result(f"{PREFIX}: {row}", figure, "", 0, detail=detail)


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{what}: {count:,.0f}" for what, count in sorted(counts.items()))


def _totals(record: Record) -> Iterator[str]:
    for name, figures in sorted(record.counts.figures.items()):
        for kind in KINDS:
            borne, *parts = (
                f"{figures[f'{kind}.{part}']:,} {words}"
                for part, words in (
                    ("borne", "requests"),
                    ("hits", "hits"),
                    ("negative_hits", "negative hits"),
                    ("misses", "misses"),
                    ("unread", "refusals unread"),
                )
            )
            yield f"{name}, {kind}: {borne} = {' + '.join(parts)}"


def _timelines(record: Record) -> Iterator[Timeline]:
    seconds = sorted({reading.at for reading in record.readings})
    shown = seconds[:: len(seconds) // _SHOWN + 1]
    work = f"{duration(record.seconds)} at {record.terms.rate:.0f} requests a second"

    def timeline(name: str, title: str, y: str, kinds: Kinds, detail: str) -> Timeline:
        return Timeline(name, title, y, shown, _at(shown, kinds), record.marks, detail=detail)

    def found(what: str, *measures: str) -> str:
        return f"{what} {_verdict(record, measures)} over {work}"

    yield timeline(
        "soak-memory",
        found("The memory of every process", MEMORY),
        "resident, MiB",
        _by_subject(record.readings, MEMORY),
        "Sampled from outside, /proc/PID/smaps_rollup.",
    )
    yield timeline(
        "soak-resources",
        found("The number of descriptors and threads", DESCRIPTORS, THREADS),
        "of all workers of a program",
        _by_program(record.readings, DESCRIPTORS) | _by_program(record.readings, THREADS),
        "Sampled from outside, /proc/PID/fd and /proc/PID/task.",
    )
    entries = {f"{name}: cache entries": held for name, held in sorted(record.entries.items())}
    lasting = [reading for reading in record.readings if reading.subject == REVOCATIONS]
    others = [reading for reading in record.readings if reading.subject != REVOCATIONS]
    revoked = {"store: revocations": _by_subject(lasting, ROWS).get(REVOCATIONS, [(0.0, 0.0)])}
    rows = {"store: other rows": _by_program(others, ROWS)["store: rows"]} | revoked
    yield timeline(
        "soak-store",
        found("What the store keeps", ROWS, BYTES),
        "count",
        rows | entries,
        f"Sessions end after {record.terms.refresh_lifetime} s; what is left of them is cleaned up "
        f"every {record.terms.cleanup_every:.0f} s, and what was revoked later. Each cache "
        f"of a verifier holds {record.terms.max_entries} entries.",
    )


def _verdict(record: Record, measures: Sequence[str]) -> str:
    judged = [one for one in judgements(record) if one.measure in measures]
    if record.seconds < SHORTEST or not judged:
        return "was tried"
    return "stays flat" if all(one.flat for one in judged) else "grows"


Series = Sequence[tuple[float, float]]
Kinds = Mapping[str, Series]


def _by_subject(readings: Sequence[Reading], measure: str) -> dict[str, list[tuple[float, float]]]:
    found = defaultdict(list)
    for reading in readings:
        if measure in reading.values:
            found[reading.subject].append((reading.at, reading.values[measure]))
    return dict(found)


def _by_program(readings: Sequence[Reading], measure: str) -> dict[str, list[tuple[float, float]]]:
    sums: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for reading in readings:
        if measure in reading.values:
            program = reading.subject.partition(" ")[0].rstrip(",")
            sums[f"{program}: {measure}"][reading.at] += reading.values[measure]
    return {program: sorted(values.items()) for program, values in sums.items()}


def _at(seconds: Sequence[float], kinds: Kinds) -> dict[str, list[float]]:
    """Return each kind's last value at each moment; before its first, the first."""
    return {name: [_value_at(at, series) for at in seconds] for name, series in kinds.items()}


def _value_at(at: float, series: Series) -> float:
    known = series[0][1]
    for moment, value in series:
        if moment > at:
            break
        known = value
    return known
