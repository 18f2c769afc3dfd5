"""The load: callers that share a pace, and what they were answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from benchmarks.machine.files import CLIENTS, client_secrets
from benchmarks.served import basic
from benchmarks.soak.callers import Caller
from benchmarks.soak.sampling import THREADS, read_process

if TYPE_CHECKING:
    from benchmarks.machine.stack import Stack
    from benchmarks.soak.terms import Terms

CALLERS = 8

_AT_ONCE = 32
_HELD = 0.3
_ROUNDS = 12
_LEAST_ROUNDS = 4
_SETTLES = 1.0
_PATIENCE = 60.0


class Tally:
    """What callers sent and were answered, and what should not have been; thread-safe.

    Attributes:
        answered: Of each application, answers by status.
        sent: To the auth service, requests by path.
        wrong: What was answered otherwise than it must be, by what it was.
        lost: Requests without an answer, by what became of them.
    """

    def __init__(self) -> None:
        self.answered: dict[str, Counter[str]] = {}
        self.sent: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, application: str, status: int) -> None:
        """Count an application's answer."""
        with self._lock:
            self.answered.setdefault(application, Counter())[str(status)] += 1

    def send(self, path: str) -> None:
        """Count a request to the auth service."""
        with self._lock:
            self.sent[path] += 1

    def amiss(self, what: str) -> None:
        """Count an answer that must not be."""
        with self._lock:
            self.wrong[what] += 1

    def lose(self, what: str) -> None:
        """Count a request that nobody answered."""
        with self._lock:
            self.lost[what] += 1

    @property
    def requests(self) -> int:
        """How many there were so far."""
        with self._lock:
            answered = sum(counter.total() for counter in self.answered.values())
            return answered + self.sent.total()


def fill_pools(machine: Stack, *, threads: int) -> None:
    """Have every thread of every worker at work at once, so that none comes into being later.

    A pool starts a thread when none is idle, which may take an hour to happen by itself; each
    thread then has connections and memory of its own.

    Args:
        machine: Whose.
        threads: Of a worker of an application; those of the auth service have twice as many.
    """
    for server in (machine.auth, *machine.apps.values()):
        least = 1 + threads * (2 if server is machine.auth else 1)
        server.slow(_HELD)
        try:
            for number in range(_ROUNDS):
                # Some more: a thread that was idle has no connection to the store yet.
                if number >= _LEAST_ROUNDS and all(
                    read_process(pid)[THREADS] >= least for pid in server.workers()
                ):
                    break
                with ThreadPoolExecutor(_AT_ONCE) as crowd:
                    list(crowd.map(lambda _: server.answers(), range(_AT_ONCE)))  # noqa: B023 - ends here
        finally:
            server.slow(0)


class Pace:
    """Holds callers back so that there are at most so many requests a second; thread-safe.

    Args:
        rate: Requests a second, of all that share it.
        wait: Waits for so many seconds, and tells whether all is over.
        clock: Seconds.
    """

    def __init__(
        self,
        rate: float,
        wait: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step = 1 / rate
        self._wait = wait
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        """Wait for one's turn; ``False``: there will be none."""
        with self._lock:
            now = self._clock()
            # Whoever was late does not hurry afterwards: the load is bounded at every moment.
            turn = self._next = max(self._next + self._step, now)
        return not self._wait(turn - now)


class Load:
    """The callers, at work while the block lasts.

    Args:
        terms: How hard.
        machine: Whom they ask.

    Attributes:
        tally: What they count.

    Raises:
        RuntimeError: They cannot open accounts.
    """

    def __init__(self, terms: Terms, machine: Stack) -> None:
        self.tally = Tally()
        self._over = threading.Event()
        pace = Pace(terms.rate, self._over.wait)
        client = CLIENTS["flask"]
        callers = [
            Caller(
                number,
                auth=machine.auth.port,
                applications={name: app.port for name, app in machine.apps.items()},
                client=basic(client, client_secrets(machine.folder)[client]),
                tally=self.tally,
                pace=pace,
                # A process that did not hear of it keeps its answer for so long.
                settles=terms.ttl + _SETTLES,
            )
            for number in range(CALLERS)
        ]
        for caller in callers:
            caller.register()
        self._threads = [threading.Thread(target=caller.run) for caller in callers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE)
