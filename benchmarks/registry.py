"""The benchmarks there are: their names, where they are, and where their figures stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.findings import Finding
    from benchmarks.harness import Effort


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: As the command line takes it.
        module: Has ``measure(effort)``.
        section: The heading that its figures stand under.
    """

    name: str
    module: str
    section: str

    def measure(self, effort: Effort) -> Iterable[Finding]:
        """Measure; the module is imported only now."""
        found: Iterable[Finding] = import_module(self.module).measure(effort)
        return found


SOAK = "soak"
"""It has a command of its own, ``python -m benchmarks.soak``."""

_ROWS = {
    "Introspection": (
        "cached_verify",
        "threads",
        "new_token",
        "cold_token",
        "shared_hit",
        "many_tokens",
    ),
    "Signed tokens": ("first_verify", "long_token", "unknown_kids"),
    "Protected views": ("flask_view", "django_view", "drf_view"),
    "The auth service": ("login", "issuing"),
    "Imports": ("import_time",),
}
_GROWTH = ("entries", "token_sizes", "thread_counts", "issuers", "users", "keys_in_set")

BENCHMARKS = (
    *(
        Benchmark(name, f"benchmarks.rows.{name}", section)
        for section, names in _ROWS.items()
        for name in names
    ),
    *(Benchmark(name, f"benchmarks.growth.{name}", "How cost grows") for name in _GROWTH),
    Benchmark("machine", "benchmarks.machine.measured", "The whole machine"),
    Benchmark("scaling", "benchmarks.scaling.measured", "Scale"),
)
ROWS = tuple(name for names in _ROWS.values() for name in names)
"""The rows of the table of bars."""

NAMES = (*(benchmark.name for benchmark in BENCHMARKS), SOAK)
SECTIONS = {benchmark.name: benchmark.section for benchmark in BENCHMARKS} | {SOAK: "Endurance"}


def command(name: str) -> str:
    """Return what measures a benchmark anew, in a fresh clone too."""
    return "make soak" if name == SOAK else f"make bench NAMES={name}"
