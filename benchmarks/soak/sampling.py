"""What the kernel says of processes, and what a store holds: asked from outside, at an interval.

Memory is the resident size (``Rss`` of ``/proc/PID/smaps_rollup``, proc(5)). What a process has to
itself is no measure of growth where workers were forked from a loaded parent: minutes later the
first full garbage collection writes to every object, and pages that were shared become private. The
resident size counts them all the time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MEMORY, PRIVATE, DESCRIPTORS, THREADS = "memory", "private memory", "descriptors", "threads"
ROWS, BYTES = "rows", "bytes"

_MIB = 2**20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_RESIDENT, _OWN = ("Rss:",), ("Private_Clean:", "Private_Dirty:")


class Gone(Exception):
    """There is no such process any more."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one subject at one moment.

    Attributes:
        at: Seconds since the load began.
        subject: A process, such as ``flask worker 1``; or the store.
        values: By measure: mebibytes, counts, or bytes.
    """

    at: float
    subject: str
    values: Mapping[str, float]


@dataclass(slots=True)
class Roster:
    """Names processes, so that one that was replaced has another name than its heir.

    Attributes:
        replaced: The names of those that are gone though somebody came after them.
    """

    replaced: list[str] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)
    _present: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def names(self, kind: str, pids: Iterable[int]) -> dict[int, str]:
        """Return a name for each process of a kind that runs now.

        Args:
            kind: Such as ``flask worker``.
            pids: Their ids, all of them.
        """
        running = set(pids)
        for pid in sorted(running - self._present[kind]):
            self._counts[kind] += 1
            self._names[pid] = f"{kind} {self._counts[kind]}"
        self.replaced += [self._names[pid] for pid in sorted(self._present[kind] - running)]
        self._present[kind] = running
        return {pid: self._names[pid] for pid in sorted(running)}


def read_process(pid: int, *, proc: Path = Path("/proc")) -> dict[str, float]:
    """Return memory (MiB), private memory (the same), open descriptors and threads of a process.

    Where the kernel does not tell what is private, it is left out.

    Args:
        pid: The process.
        proc: Where its file system is mounted.

    Raises:
        Gone: It has ended.
    """
    own = proc / str(pid)
    try:
        resident = int((own / "statm").read_text().split()[1]) * _PAGE / _MIB
        return {
            MEMORY: resident,
            **_rolled_up(own),
            DESCRIPTORS: len(os.listdir(own / "fd")),  # noqa: PTH208 - as quick as it gets
            THREADS: len(os.listdir(own / "task")),  # noqa: PTH208 - the same
        }
    except (FileNotFoundError, ProcessLookupError, IndexError):
        # A process that nobody has waited for yet has files, and nothing in them.
        raise Gone(f"process {pid} has ended") from None


def _rolled_up(own: Path) -> dict[str, float]:
    # To the page, where statm may be some behind; no kernel before 4.14 has it.
    try:
        lines = (own / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return {}
    return {MEMORY: _sum(lines, _RESIDENT), PRIVATE: _sum(lines, _OWN)} if lines else {}


def _sum(lines: list[str], names: tuple[str, ...]) -> float:
    return sum(int(line.split()[1]) for line in lines if line.startswith(names)) / 1024
