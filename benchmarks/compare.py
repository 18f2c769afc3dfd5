"""What a change did: this tree and another revision of ``src/``, measured in turn.

The benchmarks themselves are this tree's on both sides, so that the same thing is measured. Each
side runs in a process of its own; which of the two begins changes from turn to turn. Figures are
ratios to a floor or a peer already, and what is told is this tree's over the other revision's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from benchmarks.environment import ROOT, WANTED, last_line
from benchmarks.findings import Curve, Finding, Result
from benchmarks.harness import Effort, quartiles
from benchmarks.progress import progress

TURNS = 6
"""By chance, six turns fall to the same side three times in a hundred."""

Figures = dict[str, tuple[float, str]]
"""Figure and unit, by what it is of."""


class Measure(Protocol):
    """See `measured_by`."""

    def __call__(self, source: Path, /, *, name: str, effort: Effort) -> Figures:
        """Return the figures of a benchmark."""


_SOURCE = "BENCH_SOURCE"
_PATIENCE = 3_600


class Impossible(Exception):
    """There is nothing to compare with; the text says why."""


@dataclass(slots=True)
class Compared:
    """One figure on both sides, turn by turn."""

    unit: str
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """After over before, of each turn; none where before was nothing."""
        pairs = zip(self.before, self.after, strict=False)
        return [after / before for before, after in pairs if before]

    @property
    def verdict(self) -> str:
        """``less``, ``more``, or that it is within the noise: the turns do not agree."""
        ratios = self.ratios
        if len(ratios) < TURNS:
            return "too few turns"
        if all(ratio < 1 for ratio in ratios):
            return "less"
        if all(ratio > 1 for ratio in ratios):
            return "more"
        return "within the noise"


def source_of(revision: str, *, root: Path = ROOT) -> Path:
    """Return the ``src`` of a revision, which is laid out under ``build/compare``.

    Raises:
        Impossible: git does not know it.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit:
        raise Impossible(f"git knows no revision {revision}")
    folder = root / "build" / "compare" / commit.decode().strip()
    if not (folder / "src").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        archive = _git(root, "archive", "--format=tar", commit.decode().strip(), "src")
        if not archive:
            raise Impossible(f"{revision} has no src/")
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)  # noqa: S603, S607 - git's own archive
    return folder / "src"


def figures_of(findings: Iterable[Finding]) -> Figures:
    """Return every figure that can be compared, and its unit, by what it says it is."""
    found: Figures = {}
    for one in findings:
        if isinstance(one, Result) and one.figure is not None:
            found[one.row] = one.figure, one.unit
        elif isinstance(one, Curve):
            for line in one.lines:
                for point in line.points:
                    found[f"{one.name}: {line.name}, {point.x:g} {one.x}"] = point.y, one.y
    return found


def measured_by(source: Path, /, *, name: str, effort: Effort) -> Figures:
    """Return the figures of a benchmark with the package that lies in ``source``.

    Raises:
        Impossible: It cannot run there; the text is what it said last.
    """
    path = os.pathsep.join((str(source), str(ROOT)))
    environ = os.environ | {"PYTHONPATH": path, _SOURCE: str(source), WANTED: "none"}
    command = [sys.executable, "-m", "benchmarks.compare", name, str(effort.scale)]
    try:
        told = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise Impossible(last_line(error.stderr)) from None
    except subprocess.TimeoutExpired:
        raise Impossible(f"it took more than {_PATIENCE} s") from None
    figures = json.loads(told.stdout.splitlines()[-1])
    return {row: (figure, unit) for row, (figure, unit) in figures.items()}


def run(
    base: str,
    names: Sequence[str],
    effort: Effort,
    *,
    turns: int = TURNS,
    measure: Measure = measured_by,
) -> int:
    """Compare, and print a table.

    Args:
        base: The revision to compare with, as git names it.
        names: Of the benchmarks.
        effort: Of each turn.
        turns: How often each side is measured.
        measure: Returns the figures of a benchmark with the package that lies in a folder.

    Returns:
        The exit status: 1 if a benchmark could not run on this side.

    Raises:
        Impossible: There is no such revision.
    """
    sides = {"before": source_of(base), "after": ROOT / "src"}
    tables, failures = [], []
    with progress(len(names)) as bar:
        for name in names:
            bar.begin(name)
            figures, whys = _alternated(sides, partial(measure, name=name, effort=effort), turns)
            tables += _rows(figures)
            failures += [f"{name}: cannot run {_where(side, base)}: {why}" for side, why in whys]
            bar.end(f"{name} compared" if not whys else failures[-1])
    print(f"after (this tree) over before ({base}), {turns} turns each")
    print("\n".join([*_HEAD, *tables]) if tables else "nothing could be compared")
    for failure in failures:
        print(failure)
    return 1 if any("in this tree" in failure for failure in failures) else 0


def _alternated(
    sides: Mapping[str, Path], measure: Callable[[Path], Figures], turns: int
) -> tuple[dict[str, Compared], list[tuple[str, str]]]:
    found: dict[str, Compared] = {}
    for turn in range(turns):
        order = sorted(sides, reverse=bool(turn % 2))
        for side in order:
            try:
                figures = measure(sides[side])
            except Impossible as why:
                return {}, [(side, str(why))]
            for row, (figure, unit) in figures.items():
                compared = found.setdefault(row, Compared(unit))
                (compared.after if side == "after" else compared.before).append(figure)
    return found, []


_HEAD = ["| what | before | after | after / before | quartiles | |", "|---|---|---|---|---|---|"]


def _rows(figures: Mapping[str, Compared]) -> list[str]:
    rows = []
    for row, one in figures.items():
        if not one.before or not one.after:
            where = "this tree" if one.after else "the other revision"
            rows.append(f"| {row} | | | | | only in {where} |")
            continue
        before, after = statistics.median(one.before), statistics.median(one.after)
        ratios = one.ratios
        ratio = f"{statistics.median(ratios):.3f}" if ratios else ""
        spread = quartiles(ratios)
        said = " to ".join(f"{value:.3f}" for value in spread) if spread else ""
        figure = f"{before:.4g} | {after:.4g} {one.unit}"
        rows.append(f"| {row} | {figure} | {ratio} | {said} | {one.verdict} |")
    return rows


def _where(side: str, base: str) -> str:
    return "in this tree" if side == "after" else f"in {base}"


def _git(root: Path, *arguments: str) -> bytes:
    command = ("git", "-C", str(root), *arguments)
    return subprocess.run(command, check=False, capture_output=True).stdout  # noqa: S603 - git


def _main() -> None:
    """Measure once, in a process of one side."""
    import tokenward  # noqa: PLC0415 - which one it is, is the question
    from benchmarks.registry import BENCHMARKS  # noqa: PLC0415

    name, scale = sys.argv[1:]
    source = Path(os.environ[_SOURCE])
    if not Path(tokenward.__file__).is_relative_to(source):
        sys.exit(f"ERROR: {tokenward.__file__} was imported, and not what is in {source}")
    benchmark = next(one for one in BENCHMARKS if one.name == name)
    print(json.dumps(figures_of(benchmark.measure(Effort(float(scale))))))


if __name__ == "__main__":
    _main()
