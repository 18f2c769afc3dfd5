"""The document of all that was measured last, a run for each benchmark."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.findings import Curve, Finding, Result, Timeline
from benchmarks.registry import NAMES
from benchmarks.report.circumstances import machine, revision, versions

FILE = "results.json"

_KINDS: Mapping[str, type[Finding]] = {"result": Result, "curve": Curve, "timeline": Timeline}
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Run:
    """A benchmark that was run.

    Attributes:
        name: Of the benchmark.
        measured: When it ended: UTC, to the second, by RFC 3339.
        revision: Of the source; "+" at the end: with changes.
        effort: The scale of `benchmarks.harness.Effort`.
        seconds: What it took.
        machine: What it ran on.
        versions: Of what took part.
        findings: What was found.
    """

    name: str
    measured: str
    revision: str
    effort: float
    seconds: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    findings: Sequence[Finding]


def measured_now(name: str, findings: Iterable[Finding], *, effort: float, seconds: float) -> Run:
    """Return a run that has just ended, on this machine.

    Args:
        name: Of the benchmark.
        findings: What it found.
        effort: The scale of the effort.
        seconds: What it took.
    """
    return Run(
        name,
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        revision(),
        effort,
        seconds,
        machine(),
        versions(),
        tuple(findings),
    )


def load(folder: Path) -> list[Run]:
    """Return the runs of a document, in the order of the registry.

    Raises:
        FileNotFoundError: There is no document.
        ValueError: It cannot be read; the text names the file and says why.
    """
    path = folder / FILE
    try:
        benchmarks = json.loads(path.read_text("utf-8"))["benchmarks"]
        return [_run(name, fields) for name, fields in benchmarks.items()]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no document of benchmarks: {error}; delete it") from None
    except KeyError as error:
        raise ValueError(
            f"{path} is no document of benchmarks: it has no {error}; delete it"
        ) from None


def save(folder: Path, run: Run) -> None:
    """Put a run in the place of the last one of its name; the others stay.

    Raises:
        ValueError: There is a document that cannot be read, or a figure is no number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A soak may end while benchmarks run: neither must lose what the other one found.
    with _alone(folder):
        runs = {one.name: one for one in load(folder)} if (folder / FILE).exists() else {}
        kept = sorted((runs | {run.name: run}).values(), key=_place)
        text = ",\n".join(_written_run(one) for one in kept)
        written(folder / FILE, f'{{"benchmarks": {{\n{text}\n}}}}\n')


def written(path: Path, text: str) -> None:
    """Write a file whole, or leave it as it was."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            Path(file.name).chmod(0o644)
            os.replace(file.name, path)  # noqa: PTH105 - by the name that the file has
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _place(run: Run) -> tuple[int, str]:
    known = NAMES.index(run.name) if run.name in NAMES else len(NAMES)
    return known, run.name


def _run(name: str, fields: Mapping[str, Any]) -> Run:
    findings = tuple(_finding(one) for one in fields["findings"])
    return Run(name, **{**fields, "findings": findings})


def _finding(fields: Mapping[str, Any]) -> Finding:
    rest = {name: value for name, value in fields.items() if name != "kind"}
    return _KINDS[fields["kind"]].from_dict(rest)


def _written_run(run: Run) -> str:
    # A line a finding: what has changed can be read in a diff.
    head = {
        "measured": run.measured,
        "revision": run.revision,
        "effort": run.effort,
        "seconds": round(run.seconds, 1),
        "machine": dict(run.machine),
        "versions": dict(run.versions),
    }
    kinds = {kind: name for name, kind in _KINDS.items()}
    lines = (_json({"kind": kinds[type(one)]} | _rounded(one.as_dict())) for one in run.findings)
    findings = ",\n".join(lines)
    return f'{_json(run.name)}: {{{_json(head)[1:-1]}, "findings": [\n{findings}\n]}}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
