"""Load on the machine: from a process of its own, bounded, each answer judged and recorded.

``python -m benchmarks.machine.load RECORDS`` is that process: it reads what to do from its
standard input, a line of JSON at a time, writes a line an answer to the file, and ends with its
input. `Load` is what starts it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, cast

from benchmarks.machine.program import last_of

if TYPE_CHECKING:
    from benchmarks.machine.asking import Ask, Verdict

ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        start: When it was sent, in seconds of ``time.monotonic``, which all processes share.
        seconds: Until the whole answer was there.
        stream: Whose it was.
        kind: Of the request.
        status: HTTP's; 0: none came.
        verdict: What it is worth.
    """

    start: float
    seconds: float
    stream: str
    kind: str
    status: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests to one server, by connections of their own.

    Attributes:
        name: Its own.
        port: Of the server, on the loopback address.
        asks: What is asked, in turn.
        rate: Requests a second at most, evenly; 0: each connection asks as soon as it has an
            answer. What could not be sent in its time is not made up for.
        connections: At most; each is opened anew after a hundred requests, so that all workers
            get their share.
        once: Whether each is asked once, and then no more until `Load.feed` brings some.
    """

    name: str
    port: int
    asks: Sequence[Ask] = ()
    rate: float = 0
    connections: int = 2
    once: bool = False


class Load:
    """Load for so many seconds; a context manager that starts it, and ends it sooner if need be.

    Args:
        folder: Where the records go.
        streams: What to ask; their names differ.
        seconds: For how long.
    """

    def __init__(self, folder: Path, streams: Sequence[Stream], seconds: float) -> None:
        self._streams = streams
        self._seconds = seconds
        self._records = folder / "load.records"
        self._log = folder / "load.log"
        self._read = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._records.write_bytes(b"")
        self._read = 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "benchmarks.machine.load", str(self._records)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                text=True,
            )
        try:
            self._say({"seconds": self._seconds, "streams": [asdict(one) for one in self._streams]})
            self._hear()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._end() and error is None:
            raise RuntimeError(f"the load failed: {last_of(self._log)}")

    def answers(self) -> list[Answer]:
        """Return what was answered since this was last asked; after the block, the rest."""
        with self._records.open("rb") as records:
            records.seek(self._read)
            lines = records.read()
        # The last line may be half written.
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        return [_answer(line) for line in whole.decode("ascii").splitlines()]

    def wait(self) -> None:
        """Wait until the time is over."""
        if self._process is not None:
            self._process.wait(self._seconds + _PATIENCE)

    def feed(self, stream: str, asks: Sequence[Ask]) -> None:
        """Have a stream ask these too, from now on."""
        self._say({"feed": stream, "asks": [asdict(one) for one in asks]})

    def withdraw(self, token: str) -> None:
        """Have no stream bear a token any more; it has the last answer for it when this returns."""
        self._say({"withdraw": token})
        self._hear()

    def _end(self) -> int:
        """End the process, and return its status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=_PATIENCE)
        finally:
            process.kill()
            process.wait()
        return process.returncode

    def _say(self, what: object) -> None:
        pipe = self._process.stdin if self._process else None
        if pipe is None:
            raise RuntimeError("the load does not run")
        pipe.write(json.dumps(what) + "\n")
        pipe.flush()

    def _hear(self) -> None:
        pipe = self._process.stdout if self._process else None
        if pipe is None or not pipe.readline():
            raise RuntimeError(f"the load has ended: {last_of(self._log)}")


def _answer(line: str) -> Answer:
    start, seconds, stream, kind, status, verdict = line.split(" ")
    return Answer(float(start), float(seconds), stream, kind, int(status), cast("Verdict", verdict))


if __name__ == "__main__":
    # Here, as that module needs this one.
    from benchmarks.machine.loading import main

    sys.exit(main(Path(sys.argv[1])))
