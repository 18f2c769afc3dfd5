"""``python -m benchmarks [ROW …]``: measure, print a table, write ``build/bench.json``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib import import_module, metadata
from pathlib import Path

from benchmarks.harness import Effort, Result, table

ROWS = (
    "first_verify",
    "long_token",
    "cached_verify",
    "threads",
    "new_token",
    "cold_token",
    "shared_hit",
    "unknown_kids",
    "many_issuers",
    "flask_view",
    "django_view",
    "drf_view",
    "peers",
    "many_tokens",
    "login",
    "issuing",
    "store_growth",
    "import_time",
)


def main() -> int:
    """Run the rows that were asked for, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="more rounds: slower and steadier")
    how.add_argument("--once", action="store_true", help="one round: whether everything runs")
    parser.add_argument("--output", default="build/bench.json", help="where the figures go as JSON")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    effort = Effort(scale=5 if options.full else 0 if options.once else 1)
    results: list[Result] = []
    for number, name in enumerate(options.rows or ROWS, start=1):
        print(f"[{number}/{len(options.rows or ROWS)}] {name} ...", file=sys.stderr, flush=True)
        results += import_module(f"benchmarks.rows.{name}").measure(effort)
    print(table(results))
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "tokenward": metadata.version("tokenward"),
        "results": [result.as_dict() for result in results],
    }
    output.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
