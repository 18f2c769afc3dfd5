"""The tables, on the terminal and on a page of their own, and the plots with their captions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.findings import Curve, Finding, Line, Result
from benchmarks.registry import SECTIONS, command

if TYPE_CHECKING:
    from benchmarks.report.document import Run
    from benchmarks.report.plots import Plot

_HEAD = ["| what | measured | quartiles | bar | | behind it |", "|---|---|---|---|---|---|"]
_VERDICTS = {True: "met", False: "MISSED", None: ""}
_CURVES = [
    "| what | first | last | over it all | per tenfold | exponent |",
    "|---|---|---|---|---|---|",
]


def table(findings: Iterable[Finding]) -> str:
    """Return the results as one table, and the curves as another; empty if there is neither."""
    findings = list(findings)
    results = [_row(one) for one in findings if isinstance(one, Result)]
    curves = [
        _line(curve, line) for curve in findings if isinstance(curve, Curve) for line in curve.lines
    ]
    tables = [[*head, *rows] for head, rows in ((_HEAD, results), (_CURVES, curves)) if rows]
    return "\n\n".join("\n".join(lines) for lines in tables)


def figures(runs: Sequence[Run], plots: Sequence[Plot]) -> str:
    """Return the plots with their captions, as a part of a page."""
    shown = {
        run.name: [_shown(plot) for plot in plots if plot.benchmark == run.name] for run in runs
    }
    return _sectioned("# Figures", runs, shown)


def page(runs: Sequence[Run]) -> str:
    """Return the page of the tables: every figure, and what it was measured with."""
    tables = {run.name: [text] for run in runs if (text := table(run.findings))}
    return _sectioned(
        "# Every figure", runs, tables, ["## Measured", _measured(runs), *_circumstances(runs)]
    )


def _sectioned(
    title: str, runs: Sequence[Run], told: Mapping[str, Sequence[str]], end: Sequence[str] = ()
) -> str:
    parts = [title, "<!-- Written by python -m benchmarks; not by hand. -->"]
    section = ""
    for run in runs:
        if not told.get(run.name):
            continue
        heading = SECTIONS.get(run.name, "Others")
        if heading != section:
            parts.append(f"## {heading}")
            section = heading
        parts += [f"### {run.name.replace('_', ' ')}", *told[run.name]]
    return "\n\n".join((*parts, *end)) + "\n"


def _shown(plot: Plot) -> str:
    about = f"{_sentence(plot.about)} " if plot.about else ""
    return (
        f"![{_literal(plot.title)}]({plot.name}.svg)\n\n"
        f"*{_literal(_sentence(plot.title))} {_literal(about)}*"
        f"`{command(plot.benchmark)}` measures and draws it."
    ).replace(" *`", "* `")


def _row(one: Result) -> str:
    figure = "-" if one.figure is None else f"{_number(one.figure)} {one.unit}"
    spread = "" if one.spread is None else " to ".join(map(_number, one.spread))
    bar = "" if one.bar is None else f"{one.side} {one.bar:g}"
    cells = (one.row, figure, spread, bar, _VERDICTS[one.met], one.detail)
    return _cells(cells)


def _line(curve: Curve, line: Line) -> str:
    first, last = line.points[0], line.points[-1]
    slope, factor = line.slope, line.factor
    return _cells(
        (
            f"{curve.name}: {line.name}",
            f"{_number(first.y)} at {_number(first.x)}",
            f"{_number(last.y)} at {_number(last.x)}",
            "" if math.isnan(factor) else f"x {factor:.3g}",
            "" if math.isnan(slope) else f"x {10**slope:.3g}",
            "" if math.isnan(slope) else f"{slope:.2f}",
        )
    )


def _measured(runs: Sequence[Run]) -> str:
    lines = ["| benchmark | when | revision | effort | took | on |", "|---|---|---|---|---|---|"]
    machines = _different(run.machine for run in runs)
    for run in runs:
        number = machines.index(dict(run.machine)) + 1
        took, effort = f"{run.seconds:,.0f} s", f"{run.effort:g}"
        lines.append(
            _cells((run.name, run.measured, run.revision, effort, took, f"machine {number}"))
        )
    return "\n".join(lines)


def _circumstances(runs: Sequence[Run]) -> list[str]:
    parts = []
    for number, machine in enumerate(_different(run.machine for run in runs), start=1):
        parts.append(f"Machine {number}: {_listed(machine)}.")
    different = _different(run.versions for run in runs)
    for versions in different:
        names = [run.name for run in runs if dict(run.versions) == versions]
        whose = "" if len(different) == 1 else f" of {', '.join(names)}"
        parts.append(f"Versions{whose}: {_listed(versions)}.")
    return parts


def _different(values: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    unique = {json.dumps(dict(value), sort_keys=True): dict(value) for value in values}
    return list(unique.values())


def _listed(values: Mapping[str, str]) -> str:
    return _literal(", ".join(f"{name} {value}" for name, value in values.items()))


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_literal(cell) for cell in cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _literal(text: str) -> str:
    # What Markdown or a table would take for its own; an arrow or a comparison it would not.
    text = re.sub(r"<(?=[A-Za-z/!])", "&lt;", text)
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
