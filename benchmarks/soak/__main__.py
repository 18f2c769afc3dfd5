"""``python -m benchmarks.soak``: run, judge, draw; exit status 1 if something is not as it must be.

The environment says for how long (``SOAK_S``, seconds; default an hour), how hard (``SOAK_RATE``,
requests a second) and over which store (``SOAK_STORE``, sqlite or mongodb).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bar

from benchmarks import report
from benchmarks.findings import Result
from benchmarks.machine.program import Unavailable
from benchmarks.registry import SOAK
from benchmarks.soak.judging import SHORTEST
from benchmarks.soak.ledger import equations
from benchmarks.soak.reporting import duration, findings, judgements
from benchmarks.soak.running import soak
from benchmarks.soak.terms import HOUR, Terms, WrongTerms
from benchmarks.soak.watching import Silent

if TYPE_CHECKING:
    from benchmarks.findings import Finding
    from benchmarks.soak.running import Progress, Record

OUTPUT = Path("build/benchmarks")

_A_LINE_EVERY = 30.0


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Do what the command line and the environment say; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FOLDER", help=f"default {OUTPUT}"
    )
    output = parser.parse_args(arguments).output
    try:
        terms = Terms.of(environ)
    except WrongTerms as error:
        print(error, file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, _shown(terms) as progress:
            record = soak(terms, Path(folder), progress=progress)
    except (Unavailable, Silent) as error:
        print(error, file=sys.stderr)
        return 1
    found = findings(record)
    took = time.monotonic() - started
    # An hour is what is published.
    effort = 5 * terms.seconds / HOUR
    report.publish(output, report.measured_now(SOAK, found, effort=effort, seconds=took))
    print("\n".join(said(record)))
    missed = complaints(found)
    well = "what was tried" if record.seconds < SHORTEST else "everything"
    print("\n".join(missed) or f"{well} is as it must be; drawn into {output}")
    return 1 if missed else 0


def said(record: Record) -> Iterator[str]:
    """Return what was seen, a sentence each: every judgement, and every equation."""
    total = sum(answers.total() for answers in record.counts.answered.values())
    calls = record.counts.called.total()
    yield f"{duration(record.seconds)}: {total:,} requests, {calls:,} calls of the auth service"
    tried = record.seconds < SHORTEST
    yield from (judgement.sentence(tried=tried) for judgement in judgements(record))
    yield from (equation.sentence() for equation in equations(record.counts))


def complaints(found: Sequence[Finding]) -> list[str]:
    """Return a sentence for each figure that misses its bar: which process, and what grew."""
    return [
        f"MISSED: {one.row}: {one.figure:.4g} {one.unit}, at most {one.bar:.4g}: {one.detail}"
        for one in found
        if isinstance(one, Result) and one.met is False
    ]


@contextlib.contextmanager
def _shown(terms: Terms) -> Iterator[Progress]:
    """Yield what shows how far the soak is: a bar, or a line now and then on no terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Bar(console=console, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task("soak", total=terms.seconds)
            yield lambda seconds, count: bar.update(
                task, completed=seconds, description=f"soak, {count:,} requests"
            )
        return
    next_at = [0.0]

    def line(seconds: float, count: int) -> None:
        if seconds >= next_at[0]:
            next_at[0] += _A_LINE_EVERY
            print(f"soak: {seconds:.0f} of {terms.seconds} s, {count:,} requests", file=sys.stderr)

    yield line


if __name__ == "__main__":
    sys.exit(main())
