"""Measure, print a table, keep the figures and draw them.

``python -m benchmarks [NAME …]`` writes ``results.json``, ``figures.md``, ``results.md`` and the
plots into ``build/benchmarks``; what was not measured this time keeps the figures it has there.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks import compare, report
from benchmarks.harness import Effort
from benchmarks.progress import Progress, progress
from benchmarks.registry import BENCHMARKS, ROWS, Benchmark
from benchmarks.report.markdown import table

OUTPUT = Path("build/benchmarks")


def main(
    arguments: Sequence[str] | None = None, benchmarks: Sequence[Benchmark] = BENCHMARKS
) -> int:
    """Do what the command line says; return the exit status.

    Args:
        arguments: Of the command line; default those of the process.
        benchmarks: Those there are.
    """
    options = _parser(benchmarks).parse_args(arguments)
    known = {benchmark.name: benchmark for benchmark in benchmarks}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(
            f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    effort = Effort(scale=5 if options.full else 0 if options.once else 1)
    try:
        if options.compare:
            return compare.run(options.compare, options.names or ROWS, effort)
        if options.draw:
            return _draw(options.output)
        chosen = [known[name] for name in options.names or known]
        return _measure(chosen, effort, options.output)
    except (compare.Impossible, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser(benchmarks: Sequence[Benchmark]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="more rounds: slower and steadier")
    how.add_argument("--once", action="store_true", help="one round: whether everything runs")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--draw", action="store_true", help="measure nothing, draw anew")
    what.add_argument(
        "--compare",
        metavar="REV",
        help="measure this tree and another revision of src/ in turn; default: every row",
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FOLDER", help=f"default {OUTPUT}"
    )
    names = ", ".join(benchmark.name for benchmark in benchmarks)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names}; default all")
    return parser


def _measure(benchmarks: Sequence[Benchmark], effort: Effort, folder: Path) -> int:
    runs, failed = [], []
    with progress(len(benchmarks)) as bar:
        for benchmark in benchmarks:
            bar.begin(benchmark.name)
            run = _attempt(benchmark, effort, bar)
            if run is None:
                failed.append(benchmark.name)
            else:
                # At once: a run that is cut short loses what it was at, and nothing else.
                report.save(folder, run)
                runs.append(run)
    print(table(finding for run in runs for finding in run.findings))
    if runs:
        print(f"\n{folder}: {', '.join(report.draw(folder))}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _attempt(benchmark: Benchmark, effort: Effort, bar: Progress) -> report.Run | None:
    started = time.monotonic()
    try:
        findings = list(benchmark.measure(effort))
    except Exception as error:  # noqa: BLE001 - the others shall be measured
        traceback.print_exc()
        bar.end(f"{benchmark.name} failed: {type(error).__name__}: {error}")
        return None
    took = time.monotonic() - started
    bar.end(f"{benchmark.name} took {took:.0f} s")
    return report.measured_now(benchmark.name, findings, effort=effort.scale, seconds=took)


def _draw(folder: Path) -> int:
    try:
        names = report.draw(folder)
    except FileNotFoundError:
        print(f"{folder} has no results.json; measure first", file=sys.stderr)
        return 1
    print("\n".join(str(folder / name) for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
