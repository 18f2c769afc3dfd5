"""The process that makes the load."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections import Counter, deque
from io import RawIOBase
from pathlib import Path
from typing import Any, Self

from benchmarks.machine.asking import Ask, Connection
from benchmarks.machine.load import Stream
from benchmarks.ports import HOST

KEPT = 100
"""Requests after which a connection is opened anew."""


class Asking:
    """A stream at work, by so many threads as it has connections.

    Args:
        stream: What to ask.
        records: Where answers go, a line each, unbuffered: whoever reads it finds whole lines.
    """

    def __init__(self, stream: Stream, records: RawIOBase) -> None:
        self._stream = stream
        self._records = records
        self._asks = deque(stream.asks)
        self._due = 0.0
        self._under_way: Counter[str | None] = Counter()
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(stream.connections)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask nothing more."""
        self._over.set()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the answers to what was asked."""
        for thread in self._threads:
            thread.join()

    def feed(self, asks: list[Ask]) -> None:
        """Ask these too."""
        with self._changed:
            self._asks += asks
            self._changed.notify_all()

    def withdraw(self, token: str) -> None:
        """Bear a token no more, and wait until nobody does."""
        with self._changed:
            self._asks = deque(ask for ask in self._asks if ask.token != token)
            self._changed.wait_for(lambda: not self._under_way[token])

    def _run(self) -> None:
        host = f"{HOST}:{self._stream.port}"
        while not self._over.is_set():
            with contextlib.ExitStack() as open_ones:
                connection = None
                for _ in range(KEPT):
                    ask = self._take()
                    if ask is None:
                        return
                    started = time.monotonic()
                    status, verdict = 0, "reset"
                    try:
                        if connection is None:
                            connection = Connection(HOST, self._stream.port)
                            open_ones.enter_context(connection)
                        reply = connection.ask(ask.sent(host))
                        status, verdict = reply.status, ask.judged(reply)
                        if reply.headers.get("connection") == "close":
                            break
                    except OSError:
                        break
                    finally:
                        self._done(ask, started, status, verdict)

    def _take(self) -> Ask | None:
        """Return the next request when its time has come; ``None``: there is none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._over.is_set() or self._asks)
            if self._over.is_set():
                return None
            ask = self._asks.popleft()
            if not self._stream.once:
                self._asks.append(ask)
            self._under_way[ask.token] += 1
            now = time.monotonic()
            if self._stream.rate:
                self._due = max(now, self._due + 1 / self._stream.rate)
            wait = self._due - now
        if wait > 0 and self._over.wait(wait):
            self._under_way_no_more(ask)
            return None
        return ask

    def _done(self, ask: Ask, started: float, status: int, verdict: str) -> None:
        seconds = time.monotonic() - started
        line = f"{started:.6f} {seconds:.6f} {self._stream.name} {ask.kind} {status} {verdict}\n"
        self._records.write(line.encode())
        self._under_way_no_more(ask)

    def _under_way_no_more(self, ask: Ask) -> None:
        with self._changed:
            self._under_way[ask.token] -= 1
            if not self._under_way[ask.token]:
                del self._under_way[ask.token]
            self._changed.notify_all()


def main(records: Path) -> int:
    """Do what standard input says until it ends, or the time is over."""
    said = Lines()
    asked = json.loads(next(said))
    said.deadline = time.monotonic() + asked["seconds"]
    # Not buffered: each line is one write, whole, whichever thread it comes from.
    with records.open("ab", buffering=0) as file:
        askings = {}
        for described in asked["streams"]:
            stream = Stream(**described | {"asks": _asks(described["asks"])})
            askings[stream.name] = Asking(stream, file)
        for asking in askings.values():
            asking.start()
        print("started", flush=True)
        try:
            _obey(said, askings)
        finally:
            for asking in askings.values():
                asking.stop()
            for asking in askings.values():
                asking.join()
    return 0


def _obey(lines: Lines, askings: dict[str, Asking]) -> None:
    for line in lines:
        said = json.loads(line)
        if "feed" in said:
            askings[said["feed"]].feed(_asks(said["asks"]))
        else:
            for asking in askings.values():
                asking.withdraw(said["withdraw"])
            print("withdrawn", flush=True)


def _asks(described: list[dict[str, Any]]) -> list[Ask]:
    return [Ask(**one) for one in described]


class Lines:
    """The lines of standard input, until it ends or it is too late.

    Attributes:
        deadline: When that is, in seconds of ``time.monotonic``; ``None``: never.
    """

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._rest = b""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while b"\n" not in self._rest:
            left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready, _, _ = select.select([0], [], [], left)
            more = os.read(0, 65_536) if ready else b""
            if not more:
                raise StopIteration
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line
